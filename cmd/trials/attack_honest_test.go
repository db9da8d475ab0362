package trials

import (
	"strings"
	"testing"
)

// The agent must admit the requests of its user's own programs.
func TestAttackNobodyHonestIsRefused(t *testing.T) {
	suffers(t, []attack{
		{tried: "curl, Python, Go: no header that a browser has", want: "200",
			request: status + "User-Agent: curl/8.14.1\nAccept: */*\n" + asOwner + "\n"},
		{tried: "each name of ours in Host: `127.0.0.1`, `localhost` and `[::1]`, with our port", want: "200",
			request: hostIs, each: []string{"127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"}},
		{tried: "the same over `::1`", way: "::1", want: "200", request: hostIs, each: []string{"127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}"}},
		{tried: "Node's `fetch` (undici): `Sec-Fetch-Mode: cors` alone", want: "200",
			request: status + "Connection: keep-alive\nAccept: */*\nAccept-Language: *\nSec-Fetch-Mode: cors\nUser-Agent: node\nAccept-Encoding: br, gzip, deflate\n" + asReader + "\n"},
		{tried: "Electron's main process (`net.request`): `Sec-Fetch-Site: none`, `no-cors`, `empty`", want: "200",
			request: status + "Connection: keep-alive\nSec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) app/1.0 Chrome/142.0.0.0 Electron/39.0.0 Safari/537.36\nAccept-Encoding: gzip, deflate, br, zstd\nAccept-Language: en-US\n" + asReader + "\n"},
		{tried: "an address typed into a browser, and a link on any site, to the control page", want: "200", why: "its files hold nothing secret",
			request: "GET / HTTP/1.1\nHost: {host}\nSec-Fetch-Site: {it}\nSec-Fetch-Mode: navigate\nSec-Fetch-User: ?1\nSec-Fetch-Dest: document\nUpgrade-Insecure-Requests: 1\n\n",
			each:    []string{"none", "cross-site", "same-site", "same-origin"}},
		{tried: "the control page itself: an Origin of its own, `same-origin`", want: "200",
			request: status + "Origin: http://{host}\nSec-Fetch-Site: same-origin\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty\nReferer: http://{host}/\n" + asPage + "\n"},
		{tried: "a scheme in another case, two blanks before the token, cookies of other ports, a `Referer`", want: "200",
			request: status + "authorization: bearer  {owner}\nCookie: session=of-another-port; lk=1\nReferer: http://127.0.0.1:3000/\n\n"},
		{tried: "HTTP/1.0 with our Host and a bearer", want: "200",
			request: "GET /v1/status HTTP/1.0\nHost: {host}\n" + asOwner + "\n"},
		{tried: "the socket, whatever the Host, with no bearer", way: "socket", want: "200",
			request: "GET /v1/status HTTP/1.1\nHost: {it}\n\n", each: []string{"localhost", "evil.example", "", "unix", "langkeep:1"}},
		{tried: "24 KiB of headers, such as cookies of other ports", want: "200",
			request: status + "Cookie: c=" + strings.Repeat("x", 24<<10) + "\n" + asOwner + "\n"},
	})
}
