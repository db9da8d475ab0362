package proxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

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

// These are the bodies of workflows. rules.go says whether a client may send one.
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
		{"POST", "workflows", "", `{"flow_id":"f","files":["/etc/passwd"]}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","files":["11111111-1111-4111-8111-111111111111/../../secret_key"]}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","files":["11111111-1111-4111-8111-111111111111/a.txt"]}`, false, true},
		{"POST", "workflows", "", `{"flow_id":"f","mode":"background","expose_graph_state":false,"idempotency_key":"order-7"}`, false, false},
		{"POST", "workflows", "", `{"flow_id":"f","idempotency_key":null}`, true, true},
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
		{"POST", "workflows/stop", "", `{"job_id":"f"}`, false, false}, // of nobody who asked here
		{"POST", "workflows/f/resume", "", `{"decision":{}}`, false, false},
		{"GET", "workflows", "job_id=f", "", false, false},
		{"GET", "workflows/f/events", "", "", false, false},
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
