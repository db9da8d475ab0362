package trials

import (
	"strconv"
	"strings"
	"testing"
)

// A client that may use the whole account must still not get away with a credential.
func TestAttackProxyCredentials(t *testing.T) {
	const refused = "403 forbidden"
	// each are requests that are refused to several clients.
	each := func(requests []string, clients ...string) func(*testing.T, *between) string {
		return func(t *testing.T, b *between) string {
			for _, it := range requests {
				for _, c := range clients {
					b.words["it"] = it
					b.try(t, trick{request: "{it}" + toProd + "X-Api-Key: {" + c + "}\nContent-Type: application/json\nContent-Length: 2\n\n{}", want: refused})
				}
			}
			return answersSaid(refused)
		}
	}
	line := func(header string) string { return "{it}" + toProd + header + "Content-Length: 2\n\n{}" }
	tricks(t, []trick{
		{tried: "to sign in: `POST /login`, `GET /auto_login`, `POST /refresh`, with any method, with the scope `proxy`",
			request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/login", "GET /api/v1/login", "GET /api/v1/auto_login", "POST /api/v1/auto_login", "POST /api/v1/refresh",
				"GET /api/v1/refresh", "OPTIONS /api/v1/login", "BREW /api/v1/login", "post /api/v1/login", "POST /api/v2/login"}},
		{tried: "to end the session: `/logout`", request: line(asWhole), want: "403 forbidden", each: []string{"POST /api/v1/logout", "GET /api/v1/logout"}},
		{tried: "to make an API key, which would never end: `POST /api_key/`, `/api_key/store`, with any method that writes",
			request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/api_key/", "POST /api/v1/api_key", "POST /api/v1/api_key/store", "PUT /api/v1/api_key/", "PATCH /api/v1/api_key/x", "BREW /api/v1/api_key/", "post /api/v1/api_key/"}},
		{tried: "to have Langflow make a key of its own, which never ends, beside a project: `POST /projects/`",
			request: line(asWhole), want: "200", why: "it is passed on, and no answer shows that key (TestTools, on a real Langflow)", each: []string{"POST /api/v1/projects/"}},
		{tried: "to delete the key that the proxy uses: `DELETE /api_key/ID`", request: line(asWhole), want: "403 forbidden", each: []string{"DELETE /api/v1/api_key/x", "DELETE /api/v1/api_key/"}},
		{tried: "to have the MCP installer write a key into a file: `POST /mcp/project/ID/install`", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/mcp/project/x/install", "GET /api/v1/mcp/project/x/install", "POST /api/v1/mcp/project/x/install/", "POST /api/v1/mcp/project/x/install/y"}},
		{tried: "to take the account over: `PATCH /users/ID/reset-password`, `PATCH /users/ID`, `POST /users/`, `DELETE /users/ID`",
			request: line(asWhole), want: "403 forbidden",
			each: []string{"PATCH /api/v1/users/x/reset-password", "GET /api/v1/users/x/reset-password", "PATCH /api/v1/users/x", "POST /api/v1/users/", "POST /api/v1/users", "DELETE /api/v1/users/x"}},
		{tried: "to take all of it out, or have it deleted: `/users/me/data-export`, `/users/me/deletion-request`",
			request: line(asWhole), want: "403 forbidden", each: []string{"GET /api/v1/users/me/data-export", "POST /api/v1/users/me/deletion-request", "GET /api/v1/users/me", "GET /api/v1/users/me/"}},
		{tried: "to read the keys of stored MCP servers, where the server shows them (before 1.13): `/api/v2/mcp/servers`",
			to: "old", request: "{it} HTTP/1.1\nHost: {old}\n" + asWhole + "\n", want: "403 forbidden",
			each: []string{"GET /api/v2/mcp/servers", "GET /api/v2/mcp/servers/", "GET /api/v2/mcp/servers/x", "POST /api/v2/mcp/servers/x", "GET /api/v1/mcp/servers/x"}},
		{tried: "another method in a header or the query: `X-HTTP-Method-Override: POST`, `?_method=POST`",
			want: "200", sent: sight{"sent as the GET that it is", func(t *testing.T, s seen) {
				if !strings.HasPrefix(s.line, "GET ") {
					t.Error(s.line)
				}
			}},
			request: "GET /api/v1/api_key/{it}\n" + asWhole + "\n",
			each:    []string{" HTTP/1.1\nHost: {prod}\nX-HTTP-Method-Override: POST", " HTTP/1.1\nHost: {prod}\nX-Method-Override: POST", "?_method=POST HTTP/1.1\nHost: {prod}"}, why: "it lists keys without showing them"},
		{tried: "the account, with a client that has the scope `run`: flows, keys, variables, files, users, the session, the interface itself",
			request: line(asRunner), want: "403 forbidden",
			each: []string{"GET /api/v1/flows/", "POST /api/v1/flows/", "GET /api/v1/api_key/", "GET /api/v1/variables/", "POST /api/v1/variables/", "GET /api/v1/users/whoami", "GET /api/v1/session",
				"GET /api/v1/projects/", "POST /api/v1/projects/", "GET /api/v2/files", "GET /api/v2/mcp/servers", "GET /api/v1/files/download/x/y", "POST /api/v1/build/x/flow", "POST /api/v1/custom_component",
				"POST /api/v1/validate/code", "GET /openapi.json", "GET /", "GET /api/v1/runs", "GET /api/v1/run_x", "GET /api/v1/monitor/messages", "POST /api/v1/mcp/project/x/install", "GET /x/api/v1/run/y"}},
		{tried: "a project's settings, with the scope `run`, `tweak` or `edit`: `PATCH /mcp/project/ID` with `{\"auth_settings\":{\"auth_type\":\"none\"}}` would make its tools public from then on",
			run: each(
				[]string{"PATCH /api/v1/mcp/project/x", "PATCH /api/v1/mcp/project/x/", "PATCH /api/v1/mcp/project/%78"}, "run", "tweaker", "editor"),
			why: "a rule names its methods, and a writing route is for `run` only if it runs something (TestRunWritesNothing, over every route of every version)"},
		{tried: "who may do what, with the scope `edit`, `run` or even `proxy`: `POST /authz/roles`, `/authz/teams/ID/members`, `/authz/role-assignments`, `/authz/shares`",
			run: each(
				[]string{"POST /api/v1/authz/roles", "PATCH /api/v1/authz/roles/x", "DELETE /api/v1/authz/roles/x", "POST /api/v1/authz/role-assignments", "POST /api/v1/authz/teams", "POST /api/v1/authz/teams/x/members",
					"POST /api/v1/authz/shares", "POST /api/v1/authz/made-up", "POST /x/api/v1/authz/roles/"}, "run", "editor", "whole")},
		{tried: "what takes code, reaches stored credentials or is an administrator's, with the scope `edit`: `/custom_component`, `/validate/code`, `/mcp/servers`, `/variables`, `/connections`, `/triggers`, `/agentic`, policies",
			run: each(
				[]string{"POST /api/v1/custom_component", "POST /api/v1/custom_component/update", "POST /api/v1/validate/code", "POST /api/v2/mcp/servers/x", "GET /api/v2/mcp/servers", "PATCH /api/v1/variables/x",
					"POST /api/v1/connections", "POST /api/v1/triggers", "POST /api/v1/agentic/assist", "PUT /api/v1/policy-bundle", "PUT /api/v1/catalog-policy/components", "POST /api/v1/data-subjects/erase", "GET /logs"},
				"run", "tweaker", "editor")},
		{tried: "the key of a stored MCP server, by a change of its URL alone: `PATCH /mcp/servers/NAME` with `{\"url\":\"http://evil.example/\"}`, with the scope `proxy`",
			request: line(asWhole), want: "403 forbidden", why: "Langflow keeps the key and sends it there; a server can be made anew, without it",
			each: []string{"PATCH /api/v2/mcp/servers/x", "PATCH /api/v2/mcp/servers/x/", "PATCH /api/v1/mcp/servers/x", "PATCH /x/api/v2/mcp/servers/x"}},
		{tried: "the account's MCP servers, which Langflow has in a file of the account's, by an upload of that name with the scope `tweak`, plain, escaped, in capitals, or by `PUT /files/ID?name=` with the scope `edit`",
			run: func(t *testing.T, b *between) string {
				for _, it := range []string{`filename="_mcp_servers_1.json"`, `filename="_MCP_servers_1.json"`, "filename*=UTF-8''%5fmcp_servers_1.json", `filename=_mcp_servers_1.json`, `filename="../x"`} {
					b.words["it"] = it
					body := "--b\r\nContent-Disposition: form-data; name=\"file\"; " + it + "\r\n\r\n{}\r\n--b--\r\n"
					upload := "POST /api/v2/files" + toProd + "X-Api-Key: {tweaker}\nContent-Type: multipart/form-data; boundary=b\nContent-Length: " + strconv.Itoa(len(body)) + "\n\n" + strings.ReplaceAll(body, "\r\n", "\n")
					b.try(t, trick{request: upload, want: refused})
				}
				return each([]string{"PUT /api/v2/files/x?name=_mcp_servers_1"}, "tweaker", "editor")(t, b)
			}, why: "one too large to be held ends before its end is sent (TestUploadRefused)"},
		{tried: "the server's whole database: `POST /migration/backup/database`", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/migration/backup/database", "POST /api/v1/migration/secret-key/verify", "PUT /api/v1/migration/destinations"}},
		{tried: "a route that is made up, or a method that a route does not have: `POST /api/v1/made-up`, `PUT /flows`, `POST /api/v3/run/x`",
			run: func(t *testing.T, b *between) string {
				made := []string{"POST /api/v1/made-up", "PUT /api/v1/flows", "POST /api/v3/run/x", "GET /made-up", "BREW /api/v1/run/x", "GET /api/v1/run/x"}
				said := each(made, "run", "tweaker", "editor", "whole")(t, b) + b.naming(t, made[0]+toProd+asWhole+"\n", "unknown_routes")
				edits := trick{to: "open", request: "{it} HTTP/1.1\nHost: {open}\nX-Api-Key: {editor}\n\n", want: refused}
				proxies := trick{to: "open", request: "{it} HTTP/1.1\nHost: {open}\n" + asWhole + "\n", want: "200"}
				for _, it := range made {
					b.words["it"] = it
					b.try(t, edits)
					b.try(t, proxies)
				}
				return said + "; with `unknown_routes = true` the scope `edit` gets " + edits.said() + ", the scope `proxy` " + proxies.said()
			}},
		{tried: "what that scope is for: `/run`, `/responses`, `/webhook`",
			request: "{it}" + toProd + asRunner + "Content-Type: application/json\nContent-Length: 2\n\n{}", want: "200", why: "nothing honest is refused",
			each: []string{"POST /api/v1/run/x", "POST /api/v1/run/advanced/x", "POST /api/v1/responses", "POST /api/v1/webhook/x"}},
		{tried: "and to list and call tools, over each way to MCP", want: "200",
			request: "POST {it}" + toProd + asRunner + "Content-Type: application/json\nContent-Length: 46\n\n" + `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
			each:    []string{"/api/v1/mcp/streamable", "/api/v1/mcp/project/x/streamable", "/api/v1/mcp/?session_id=x", "/api/v1/mcp/project/x/?session_id=x"}},
		{tried: "and to read: a stream of MCP, `/health`, `/version`",
			request: "{it}" + toProd + asRunner + "\n", want: "200",
			each: []string{"GET /api/v1/mcp/sse", "GET /health", "GET /health_check", "GET /api/v1/version"}},
		{tried: "a session, which takes a token and no key: `GET /session`",
			request: "GET {it}" + toProd + asWhole + "\n", want: "200", each: []string{"/api/v1/session", "/api/v1/session/", "/api/v1/s%65ssion"}, why: "the server gets a bearer, and the client only the answer"},
	})
}
