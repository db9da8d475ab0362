package proxy

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// Where routes.txt names a check, something looks at what is sent.
func TestEveryCheckIsThere(t *testing.T) {
	for _, r := range allowed() {
		if _, known := checks[r.check]; r.check != "" && !known {
			t.Errorf("%s has the check %q, which there is not", r.path, r.check)
		}
		// But for streams of runs that a check has admitted, and forbidden routes.
		if r.check == "" && r.scope == guard.Run {
			t.Errorf("%s is open to the scope run, and nothing looks at what is sent there", r.path)
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

// FuzzBodies feeds each check that reads JSON for the scope run: a body that passes has,
// as another parser reads it, no forbidden field at any depth.
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
		for _, field := range []string{"tweaks", "globals", "data", "context", "input_request", "files", "outputs", "output_component", "tools"} {
			if v, given := o[field]; given && !nothing(v) {
				t.Errorf("%s: %q has %s", name, body, field)
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
