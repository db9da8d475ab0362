package trials

import (
	"testing"
)

// A page whose name leads to this computer has its own name in Host.
func TestAttackHost(t *testing.T) {
	suffers(t, []attack{
		{tried: "DNS rebinding: `Host: evil.example:PORT`, and names that public resolvers lead here, with the owner's token",
			request: hostIs, want: "421 forbidden-host",
			each: []string{"evil.example:{port}", "evil.example", "127.0.0.1.nip.io:{port}", "localtest.me:{port}", "localhost.evil.example:{port}"}},
		{tried: "the same over `::1`, and for the control page's own files, which need no token",
			way: "::1", request: "GET {it} HTTP/1.1\nHost: evil.example:{port}\n\n", want: "421 forbidden-host",
			each: []string{"/", "/ui/app.js", "/v1/status"}},
		{tried: "the same for the exchange of a code, with an Origin that fits",
			request: "POST /v1/page/token HTTP/1.1\nHost: evil.example:{port}\nOrigin: http://evil.example:{port}\nContent-Length: 2\n\n{}",
			want:    "421 forbidden-host"},
		{tried: "userinfo: `evil@127.0.0.1:PORT`, `127.0.0.1:PORT@evil.example`",
			request: hostIs, want: "400",
			each: []string{"evil@127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "localhost:{port}@localhost:{port}", "@127.0.0.1:{port}"}},
		{tried: "a dot at the end: `localhost.:PORT`, `127.0.0.1.:PORT`",
			request: hostIs, want: "421 forbidden-host", each: []string{"localhost.:{port}", "127.0.0.1.:{port}", "localhost..:{port}"}},
		{tried: "another port, none, or ours written in another way: `127.0.0.1:1`, `127.0.0.1`, `127.0.0.1:0PORT`, `127.0.0.1:PORT:1`",
			request: hostIs, want: "421 forbidden-host",
			each: []string{"127.0.0.1:1", "127.0.0.1", "localhost", "[::1]", "127.0.0.1:", "127.0.0.1:0{port}", "127.0.0.1:{port}:1", "127.0.0.1:+{port}"}},
		{tried: "the address in another form: `127.1`, `2130706433`, `0x7f.0.0.1`, `0177.0.0.1`, `127.0.0.2`, `0.0.0.0`, `LOCALHOST`",
			request: hostIs, want: "421 forbidden-host",
			each: []string{"127.1:{port}", "2130706433:{port}", "0x7f.0.0.1:{port}", "0177.0.0.1:{port}", "127.0.0.2:{port}", "0.0.0.0:{port}", "LOCALHOST:{port}"}},
		{tried: "IPv6 in another form: `[::]`, `[0:0:0:0:0:0:0:1]`, `[::ffff:127.0.0.1]`, `[::1%25lo]`, `::1:PORT`",
			request: hostIs, want: "421 forbidden-host",
			each: []string{"[::]:{port}", "[0:0:0:0:0:0:0:1]:{port}", "[::ffff:127.0.0.1]:{port}", "[::0001]:{port}", "[::1%25lo]:{port}", "::1:{port}"}},
		{tried: "no Host in HTTP/1.1, or two, equal or not",
			request: "GET /v1/status HTTP/1.1\n{it}" + asOwner + "\n", want: "400",
			each: []string{"", "Host: {host}\nHost: {host}\n", "Host: {host}\nHost: evil.example\n", "Host: evil.example\nHost: {host}\n"}},
		{tried: "an empty Host, and HTTP/1.0 without one",
			request: "{it}" + asOwner + "\n", want: "421 forbidden-host",
			each: []string{"GET /v1/status HTTP/1.1\nHost:\n", "GET /v1/status HTTP/1.0\n"}},
		{tried: "a Host with a blank, a comma, a slash or a control character after ours",
			request: hostIs, wants: map[string]string{
				"{host} evil.example": "400", "{host}\t.": "400", "{host}\x01": "400", "{host},evil.example": "421 forbidden-host",
				"{host}/": "400", "{host}#": "400", "{host}?": "400", "{host}\\": "400",
			}},
		{tried: "an absolute target, of ours or another's, whatever the Host: `GET http://evil.example/v1/status`",
			request: "GET {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "400 bad-request",
			each: []string{"http://evil.example/v1/status", "http://{host}/v1/status", "https://{host}/v1/status", "http://evil@{host}/v1/status", "file:///v1/status"}},
		{tried: "an absolute target of ours with another's Host",
			request: "GET http://{host}/v1/status HTTP/1.1\nHost: evil.example\n" + asOwner + "\n", want: "400 bad-request"},
		{tried: "a target that begins with two slashes: `GET //evil.example/v1/status`",
			request: "GET //evil.example/v1/status HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "404 not-found", why: "it is a path like any other"},
		{tried: "on the socket, where any Host will do, an absolute target",
			way: "socket", request: "GET http://localhost/v1/status HTTP/1.1\nHost: localhost\n\n", want: "400 bad-request"},
	})
}
