package trials

import (
	"io"
	"net"
	"strings"
	"testing"
)

// What HTTP itself lets one try against whoever stands in between.
func TestAttackProxySmuggling(t *testing.T) {
	const (
		run    = "POST /api/v1/run/x" + toProd + asWhole
		second = "GET /api/v1/auto_login HTTP/1.1\nHost: {prod}\n\n" // without a token
	)
	whole := func(body string) func(*testing.T, seen) {
		return func(t *testing.T, s seen) {
			if s.body != body || s.header.Get("Content-Length") != "" && s.header.Get("Transfer-Encoding") != "" {
				t.Errorf("the server read the body %q", s.body)
			}
		}
	}
	tricks(t, "TestAttackProxySmuggling", []trick{
		{tried: "`Content-Length` and `Transfer-Encoding` together, with a second request in what one of them calls the body",
			happens: "chunks decide, the server is sent one framing only, and what follows is a request of its own: 401", want: "200, 401 unauthorized",
			request: run + "Content-Length: {it}\nTransfer-Encoding: chunked\n\n4\nbody\n0\n\n" + second, each: []string{"4", "9", "500"}, sent: whole("body")},
		{tried: "`Content-Length` twice, as a list, signed, hexadecimal; `Transfer-Encoding` twice, of two kinds, spelt with a blank or a tab",
			happens: "400 or 501, and nothing is sent", run: func(t *testing.T, b *between) {
				for it, want := range map[string]string{
					"Content-Length: 4\nContent-Length: 5": "400", "Content-Length: 4, 5": "400", "Content-Length: +4": "400", "Content-Length: 0x4": "400", "Content-Length: -4": "400",
					"Transfer-Encoding: chunked\nTransfer-Encoding: identity": "501", "Transfer-Encoding: gzip, chunked": "501", "Transfer-Encoding : chunked": "400", "Transfer-Encoding:\x0bchunked": "400", "Transfer-Encoding: xchunked": "501",
				} {
					b.words["it"] = it
					b.try(t, trick{request: run + "{it}\n\nbody" + second, want: want})
				}
			}},
		{tried: "a body that is longer than it says, which ends in a second request", happens: "the rest is a request of its own: 401", want: "200, 401 unauthorized",
			request: run + "Content-Length: 4\n\nbody" + second, sent: whole("body")},
		{tried: "a body that is shorter than it says", happens: "nothing is sent", run: func(t *testing.T, b *between) {
			c := b.dial(t, "prod")
			_, _ = io.WriteString(c, fill(b.words, run+"Content-Length: 100\n\nbody"))
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(c) // whatever is said
			if got := b.server.take(); len(got) != 0 {
				t.Errorf("the server is asked for %v", got)
			}
		}},
		{tried: "requests in one packet, the second of another client, the third of none", happens: "each is judged for itself", want: "200, 403 forbidden",
			request: "GET /api/v1/flows/" + toProd + asWhole + "\nGET /api/v1/flows/" + toProd + asRunner + "\n" + second},
		{tried: "`Connection` that names what the proxy adds, or what frames the body: `Connection: x-api-key, host, content-length, authorization`",
			happens: "200: the server gets the key, its Host and the body all the same", want: "200",
			request: run + "Connection: {it}\nContent-Length: 4\n\nbody", each: []string{"x-api-key", "X-Api-Key, close", "host", "content-length, transfer-encoding", "authorization, x-api-key, cookie", "keep-alive, x-api-key\nConnection: x-api-key"},
			sent: func(t *testing.T, s seen) {
				if s.body != "body" || s.header.Get("X-Api-Key") == "" {
					t.Errorf("the server gets %q and %d keys", s.body, len(s.header["X-Api-Key"]))
				}
			}},
		{tried: "the same on `/session`, for the bearer: `Connection: authorization`", happens: "200, with the bearer", want: "200",
			request: "GET /api/v1/session" + toProd + asWhole + "Connection: authorization\n\n"},
		{tried: "credentials in trailers: `Trailer: X-Api-Key, Authorization`", happens: "200: trailers are not passed on, nor announced", want: "200",
			request: run + "Transfer-Encoding: chunked\nTrailer: X-Api-Key, Authorization, Cookie\n\n4\nbody\n0\nX-Api-Key: stale\nAuthorization: Bearer stale\nCookie: stale\n\n", sent: whole("body")},
		{tried: "to leave HTTP/1.1, after which nobody judges paths: `Upgrade: h2c`, `TLS/1.0`, `websocket, h2c`, by prior knowledge",
			happens: "200 without the upgrade; the preface of HTTP/2 is 400", run: func(t *testing.T, b *between) {
				for _, it := range []string{"h2c", "H2C", "TLS/1.0", "websocket, h2c", "h2c, websocket", "HTTP/2.0"} {
					b.words["it"] = it
					b.try(t, trick{request: "GET /api/v1/version" + toProd + asWhole + "Connection: Upgrade, HTTP2-Settings\nUpgrade: {it}\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n", want: "200",
						sent: func(t *testing.T, s seen) {
							if s.header.Get("Upgrade") != "" {
								t.Errorf("the server is asked to upgrade to %s", s.header.Get("Upgrade"))
							}
						}})
				}
				b.try(t, trick{request: "PRI * HTTP/2.0\n\nSM\n\n", want: "400 bad-request"})
			}},
		{tried: "headers that servers read in two ways: a blank before the colon, a NUL, a bare CR, an empty name",
			happens: "400", request: run + "{it}\n\n", want: "400", each: []string{"X-Api-Key : stale", "X: a\x00b", "X: a\rX-Api-Key: stale", ": x", "X Y: z"}},
		{tried: "a folded header", happens: "it belongs to the line before", request: "GET /api/v1/version" + toProd + "X-Api-Key: {whole}\nBaggage: a\n Z: b\n\n", want: "200", sent: func(t *testing.T, s seen) {
			if s.header.Get("Baggage") != "a Z: b" || s.header.Get("Z") != "" {
				t.Errorf("the server gets %v", s.header)
			}
		}},
		{tried: "40 KiB of headers", happens: "431", request: "GET /api/v1/version" + toProd + asWhole + "X: " + strings.Repeat("x", 40<<10) + "\n\n", want: "431"},
		{tried: "`Expect: 100-continue` without a token", happens: "401: nobody is told to go on", request: "POST /api/v1/run/x" + toProd + "Content-Length: 1000000\nExpect: 100-continue\n\n", want: "401 unauthorized"},
		{tried: "TRACE, to which a server before Langflow may answer with what it was sent, the key with it", happens: "403, whatever the scope and the path",
			request: "TRACE {it}" + toProd + asWhole + "\n", want: "403 forbidden", each: []string{"/api/v1/flows/", "/", "/health", "/api/v1/version"}},
	})
}
