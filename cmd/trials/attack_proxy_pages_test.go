package trials

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// These are requests of browsers, others that look like them, and WebSockets.
func TestAttackProxyPages(t *testing.T) {
	const (
		version   = "GET /api/v1/version"
		preflight = "OPTIONS /api/v1/run/x" + toProd + "Origin: {it}\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-api-key\nAccess-Control-Request-Private-Network: true\n\n"
		socket    = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
	)
	// passed sends a request, wants a status and some headers, of which "" is none, and
	// says them.
	passed := func(t *testing.T, b *between, text string, status int, headers ...[2]string) (happened string) {
		t.Helper()
		c := b.dial(t, "prod")
		_, _ = io.WriteString(c, fill(b.words, text))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != status {
			t.Errorf("it is answered %d, want %d", res.StatusCode, status)
		}
		var with, without []string
		for _, h := range headers {
			name, want := h[0], h[1]
			if got := strings.Join(res.Header[name], " and "); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
			if want == "" {
				without = append(without, "no `"+name+"`")
			} else {
				with = append(with, "`"+name+": "+want+"`")
			}
		}
		return fmt.Sprintf("%d with %s", status, strings.Join(append(with, without...), ", "))
	}
	const (
		page        = "http://app.example"
		origin      = "Access-Control-Allow-Origin"
		credentials = "Access-Control-Allow-Credentials"
		private     = "Access-Control-Allow-Private-Network"
	)
	tricks(t, []trick{
		{tried: "DNS rebinding: a Host that is not the proxy's own, another port's, the metadata address, with a dot at the end, none",
			request: version + " HTTP/1.1\nHost: {it}\n" + asWhole + "\n", want: "421 forbidden-host",
			each: []string{"evil.example", "{rooted}", "localhost.:1", "127.0.0.1", "169.254.169.254", ""}},
		{tried: "the same with `--allow-host host.docker.internal`: names that only look like it, another port, none",
			request: version + " HTTP/1.1\nHost: {it}\n" + asWhole + "\n", want: "421 forbidden-host",
			each: []string{"evil.host.docker.internal:{prod's port}", "host.docker.internal.:{prod's port}", "host.docker.internal.evil.example:{prod's port}", "host.docker.internal:1", "host.docker.internal", "gateway.docker.internal:{prod's port}"}},
		{tried: "a page that DNS leads here under the allowed name: with its own Origin, an allowed one, or none and `Sec-Fetch-Site`",
			request: version + " HTTP/1.1\nHost: host.docker.internal:{prod's port}\n" + asWhole + "{it}\n\n", want: "403 forbidden-origin",
			each: []string{"Origin: http://host.docker.internal:{prod's port}", "Origin: http://app.example", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"}},
		{tried: "a program in a container under the allowed name, without a token", request: version + " HTTP/1.1\nHost: host.docker.internal:{prod's port}\n\n", want: "401 unauthorized"},
		{tried: "the same with the owner's token", request: version + " HTTP/1.1\nHost: host.docker.internal:{prod's port}\nX-Api-Key: {owner}\n\n", want: "403 forbidden"},
		{tried: "the same with a client's", request: version + " HTTP/1.1\nHost: host.docker.internal:{prod's port}\n" + asWhole + "\n", want: "200"},
		{tried: "an Origin that nobody allowed: another site, `null`, another port of this computer, one that begins like an allowed one, two",
			request: version + toProd + asWhole + "Origin: {it}\n\n", want: "403 forbidden-origin",
			each: []string{"http://evil.example", "null", "http://127.0.0.1:3000", "http://app.example.evil.example", "https://app.example", "http://app.example:80", "http://app.example/",
				"HTTP://app.example", "http://app.example\nOrigin: http://evil.example", "http://app.example\nOrigin: http://app.example"}},
		{tried: "what a browser marks as another site's: `Sec-Fetch-Site: cross-site` or `same-site`, a navigation to the proxy too",
			request: version + toProd + asWhole + "Sec-Fetch-Site: {it}\n\n", want: "403 forbidden-origin",
			each: []string{"cross-site", "same-site", "cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"}},
		{tried: "through a reverse proxy: `Forwarded`, any `X-Forwarded-*`", request: version + toProd + asWhole + "{it}\n\n", want: "403 forbidden-origin",
			each: []string{"X-Forwarded-Host: evil.example", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Prefix: /x", "Forwarded: host=evil.example"}},
		{tried: "a preflight of a page that nobody allowed", request: preflight, want: "403 forbidden-origin", each: []string{"http://evil.example", "null"}},
		{tried: "a preflight of an allowed page", run: func(t *testing.T, b *between) string {
			b.words["it"] = page
			said := passed(t, b, preflight, http.StatusNoContent, [2]string{origin, page}, [2]string{"Vary", "Origin"}, [2]string{credentials}, [2]string{private})
			return said + "; " + b.nothingSent(t)
		}},
		{tried: "an allowed page without a token", request: "{it}" + toProd + "Origin: http://app.example\n\n", want: "401 unauthorized", each: []string{version, "OPTIONS /api/v1/run/x"}},
		{tried: "an allowed page with a token, where the server answers `Access-Control-Allow-Origin: *` and `…-Credentials: true`, early hints included",
			run: func(t *testing.T, b *between) string {
				b.server.answers(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Access-Control-Allow-Origin", "*")
					w.Header().Set("Access-Control-Allow-Credentials", "true")
					w.WriteHeader(http.StatusEarlyHints)
				})
				defer b.server.answers(nil)
				defer b.server.take()
				said := passed(t, b, version+toProd+asWhole+"Origin: "+page+"\nSec-Fetch-Site: cross-site\n\n", http.StatusOK, [2]string{origin, page}, [2]string{credentials})
				return said + "; without an Origin " + passed(t, b, version+toProd+asWhole+"\n", http.StatusOK, [2]string{origin}, [2]string{credentials})
			}},
		{tried: "a WebSocket with its token in `?token=`, where Langflow takes one", request: "GET /api/v1/voice/ws/flow_tts/x?token={whole}" + toProd + socket + "\n", want: "401 unauthorized", why: "that is no place for a client's"},
		{tried: "a WebSocket of a page that nobody allowed, whose Origin is all that tells it from a program's",
			request: "GET /api/v1/voice/ws/flow_tts/x?x-api-key={whole}" + toProd + socket + "Origin: {it}\n\n", want: "403 forbidden-origin", each: []string{"http://evil.example", "null"}},
		{tried: "a WebSocket with a client that only runs flows", request: "GET /api/v1/voice/ws/flow_tts/x?x-api-key={run}" + toProd + socket + "\n", want: "403 forbidden"},
		{tried: "a server that switches protocols though nobody asked, or to another than was asked for", run: func(t *testing.T, b *between) string {
			const want = "502 server-unreachable"
			for protocol, ask := range map[string]string{"websocket": "/api/v1/flows/" + toProd, "h2c": "/api/v1/voice/ws/flow_tts/x" + toProd + socket} {
				b.server.answers(hijacked("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: " + protocol + "\n\n"))
				if got := b.send(t, "prod", "GET "+ask+asWhole+"\n", 1); got != want {
					t.Errorf("%s: %s, want %s", protocol, got, want)
				}
			}
			b.server.answers(nil)
			b.server.take()
			return answersSaid(want)
		}},
		{tried: "curl, Python, Node's `fetch` (`Sec-Fetch-Mode: cors` alone), Electron (`Sec-Fetch-Site: none`), the proxy's own Origin",
			request: version + toProd + asWhole + "{it}\n\n", want: "200", why: "nobody honest is refused, and the server sees none of it",
			each: []string{"User-Agent: curl/8.14.1\nAccept: */*", "User-Agent: node\nAccept-Language: *\nSec-Fetch-Mode: cors", "Sec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty",
				"Origin: http://{prod}\nSec-Fetch-Site: same-origin", "Cookie: session=of-another-port"}},
		{tried: "what a gateway or framework behind the proxy could take for a route, a method, a client's address or a signed-in user: `X-Original-URL`, `X-Rewrite-URL`, `X-HTTP-Method-Override`, `X-Real-IP`, `Remote-User`, `X-Consumer-Username`, names with `_`",
			want: "200", request: version + toProd + asWhole + "{it}: evil\n\n",
			each: []string{"X-Original-URL", "X-Rewrite-URL", "X-Host", "X-Original-Host", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "Remote-User", "X-Remote-User", "X-User", "X-Auth-Request-User",
				"X-Consumer-Username", "X-Goog-Authenticated-User-Email", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded", "X_Forwarded_For", "X_Original_URL", "Remote_User", "X_Api_Key", "X-Api_Key",
				"X_Langflow_Global_Var_A", "Via", "Proxy", "Client-IP", "X-ProxyUser-Ip", "X-Cluster-Client-IP", "SOAPAction", "Destination", "Max-Forwards", "X-Accel-Internal", "Surrogate-Capability", "Referer", "Expect-CT"}, why: "only headers that are known pass",
			sent: sight{"and the server gets none of them", func(t *testing.T, s seen) {
				for name, values := range s.header {
					if strings.Contains(strings.Join(values, ","), "evil") {
						t.Errorf("the server gets %s", name)
					}
				}
			}}},
		{tried: "what tools send to Langflow: `X-LANGFLOW-GLOBAL-VAR-*`, `X-Langflow-Client`, `Mcp-Session-Id`, tracing", want: "200",
			request: "POST /api/v1/mcp/streamable" + toProd + asWhole + "X-LANGFLOW-GLOBAL-VAR-A: v\nX-LANGFLOW-GLOBAL-VAR-B_C: w\nX-Langflow-Client: c\nMcp-Session-Id: s\ntraceparent: t\n\n", sent: sight{"and the server gets them", func(t *testing.T, s seen) {
				if s.header.Get("X-Langflow-Global-Var-A") != "v" || s.header.Get("X-Langflow-Global-Var-B_c") != "w" || s.header.Get("Traceparent") != "t" || s.header.Get("X-Langflow-Client") != "c" || s.header.Get("Mcp-Session-Id") != "s" {
					t.Errorf("the server gets %v", s.header)
				}
			}}},
	})
}
