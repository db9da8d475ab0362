package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// Where routes.txt names a check, something looks at what is sent.
func TestEveryCheckIsThere(t *testing.T) {
	for _, r := range allowed {
		if _, known := checks[r.check]; r.check != "" && !known {
			t.Errorf("%s has the check %q, which there is not", r.path, r.check)
		}
		// But for streams of what was begun with a check, and what is forbidden.
		if r.check == "" && r.scope == guard.Run {
			t.Errorf("%s is open to the scope run, and nothing looks at what is sent there", r.path)
		}
	}
}

func TestStrictJSON(t *testing.T) {
	for _, text := range []string{
		``, ` `, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `{'a':1}`, `{a:1}`, `nul`, `NaN`, `Infinity`, `-Infinity`, `{"a":NaN}`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `1e999`, `-1e999`, `0x10`,
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[{"b":{"":1,"":2}}]`,
		`{} {}`, `{}x`, `{}` + "\x00", "\ufeff{}", "\x00{}", `{}` + "\x0c", "\u00a0{}", `{}//`, `/**/{}`,
		"\"\xff\"", "\"\xed\xa0\x80\"", `"\ud800"`, `"\ud800x"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\u12"`, `"\x41"`, `"\u00zz"`, "\"\n\"", "\"\x00\"", "\"a\tb\"",
		strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), strings.Repeat("1", 65),
		"{\x00\"\x00a\x00\"\x00:\x001\x00}\x00",
	} {
		if v, err := parseJSON([]byte(text)); err == nil {
			t.Errorf("%.60q is %v", text, v)
		}
	}
	got, err := parseJSON([]byte(" {\"a\" : [1, -0.5e+3, true,false,null, \"\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041 é\"],\n\t\"\":{}, \"A\":\"\"}\r\n"))
	want := map[string]any{"a": []any{number("1"), number("-0.5e+3"), true, false, nil, "😀 \"\\/\b\f\n\r\tA é"}, "": map[string]any{}, "A": ""}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// What is read here is what encoding/json reads, and no object has a name twice.
func FuzzStrictJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"\ud83d\ude00"],"b":null}`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `1e999`, `{"a":{"b":1,"\u0062":2}}`, "[[[", "\ufeff1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseJSON(text)
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q passes, and is not JSON: %v", text, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q has more after its end", text)
		}
		if !reflect.DeepEqual(plainJSON(got), want) {
			t.Errorf("%q is %v, and encoding/json says %v", text, got, want)
		}
		if names, all := countNames(text); names != all {
			t.Errorf("%q has %d names, %d of them once", text, all, names)
		}
	})
}

// plainJSON has numbers as encoding/json has them.
func plainJSON(v any) any {
	switch v := v.(type) {
	case number:
		return json.Number(v)
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = plainJSON(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name := range v {
			all[name] = plainJSON(v[name])
		}
		return all
	}
	return v
}

// countNames counts the names of all objects in a text: those that differ, and
// all.
func countNames(text []byte) (different, all int) {
	d := json.NewDecoder(bytes.NewReader(text))
	type level struct {
		names map[string]bool // nil: an array
		name  bool            // comes next
	}
	var levels []*level
	for {
		token, err := d.Token()
		if err != nil {
			return different, all
		}
		var now *level
		if len(levels) > 0 {
			now = levels[len(levels)-1]
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if now != nil && now.names != nil && now.name {
			name := token.(string)
			all++
			if !now.names[name] {
				different++
			}
			now.names[name], now.name = true, false
			continue
		}
		if now != nil {
			now.name = true
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, &level{map[string]bool{}, true})
		case json.Delim('['):
			levels = append(levels, &level{})
		}
	}
}

// TestRunBodies holds the bodies of runs to inputs.
func TestRunBodies(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "run", Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	const json = "application/json"
	for _, tt := range []struct {
		name, target, kind, body string
		run, tweak               int
	}{
		{"nothing", "/api/v1/run/f", "", "", 200, 200},
		{"an empty object", "/api/v1/run/f", json, "{}", 200, 200},
		{"as langflow-sdk", "/api/v1/run/f", json, `{"input_value":"a","input_type":"chat","output_type":"chat","stream":false}`, 200, 200},
		{"as the page's example", "/api/v1/run/f?stream=false", json, `{"output_type":"chat","input_type":"chat","input_value":"a","session_id":"b","tweaks":{}}`, 200, 200},
		{"as lfx", "/api/v1/run/f?stream=true", "application/json; charset=utf-8", `{"input_value":"a","tweaks":null,"user_id":"b","output_component":""}`, 200, 200},

		{"tweaks", "/api/v1/run/f", json, `{"tweaks":{"a":{"code":"b"}}}`, 403, 200},
		{"tweaks escaped", "/api/v1/run/f", json, `{"twe\u0061ks":{"a":{"code":"b"}}}`, 403, 200},
		{"tweaks twice", "/api/v1/run/f", json, `{"tweaks":{},"tweaks":{"a":{"code":"b"}}}`, 400, 400},
		{"tweaks twice, once escaped", "/api/v1/run/f", json, `{"tweaks":{},"twe\u0061ks":{"a":{"code":"b"}}}`, 400, 400},
		{"tweaks in capitals", "/api/v1/run/f", json, `{"Tweaks":{}}`, 403, 403},
		{"tweaks as a string", "/api/v1/run/f", json, `{"tweaks":"{}"}`, 403, 403},
		{"embedded", "/api/v1/run/f", json, `{"input_request":{"tweaks":{"a":{"code":"b"}}}}`, 403, 200},
		{"context", "/api/v1/run/f", json, `{"context":{"request_variables":{"A":"b"}}}`, 403, 200},
		{"load_from_db", "/api/v1/run/f", json, `{"input_value":{"value":"NAME","load_from_db":true}}`, 403, 403},
		{"a number", "/api/v1/run/f", json, `{"input_value":1}`, 403, 403},
		{"debug", "/api/v1/run/f", json, `{"output_type":"debug"}`, 403, 200},
		{"an output", "/api/v1/run/f", json, `{"output_component":"a"}`, 403, 200},
		{"an array", "/api/v1/run/f", json, `[{}]`, 403, 403},
		{"a form", "/api/v1/run/f", "multipart/form-data; boundary=a", "--a\r\nContent-Disposition: form-data; name=\"tweaks\"\r\n\r\n{}\r\n--a--", 403, 403},
		{"no type", "/api/v1/run/f", "", `{"tweaks":{"a":{"code":"b"}}}`, 403, 403},
		{"text", "/api/v1/run/f", "text/plain", `{}`, 403, 403},
		{"another charset", "/api/v1/run/f", "application/json; charset=utf-7", `{}`, 403, 403},
		{"another parameter", "/api/v1/run/f", "application/json; a=b", `{}`, 403, 403},
		{"a query", "/api/v1/run/f?tweaks=%7B%7D", json, `{}`, 403, 403},
		{"stream twice", "/api/v1/run/f?stream=true&stream=false", json, `{}`, 403, 403},
		{"a semicolon", "/api/v1/run/f?stream=true;tweaks=1", json, `{}`, 403, 403},
		{"more after its end", "/api/v1/run/f", json, `{}{"tweaks":{}}`, 400, 400},
		{"NaN", "/api/v1/run/f", json, `{"input_value":NaN}`, 400, 400},
		{"long", "/api/v1/run/f", json, `{"input_value":"` + strings.Repeat("a", 1<<20) + `"}`, 200, 200},
		{"a version with a body", "/api/v1/version", json, `{}`, 403, 403},
		{"a version with a query", "/api/v1/version?a=b", "", "", 403, 403},
	} {
		for scope, want := range map[string]int{"run": tt.run, "tweak": tt.tweak, "proxy": 200} {
			header := []string{"X-Api-Key: lk_" + scope}
			if tt.kind != "" {
				header = append(header, "Content-Type: "+tt.kind)
			}
			before := len(r.seen)
			method := http.MethodPost
			if strings.HasPrefix(tt.target, "/api/v1/version") {
				method = http.MethodGet
			}
			if res, said := r.ask(method, tt.target, tt.body, header...); res.StatusCode != want {
				t.Errorf("%s: %s with %s: %d %s, want %d", tt.name, tt.target, scope, res.StatusCode, said, want)
			}
			switch sent := len(r.seen) - before; {
			case want != 200 && sent != 0:
				t.Errorf("%s with %s: something was sent on", tt.name, scope)
			case want == 200 && (sent != 1 || r.bodies[before] != tt.body || r.seen[before].ContentLength != int64(len(tt.body))):
				t.Errorf("%s with %s: what is sent is not what was checked", tt.name, scope)
			}
		}
	}
	for _, header := range []string{"Content-Encoding: gzip", "Upgrade: websocket", "X-LANGFLOW-GLOBAL-VAR-A: b", "x-langflow_global-var-a: b", "X-Langflow-Global-Vars: {}"} {
		if res, said := r.ask(http.MethodPost, "/api/v1/run/f", "{}", "X-Api-Key: lk_run", "Content-Type: application/json", header); res.StatusCode != 403 {
			t.Errorf("%s: %d %s", header, res.StatusCode, said)
		}
	}
}

// A body is refused for its length before it is read, and where that is not told
// once too much has come.
func TestBodyTooLong(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} }})
	for _, told := range []bool{true, false} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/run/f", strings.NewReader(`{"input_value":"`+strings.Repeat("a", inputBytes)+`"}`))
		r.Header.Set("Content-Type", "application/json")
		if !told {
			r.ContentLength = -1
		}
		_, against := h.examine(httptest.NewRecorder(), r, callers["lk_run"], target{check: "run"})
		if against == nil || against.problem.Kind() != client.TypeTooLarge {
			t.Errorf("told %v: %+v", told, against)
		}
	}
}

// TestBodies holds what the other routes are sent to inputs. run and tweak are what
// clients with these scopes are answered: 0 for 200.
func TestBodies(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "run", Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	const advanced, responses, webhook = "/api/v1/run/advanced/f", "/api/v1/responses", "/api/v1/webhook/f"
	for _, tt := range []struct {
		target, body string
		run, tweak   int
	}{
		{advanced, ``, 0, 0},
		{advanced, `{"inputs":[{"components":["ChatInput-1"],"input_value":"a","type":"chat","session":"b"},{"input_value":null}],"outputs":[],"stream":false,"session_id":"c","tweaks":{}}`, 0, 0},
		{advanced, `{"tweaks":{"a":{"code":"b"}}}`, 403, 0},
		{advanced, `{"inputs":[{"input_value":{"value":"A","load_from_db":true}}]}`, 403, 403},
		{advanced, `{"inputs":{"input_value":"a"}}`, 403, 403},
		{advanced, `{"inputs":[{"input_value":"a","tweaks":{}}]}`, 403, 403},
		{advanced, `{"outputs":["TextInput-1"]}`, 403, 0},
		{advanced, `{"inputs":[{"components":"a"}]}`, 403, 403},
		{advanced + "?stream=true", `{}`, 403, 403},

		{responses, `{"model":"f","input":"a","stream":true,"previous_response_id":"b","tools":[],"include":["tool_call.results"],"temperature":0.5,"metadata":{"a":"b"},"store":false}`, 0, 0},
		{responses, `{"model":"f","input":[{"role":"user","content":"a"}]}`, 403, 403},
		{responses, `{"model":"f","input":"a","tweaks":{"a":{"code":"b"}}}`, 403, 403},
		{responses, `{"model":"f","input":"a","tools":[{"type":"mcp","server_url":"http://a"}]}`, 403, 403},
		{responses, `{"model":"f","input":"a","model":"g"}`, 400, 400},
		{responses, ``, 400, 400},

		{webhook, `{"a":{"code":"b","tweaks":{}},"a":1}`, 0, 0}, // is a string there
		{webhook, "a=b&c=d", 0, 0},
		{webhook, "\xff\xfe", 403, 403},
		{webhook + "?tweaks=a", "a", 403, 403},
	} {
		for scope, want := range map[string]int{"run": tt.run, "tweak": tt.tweak, "proxy": 0} {
			if want == 0 {
				want = 200
			}
			before := len(r.seen)
			res, said := r.ask(http.MethodPost, tt.target, tt.body, "X-Api-Key: lk_"+scope, "Content-Type: application/json")
			if sent := len(r.seen) - before; res.StatusCode != want || (sent == 1) != (want == 200) || sent == 1 && r.bodies[before] != tt.body {
				t.Errorf("%s %s with %s: %d %s, want %d; %d were sent on", tt.target, tt.body, scope, res.StatusCode, said, want, sent)
			}
		}
	}
}

// What a workflow is sent. rules.go says whether it gets there.
func TestWorkflowBodies(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{Version: "1.13.0"} }})
	for _, tt := range []struct {
		method, route, query, body string
		run, tweak                 bool
	}{
		{"POST", "workflows", "", `{"flow_id":"f","input_value":"a","session_id":"b","mode":"sync","output_ids":["c"],"tweaks":{},"globals":{},"data":null,"files":[]}`, true, true},
		{"POST", "workflows", "", `{"flow_id":"f","mode":"stream","expose_graph_state":false,"stream_protocol":"agui"}`, true, true},
		{"POST", "workflows", "", `{"flow_id":"f","background":true,"inputs":{"ChatInput-a.input_value":"a","ChatInput-a.session_id":"b"}}`, true, true},
		{"POST", "workflows", "", `{"flow_id":"f","mode":"stream"}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","mode":"background","expose_graph_state":true}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","tweaks":{"a":{"b":"c"}}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","globals":{"A":"b"}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","files":["/etc/passwd"]}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","stop_component_id":"a"}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","data":{"nodes":[],"edges":[]}}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","data":{}}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","input_value":{"value":"A","load_from_db":true}}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","inputs":{"LLM-a.model":"b"}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","inputs":{"ChatInput-a.code":"b"}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","inputs":{"ChatInput-a.input_value":{"value":"A","load_from_db":true}}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","inputs":{"ChatInput-a":{"code":"b"}}}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","unheard":1}`, false, false},
		{"POST", "workflows", "a=b", `{"flow_id":"f"}`, false, false},
		{"POST", "workflows/stop", "", `{"job_id":"f"}`, true, true},
		{"POST", "workflows/f/resume", "", `{"decision":{}}`, false, false},
		{"GET", "workflows", "job_id=f", "", true, true},
		{"GET", "workflows/f/events", "", "", true, true},
	} {
		for scope, want := range map[guard.Scope]bool{guard.Run: tt.run, guard.Tweak: tt.tweak} {
			r := httptest.NewRequest(tt.method, "/api/v2/"+tt.route+"?"+tt.query, strings.NewReader(tt.body))
			if tt.body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			_, against := h.examine(httptest.NewRecorder(), r, &guard.Caller{Scopes: []guard.Scope{scope}}, target{check: "workflow", route: tt.route})
			if (against == nil) != want {
				t.Errorf("%s %s %s with %s: %+v", tt.method, tt.route, tt.body, scope, against)
			}
		}
	}
}

// MCP's messages: methods count, and arguments are inputs. What is refused is
// answered in JSON-RPC, with the request's id.
func TestMCPMessages(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "run", Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}}, nil
	}
	for _, tt := range []struct {
		body             string
		run, tweak, edit string // the id in the error; "": it is sent on
		code             int
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"a","version":"1"}}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","method":"notifications/unheard-of","params":{}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"notifications/unheard-of","params":{}}`, "2", "2", "2", -32601},
		{`{"jsonrpc":"2.0","method":"resources/list"}`, "null", "null", "", -32601},
		{`{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"cursor":null}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"input_value":"a","n":1,"b":true,"l":["a",null],"session_id":null},"_meta":{"progressToken":1}}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo"}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"ping"}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"server/discover","params":{}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"result":{}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"a"}}`, "", "", "", 0},

		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"sender_name":{"value":"A","load_from_db":true}}}}`, "2", "", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"a":[{"value":"A"}]}}}`, "2", "", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","task":{}}}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":["echo"]}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":"x<","method":"resources/list"}`, `"x<"`, `"x<"`, "", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"a"}}`, "7", "7", "", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources\/read","params":{"uri":"a"}}`, "7", "7", "", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"Resources/Read","params":{"uri":"a"}}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"a"}}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/list","method":"resources/list"}`, "null", "null", "null", -32600},
		{`{"jsonrpc":"2.0","id":7,"method":["tools/list"]}`, "7", "7", "7", -32600},
		{`{"jsonrpc":"2.0","id":7,"method":null}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"1.0","id":7,"method":"tools/list"}`, "7", "7", "7", -32600},
		{`{"jsonrpc":"2.0","id":null,"method":"tools/list"}`, "null", "null", "null", -32600},
		{`{"jsonrpc":"2.0","id":{},"method":"tools/list"}`, "null", "null", "null", -32600},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/list","result":{}}`, "7", "7", "7", -32600},
		{`[{"jsonrpc":"2.0","id":7,"method":"tools/list"},{"jsonrpc":"2.0","id":8,"method":"resources/list"}]`, "null", "null", "null", -32600},
		{``, "null", "null", "null", -32600},
	} {
		for scope, id := range map[string]string{"run": tt.run, "tweak": tt.tweak, "edit": tt.edit, "proxy": ""} {
			for _, target := range []string{"/api/v1/mcp/streamable", "/api/v1/mcp/project/p/streamable", "/api/v1/mcp/?session_id=a", "/api/v1/mcp/project/p/?session_id=a"} {
				before := len(r.seen)
				res, said := r.ask(http.MethodPost, target, tt.body, "X-Api-Key: lk_"+scope, "Content-Type: application/json")
				sent := len(r.seen) - before
				if id == "" {
					if res.StatusCode != 200 || sent != 1 || r.bodies[before] != tt.body {
						t.Errorf("%s %s with %s: %d %s; %d were sent on", target, tt.body, scope, res.StatusCode, said, sent)
					}
					continue
				}
				var answer struct {
					ID    json.RawMessage
					Error struct {
						Code    int
						Message string
					}
				}
				err := json.Unmarshal([]byte(said), &answer)
				status := 200
				if id == "null" || strings.Contains(target, "session_id") {
					status = 400
				}
				if err != nil || sent != 0 || res.StatusCode != status || strings.ReplaceAll(string(answer.ID), `\u003c`, "<") != id || answer.Error.Code != tt.code || answer.Error.Message == "" {
					t.Errorf("%s %s with %s: %d %s; %d were sent on", target, tt.body, scope, res.StatusCode, said, sent)
				}
			}
		}
	}
	for _, tt := range []struct {
		method, target, body string
		want                 int
	}{
		{"GET", "/api/v1/mcp/streamable", "", 200}, {"DELETE", "/api/v1/mcp/project/p/streamable", "", 200}, {"GET", "/api/v1/mcp/sse", "", 200},
		{"GET", "/api/v1/mcp/project/p?mcp_enabled=false", "", 200}, {"PATCH", "/api/v1/mcp/project/p", "{}", 403}, {"DELETE", "/api/v1/mcp/streamable", "{}", 403},
	} {
		if res, said := r.ask(tt.method, tt.target, tt.body, "X-Api-Key: lk_run", "Content-Type: application/json"); res.StatusCode != tt.want {
			t.Errorf("%s %s: %d %s", tt.method, tt.target, res.StatusCode, said)
		}
	}
}

// FuzzBodies feeds each check that reads JSON for the scope run: what passes is, as
// another parser reads it, free of what may not be there, at any depth.
func FuzzBodies(f *testing.F) {
	names := []string{"run", "advanced", "responses", "workflow", "mcp", "a2a"}
	for i, s := range []string{
		`{"input_value":"a","tweaks":{}}`, `{"inputs":[{"input_value":"a"}]}`, `{"model":"a","input":"b","metadata":{"a":1}}`, `{"flow_id":"a","inputs":{"ChatInput-1.input_value":"a"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"b":["c"]}}}`, `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{}}}`,
	} {
		f.Add(uint8(i), []byte(s))
	}
	f.Add(uint8(0), []byte(`{"tweaks":{"a":{"code":"b"}},"tweaks":{}}`))
	f.Add(uint8(4), []byte(`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`))
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		name := names[int(which)%len(names)]
		routes := map[string]string{"workflow": "workflows"}
		a := &asked{method: http.MethodPost, route: routes[name], header: http.Header{"Content-Type": {"application/json"}}, body: body}
		if against := checks[name].judge(a); against != nil || len(body) == 0 {
			return
		}
		var got any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %q passes, and is not JSON: %v", name, body, err)
		}
		if different, all := countNames(body); different != all {
			t.Fatalf("%s: %q has a name twice", name, body)
		}
		o := got.(map[string]any)
		for _, never := range []string{"tweaks", "globals", "data", "context", "input_request", "files", "outputs", "output_component", "tools"} {
			if v, given := o[never]; given && !nothing(v) {
				t.Errorf("%s: %q has %s", name, body, never)
			}
		}
		if v := o["input_value"]; v != nil {
			if _, ok := v.(string); !ok {
				t.Errorf("%s: %q has an input that is no text", name, body)
			}
		}
		if method, _ := o["method"].(string); strings.HasPrefix(method, "resources") && name == "mcp" {
			t.Errorf("%q asks for a resource", body)
		}
		if params, _ := o["params"].(map[string]any); name == "mcp" && o["method"] == "tools/call" {
			for _, v := range first(params["arguments"]) {
				if _, ok := v.(map[string]any); ok {
					t.Errorf("%q has an object for an argument", body)
				}
			}
		}
	})
}

func first(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// What MCP is refused is noted like all else, though the answer is 200.
func TestMCPRefusalIsNoted(t *testing.T) {
	upstream, err := url.Parse("http://server.test")
	if err != nil {
		t.Fatal(err)
	}
	var noted []string
	h := New(Config{
		Profile: "prod", Source: &rig{upstream: upstream}, Lookup: func(_ *http.Request, token string) (*guard.Caller, *client.Problem) { return lookup(token) }, Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} },
		Note: func(_ *http.Request, caller *guard.Caller, what string, problem *client.Problem) {
			noted = append(noted, caller.Name+" "+what+" "+problem.Kind())
		},
	})
	r := httptest.NewRequest(http.MethodPost, "/api/v1/mcp/streamable", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"resources/list"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Api-Key", "lk_run")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if want := []string{"run proxy POST /api/v1/mcp/streamable forbidden"}; w.Code != http.StatusOK || !slices.Equal(noted, want) {
		t.Errorf("%d, noted %q, want %q", w.Code, noted, want)
	}
}

// A request is noted also where there is no way to the server to be had.
func TestNoUpstreamIsNoted(t *testing.T) {
	var noted []string
	h := New(Config{
		Profile: "prod", Source: &rig{upstreamErr: errors.New("no profile")}, Lookup: func(_ *http.Request, token string) (*guard.Caller, *client.Problem) { return lookup(token) }, Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} },
		Note: func(_ *http.Request, caller *guard.Caller, what string, problem *client.Problem) {
			noted = append(noted, caller.Name+" "+what+" "+problem.Kind())
		},
		Problem: func(err error) *client.Problem { return client.NewProblem(client.TypeNotFound, err.Error()) },
	})
	r := httptest.NewRequest(http.MethodGet, "/api/v1/flows/", nil)
	r.Header.Set("X-Api-Key", "lk_whole")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if want := []string{"whole proxy GET /api/v1/flows not-found"}; w.Code != http.StatusNotFound || !slices.Equal(noted, want) {
		t.Errorf("%d, noted %q, want %q", w.Code, noted, want)
	}
}
