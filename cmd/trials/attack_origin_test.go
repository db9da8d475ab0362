package trials

import (
	"testing"
)

// A browser says in Origin and Sec-Fetch-Site which page has sent a request.
func TestAttackOrigin(t *testing.T) {
	suffers(t, []attack{
		{tried: "an Origin that is not the Host's: another site, `null`, `file://`, another port, https, another name of this computer, with the owner's token",
			request: status + "Origin: {it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"http://evil.example", "null", "file://", "http://127.0.0.1:3000", "http://127.0.0.1", "https://{host}", "http://localhost:{port}",
				"http://[::1]:{port}", "http://{host}/", "HTTP://{host}", "http://{host} http://{host}", "chrome-extension://abc", "app://.", ""}},
		{tried: "two Origins, ours among them",
			request: status + "Origin: http://{host}\nOrigin: {it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"http://{host}", "http://evil.example"}},
		{tried: "a preflight, for any route",
			want:    "403 forbidden-origin",
			request: "OPTIONS {it} HTTP/1.1\nHost: {host}\nOrigin: http://evil.example\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization\nAccess-Control-Request-Private-Network: true\n\n",
			each:    []string{"/v1/status", "/v1/profiles/prod/token", "/v1/stop", "/"}, why: "without a CORS header the browser sends nothing more"},
		{tried: "what a browser sends without an Origin (images, scripts, links), marked `Sec-Fetch-Site: cross-site` or `same-site`, which is another port here",
			request: status + "Sec-Fetch-Site: {it}\n" + asOwner + "\n", want: "403 forbidden-origin", each: []string{"cross-site", "same-site"}},
		{tried: "a link to a route of the API, and a form of another site to the control page",
			want: "403 forbidden-origin", why: "only the page itself may be navigated to",
			request: "{it} HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document\n\n",
			each:    []string{"GET /v1/status", "GET /v1/profiles/prod/token", "GET /metrics", "POST /", "POST /ui/app.js", "POST /v1/page/token"}},
		{tried: "the control page in a frame of another site, or one of its files as its script",
			request: "GET {it}\n\n", want: "403 forbidden-origin",
			each: []string{"/ HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe",
				"/ui/app.js HTTP/1.1\nHost: {host}\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script"}},
		{tried: "a change with the control page's own token, but without an Origin",
			want:    "403 forbidden-origin",
			request: "{it} HTTP/1.1\nHost: {host}\nContent-Type: text/plain\nContent-Length: 2\n" + asPage + "\n{}",
			each:    []string{"POST /v1/profiles/prod/logout", "DELETE /v1/profiles/prod", "PATCH /v1/settings", "POST /v1/stop", "POST /v1/clients"}},
		{tried: "any Origin on the socket, which no page can reach",
			way: "socket", request: status + "Origin: {it}\n\n", want: "403 forbidden-origin", each: []string{"http://{host}", "null", "", "http://localhost"}},
		{tried: "through a reverse proxy: `Forwarded` or any `X-Forwarded-*`, an empty one too",
			request: status + "{it}\n" + asOwner + "\n", want: "403 forbidden-origin",
			each: []string{"Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: {host}", "x-forwarded-proto:", "X-Forwarded-Prefix: /v1"}},
	})
}
