package trials

import (
	"fmt"
	"strings"
	"testing"
)

// Who has a part of what it takes.
func TestAttackBearer(t *testing.T) {
	suffers(t, []attack{
		{tried: "no bearer, for routes that are there and that aren't, with any method",
			happens: "401 for all of them", request: "{it} HTTP/1.1\nHost: {host}\n\n", want: "401 unauthorized",
			each: []string{"GET /v1/status", "GET /v1/profiles/prod/token", "GET /metrics", "GET /v1/openapi.yaml", "POST /v1/stop", "DELETE /v1/profiles/prod",
				"GET /nothing", "BREW /v1/status", "POST /", "PUT /ui/app.js"}},
		{tried: "an `Authorization` that is empty, has no scheme, another one, or a tab in place of the blank",
			happens: "401", request: status + "Authorization:{it}\n\n", want: "401 unauthorized",
			each: []string{"", " Bearer", " Bearer ", " {owner}", " Basic {owner}", " Token {owner}", " Bearer\t{owner}", " BearerX {owner}"}},
		{tried: "the owner's token without its last character, with one more, in the other case, quoted, its prefix alone, empty",
			happens: "401", run: func(t *testing.T, v *victim) {
				owner := v.words["owner"]
				for _, it := range []string{owner[:45], owner[:10], owner[3:], "lk_", owner + "A", owner + "=", strings.ToUpper(owner), `"` + owner + `"`, owner + "," + owner,
					owner + " x", strings.Repeat("A", len(owner)), "lk_" + strings.Repeat("A", 43), strings.Repeat(owner, 100)} {
					v.words["it"] = it
					if got := v.send(t, "", status+"Authorization: Bearer {it}\n\n", 1); got != "401 unauthorized" {
						t.Errorf("%d bytes: %s", len(it), got)
					}
				}
			}},
		{tried: "the right token in the wrong place: a cookie, `x-api-key`, `Proxy-Authorization`, the query, the path, the body",
			happens: "401", request: "GET {it}\n\n", want: "401 unauthorized",
			each: []string{"/v1/status HTTP/1.1\nHost: {host}\nCookie: token={owner}", "/v1/status HTTP/1.1\nHost: {host}\nX-Api-Key: {owner}",
				"/v1/status HTTP/1.1\nHost: {host}\nProxy-Authorization: Bearer {owner}", "/v1/status?access_token={owner} HTTP/1.1\nHost: {host}",
				"/v1/status?token={owner}&x-api-key={owner} HTTP/1.1\nHost: {host}", "/{owner}/v1/status HTTP/1.1\nHost: {host}",
				"/v1/status HTTP/1.1\nHost: {host}\nContent-Length: 53\n\naccess_token={owner}"}},
		{tried: "two `Authorization` headers, the right one first or last or twice, and two tokens in one",
			happens: "401", request: status + "{it}\n\n", want: "401 unauthorized",
			each: []string{"Authorization: Bearer {owner}\nAuthorization: Bearer x", "Authorization: Bearer x\nAuthorization: Bearer {owner}",
				"Authorization: Bearer {owner}\nauthorization: Bearer {owner}", "Authorization: Bearer x, Bearer {owner}"}},
		{tried: "a token that was revoked, a code of the control page, an access token of Langflow's",
			happens: "401", run: func(t *testing.T, v *victim) {
				for _, it := range []string{v.words["revoked"], v.code(t), v.words["access"]} {
					v.words["it"] = it
					if got := v.send(t, "", status+"Authorization: Bearer {it}\n\n", 1); got != "401 unauthorized" {
						t.Error(got)
					}
				}
			}},
		{tried: "another profile's client: this one's state, token and key, and a profile that isn't there",
			happens: "403, the same for both", request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOther + "\n", want: "403 forbidden",
			each: []string{"prod", "prod/token", "prod/api-key", "prod/keys", "nothing", "nothing/token"}},
		{tried: "its lists, and the metrics",
			happens: "have nothing of this one", run: func(t *testing.T, v *victim) {
				for _, route := range []string{"/v1/status", "/v1/profiles", "/metrics", "/v1/events/recent"} {
					if said := v.ask(t, "GET", route, v.words["other"]); strings.Contains(said, "prod") || said == "" {
						t.Errorf("%s says %s", route, said)
					}
				}
			}},
		{tried: "a client with the scope `read`: a token, a key, keys, a refresh, a sign-out, the clients, the audit log, the settings, a code for the page, a probe, a stop",
			happens: "403", request: "{it} HTTP/1.1\nHost: {host}\n" + asReader + "\n", want: "403 forbidden",
			each: []string{"GET /v1/profiles/prod/token", "GET /v1/profiles/prod/api-key", "GET /v1/profiles/prod/keys", "POST /v1/profiles/prod/refresh",
				"POST /v1/profiles/prod/logout", "DELETE /v1/profiles/prod", "GET /v1/clients", "DELETE /v1/clients/other", "GET /v1/audit", "GET /v1/settings",
				"POST /v1/page/code", "POST /v1/probe", "POST /v1/doctor", "POST /v1/stop", "POST /v1/profiles"}},
		{tried: "it makes a client of its own, or a lease with more than it has, or for another profile",
			happens: "403", run: func(t *testing.T, v *victim) {
				for _, text := range []string{
					post("/v1/clients", asReader, `{"name":"mine","scopes":["read"],"profiles":["prod"]}`),
					post("/v1/leases", asReader, `{"profile":"prod","scopes":["read","token"],"for":"exec"}`),
					post("/v1/leases", asReader, `{"profile":"other","scopes":["read"],"for":"exec"}`),
				} {
					if got := v.send(t, "", text, 1); got != "403 forbidden" {
						t.Errorf("%s: %s", got, text)
					}
				}
			}},
		{tried: "it opens the profile's closed proxy with a lease, which would leave it open for good",
			happens: "403; the profile is as it was", run: func(t *testing.T, v *victim) {
				if got := v.send(t, "", post("/v1/leases", asReader, `{"profile":"prod","scopes":["read"],"for":"exec"}`), 1); got != "403 forbidden" {
					t.Error(got)
				}
			}},
		{tried: "a client that the owner is to add under a name that the audit log has for somebody else: `owner`, `page`, `exec-0a1b2c3d`, `mcp-0a1b2c3d`",
			happens: "400", run: func(t *testing.T, v *victim) {
				for _, name := range []string{"owner", "page", "exec-0a1b2c3d", "mcp-0a1b2c3d"} {
					if got := v.send(t, "", post("/v1/clients", asOwner, `{"name":"`+name+`","scopes":["read"],"profiles":["prod"]}`), 1); got != "400 bad-request" {
						t.Errorf("%s: %s", name, got)
					}
				}
			}},
		{tried: "the control page's token, which a script in the page could have: a token, a key, a code that outlives its own",
			happens: "403", request: "{it} HTTP/1.1\nHost: {host}\nOrigin: http://{host}\n" + asPage + "\n", want: "403 forbidden",
			each: []string{"GET /v1/profiles/prod/token", "GET /v1/profiles/prod/api-key", "POST /v1/page/code"}},
		{tried: "the page gives a client a right that it lacks: `token`, `api-key`, `run`, `tweak`, `edit`, `proxy`",
			happens: "403", run: func(t *testing.T, v *victim) {
				for _, scope := range []string{"token", "api-key", "run", "tweak", "edit", "proxy"} {
					give := post("/v1/clients", asPage+"Origin: http://{host}\n", `{"name":"mine","scopes":["`+scope+`"],"profiles":["prod"]}`)
					if got := v.send(t, "", give, 1); got != "403 forbidden" {
						t.Errorf("%s: %s", scope, got)
					}
				}
			}},
		{tried: "on the socket, where a bearer decides if one is sent: a wrong one, an empty one, a client's",
			happens: "401, and what the client may do", run: func(t *testing.T, v *victim) {
				for it, want := range map[string]string{
					"Authorization: Bearer x": "401 unauthorized", "Authorization:": "401 unauthorized", "Authorization: Basic eA==": "401 unauthorized",
					"Authorization: Bearer {reader}": "403 forbidden",
				} {
					v.words["it"] = it
					if got := v.send(t, "socket", stop+"{it}\n\n", 1); got != want {
						t.Errorf("%s: %s, want %s", it, got, want)
					}
				}
			}},
		{tried: "two hundred wrong tokens, then the right one",
			happens: "401 for each; the right one is heard at once", run: func(t *testing.T, v *victim) {
				for n := range 200 {
					v.words["it"] = fmt.Sprintf("lk_%043d", n)
					if got := v.send(t, "", status+"Authorization: Bearer {it}\n\n", 1); got != "401 unauthorized" {
						t.Fatal(got)
					}
				}
				if got := v.send(t, "", status+asOwner+"\n", 1); got != "200" {
					t.Error(got)
				}
			}},
	})
}
