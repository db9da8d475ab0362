package trials

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// What attackers write most of.
const (
	status   = "GET /v1/status HTTP/1.1\nHost: {host}\n"
	asOwner  = "Authorization: Bearer {owner}\n"
	asReader = "Authorization: Bearer {reader}\n"
	asOther  = "Authorization: Bearer {other}\n"
	asPage   = "Authorization: Bearer {page}\n"
	stop     = "POST /v1/stop HTTP/1.1\nHost: {host}\n"
	hostIs   = "GET /v1/status HTTP/1.1\nHost: {it}\n" + asOwner + "\n"
	last     = "Connection: close\n"
)

// post is a request with a JSON body.
func post(route, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\nHost: {host}\nContent-Length: %d\n%s\n%s", route, len(body), headers, body)
}

// A page whose name leads to this computer has its own name in Host.
func TestAttackHost(t *testing.T) {
	suffers(t, []attack{
		{tried: "DNS rebinding: `Host: evil.example:PORT`, and names that public resolvers lead here, with the owner's token",
			happens: "421", request: hostIs, want: "421 forbidden-host",
			each: []string{"evil.example:{port}", "evil.example", "127.0.0.1.nip.io:{port}", "localtest.me:{port}", "localhost.evil.example:{port}"}},
		{tried: "the same over `::1`, and for the control page's own files, which need no token",
			happens: "421", way: "::1", request: "GET {it} HTTP/1.1\nHost: evil.example:{port}\n\n", want: "421 forbidden-host",
			each: []string{"/", "/ui/app.js", "/v1/status"}},
		{tried: "the same for the exchange of a code, with an Origin that fits",
			happens: "421", request: "POST /v1/page/token HTTP/1.1\nHost: evil.example:{port}\nOrigin: http://evil.example:{port}\nContent-Length: 2\n\n{}",
			want: "421 forbidden-host"},
		{tried: "userinfo: `evil@127.0.0.1:PORT`, `127.0.0.1:PORT@evil.example`",
			happens: "400", request: hostIs, want: "400",
			each: []string{"evil@127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "localhost:{port}@localhost:{port}", "@127.0.0.1:{port}"}},
		{tried: "a dot at the end: `localhost.:PORT`, `127.0.0.1.:PORT`",
			happens: "421", request: hostIs, want: "421 forbidden-host", each: []string{"localhost.:{port}", "127.0.0.1.:{port}", "localhost..:{port}"}},
		{tried: "another port, none, or ours written in another way: `127.0.0.1:1`, `127.0.0.1`, `127.0.0.1:0PORT`, `127.0.0.1:PORT:1`",
			happens: "421", request: hostIs, want: "421 forbidden-host",
			each: []string{"127.0.0.1:1", "127.0.0.1", "localhost", "[::1]", "127.0.0.1:", "127.0.0.1:0{port}", "127.0.0.1:{port}:1", "127.0.0.1:+{port}"}},
		{tried: "the address in another form: `127.1`, `2130706433`, `0x7f.0.0.1`, `0177.0.0.1`, `127.0.0.2`, `0.0.0.0`, `LOCALHOST`",
			happens: "421", request: hostIs, want: "421 forbidden-host",
			each: []string{"127.1:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "0177.0.0.1:{port}", "127.0.0.2:{port}", "0.0.0.0:{port}", "LOCALHOST:{port}"}},
		{tried: "IPv6 in another form: `[::]`, `[0:0:0:0:0:0:0:1]`, `[::ffff:127.0.0.1]`, `[::1%25lo]`, `::1:PORT`",
			happens: "421", request: hostIs, want: "421 forbidden-host",
			each: []string{"[::]:{port}", "[0:0:0:0:0:0:0:1]:{port}", "[::ffff:127.0.0.1]:{port}", "[::0001]:{port}", "[::1%25lo]:{port}", "::1:{port}"}},
		{tried: "no Host in HTTP/1.1, or two, equal or not",
			happens: "400", request: "GET /v1/status HTTP/1.1\n{it}" + asOwner + "\n", want: "400",
			each: []string{"", "Host: {host}\nHost: {host}\n", "Host: {host}\nHost: evil.example\n", "Host: evil.example\nHost: {host}\n"}},
		{tried: "an empty Host, and HTTP/1.0 without one",
			happens: "421", request: "{it}" + asOwner + "\n", want: "421 forbidden-host",
			each: []string{"GET /v1/status HTTP/1.1\nHost:\n", "GET /v1/status HTTP/1.0\n"}},
		{tried: "a Host with a blank, a comma, a slash or a control character after ours",
			happens: "400 or 421", run: func(t *testing.T, v *victim) {
				for it, want := range map[string]string{
					"{host} evil.example": "400", "{host}\t.": "400", "{host}\x01": "400", "{host},evil.example": "421 forbidden-host",
					"{host}/": "400", "{host}#": "400", "{host}?": "400", "{host}\\": "400",
				} {
					v.words["it"] = it
					if got := v.send(t, "", hostIs, 1); got != want {
						t.Errorf("%q is answered %s, want %s", it, got, want)
					}
				}
			}},
		{tried: "an absolute target, of ours or another's, whatever the Host: `GET http://evil.example/v1/status`",
			happens: "400", request: "GET {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "400 bad-request",
			each: []string{"http://evil.example/v1/status", "http://{host}/v1/status", "https://{host}/v1/status", "http://evil@{host}/v1/status", "file:///v1/status"}},
		{tried: "an absolute target of ours with another's Host",
			happens: "400", request: "GET http://{host}/v1/status HTTP/1.1\nHost: evil.example\n" + asOwner + "\n", want: "400 bad-request"},
		{tried: "a target that begins with two slashes: `GET //evil.example/v1/status`",
			happens: "404: it is a path like any other", request: "GET //evil.example/v1/status HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "404 not-found"},
		{tried: "on the socket, where any Host will do, an absolute target",
			happens: "400", way: "socket", request: "GET http://localhost/v1/status HTTP/1.1\nHost: localhost\n\n", want: "400 bad-request"},
	})
}

// What a browser says of where a request comes from.
func TestAttackOrigin(t *testing.T) {
	suffers(t, []attack{
		{tried: "an Origin that is not the Host's: another site, `null`, `file://`, another port, https, another name of this computer, with the owner's token",
			happens: "403", request: status + "Origin: {it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"http://evil.example", "null", "file://", "http://127.0.0.1:3000", "http://127.0.0.1", "https://{host}", "http://localhost:{port}",
				"http://[::1]:{port}", "http://{host}/", "HTTP://{host}", "http://{host} http://{host}", "chrome-extension://abc", "app://.", ""}},
		{tried: "two Origins, ours among them",
			happens: "403", request: status + "Origin: http://{host}\nOrigin: {it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"http://{host}", "http://evil.example"}},
		{tried: "a preflight, for any route",
			happens: "403, and no CORS header: the browser sends nothing more", want: "403 forbidden-origin",
			request: "OPTIONS {it} HTTP/1.1\nHost: {host}\nOrigin: http://evil.example\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization\nAccess-Control-Request-Private-Network: true\n\n",
			each:    []string{"/v1/status", "/v1/profiles/prod/token", "/v1/stop", "/"}},
		{tried: "what a browser sends without an Origin (images, scripts, links), marked `Sec-Fetch-Site: cross-site` or `same-site`, which is another port here",
			happens: "403", request: status + "Sec-Fetch-Site: {it}\n" + asOwner + "\n", want: "403 forbidden-origin", each: []string{"cross-site", "same-site"}},
		{tried: "a link to a route of the API, and a form of another site to the control page",
			happens: "403: only the page itself may be navigated to", want: "403 forbidden-origin",
			request: "{it} HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\n\n",
			each:    []string{"GET /v1/status", "GET /v1/profiles/prod/token", "GET /metrics", "POST /", "POST /ui/app.js", "POST /v1/page/token"}},
		{tried: "the control page in a frame of another site, or one of its files as its script",
			happens: "403", request: "GET {it}\n\n", want: "403 forbidden-origin",
			each: []string{"/ HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe",
				"/ui/app.js HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script"}},
		{tried: "a change with the control page's own token, but without an Origin",
			happens: "403", want: "403 forbidden-origin",
			request: "{it} HTTP/1.1\nHost: {host}\nContent-Type: text/plain\nContent-Length: 2\n" + asPage + "\n{}",
			each:    []string{"POST /v1/profiles/prod/logout", "DELETE /v1/profiles/prod", "PATCH /v1/settings", "POST /v1/stop", "POST /v1/clients"}},
		{tried: "any Origin on the socket, which no page can reach",
			happens: "403", way: "socket", request: status + "Origin: {it}\n\n", want: "403 forbidden-origin", each: []string{"http://{host}", "null", "", "http://localhost"}},
		{tried: "through a reverse proxy: `Forwarded` or any `X-Forwarded-*`, an empty one too",
			happens: "403", request: status + "{it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: {host}", "x-forwarded-proto:", "X-Forwarded-Prefix: /v1"}},
	})
}

// What programs of one's own send must get in.
func TestAttackNobodyHonestIsRefused(t *testing.T) {
	suffers(t, []attack{
		{tried: "curl, Python, Go: no header that a browser has", happens: "200", want: "200",
			request: status + "User-Agent: curl/8.14.1\nAccept: */*\n" + asOwner + "\n"},
		{tried: "each name of ours in Host: `127.0.0.1`, `localhost` and `[::1]`, with our port", happens: "200", want: "200",
			request: hostIs, each: []string{"127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"}},
		{tried: "the same over `::1`", happens: "200", way: "::1", want: "200", request: hostIs, each: []string{"127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"}},
		{tried: "Node's `fetch` (undici): `Sec-Fetch-Mode: cors` alone", happens: "200", want: "200",
			request: status + "Connection: keep-alive\nAccept: */*\nAccept-Language: *\nSec-Fetch-Mode: cors\nUser-Agent: node\nAccept-Encoding: br, gzip, deflate\n" + asReader + "\n"},
		{tried: "Electron's main process (`net.request`): `Sec-Fetch-Site: none`, `no-cors`, `empty`", happens: "200", want: "200",
			request: status + "Connection: keep-alive\nSec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) app/1.0 Chrome/142.0.0.0 Electron/39.0.0 Safari/537.36\nAccept-Encoding: gzip, deflate, br, zstd\nAccept-Language: en-US\n" + asReader + "\n"},
		{tried: "an address typed into a browser, and a link on any site, to the control page", happens: "200: its files hold nothing secret", want: "200",
			request: "GET / HTTP/1.1\nHost: {host}\nSec-Fetch-Site: {it}\nSec-Fetch-Mode: navigate\nSec-Fetch-User: ?1\nSec-Fetch-Dest: document\nUpgrade-Insecure-Requests: 1\n\n",
			each:    []string{"none", "cross-site", "same-site", "same-origin"}},
		{tried: "the control page itself: an Origin of its own, `same-origin`", happens: "200", want: "200",
			request: status + "Origin: http://{host}\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty\nReferer: http://{host}/\n" + asPage + "\n"},
		{tried: "a scheme in another case, two blanks before the token, cookies of other ports, a `Referer`", happens: "200", want: "200",
			request: status + "authorization: bearer  {owner}\nCookie: session=of-another-port; lk=1\nReferer: http://127.0.0.1:3000/\n\n"},
		{tried: "HTTP/1.0 with our Host and a bearer", happens: "200, and the connection is closed", want: "200",
			request: "GET /v1/status HTTP/1.0\nHost: {host}\n" + asOwner + "\n"},
		{tried: "the socket, whatever the Host, with no bearer", happens: "200", way: "socket", want: "200",
			request: "GET /v1/status HTTP/1.1\nHost: {it}\n\n", each: []string{"localhost", "evil.example", "", "unix", "langkeep:1"}},
		{tried: "24 KiB of headers, such as cookies of other ports", happens: "200", want: "200",
			request: status + "Cookie: c=" + strings.Repeat("x", 24<<10) + "\n" + asOwner + "\n"},
	})
}

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

// What HTTP itself lets one try.
func TestAttackHTTP(t *testing.T) {
	const end = "GET /v1/status HTTP/1.1\nHost: {host}\n" + asOwner + last + "\n" // a second request
	suffers(t, []attack{
		{tried: "HTTP/0.9, HTTP/2.0 and 3.0 by name, a line that is none", happens: "400 or 505, and the connection is closed", run: func(t *testing.T, v *victim) {
			for it, want := range map[string]string{
				"GET /v1/status": "400", "GET /v1/status HTTP/2.0": "505", "GET /v1/status HTTP/3.0": "505", "GET /v1/status HTTP/1.1 x": "400", "\x16\x03\x01\x02": "400", "SSH-2.0-x": "400",
			} {
				v.words["it"] = it
				if got := v.send(t, "", "{it}\nHost: {host}\n"+asOwner+"\n", 1); got != want {
					t.Errorf("%q is answered %s, want %s", it, got, want)
				}
			}
		}},
		{tried: "h2c by upgrade: `Upgrade: h2c`, `HTTP2-Settings`", happens: "200 over HTTP/1.1, as if it were not asked for; without a bearer 401", run: func(t *testing.T, v *victim) {
			const upgrade = status + "Connection: Upgrade, HTTP2-Settings, close\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n"
			if got := v.send(t, "", upgrade+asOwner+"\n", 1); got != "200" {
				t.Error(got)
			}
			if got := v.send(t, "", upgrade+"\n", 1); got != "401 unauthorized" {
				t.Error(got)
			}
		}},
		{tried: "h2c by prior knowledge: the preface `PRI * HTTP/2.0`", happens: "400", want: "400 bad-request",
			request: "PRI * HTTP/2.0\n\nSM\n\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		{tried: "a WebSocket: `Upgrade: websocket` with the owner's token", happens: "200 as for any request; nothing is upgraded", want: "200",
			request: status + "Connection: Upgrade, close\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n" + asOwner + "\n"},
		{tried: "CONNECT, to ourselves, to another host, to a path", happens: "400", want: "400 bad-request",
			request: "CONNECT {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"{host}", "evil.example:443", "169.254.169.254:80", "/v1/status"}},
		{tried: "TRACE, which would show the bearer to a page", happens: "405, and nothing comes back; without a bearer 401", run: func(t *testing.T, v *victim) {
			if got := v.send(t, "", "TRACE /v1/status HTTP/1.1\nHost: {host}\n"+asOwner+"\n", 1); got != "405 method-not-allowed" {
				t.Error(got)
			}
			if got := v.send(t, "", "TRACE /v1/status HTTP/1.1\nHost: {host}\n\n", 1); got != "401 unauthorized" {
				t.Error(got)
			}
		}},
		{tried: "`OPTIONS *`", happens: "400", want: "400 bad-request", request: "OPTIONS * HTTP/1.1\nHost: {host}\n" + asOwner + "\n"},
		{tried: "methods that are none of the route's: PUT, `get`, `BREW`", happens: "405", want: "405 method-not-allowed",
			request: "{it} /v1/status HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"PUT", "get", "BREW", "OPTIONS"}},
		{tried: "HEAD, which would be a GET without its body", happens: "405", want: "405", request: "HEAD /v1/profiles/prod/token HTTP/1.1\nHost: {host}\n" + asOwner + "\n"},
		{tried: "another method or path in a header: `X-HTTP-Method-Override`, `X-Original-URL`, `X-Rewrite-URL`", happens: "200: they are not read", want: "200",
			request: status + "{it}\n" + asReader + "\n",
			each:    []string{"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: POST", "X-Method-Override: DELETE", "X-Original-URL: /v1/stop", "X-Rewrite-URL: /v1/stop"}},
		{tried: "smuggling: `Content-Length` twice or as a list, not equal; signed, hexadecimal, negative, too large", happens: "400, and the connection is closed", want: "400",
			request: "POST /v1/profiles/prod/refresh HTTP/1.1\nHost: {host}\n" + asOwner + "{it}\n\n" + end,
			each: []string{"Content-Length: 0\nContent-Length: 5", "Content-Length: 0, 5", "Content-Length: +0", "Content-Length: 0x0", "Content-Length: -1",
				"Content-Length: 99999999999999999999", "Content-Length: 0 0", "Content-Length: zero"}},
		{tried: "smuggling: `Transfer-Encoding` twice, unknown, of two kinds, folded, before a colon with a blank", happens: "400 or 501, and the connection is closed", run: func(t *testing.T, v *victim) {
			for it, want := range map[string]string{
				"Transfer-Encoding: chunked\nTransfer-Encoding: chunked": "501", "Transfer-Encoding: xchunked": "501", "Transfer-Encoding: chunked, identity": "501",
				"Transfer-Encoding: gzip, chunked": "501", "Transfer-Encoding : chunked": "400", "Transfer-Encoding: chunked\n x": "501", "Transfer-Encoding:\x0bchunked": "400",
			} {
				v.words["it"] = it
				if got := v.send(t, "", "POST /v1/stop HTTP/1.1\nHost: {host}\n"+asReader+"{it}\n\n0\n\n"+end, 1); got != want {
					t.Errorf("%q is answered %s, want %s", it, got, want)
				}
			}
		}},
		{tried: "smuggling: both `Content-Length` and `Transfer-Encoding`, with a second request that is in the body by one of them", happens: "chunks decide, as RFC 9112 has it; what follows them is a request of its own, which needs its own bearer: 401",
			want:    "404 not-found, 401 unauthorized",
			request: "POST /v1/nothing HTTP/1.1\nHost: {host}\n" + asOwner + "Content-Length: 500\nTransfer-Encoding: chunked\n\n0\n\n" + stop + "\n"},
		{tried: "a request in the body of one that is refused", happens: "401, and the connection is closed", want: "401 unauthorized",
			request: post("/v1/stop", "", "POST /v1/stop HTTP/1.1 Host: {host} ") + end},
		{tried: "a request in the body of a GET", happens: "one answer: the body is a body", want: "200",
			request: status + asOwner + last + "Content-Length: 20\n\nPOST /v1/stop HTTP/1"},
		{tried: "two requests in one packet, the second without a bearer", happens: "200, then 401: what one has proved is not proved for the next", want: "200, 401 unauthorized",
			request: status + asOwner + "\n" + stop + "\n"},
		{tried: "bad chunks: a size that overflows, none, of letters, an extension without end", happens: "400", want: "400 bad-request",
			request: "POST /v1/probe HTTP/1.1\nHost: {host}\n" + asOwner + "Transfer-Encoding: chunked\n\n{it}",
			each:    []string{"fffffffffffffffff\n", "\n\n", "zz\n", "2;x=" + strings.Repeat("y", 8<<10) + "\n{}\n0\n\n"}},
		{tried: "the bearer in a trailer, after the body", happens: "401", want: "401 unauthorized",
			request: "POST /v1/stop HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked\nTrailer: Authorization\n\n0\n" + asOwner + "\n"},
		{tried: "headers that servers read in two ways: a blank before the colon, no colon, folded, with a NUL, a CR alone, no name",
			happens: "400", want: "400", request: status + "{it}\n\n",
			each: []string{"Authorization : Bearer {owner}", "Authorization", "X: a\n Authorization: Bearer {owner}\x01", "X: a{nul}b", "X: a{cr}Authorization: Bearer {owner}", ": x", "X Y: z", "\x7f: x"}},
		{tried: "a bearer in a folded header, which belongs to the line before", happens: "401", want: "401 unauthorized", request: status + "X: a\n Authorization: Bearer {owner}\n\n"},
		{tried: "40 KiB of headers, in one, in many, or in the first line", happens: "431 where the attacker still listens, and the connection is closed", run: func(t *testing.T, v *victim) {
			for _, text := range []string{
				status + "X: " + strings.Repeat("x", 40<<10), status + strings.Repeat("X: y\n", 8<<10), "GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\nHost: {host}",
			} {
				if got := v.send(t, "", text+"\n\n", 1); got != "431" && got != "closed" {
					t.Error(got)
				}
			}
		}},
		{tried: "a body of more than 1 MiB, announced or in chunks", happens: "413, and the connection is closed", run: func(t *testing.T, v *victim) {
			body := `{"server_url":"` + strings.Repeat("x", 1<<20) + `"}`
			for _, text := range []string{
				post("/v1/probe", asOwner, body),
				fmt.Sprintf("POST /v1/probe HTTP/1.1\nHost: {host}\n%sTransfer-Encoding: chunked\n\n%x\n%s\n0\n\n", asOwner, len(body), body),
			} {
				if got := v.send(t, "", text, 1); got != "413 too-large" {
					t.Error(got)
				}
			}
		}},
		{tried: "a body of a terabyte, announced without a bearer", happens: "401 at once", want: "401 unauthorized", request: stop + "Content-Length: 1099511627776\n\n{"},
		{tried: "`Expect: 100-continue` without a bearer, and an `Expect` that nobody knows", happens: "401 and 417: nobody is told to go on", run: func(t *testing.T, v *victim) {
			for it, want := range map[string]string{"100-continue": "401 unauthorized", "a-pony": "417"} {
				v.words["it"] = it
				if got := v.send(t, "", stop+"Content-Length: 1000000\nExpect: {it}\n\n", 1); got != want {
					t.Errorf("%s: %s, want %s", it, got, want)
				}
			}
		}},
		{tried: "JSON that goes 500,000 levels deep, a second value, a field that is not known or is there twice, a number for a text", happens: "400", run: func(t *testing.T, v *victim) {
			for _, body := range []string{strings.Repeat("[", 500_000), `{"server_url":` + strings.Repeat("{\"a\":", 100_000), `{"server_url":"https://x.test"}{}`, `{"__proto__":{}}`, `{"server_url":1}`, `{"server_url":"https://x.test","server_url":"https://y.test"}`, `{"server_url":"https://x.test","SERVER_URL":"https://y.test"}`, `null null`, ``} {
				if got := v.send(t, "", post("/v1/probe", asOwner, body), 1); got != "400 bad-request" {
					t.Errorf("%.30s: %s", body, got)
				}
			}
		}},
		{tried: "a query with a parameter twice, however it is spelt, and one that can't be read: `min_valid=1s&min%5Fvalid=1h`, `x=%zz`, `a;b`", happens: "400",
			request: "GET /v1/profiles/prod/token?{it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "400 bad-request",
			each: []string{"min_valid=1s&min_valid=1h", "min_valid=1s&min%5Fvalid=1h", "x&x", "x=%zz", "a;b"}},
	})
}

// A profile's name becomes the name of a file and a part of paths.
func TestAttackNames(t *testing.T) {
	named := []string{"../evil", "..", ".", "a/b", `a\\b`, "/etc/passwd", "-evil", ".evil", "evil.", "EVIL", "évil", "a b", "", "con", "nul.x", "com1", strings.Repeat("a", 64),
		"a\\u0000", "a\\n[x]", "a\\u202e", "%2e%2e", "a?b", "a#b", "a:b", "~", "$HOME", "*"}
	suffers(t, []attack{
		{tried: "a profile of a name that leads elsewhere or means something: `../evil`, `..`, `a/b`, `a\\b`, `.evil`, `con`, `nul.x`, in other letters, with a NUL, a line's end, 64 letters",
			happens: "400, and no file is made", run: func(t *testing.T, v *victim) {
				for _, name := range named {
					if got := v.send(t, "", post("/v1/profiles", asOwner, `{"name":"`+name+`","server_url":"https://x.test"}`), 1); got != "400 bad-request" {
						t.Errorf("%q: %s", name, got)
					}
				}
			}},
		{tried: "a client of such a name", happens: "400", run: func(t *testing.T, v *victim) {
			for _, name := range named {
				if got := v.send(t, "", post("/v1/clients", asOwner, `{"name":"`+name+`","scopes":["read"],"profiles":["prod"]}`), 1); got != "400 bad-request" {
					t.Errorf("%q: %s", name, got)
				}
			}
		}},
		{tried: "such a name in a path, encoded once or twice, to be read, changed and deleted", happens: "404", run: func(t *testing.T, v *victim) {
			for _, name := range []string{"..%2fevil", "%2e%2e", "..", ".", "%2e", "prod%2f..%2fother", "prod%5c..%5cother", "prod%00", "prod%0a", "prod%0d%0aX:%201", "PROD", "prod.",
				"prod%20", "%20prod", "con", "prod;x=1", "prod%252f..%252fother", "%252e%252e", "prod%c0%af", "%ff", "pr%C3%B6d", "prod%3Ftoken"} {
				for _, how := range []string{"GET /v1/profiles/" + name, "GET /v1/profiles/" + name + "/token", "PATCH /v1/profiles/" + name, "DELETE /v1/profiles/" + name} {
					v.words["it"] = how
					got := v.send(t, "", "{it} HTTP/1.1\nHost: {host}\nContent-Length: 2\n"+asOwner+"\n{}", 1)
					if got != "404 not-found" {
						t.Errorf("%s: %s", how, got)
					}
				}
			}
		}},
		{tried: "a bad escape in the path", happens: "400", want: "400", request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"%", "%zz/token", "prod%/token", "pr%6/token"}},
		{tried: "paths that some servers would clean: `//`, `/./`, `/../`, an encoded slash, a slash at the end, `/ui/../v1/status`, which needs a bearer", happens: "404", want: "404 not-found",
			request: "GET {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each: []string{"//v1/status", "/v1//status", "/v1/./status", "/v1/x/../status", "/v1/status/", "/v1/profiles//token", "/v1/profiles/prod/../other/token", "/./", "/ui/", "/ui/../v1/status",
				"/ui/%2e%2e/v1/status", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/..%2f..%2f..%2fetc%2fpasswd", "/ui/app.js/", "/ui//app.js", "/V1/status"}},
		{tried: "the same without a bearer below `/ui/`, whose own files need none", happens: "404: nothing but those files is below it", want: "404 not-found",
			request: "GET {it} HTTP/1.1\nHost: {host}\n\n",
			each:    []string{"/ui/../v1/status", "/ui/%2e%2e/v1/profiles/prod/token", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/index.html", "/ui/app.js%00", "/ui/app.js.map"}},
		{tried: "the route to one's own profile, with an encoded slash to another one's token", happens: "403 or 404: what is allowed is decided on the path that is then used", run: func(t *testing.T, v *victim) {
			for it, want := range map[string]string{
				"other%2f..%2fprod/token": "404 not-found", "other/../prod/token": "404 not-found", "prod%2ftoken": "403 forbidden", "%70rod/token": "403 forbidden", "other%2f../prod%2ftoken": "404 not-found",
			} {
				v.words["it"] = it
				if got := v.send(t, "", "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n"+asOther+"\n", 1); got != want {
					t.Errorf("%s: %s, want %s", it, got, want)
				}
			}
		}},
		{tried: "an id of a key that is a path on the server: `DELETE …/keys?id=../users/me`", happens: "400, and the server is not asked", want: "400 bad-request",
			request: "DELETE /v1/profiles/prod/keys?id={it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each:    []string{"..%2fusers%2fme", "..", ".", "a%2fb", "a%252fb", "a%5cb", "%0a", "a%3fb", "", "a%00"}},
	})
}

// The code of langkeep open is as good as the owner for what the page may do.
func TestAttackCode(t *testing.T) {
	suffers(t, []attack{
		{tried: "a code is used twice", happens: "the second time 403", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			if v.exchange(t, code) == "" {
				t.Fatal("it is not good once")
			}
			if v.exchange(t, code) != "" {
				t.Error("it is good twice")
			}
		}},
		{tried: "twenty programs use one code at the same moment", happens: "one gets a token", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			var asking sync.WaitGroup
			var good atomic.Int32
			for range 20 {
				asking.Go(func() {
					if v.exchange(t, code) != "" {
						good.Add(1)
					}
				})
			}
			asking.Wait()
			if good.Load() != 1 {
				t.Errorf("%d get one", good.Load())
			}
		}},
		{tried: "it is guessed a hundred times, and told in part, with more, in another case, empty, as `null`", happens: "403, and the right one is good after that", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			for n := range 100 {
				if v.exchange(t, fmt.Sprintf("lk_%043d", n)) != "" {
					t.Fatal("a guess is good")
				}
			}
			for _, wrong := range []string{code[:45], code + "A", strings.ToUpper(code), "", code[3:], "lk_"} {
				if v.exchange(t, wrong) != "" {
					t.Errorf("%d bytes are good", len(wrong))
				}
			}
			if v.exchange(t, code) == "" {
				t.Error("the right one is not")
			}
		}},
		{tried: "without an Origin, with another's, cross-site, with the owner's token in place of one", happens: "403, and the code is not used up", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			body := `{"code":"` + code + `"}`
			for _, headers := range []string{"", asOwner, "Origin: null\n", "Origin: http://evil.example\n", "Origin: http://127.0.0.1:3000\n", "Origin: http://localhost:{port}\n",
				"Origin: http://{host}\nSec-Fetch-Site: cross-site\n", "Origin: http://{host}\nX-Forwarded-For: 127.0.0.1\n"} {
				if got := v.send(t, "", post("/v1/page/token", headers, body), 1); got != "403 forbidden-origin" {
					t.Errorf("%q: %s", headers, got)
				}
			}
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
		}},
		{tried: "the owner's, a client's or the page's token as a code", happens: "403", run: func(t *testing.T, v *victim) {
			for _, name := range []string{"owner", "reader", "page"} {
				if v.exchange(t, v.words[name]) != "" {
					t.Errorf("%s is good", name)
				}
			}
		}},
		{tried: "it is sent to the page in the query, as a browser would if the link had it there", happens: "the page comes as it always does, and no token; the code is not used up", run: func(t *testing.T, v *victim) {
			code := v.code(t)
			v.words["it"] = code
			if got := v.send(t, "", "GET /?code={it} HTTP/1.1\nHost: {host}\n\n", 1); got != "200" {
				t.Error(got)
			}
			if v.exchange(t, code) == "" {
				t.Error("the code is used up")
			}
		}},
		{tried: "over the socket, which no page can reach", happens: "403", way: "socket", want: "403 forbidden-origin", request: post("/v1/page/token", "Origin: http://{host}\n", `{"code":"x"}`)},
		{tried: "more than eight codes are asked for", happens: "the oldest is good no more", run: func(t *testing.T, v *victim) {
			first := v.code(t)
			for range 8 {
				v.code(t)
			}
			if v.exchange(t, first) != "" {
				t.Error("it is good")
			}
		}},
	})
}
