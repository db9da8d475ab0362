//go:build real

package trials

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// TestScopes has clients of the scopes run, tweak and edit attack real servers of
// each version by what they put into bodies. Each attack first works with the scope
// proxy, so that it is known to be one. What the scopes are for works too.
func TestScopes(t *testing.T) {
	for _, version := range append(real.Versions(), "") {
		t.Run("langflow "+version, func(t *testing.T) { testScopes(t, version) })
	}
}

// scoped is a real server behind a proxy, with a client for each scope.
type scoped struct {
	*testing.T
	version string // 1.4.3, 1.10.3 or 1.13.0
	server  *real.Server
	proxy   string
	tokens  map[string]string // of clients, by their scopes
	all     map[string]map[string]json.RawMessage
	flow    string // the id of the one that echoes
}

// stolen is a variable of the account: a Credential, but from 1.10 on, where those
// go into secret fields alone, a Generic one.
const stolen = "a-variable-of-the-account"

func testScopes(t *testing.T, version string) {
	server := real.Start(t, real.Options{Version: version})
	l := launch(t, homeFor(t))
	if l.url == "" {
		t.Fatalf("the agent does not start: %s", l.said)
	}
	token, err := os.ReadFile(l.paths.Token())
	if err != nil {
		t.Fatal(err)
	}
	owner, err := client.New(client.Options{URL: l.url, Token: secret.New(string(token))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	if _, err := owner.AddProfile(t.Context(), client.NewProfile{Name: "prod", ServerURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Login(t.Context(), "prod", client.Login{Method: client.Password, Username: server.Username, Password: secret.New(server.Password)}); err != nil {
		t.Fatal(err)
	}
	p, err := owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
	if err != nil || p.ProxyURL == nil {
		t.Fatalf("there is no proxy: %v", err)
	}
	s := &scoped{T: t, version: version, server: server, proxy: *p.ProxyURL, tokens: map[string]string{}}
	if s.version == "" {
		s.version = "1.13.0"
	}
	for _, scope := range []string{"run", "tweak", "edit", "proxy"} {
		added, _, err := owner.AddClient(t.Context(), client.NewClient{Name: scope, Scopes: []string{scope}, Profiles: []string{"prod"}})
		if err != nil {
			t.Fatal(err)
		}
		s.tokens[scope] = added.Token.Reveal()
	}
	s.decode(s.must(200, "proxy", "GET", "/api/v1/all", ""), &s.all)
	s.flow = s.create("proxy", "Echo", s.echo())
	kind := "Credential"
	if s.at(10) {
		kind = "Generic"
	}
	s.must(201, "proxy", "POST", "/api/v1/variables/", encode(object{"name": "STOLEN", "value": stolen, "type": kind, "default_fields": []string{"Stolen"}}))
	t.Run("routes", func(t *testing.T) { s.in(t).testRoutes() })
	t.Run("bodies", func(t *testing.T) { s.in(t).testBodies() })
	t.Run("files by MCP", func(t *testing.T) { s.in(t).testResources() })
	t.Run("arguments of tools", func(t *testing.T) { s.in(t).testArguments() })
	t.Run("flows", func(t *testing.T) { s.in(t).testFlows() })
	t.Run("honest", func(t *testing.T) { s.in(t).testHonest() })
	t.Run("what run still does", func(t *testing.T) { s.in(t).testLimits() })
}

func (s *scoped) in(t *testing.T) *scoped {
	part := *s
	part.T = t
	return &part
}

// at tells whether the server is a version, or a later one.
func (s *scoped) at(minor int) bool {
	var is int
	if _, err := fmt.Sscanf(s.version, "1.%d.", &is); err != nil {
		s.Fatal(err)
	}
	return is >= minor
}

// jams tells that a build or a tool waits for itself on the server: 1.10.3 notes a
// key's use in the request's session, which holds SQLite while the run's job wants to
// be written by another.
func (s *scoped) jams() bool { return s.version == "1.10.3" }

// ask sends a request as the client of a scope; headers are "Name: value".
func (s *scoped) ask(scope, method, path, body string, headers ...string) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.proxy+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Api-Key", s.tokens[scope])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{Timeout: 3 * time.Minute}).Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode, string(said)
}

func (s *scoped) must(status int, scope, method, path, body string, headers ...string) string {
	s.Helper()
	got, said := s.ask(scope, method, path, body, headers...)
	if got != status {
		s.Fatalf("%s %s with %s: %d, want %d: %.700s", method, path, scope, got, status, said)
	}
	return said
}

func (s *scoped) decode(text string, v any) {
	s.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		s.Fatalf("%v: %.300s", err, text)
	}
}

func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made here
	}
	return string(text)
}

type object = map[string]any

// node is one of the server's own components in a flow.
func (s *scoped) node(kind, id string) object {
	s.Helper()
	for _, group := range s.all {
		if component, ok := group[kind]; ok {
			var node object
			s.decode(string(component), &node)
			return object{"id": id, "type": "genericNode", "position": object{"x": 0, "y": 0}, "data": object{"id": id, "type": kind, "node": node}}
		}
	}
	s.Fatalf("the server has no %s", kind)
	return nil
}

func template(node object) object {
	return node["data"].(object)["node"].(object)["template"].(object)
}

// edge is as the editor writes it.
func edge(from, output, to, input string, types any) object {
	source := object{"dataType": strings.Split(from, "-")[0], "id": from, "name": output, "output_types": []string{"Message"}}
	target := object{"fieldName": input, "id": to, "inputTypes": types, "type": "str"}
	handle := func(v any) string { return strings.ReplaceAll(encode(v), `"`, "œ") }
	return object{
		"id": "edge-" + from + "-" + to, "source": from, "target": to, "sourceHandle": handle(source), "targetHandle": handle(target),
		"data": object{"sourceHandle": source, "targetHandle": target},
	}
}

// echo is a flow's data that says what it is told.
func (s *scoped) echo() object {
	in, out := s.node("ChatInput", "ChatInput-1"), s.node("ChatOutput", "ChatOutput-1")
	types := template(out)["input_value"].(object)["input_types"]
	return object{"nodes": []object{in, out}, "edges": []object{edge("ChatInput-1", "message", "ChatOutput-1", "input_value", types)}, "viewport": object{"x": 0, "y": 0, "zoom": 1}}
}

// code is a component that says what only the server knows.
func (s *scoped) code() string {
	module := "lfx"
	if !s.at(10) {
		module = "langflow"
	}
	return strings.ReplaceAll(`import os

from MODULE.custom import Component
from MODULE.io import MessageTextInput, Output
from MODULE.schema.message import Message


class ChatInput(Component):
    display_name = "Chat Input"
    name = "ChatInput"
    inputs = [MessageTextInput(name="input_value", display_name="Input")]
    outputs = [Output(display_name="Chat Message", name="message", method="message_response")]

    def message_response(self) -> Message:
        return Message(text=os.environ["LANGFLOW_SUPERUSER_PASSWORD"])
`, "MODULE", module)
}

// hostile is the echo with that for its input.
func (s *scoped) hostile() object {
	flow := s.echo()
	template(flow["nodes"].([]object)[0])["code"].(object)["value"] = s.code()
	return flow
}

func (s *scoped) create(scope, name string, data object) string {
	s.Helper()
	var made struct{ ID string }
	s.decode(s.must(201, scope, "POST", "/api/v1/flows/", encode(object{"name": name, "data": data})), &made)
	return made.ID
}

// abuse is what a body has that gets at something.
type abuse struct {
	name    string
	since   int // the minor version that has it
	until   int // the first that does not, 0 for none
	method  string
	path    string
	body    string
	headers []string
	gets    string   // what the answer has in it
	refused []string // the scopes that may not
}

// tries has proxy show that each attack works, and the other scopes that they
// can't.
func (s *scoped) tries(attacks []abuse) {
	for _, a := range attacks {
		if !s.at(a.since) || a.until != 0 && s.at(a.until) {
			continue
		}
		if a.method == "" {
			a.method = "POST"
		}
		status, said := s.ask("proxy", a.method, a.path, a.body, a.headers...)
		if !strings.Contains(said, a.gets) {
			s.Errorf("%s: it does not work with proxy, and so shows nothing: %d %.1500s", a.name, status, said)
		}
		if a.refused == nil {
			a.refused = []string{"run", "edit"}
		}
		for _, scope := range a.refused {
			if status, said := s.ask(scope, a.method, a.path, a.body, a.headers...); status != 403 && status != 400 || strings.Contains(said, a.gets) {
				s.Errorf("%s, with %s: %d %.700s", a.name, scope, status, said)
			}
		}
	}
}

func (s *scoped) testBodies() {
	variable := object{"value": "STOLEN", "load_from_db": true}
	password := s.server.Password
	code := encode(object{"tweaks": object{"ChatInput-1": object{"code": s.code()}}})
	inputs := []object{{"components": []string{"none"}, "input_value": ""}} // for no component
	byVariable := encode(object{"tweaks": object{"ChatInput-1": object{"input_value": variable}}})
	form := func(tweaks any) (string, []string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField("tweaks", encode(tweaks))
		_ = w.Close()
		return b.String(), []string{"Content-Type: " + w.FormDataContentType()}
	}
	formBody, formHeaders := form(object{"ChatInput-1": object{"input_value": variable}})
	bound := s.echo()
	template(bound["nodes"].([]object)[0])["input_value"].(object)["value"] = "OVERRIDDEN"
	template(bound["nodes"].([]object)[0])["input_value"].(object)["load_from_db"] = true
	boundFlow := s.create("proxy", "Bound", bound)
	run, advanced := "/api/v1/run/"+s.flow, "/api/v1/run/advanced/"+s.flow
	all := []string{"run", "tweak", "edit"}
	s.tries([]abuse{
		{name: "code by a tweak", until: 10, path: run, body: code, gets: password},
		{name: "code by a tweak for all components", until: 10, path: run, body: encode(object{"tweaks": object{"code": s.code()}}), gets: password},
		{name: "a variable by a tweak", path: run, body: byVariable, gets: stolen},
		{name: "a variable by a tweak of an advanced run", since: 13, path: advanced, body: encode(object{"inputs": inputs, "tweaks": object{"ChatInput-1": object{"input_value": variable}}}), gets: stolen},
		{name: "the server's environment by a tweak", since: 10, path: run, body: strings.ReplaceAll(byVariable, "STOLEN", "PWD"), gets: `"text":"` + os.Getenv("PWD") + `"`},
		{name: "tweaks in an embedded request", since: 10, path: run, body: `{"input_request":` + byVariable + `}`, gets: stolen},
		{name: "tweaks twice", path: run, body: `{"tweaks":{},` + byVariable[1:], gets: stolen, refused: all},
		{name: "tweaks in a form", since: 10, path: run, body: formBody, headers: formHeaders, gets: stolen, refused: all},
		{name: "tweaks in a body that says it is text", since: 10, path: run, body: byVariable, headers: []string{"Content-Type: text/plain"}, gets: stolen, refused: all},
		{name: "a variable's value of one's own, in a header", since: 10, path: "/api/v1/run/" + boundFlow, body: `{}`, headers: []string{"X-LANGFLOW-GLOBAL-VAR-OVERRIDDEN: of-my-own"}, gets: "of-my-own"},
		{name: "a variable's value of one's own, in the body", since: 10, path: "/api/v1/run/" + boundFlow, body: `{"input_request":{},"context":{"request_variables":{"OVERRIDDEN":"of-my-own"}}}`, gets: "of-my-own"},
		{name: "what a component hands on", path: run, body: `{"input_value":"between","output_component":"ChatInput-1"}`, gets: `"component_id":"ChatInput-1"`},
		{name: "what all components hand on", path: run, body: `{"input_value":"between","output_type":"debug"}`, gets: `"component_id":"ChatInput-1"`},
		{name: "a flow of one's own in a workflow", since: 13, path: "/api/v2/workflows", body: encode(object{"flow_id": s.flow, "input_value": "a", "mode": "stream", "data": s.hostile()}), gets: password, refused: all},
		{name: "tweaks of a workflow", since: 13, path: "/api/v2/workflows", body: encode(object{"flow_id": s.flow, "tweaks": object{"ChatInput-1": object{"input_value": variable}}}), gets: stolen},
	})
	// A build, whose answer is fetched.
	body := encode(object{"data": s.hostile()})
	if !s.jams() {
		if said := s.build("proxy", s.flow, body); !strings.Contains(said, password) {
			s.Errorf("a flow of one's own in a build: it does not work with proxy, and so shows nothing: %.1500s", said)
		}
	}
	for _, scope := range all {
		if status, said := s.ask(scope, "POST", "/api/v1/build/"+s.flow+"/flow", body); status != 403 {
			s.Errorf("a flow of one's own in a build, with %s: %d %.500s", scope, status, said)
		}
	}
}

// build builds a flow and returns what the server tells of that.
func (s *scoped) build(scope, flow, body string) string {
	s.Helper()
	var job struct {
		ID string `json:"job_id"`
	}
	s.decode(s.must(200, scope, "POST", "/api/v1/build/"+flow+"/flow?event_delivery=streaming", body), &job)
	return s.must(200, scope, "GET", "/api/v1/build/"+job.ID+"/events?event_delivery=streaming", "")
}

// message is one of MCP's, over streamable HTTP where the server has it, and else
// over SSE; it returns the answer.
func (s *scoped) message(scope, message string) string {
	s.Helper()
	base := "/api/v1/mcp/"
	if s.at(10) {
		status, said := s.ask(scope, "POST", base+"streamable", message, "Accept: application/json, text/event-stream")
		if status >= 500 || status == 404 {
			s.Fatalf("%s: %d %s", message, status, said)
		}
		return said
	}
	req, err := http.NewRequestWithContext(s.Context(), "GET", s.proxy+base+"sse", nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("X-Api-Key", s.tokens[scope])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	buffer, got := make([]byte, 64<<10), ""
	until := func(is func(string) bool) string {
		for !is(got) {
			n, err := res.Body.Read(buffer)
			got += string(buffer[:n])
			if err != nil {
				s.Fatalf("the stream ends: %v after %.500s", err, got)
			}
		}
		return got
	}
	endpoint := until(func(got string) bool {
		return strings.Contains(got, "session_id=") && strings.HasSuffix(got, "\n\r\n") || strings.Contains(got, "session_id=") && strings.HasSuffix(got, "\n\n")
	})
	_, endpoint, _ = strings.Cut(endpoint, "data: ")
	endpoint, _, _ = strings.Cut(endpoint, "\r")
	endpoint, _, _ = strings.Cut(endpoint, "\n")
	send := func(message string) (int, string) { return s.ask(scope, "POST", endpoint, message) }
	send(initialize)
	until(func(got string) bool { return strings.Contains(got, `"serverInfo"`) })
	send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	got = ""
	if status, said := send(message); status != 202 {
		return said
	}
	return until(func(got string) bool {
		return strings.Contains(got, `"id":7`) && strings.HasSuffix(strings.TrimRight(got, "\r\n"), "}")
	})
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`

func (s *scoped) testResources() {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "diary.txt")
	if err != nil {
		s.Fatal(err)
	}
	_, _ = io.WriteString(part, "dear diary")
	_ = w.Close()
	// What tweak is for as well.
	s.must(201, "tweak", "POST", "/api/v1/files/upload/"+s.flow, form.String(), "Content-Type: "+w.FormDataContentType())
	if status, _ := s.ask("run", "POST", "/api/v1/files/upload/"+s.flow, form.String(), "Content-Type: "+w.FormDataContentType()); status != 403 {
		s.Errorf("an upload with run: %d", status)
	}
	list := `{"jsonrpc":"2.0","id":7,"method":"resources/list"}`
	said := s.message("proxy", list)
	_, uri, found := strings.Cut(said, `"uri":"`)
	uri, _, _ = strings.Cut(uri, `"`)
	if !found || !strings.Contains(said, "diary.txt") {
		s.Fatalf("resources/list does not work with proxy: %.700s", said)
	}
	read := `{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"` + uri + `"}}`
	// 1.10.3 fails at that with a database of SQLite.
	if said := s.message("proxy", read); !strings.Contains(said, "contents") && s.version != "1.10.3" {
		s.Fatalf("resources/read does not work with proxy: %.700s", said)
	}
	for _, message := range []string{list, read, strings.Replace(list, "/", `\/`, 1), strings.Replace(list, `"method"`, `"method":"tools/list","method"`, 1), "[" + list + "]"} {
		for _, scope := range []string{"run", "tweak"} {
			if said := s.message(scope, message); strings.Contains(said, "diary") || strings.Contains(said, "contents") || !strings.Contains(said, `"error"`) || !strings.Contains(said, "urn") && !strings.Contains(said, `"message"`) {
				s.Errorf("%s with %s: %.500s", message, scope, said)
			}
		}
	}
	// The account's files are edit's.
	if said := s.message("edit", list); !strings.Contains(said, "diary.txt") {
		s.Errorf("resources/list with edit: %.500s", said)
	}
}

// testArguments has a tool's argument set load_from_db. 1.13 makes tweaks of what an
// input component shows, and holds them to the tool's schema: nothing else stands
// before that there.
func (s *scoped) testArguments() {
	flow := s.echo()
	template(flow["nodes"].([]object)[0])["sender_name"].(object)["advanced"] = false
	id := s.create("proxy", "Named", flow)
	call := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"named","arguments":` + arguments + `}}`
	}
	senders := func() string { return s.must(200, "proxy", "GET", "/api/v1/monitor/messages?flow_id="+id, "") }
	hostile := call(`{"input_value":"a","sender_name":{"value":"STOLEN","load_from_db":true}}`)
	for _, scope := range []string{"run", "edit"} {
		if said := s.message(scope, hostile); !strings.Contains(said, `"error"`) || !strings.Contains(said, "arguments") {
			s.Errorf("with %s: %.500s", scope, said)
		}
	}
	if strings.Contains(senders(), stolen) {
		s.Error("the variable is in a message's sender")
	}
	if s.jams() {
		return
	}
	if said := s.message("proxy", hostile); s.at(13) && !strings.Contains(said, "Input validation error") {
		s.Errorf("1.13.0 takes an object for text: %.700s", said)
	}
	if said := s.message("run", call(`{"input_value":"an argument","sender_name":"Ann","session_id":"s"}`)); !strings.Contains(said, "an argument") {
		s.Errorf("honest arguments: %.700s", said)
	}
	if s.at(13) && !strings.Contains(senders(), "Ann") {
		s.Errorf("1.13.0 makes no tweak of an argument: %.700s", senders())
	}
}

// testFlows has edit write flows.
func (s *scoped) testFlows() {
	password := s.server.Password
	// What works with proxy: code, a flow in the flow, a variable, the environment.
	variable := s.echo()
	field := template(variable["nodes"].([]object)[0])["input_value"].(object)
	field["value"], field["load_from_db"] = "STOLEN", true
	inner := s.echo()
	inner["data"] = s.hostile()
	named := s.echo()
	template(named["nodes"].([]object)[0])["input_value"].(object)["display_name"] = "Stolen"
	python := s.echo()
	kind := "PythonREPLComponent"
	python["nodes"] = append(python["nodes"].([]object), s.node(kind, kind+"-1"))
	for name, tt := range map[string]struct {
		since int
		data  object
		gets  string
	}{
		"code": {0, s.hostile(), password}, "a flow in the flow": {0, inner, password}, "a variable": {0, variable, stolen}, "a variable by a field's name": {10, named, stolen},
	} {
		if !s.at(tt.since) {
			continue
		}
		id := s.create("proxy", "By proxy: "+name, tt.data)
		if _, said := s.ask("proxy", "POST", "/api/v1/run/"+id, `{}`); !strings.Contains(said, tt.gets) {
			s.Errorf("%s: it does not work with proxy, and so shows nothing: %.1500s", name, said)
		}
		plain := s.create("edit", "By edit: "+name, s.echo())
		for target, body := range map[string]string{
			"POST /api/v1/flows/": encode(object{"name": "x", "data": tt.data}), "POST /api/v1/flows/batch/": encode(object{"flows": []object{{"name": "x", "data": tt.data}}}),
			"PATCH /api/v1/flows/" + plain: encode(object{"data": tt.data}),
		} {
			method, path, _ := strings.Cut(target, " ")
			if status, said := s.ask("edit", method, path, body); status != 403 {
				s.Errorf("%s: %s with edit: %d %.500s", name, target, status, said)
			}
		}
	}
	if status, said := s.ask("edit", "POST", "/api/v1/flows/", encode(object{"name": "x", "data": python})); status != 403 || !strings.Contains(said, kind) {
		s.Errorf("a flow with %s: %d %.500s", kind, status, said)
	}

	// What edit is for: a flow of plain components, changed, run, and one with a
	// component that is not plain, left as it is.
	id := s.create("edit", "Edited", s.echo())
	changed := s.echo()
	template(changed["nodes"].([]object)[0])["input_value"].(object)["value"] = "as I left it"
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+id, encode(object{"name": "Edited again", "data": changed}))
	if said := s.must(200, "edit", "POST", "/api/v1/run/"+id, `{}`); !strings.Contains(said, "as I left it") {
		s.Errorf("the flow that edit changed says %.700s", said)
	}
	if !s.jams() {
		if said := s.build("edit", id, encode(object{"data": changed, "inputs": object{"input_value": "built"}})); !strings.Contains(said, "built") {
			s.Errorf("the flow that edit builds says %.700s", said)
		}
	}
	other := s.create("proxy", "With Python", python)
	var stored object
	s.decode(s.must(200, "edit", "GET", "/api/v1/flows/"+other, ""), &stored)
	data := stored["data"].(object)
	data["nodes"].([]any)[0].(object)["position"] = object{"x": 100, "y": 1}
	s.must(200, "edit", "PATCH", "/api/v1/flows/"+other, encode(object{"name": "Moved", "data": data}))
	data["nodes"].([]any)[0].(object)["data"].(object)["node"].(object)["template"].(object)["input_value"].(object)["value"] = "import os"
	if status, said := s.ask("edit", "PATCH", "/api/v1/flows/"+other, encode(object{"data": data})); status != 403 {
		s.Errorf("a flow with %s, changed: %d %.500s", kind, status, said)
	}
}

// testHonest is what clients send that only run flows.
func (s *scoped) testHonest() {
	run := "/api/v1/run/" + s.flow
	for _, scope := range []string{"run", "tweak", "edit"} {
		for name, body := range map[string]string{
			"langflow-sdk":        `{"input_value":"hello you","input_type":"chat","output_type":"chat","stream":false}`,
			"the API page's code": `{"output_type":"chat","input_type":"chat","input_value":"hello you","session_id":"s","tweaks":{}}`,
			"curl":                `{"input_value":"hello you"}`,
		} {
			if said := s.must(200, scope, "POST", run+"?stream=false", body); !strings.Contains(said, "hello you") {
				s.Errorf("%s with %s: %.500s", name, scope, said)
			}
		}
	}
	if said := s.must(200, "run", "POST", run+"?stream=true", `{"input_value":"hello stream"}`); !strings.Contains(said, "hello stream") || !strings.Contains(said, `"end"`) {
		s.Errorf("a stream: %.500s", said)
	}
	// 1.4.3 fails at that with a database of SQLite.
	if s.at(10) {
		if said := s.must(200, "run", "POST", "/api/v1/run/advanced/"+s.flow, `{"inputs":[{"components":["ChatInput-1"],"input_value":"hello advanced","type":"chat"}],"outputs":[],"stream":false}`); !strings.Contains(said, "hello advanced") {
			s.Errorf("an advanced run: %.500s", said)
		}
	}
	for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
		s.must(202, "run", "POST", "/api/v1/webhook/"+s.flow, `{"event":"push","tweaks":{"a":1}}`, "Content-Type: "+kind)
	}
	if s.at(10) {
		for _, more := range []string{``, `,"previous_response_id":"r"`, `,"temperature":0.1,"metadata":{"a":"b"},"store":false`} {
			if said := s.must(200, "run", "POST", "/api/v1/responses", `{"model":"`+s.flow+`","input":"hello responses"`+more+`}`, "X-Stainless-Lang: python"); !strings.Contains(said, "hello responses") {
				s.Errorf("responses%s: %.500s", more, said)
			}
		}
		if said := s.must(200, "run", "POST", "/api/v1/responses", `{"model":"`+s.flow+`","input":"hello responses","stream":true}`); !strings.Contains(said, "[DONE]") {
			s.Errorf("responses, streamed: %.500s", said)
		}
	}
	if s.at(13) {
		if said := s.must(200, "run", "POST", "/api/v2/workflows", encode(object{"flow_id": s.flow, "input_value": "hello workflow", "mode": "sync"})); !strings.Contains(said, "hello workflow") {
			s.Errorf("a workflow: %.500s", said)
		}
		if said := s.must(200, "run", "POST", "/api/v2/workflows", encode(object{"flow_id": s.flow, "input_value": "hello workflow", "mode": "stream", "expose_graph_state": false})); !strings.Contains(said, "hello workflow") {
			s.Errorf("a workflow's stream: %.500s", said)
		}
	}
	if said := s.message("run", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`); !strings.Contains(said, `"echo"`) {
		s.Errorf("tools/list: %.500s", said)
	}
	if !s.jams() {
		if said := s.message("run", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"input_value":"hello tool"},"_meta":{"progressToken":1}}}`); !strings.Contains(said, "hello tool") {
			s.Errorf("tools/call: %.500s", said)
		}
	}
	if said := s.must(200, "tweak", "POST", run, `{"input_value":"hello tweak","tweaks":{"ChatOutput-1":{"sender_name":"Tweaked"}}}`); !strings.Contains(said, "Tweaked") {
		s.Errorf("a tweak: %.500s", said)
	}
}

// testLimits is what a flow's own making lets a client with run do, as the threat
// model says: an input that is bound to a variable takes the name of another one.
func (s *scoped) testLimits() {
	bound := s.echo()
	field := template(bound["nodes"].([]object)[0])["input_value"].(object)
	field["value"], field["load_from_db"] = "GREETING", true
	id := s.create("proxy", "Greeting", bound)
	if said := s.must(200, "run", "POST", "/api/v1/run/"+id, `{"input_value":"STOLEN"}`); !strings.Contains(said, stolen) {
		s.Errorf("the threat model says that an input bound to a variable takes another's name, which %s does not: %.700s", s.version, said)
	}
}
