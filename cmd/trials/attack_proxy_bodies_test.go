package trials

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const (
	asTweaker = "X-Api-Key: {tweaker}\n"
	asEditor  = "X-Api-Key: {editor}\n"
	asJSON    = "Content-Type: application/json\n"
)

// posted is a POST of JSON as somebody.
func posted(target, as, body string) string {
	return fmt.Sprintf("POST %s%s%s%sContent-Length: %d\n\n%s", target, toProd, as, asJSON, len(body), body)
}

// A client that may run flows tries to do more by what it puts into a body.
func TestAttackProxyBodies(t *testing.T) {
	const forbidden = "403 forbidden"
	const run, variable = "/api/v1/run/x", `{"value":"NAME","load_from_db":true}`
	all := func(want string, as string, bodies ...string) func(*testing.T, *between) string {
		return func(t *testing.T, b *between) string {
			for _, body := range bodies {
				target, body, _ := strings.Cut(body, " ")
				b.words["it"] = body
				b.try(t, trick{request: posted(target, as, body), want: want})
			}
			return answersSaid(want)
		}
	}
	tricks(t, []trick{
		{tried: "to run code by a tweak, on each route that takes one: `/run`, `/run/session`, `/run/advanced`, `/responses`",
			run: all("403 forbidden", asRunner, run+` {"tweaks":{"ChatInput-1":{"code":"import os"}}}`,
				`/api/v1/run/session/x {"tweaks":{"ChatInput-1":{"code":"import os"}}}`, `/api/v1/run/advanced/x {"tweaks":{"ChatInput-1":{"code":"import os"}}}`,
				`/api/v1/responses {"model":"x","input":"a","tweaks":{"ChatInput-1":{"code":"import os"}}}`, run+` {"tweaks":{"code":"import os"}}`), why: "the body may only choose inputs"},
		{tried: "to have the server put a Credential, or its environment, into a field: `\"load_from_db\": true` as an input, as a tweak",
			run: all("403 forbidden", asRunner, run+` {"input_value":`+variable+`}`, run+` {"tweaks":{"ChatInput-1":{"input_value":`+variable+`}}}`,
				`/api/v1/run/advanced/x {"inputs":[{"input_value":`+variable+`}]}`, `/api/v1/responses {"model":"x","input":`+variable+`}`)},
		{tried: "to replace the account's variables: `context` in the body, `X-LANGFLOW-GLOBAL-VAR-*`, with `_` for `-`",
			run: func(t *testing.T, b *between) string {
				said := all("403 forbidden", asRunner, run+` {"context":{"request_variables":{"A":"b"}}}`)(t, b)
				for _, header := range []string{"X-LANGFLOW-GLOBAL-VAR-OPENAI_API_BASE", "x-langflow-global-var-a", "X_Langflow_Global_Var_A"} {
					b.try(t, trick{request: posted(run, asRunner+header+": http://evil.example\n", "{}"), want: "403 forbidden"})
				}
				return said
			}},
		{tried: "to read what components hand to each other: `\"output_type\": \"debug\"`, `output_component`, `outputs` of `/run/advanced`",
			run: all("403 forbidden", asRunner, run+` {"output_type":"debug"}`, run+` {"output_component":"TextInput-1"}`, `/api/v1/run/advanced/x {"outputs":["TextInput-1"]}`)},
		{tried: "tweaks in a place that only some parsers see: a name twice, an escaped name, `input_request` around it, capitals, a second text after the first",
			run: func(t *testing.T, b *between) string {
				unreadable := all("400 bad-request", asRunner, run+` {"tweaks":{},"tweaks":{"a":{"code":"b"}}}`, run+` {"tweaks":{},"twe\u0061ks":{"a":{"code":"b"}}}`, run+` {} {"tweaks":{"a":{"code":"b"}}}`,
					run+" {}\x00{\"tweaks\":{}}", run+` {"input_value":NaN}`, run+` {"input_value":"\ud800"}`, run+" {\"input_value\":\"\xff\"}", run+" \ufeff{}", run+" {'tweaks':{}}",
					run+` {"input_value":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`)(t, b)
				refused := all("403 forbidden", asRunner, run+` {"twe\u0061ks":{"a":{"code":"b"}}}`, run+` {"input_request":{"tweaks":{"a":{"code":"b"}}}}`, run+` {"TWEAKS":{}}`, run+` [{"tweaks":{}}]`)(t, b)
				return unreadable + " or " + refused
			}},
		{tried: "another content type, which the server reads all the same: a form with a field `tweaks`, `text/plain`, none, two, another charset",
			want:    "403 forbidden",
			request: "POST " + run + toProd + asRunner + "{it}Content-Length: 2\n\n{}",
			each: []string{"Content-Type: multipart/form-data; boundary=a\n", "Content-Type: application/x-www-form-urlencoded\n", "Content-Type: text/plain\n", "Content-Type: application/json, text/plain\n", "",
				"Content-Type: application/json; charset=utf-16\n", "Content-Type: application/json\nContent-Type: multipart/form-data; boundary=a\n", "Content-Type: application/json;charset=utf-7\n"}},
		{tried: "a body that is packed: `Content-Encoding: gzip`, `br`, `identity`",
			want: "403 forbidden", request: "POST " + run + toProd + asRunner + asJSON + "Content-Encoding: {it}\nContent-Length: 2\n\n{}", each: []string{"gzip", "br", "deflate", "identity"}},
		{tried: "tweaks in the query, the one parameter that there is twice, a semicolon for `&`",
			want: "403 forbidden", request: "POST " + run + "?{it}" + toProd + asRunner + asJSON + "Content-Length: 2\n\n{}",
			each: []string{"tweaks=%7B%7D", "stream=true&stream=false", "stream=true;tweaks=a", "stream=%ff", "stream=%zz", "stream=yes", "user_id=a", "Stream=true"}},
		{tried: "a body in chunks, with an end that comes later", want: "200",
			request: "POST " + run + toProd + asRunner + asJSON + "Transfer-Encoding: chunked\n\n1\n{\n10;a=b\n\"input_value\":\"a\n2\n\"}\n0\n\n",
			sent: sight{"with its length: it is checked whole", func(t *testing.T, s seen) {
				if s.body != `{"input_value":"a"}` || s.header.Get("Transfer-Encoding") != "" {
					t.Errorf("the server gets %q %v", s.body, s.header)
				}
			}}},
		{tried: "trailers after a body in chunks that change what it is", want: "200",
			request: "POST " + run + toProd + asRunner + asJSON + "Trailer: Content-Type\nTransfer-Encoding: chunked\n\n2\n{}\n0\nContent-Type: text/plain\n\n",
			sent: sight{"and the trailers are dropped", func(t *testing.T, s seen) {
				if len(s.header["Content-Type"]) != 1 || s.header.Get("Content-Type") != "application/json" {
					t.Errorf("the server gets %v", s.header)
				}
			}}},
		{tried: "a WebSocket, on a route that may be used", want: "403 forbidden", why: "nothing said there can be checked",
			request: "GET /api/v1/mcp/sse" + toProd + asRunner + "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n\n"},
		{tried: "a webhook with tweaks in it", run: all("200", asRunner, `/api/v1/webhook/x {"tweaks":{"a":{"code":"b"}},"load_from_db":true}`), why: "all of it is one string there, and an input"},
		{tried: "to read files by MCP, with `run` and with `edit`: `resources/list`, `resources/read`, `resources/templates/list`, escaped, in a batch, over each way to MCP. 1.4.3 reads any file of the server's so: `http://x/a/%2Fetc%2Fhostname`, `…/profile_pictures/..%2Fsecret_key`",
			run: func(t *testing.T, b *between) string {
				var said []string
				for _, target := range []string{"/api/v1/mcp/streamable", "/api/v1/mcp/streamable/", "/api/v1/mcp/project/p/streamable", "/api/v1/mcp/?session_id=a", "/api/v1/mcp/project/p/?session_id=a", "/api/mcp/?session_id=a"} {
					for _, uri := range []string{"http://x/a/%2Fetc%2Fhostname", "http://x/profile_pictures/..%2Fsecret_key", "http://localhost/api/v1/files/download/x/y"} {
						notes(&said, b.answersRPC(t, "editor", target, `{"jsonrpc":"2.0","id":41,"method":"resources/read","params":{"uri":"`+uri+`"}}`, "41"))
					}
					for _, method := range []string{"resources/list", "resources/read", `resources\/read`, `resour\u0063es/list`, "resources/templates/list", "resources/subscribe", "completion/complete", "tasks/list", "Tools/list", ""} {
						notes(&said, b.answersRPC(t, "editor", target, fmt.Sprintf(`{"jsonrpc":"2.0","id":41,"method":"%s"}`, method), "41"))
						notes(&said, b.answersRPC(t, "run", target, fmt.Sprintf(`{"jsonrpc":"2.0","id":41,"method":"%s","params":{"uri":"http://localhost/api/v1/files/download/x/y"}}`, method), "41"))
					}
					notes(&said, b.answersRPC(t, "run", target, `[{"jsonrpc":"2.0","id":41,"method":"resources/list"}]`, "null"))
					notes(&said, b.answersRPC(t, "run", target, `{"jsonrpc":"2.0","id":41,"method":"tools/list","method":"resources/list"}`, "null"))
				}
				return strings.Join(said, ", or ") + "; " + b.nothingSent(t)
			}},
		{tried: "to have a tool's arguments be tweaks (1.13 makes some of them): `{\"sender_name\": {\"value\": \"NAME\", \"load_from_db\": true}}`",
			run: func(t *testing.T, b *between) string {
				b.answersRPC(t, "run", "/api/v1/mcp/streamable", `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"sender_name":`+variable+`}}}`, `"a"`)
				return b.answersRPC(t, "run", "/api/v1/mcp/project/p/streamable", `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","arguments":{"files":[`+variable+`]}}}`, `"a"`) + "; " + b.nothingSent(t)
			}},
		{tried: "tweaks, with a client that has the scope `tweak`, and the same in a way that can be read twice",
			run: func(t *testing.T, b *between) string {
				plain := all("200", asTweaker, run+` {"tweaks":{"ChatInput-1":{"sender_name":"a"}}}`, `/api/v1/run/advanced/x {"tweaks":{}}`)(t, b)
				twice := all("400 bad-request", asTweaker, run+` {"tweaks":{},"tweaks":{}}`)(t, b)
				unknown := all("403 forbidden", asTweaker, run+` {"unheard-of":1}`)(t, b)
				return plain + " for what is plain, else " + twice + " or " + unknown + ": that scope adds tweaks, and no doubt"
			}},
		{tried: "to have a flow run code, read a file or a variable, with a client that has the scope `edit`: code of one's own, a Python or an MCP component, `load_from_db`, a path, an edge into code, a flow in the flow",
			run: func(t *testing.T, b *between) string {
				const (
					code   = `"_type":"Component","code":{"type":"code","value":"class ChatInput: ..."}`
					field  = `"input_value":{"type":"str","value":"a","load_from_db":false}`
					file   = `"files":{"type":"file","value":"","file_path":""}`
					output = `"outputs":[{"name":"message","method":"message_response"}]`
				)
				b.server.answersAgent(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/api/v1/flows/" && r.Method == http.MethodGet {
						_, _ = io.WriteString(w, "[]")
						return
					}
					if r.URL.Path == "/api/v1/all" {
						_, _ = io.WriteString(w, `{"inputs":{"ChatInput":{"template":{`+code+`,`+field+`,`+file+`},`+output+`}}}`)
						return
					}
					b.server.langflow.ServeHTTP(w, r)
				})
				defer b.server.answersAgent(nil)
				flow := func(kind, template, more string) string {
					return `{"name":"x","data":{"nodes":[{"id":"a","type":"genericNode","data":{"id":"a","type":"` + kind + `","node":{"template":{` + template + `},` + output + `}}}],"edges":[]` + more + `}}`
				}
				plain := flow("ChatInput", code+","+field+","+file, "")
				var honest, refused string
				for target, wrap := range map[string]string{"/api/v1/flows/ ": "%s", "/api/v1/flows/batch/ ": `{"flows":[%s]}`} {
					honest = all("200", asEditor, target+fmt.Sprintf(wrap, plain))(t, b)
					for _, hostile := range []string{
						flow("ChatInput", `"_type":"Component","code":{"type":"code","value":"import os"}`, ""), flow("CustomComponent", code, ""), flow("PythonREPLComponent", code, ""), flow("MCPTools", code, ""),
						flow("ChatInput", code+`,"input_value":{"type":"str","value":"SECRET","load_from_db":true}`, ""), flow("ChatInput", code+`,"files":{"type":"file","value":"","file_path":"/etc/passwd"}`, ""),
						flow("ChatInput", code+","+field, `,"data":{"nodes":[],"edges":[]}`),
						strings.Replace(plain, `"edges":[]`, `"edges":[{"source":"a","target":"a","data":{"sourceHandle":{"id":"a","name":"message"},"targetHandle":{"id":"a","fieldName":"code"}}}]`, 1),
						strings.Replace(plain, `"name":"x"`, `"name":"x","fs_path":"/tmp/x"`, 1), strings.Replace(plain, `"name":"x"`, `"name":"x","access_type":"PUBLIC"`, 1),
					} {
						refused = all("403 forbidden", asEditor, target+fmt.Sprintf(wrap, hostile))(t, b)
					}
				}
				all("403 forbidden", asEditor, "/api/v1/flows/upload/ {}", "/api/v1/projects/upload/ {}", `/api/v1/projects/ {"name":"x","auth_settings":{"auth_type":"none"}}`,
					"/api/v1/build/11111111-1111-4111-8111-111111111111/flow "+strings.Replace(flow("CustomComponent", code, ""), `"name":"x",`, "", 1), `/api/v1/build/x/flow {"files":["/etc/passwd"]}`)(t, b)
				const component = "CustomComponent"
				return refused + b.naming(t, posted("/api/v1/flows/", asEditor, flow(component, code, "")), component) + "; a flow of a plain component with the server's own code: " + honest
			}},
		{tried: "to say, with `edit`, what another flow's component came to, which that flow hands to its next one, a Python component for example: Langflow keeps results by the components' ids (1.13.0: and by user), and takes them where one is frozen. The id of a frozen component, of one that may be frozen later, `\"frozen\": true`, in a flow, a batch, a build, a version",
			run: func(t *testing.T, b *between) string {
				account(b)
				defer b.server.answersAgent(nil)
				plain := func(id, more string) string {
					return `"data":{"nodes":[{"id":"` + id + `","type":"genericNode","data":{"id":"` + id + `","type":"ChatInput","node":{"template":{"_type":"Component","code":{"type":"code","value":"class ChatInput: ..."}},"outputs":[]` + more + `}}}],"edges":[]}`
				}
				for _, target := range []string{"/api/v1/flows/ {%s}", `/api/v1/flows/batch/ {"flows":[{%s}]}`, "/api/v1/build/" + aFlow + "/flow {%s}", "/api/v1/flows/" + aFlow + "/versions/ {%s}", "/api/v1/flows/" + aFlow + "/fork {%s}"} {
					all("200", asEditor, fmt.Sprintf(target, plain("ChatInput-mine", "")))(t, b)
					for _, hostile := range []string{plain("ChatInput-frozen", ""), plain("ChatInput-beside", ""), plain("ChatInput-mine", `,"frozen":true`), plain("ChatInput-frozen", `,"frozen":true`), plain("ChatInput-mine", `,"frozen":1`)} {
						all(forbidden, asEditor, fmt.Sprintf(target, hostile))(t, b)
					}
				}
				b.server.answersAgent(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/api/v1/flows/" && r.Method == http.MethodGet {
						w.WriteHeader(http.StatusInternalServerError)
						return
					}
					accountOf(b, w, r)
				})
				unread := all("503 server-unreachable", asEditor, "/api/v1/flows/ {"+plain("ChatInput-mine", "")+"}")(t, b)
				return because(answersSaid(forbidden), "ids of components beside what is not plain, and of frozen ones, are theirs alone, and `frozen` is nobody's to set") + "; where the account's flows can't be asked for: " + unread
			}},
		{tried: "to bring back, with `edit`, an earlier version of a flow with code in it, or to copy such a flow: `/flows/ID/versions/ID/activate`, `/flows/ID/fork`",
			run: func(t *testing.T, b *between) string {
				account(b)
				defer b.server.answersAgent(nil)
				all(forbidden, asEditor, "/api/v1/flows/"+aFlow+`/versions/v/activate {}`)(t, b)
				b.try(t, trick{request: "POST /api/v1/flows/" + aFlow + "/versions/v/activate" + toProd + asEditor + "Content-Length: 0\n\n", want: forbidden})
				all(forbidden, asEditor, "/api/v1/flows/"+aFlow+`/fork {}`)(t, b)
				return because(answersSaid(forbidden), "both write a flow, and are judged by what they write")
			}},
		{tried: "to make a flow public, with `edit`: `mcp_enabled` in a flow, or a flow with that into a project whose tools are open to everybody, by `folder_id`, `flows_list`, `flows`, a batch; `flow_type` of one with `a2a_enabled`",
			run: func(t *testing.T, b *between) string {
				account(b)
				defer b.server.answersAgent(nil)
				all(forbidden, asEditor, `/api/v1/flows/ {"name":"x","mcp_enabled":true}`, `/api/v1/flows/ {"name":"x","mcp_enabled":null}`, `/api/v1/flows/batch/ {"flows":[{"name":"x","mcp_enabled":true}]}`,
					`/api/v1/projects/ {"name":"x","flows_list":["`+aFlow+`"]}`, `/api/v1/folders/ {"name":"x","components_list":["`+aFlow+`"]}`)(t, b)
				for _, request := range []string{"PATCH /api/v1/flows/" + aFlow + ` {"folder_id":"` + aProject + `"}`, "PUT /api/v1/flows/" + aFlow + ` {"name":"x","folder_id":"` + aProject + `"}`,
					"PATCH /api/v1/flows/" + aFlow + ` {"action_name":"x"}`, "PATCH /api/v1/flows/" + aFlow + ` {"flow_type":"agent"}`, "PATCH /api/v1/projects/" + aProject + ` {"flows":["` + aFlow + `"]}`} {
					method, rest, _ := strings.Cut(request, " ")
					path, body, _ := strings.Cut(rest, " ")
					b.try(t, trick{request: strings.Replace(posted(path, asEditor, body), "POST", method, 1), want: forbidden})
				}
				return because(answersSaid(forbidden), "what is a tool of a project stays in it, by its name, and what is none stays none")
			}},
		{tried: "to read another program's background run (1.13.0), with what its components handed to each other: its `idempotency_key`, or its job's id, with `run` or `tweak`",
			run: func(t *testing.T, b *between) string {
				for _, as := range []string{asRunner, asTweaker, asEditor} {
					all(forbidden, as, `/api/v2/workflows {"flow_id":"x","mode":"background","expose_graph_state":false,"idempotency_key":"order-7"}`)(t, b)
				}
				for _, as := range []string{asRunner, asTweaker} {
					all(forbidden, as, `/api/v2/workflows/stop {"job_id":"`+aFlow+`"}`)(t, b)
					for _, path := range []string{"?job_id=" + aFlow, "/" + aFlow + "/events"} {
						b.try(t, trick{request: "GET /api/v2/workflows" + path + toProd + as + "\n", want: forbidden})
					}
				}
				return because(answersSaid(forbidden), "no key is sent on, and a client asks for the jobs that it began (TestJobs)")
			}},
		{tried: "to name another file or folder: `files` of a build with `edit`, of a workflow with `tweak`, `kb_names` of knowledge bases to delete",
			run: func(t *testing.T, b *between) string {
				for _, file := range []string{"/etc/passwd", aFlow + "/../../secret_key", aFlow + "/..", `..\\secret_key`} {
					all(forbidden, asEditor, "/api/v1/build/"+aFlow+`/flow {"files":["`+file+`"]}`)(t, b)
					all(forbidden, asTweaker, `/api/v2/workflows {"flow_id":"x","files":["`+file+`"]}`)(t, b)
					b.try(t, trick{request: strings.Replace(posted("/api/v1/knowledge_bases", asEditor, `{"kb_names":["`+file+`"]}`), "POST", "DELETE", 1), want: forbidden})
				}
				return because(answersSaid(forbidden), "a file is ID/NAME, a knowledge base a name")
			}},
	})
}

const (
	aFlow    = "11111111-1111-4111-8111-111111111111"
	aProject = "22222222-2222-4222-8222-222222222222"
)

// account has the server's account have one flow, with a frozen component and one
// beside Python, which is a tool of its project, and that as an earlier version.
func account(b *between) {
	b.server.answersAgent(func(w http.ResponseWriter, r *http.Request) { accountOf(b, w, r) })
}

func accountOf(b *between, w http.ResponseWriter, r *http.Request) {
	const (
		node = `{"id":"ID","type":"genericNode","data":{"id":"ID","type":"KIND","node":{"template":{"_type":"Component","code":{"type":"code","value":"class ChatInput: ..."}},"outputs":[],"frozen":ICE}}}`
		flow = `{"id":"` + aFlow + `","name":"Theirs","folder_id":"33333333-3333-4333-8333-333333333333","mcp_enabled":true,"action_name":"theirs","a2a_enabled":true,"flow_type":"workflow","data":DATA}`
	)
	of := func(id, kind, ice string) string {
		return strings.NewReplacer("ID", id, "KIND", kind, "ICE", ice).Replace(node)
	}
	data := `{"nodes":[` + of("ChatInput-frozen", "ChatInput", "true") + "," + of("ChatInput-beside", "ChatInput", "false") + "," + of("Python-1", "PythonREPLComponent", "false") + `],"edges":[]}`
	said := map[string]string{
		"/api/v1/all":                            `{"inputs":{"ChatInput":{"template":{"_type":"Component","code":{"type":"code","value":"class ChatInput: ..."}},"outputs":[]}}}`,
		"/api/v1/flows/":                         "[" + strings.Replace(flow, "DATA", data, 1) + "]",
		"/api/v1/flows/" + aFlow:                 strings.Replace(flow, "DATA", data, 1),
		"/api/v1/flows/" + aFlow + "/versions/v": `{"data":` + strings.ReplaceAll(data, "Python-1", "Python-0") + `}`,
	}[r.URL.Path]
	if said == "" || r.Method != http.MethodGet {
		b.server.langflow.ServeHTTP(w, r)
		return
	}
	_, _ = io.WriteString(w, said)
}

// answersRPC sends an MCP message that may not be sent on, and wants an error for
// an id, which it says, and nothing to be sent.
func (b *between) answersRPC(t *testing.T, client, target, message, id string) (happened string) {
	t.Helper()
	b.server.take()
	req, err := http.NewRequest(http.MethodPost, "http://"+b.words["prod"]+target, strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", b.words[client])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		ID    json.RawMessage
		Error struct{ Message string }
	}
	want := http.StatusOK
	if id == "null" || strings.Contains(target, "session_id") { // no request, or one whose answers come over SSE
		want = http.StatusBadRequest
	}
	if err := json.Unmarshal(said, &answer); err != nil || string(answer.ID) != id || answer.Error.Message == "" || res.StatusCode != want {
		t.Errorf("%s %s: %d %s, want %d", target, message, res.StatusCode, said, want)
	}
	b.nothingSent(t)
	return fmt.Sprintf("%d with an error of JSON-RPC whose id is `%s`", want, id)
}
