package proxy

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// In MCP's messages the methods count, and arguments are inputs. The proxy answers a
// refused message in JSON-RPC, with the request's id.
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
		{`{"jsonrpc":"2.0","method":"resources/list"}`, "null", "null", "null", -32601},
		{`{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"cursor":null}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"input_value":"a","n":1,"b":true,"l":["a",null],"session_id":null},"_meta":{"progressToken":1}}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo"}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","inputResponses":{"city":{"action":"accept","content":{"city":"Rome"}}},"requestState":"s"}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"ping"}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"server/discover","params":{}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{}}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["file:///a"]}}}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"result":{}}`, "", "", "", 0},
		{`{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"a"}}`, "", "", "", 0},

		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"sender_name":{"value":"A","load_from_db":true}}}}`, "2", "", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","arguments":{"a":[{"value":"A"}]}}}`, "2", "", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","task":{}}}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"echo","inputResponses":[],"requestState":{}}}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":["echo"]}`, "2", "2", "2", -32602},
		{`{"jsonrpc":"2.0","id":"x<","method":"resources/list"}`, `"x<"`, `"x<"`, `"x<"`, -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources/templates/list"}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"http://x/a/%2Fetc%2Fhostname"}}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources/read","params":{"uri":"a"}}`, "7", "7", "7", -32601},
		{`{"jsonrpc":"2.0","id":7,"method":"resources\/read","params":{"uri":"a"}}`, "7", "7", "7", -32601},
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
			for _, target := range []string{"/api/v1/mcp/streamable", "/api/v1/mcp/project/p/streamable", "/api/v1/mcp/?session_id=a", "/api/v1/mcp/project/p/?session_id=a", "/api/mcp/?session_id=a"} {
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

// The proxy notes a refused message of MCP like any refusal, though the answer is 200.
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
