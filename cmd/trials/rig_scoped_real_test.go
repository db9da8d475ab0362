//go:build real

package trials

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

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
func (s *scoped) code() string { return s.saying(`os.environ["LANGFLOW_SUPERUSER_PASSWORD"]`) }

// saying is the code of a ChatInput that says what an expression of Python is.
func (s *scoped) saying(expression string) string {
	return s.component(`    def message_response(self) -> Message:
        return Message(text=` + expression + `)
`)
}

// component is the code of a ChatInput with a method message_response.
func (s *scoped) component(method string) string {
	module := "lfx"
	if !s.at(10) {
		module = "langflow"
	}
	return strings.ReplaceAll(`import asyncio
import os

from MODULE.custom import Component
from MODULE.io import MessageTextInput, Output
from MODULE.schema.message import Message


class ChatInput(Component):
    display_name = "Chat Input"
    name = "ChatInput"
    inputs = [MessageTextInput(name="input_value", display_name="Input")]
    outputs = [Output(display_name="Chat Message", name="message", method="message_response")]

`, "MODULE", module) + method
}

// with is the echo with other code for its input.
func (s *scoped) with(code string) object {
	flow := s.echo()
	template(flow["nodes"].([]object)[0])["code"].(object)["value"] = code
	return flow
}

// hostile says what only the server knows.
func (s *scoped) hostile() object { return s.with(s.code()) }

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

// build builds a flow and returns what the server tells of that.
func (s *scoped) build(scope, flow, body string) string {
	s.Helper()
	var job struct {
		ID string `json:"job_id"`
	}
	s.decode(s.must(200, scope, "POST", "/api/v1/build/"+flow+"/flow?event_delivery=streaming", body), &job)
	return s.must(200, scope, "GET", "/api/v1/build/"+job.ID+"/events?event_delivery=streaming", "")
}

// message is one of MCP's to the account's server; it returns the answer.
func (s *scoped) message(scope, message string) string {
	s.Helper()
	return s.messageAt(scope, "/api/v1/mcp/", message)
}

// messageAt is one of MCP's, over streamable HTTP where the server has it, and else
// over SSE, below a base with a slash at its end.
func (s *scoped) messageAt(scope, base, message string) string {
	s.Helper()
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
