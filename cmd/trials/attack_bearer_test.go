package trials

import (
	"fmt"
	"strings"
	"testing"
)

// The agent refuses a bearer that is missing, incomplete, ended, in the wrong place or
// without the scope or the profile.
func TestAttackBearer(t *testing.T) {
	suffers(t, []attack{
		{tried: "no bearer, for routes that are there and that aren't, with any method",
			request: "{it} HTTP/1.1\nHost: {host}\n\n", want: "401 unauthorized",
			each: []string{"GET /v1/status", "GET /v1/profiles/prod/token", "GET /metrics", "GET /v1/openapi.yaml", "POST /v1/stop", "DELETE /v1/profiles/prod",
				"GET /nothing", "BREW /v1/status", "POST /", "PUT /ui/app.js"}},
		{tried: "an `Authorization` that is empty, has no scheme, another one, or a tab in place of the blank",
			request: status + "Authorization:{it}\n\n", want: "401 unauthorized",
			each: []string{"", " Bearer", " Bearer ", " {owner}", " Basic {owner}", " Token {owner}", " Bearer\t{owner}", " BearerX {owner}"}},
		{tried: "the owner's token without its last character, with one more, in the other case, quoted, its prefix alone, empty",
			run: func(t *testing.T, v *victim) string {
				owner := v.words["owner"]
				return v.each(t, "", status+"Authorization: Bearer {it}\n\n", "401 unauthorized", []string{owner[:45], owner[:10], owner[3:], "lk_", owner + "A", owner + "=", strings.ToUpper(owner), `"` + owner + `"`, owner + "," + owner,
					owner + " x", strings.Repeat("A", len(owner)), "lk_" + strings.Repeat("A", 43), strings.Repeat(owner, 100)}...)
			}},
		{tried: "the right token in the wrong place: a cookie, `x-api-key`, `Proxy-Authorization`, the query, the path, the body",
			request: "GET {it}\n\n", want: "401 unauthorized",
			each: []string{"/v1/status HTTP/1.1\nHost: {host}\nCookie: token={owner}", "/v1/status HTTP/1.1\nHost: {host}\nX-Api-Key: {owner}",
				"/v1/status HTTP/1.1\nHost: {host}\nProxy-Authorization: Bearer {owner}", "/v1/status?access_token={owner} HTTP/1.1\nHost: {host}",
				"/v1/status?token={owner}&x-api-key={owner} HTTP/1.1\nHost: {host}", "/{owner}/v1/status HTTP/1.1\nHost: {host}",
				"/v1/status HTTP/1.1\nHost: {host}\nContent-Length: 53\n\naccess_token={owner}"}},
		{tried: "two `Authorization` headers, the right one first or last or twice, and two tokens in one",
			request: status + "{it}\n\n", want: "401 unauthorized",
			each: []string{"Authorization: Bearer {owner}\nAuthorization: Bearer x", "Authorization: Bearer x\nAuthorization: Bearer {owner}",
				"Authorization: Bearer {owner}\nauthorization: Bearer {owner}", "Authorization: Bearer x, Bearer {owner}"}},
		{tried: "a token that was revoked, a code of the control page, an access token of Langflow's",
			run: func(t *testing.T, v *victim) string {
				return v.each(t, "", status+"Authorization: Bearer {it}\n\n", "401 unauthorized", []string{v.words["revoked"], v.code(t), v.words["access"]}...)
			}},
		{tried: "another profile's client: this one's state, token and key, and a profile that isn't there",
			request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOther + "\n", want: "403 forbidden",
			each: []string{"prod", "prod/token", "prod/api-key", "prod/keys", "nothing", "nothing/token"}, why: "whether it is there or not"},
		{tried: "its lists, and the metrics",
			run: func(t *testing.T, v *victim) string {
				const name = "prod"
				routes := []string{"/v1/status", "/v1/profiles", "/metrics", "/v1/events/recent"}
				for _, route := range routes {
					if said := v.ask(t, "GET", route, v.words["other"]); strings.Contains(said, name) || said == "" {
						t.Errorf("%s says %s", route, said)
					}
				}
				return "`" + strings.Join(routes, "`, `") + "` answer, and none has the name `" + name + "`"
			}},
		{tried: "a client with the scope `read`: a token, a key, keys, a refresh, a sign-out, the clients, the audit log, the settings, a code for the page, a probe, a stop",
			request: "{it} HTTP/1.1\nHost: {host}\n" + asReader + "\n", want: "403 forbidden",
			each: []string{"GET /v1/profiles/prod/token", "GET /v1/profiles/prod/api-key", "GET /v1/profiles/prod/keys", "POST /v1/profiles/prod/refresh",
				"POST /v1/profiles/prod/logout", "DELETE /v1/profiles/prod", "GET /v1/clients", "DELETE /v1/clients/other", "GET /v1/audit", "GET /v1/settings",
				"POST /v1/page/code", "POST /v1/probe", "POST /v1/doctor", "POST /v1/stop", "POST /v1/profiles"}},
		{tried: "it makes a client of its own, or a lease with more than it has, or for another profile",
			run: func(t *testing.T, v *victim) string {
				return v.all(t, "403 forbidden",
					post("/v1/clients", asReader, `{"name":"mine","scopes":["read"],"profiles":["prod"]}`),
					post("/v1/leases", asReader, `{"profile":"prod","scopes":["read","token"],"for":"exec"}`),
					post("/v1/leases", asReader, `{"profile":"other","scopes":["read"],"for":"exec"}`),
				)
			}},
		{tried: "it opens the profile's closed proxy with a lease, which would leave it open for good",
			run: func(t *testing.T, v *victim) string {
				return v.all(t, "403 forbidden", post("/v1/leases", asReader, `{"profile":"prod","scopes":["read"],"for":"exec"}`))
			}},
		{tried: "a client that the owner is to add under a name that the audit log has for somebody else: `owner`, `page`, `exec-0a1b2c3d`, `mcp-0a1b2c3d`",
			run: func(t *testing.T, v *victim) string {
				var requests []string
				for _, name := range []string{"owner", "page", "exec-0a1b2c3d", "mcp-0a1b2c3d"} {
					requests = append(requests, post("/v1/clients", asOwner, `{"name":"`+name+`","scopes":["read"],"profiles":["prod"]}`))
				}
				return v.all(t, "400 bad-request", requests...)
			}},
		{tried: "the control page's token, which a script in the page could have: a token, a key, a code that outlives its own",
			request: "{it} HTTP/1.1\nHost: {host}\nOrigin: http://{host}\n" + asPage + "\n", want: "403 forbidden",
			each: []string{"GET /v1/profiles/prod/token", "GET /v1/profiles/prod/api-key", "POST /v1/page/code"}},
		{tried: "the page gives a client a right that it lacks: `token`, `api-key`, `run`, `tweak`, `edit`, `proxy`",
			run: func(t *testing.T, v *victim) string {
				var requests []string
				for _, scope := range []string{"token", "api-key", "run", "tweak", "edit", "proxy"} {
					requests = append(requests, post("/v1/clients", asPage+"Origin: http://{host}\n", `{"name":"mine","scopes":["`+scope+`"],"profiles":["prod"]}`))
				}
				return v.all(t, "403 forbidden", requests...)
			}},
		{tried: "on the socket, where a bearer decides if one is sent: a wrong one, an empty one, a client's",
			way: "socket", request: stop + "{it}\n\n", why: "a client may do there what it may do elsewhere", wants: map[string]string{
				"Authorization: Bearer x": "401 unauthorized", "Authorization:": "401 unauthorized", "Authorization: Basic eA==": "401 unauthorized",
				"Authorization: Bearer {reader}": "403 forbidden",
			}},
		{tried: "two hundred wrong tokens, then the right one",
			run: func(t *testing.T, v *victim) string {
				var wrong []string
				for n := range 200 {
					wrong = append(wrong, fmt.Sprintf("lk_%043d", n))
				}
				refused := v.each(t, "", status+"Authorization: Bearer {it}\n\n", "401 unauthorized", wrong...)
				return refused + " for each, then " + v.all(t, "200", status+asOwner+"\n")
			}},
	})
}
