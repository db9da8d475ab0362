package trials

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Requests whose end the proxy and the server might see in different places.
func TestAttackProxySmuggling(t *testing.T) {
	const (
		run    = "POST /api/v1/run/x" + toProd + asWhole
		second = "GET /api/v1/auto_login HTTP/1.1\nHost: {prod}\n\n" // without a token
	)
	whole := func(body string) sight {
		return sight{"and the server reads `" + body + "` in one framing", func(t *testing.T, s seen) {
			if s.body != body || s.header.Get("Content-Length") != "" && s.header.Get("Transfer-Encoding") != "" {
				t.Errorf("the server read the body %q", s.body)
			}
		}}
	}
	tricks(t, []trick{
		{tried: "`Content-Length` and `Transfer-Encoding` together, with a second request in what one of them calls the body",
			want:    "200, 401 unauthorized",
			request: run + "Content-Length: {it}\nTransfer-Encoding: chunked\n\n4\nbody\n0\n\n" + second, each: []string{"4", "9", "500"}, sent: whole("body"),
			why: "chunks decide, and what follows is a request of its own"},
		{tried: "`Content-Length` twice, as a list, signed, hexadecimal; `Transfer-Encoding` twice, of two kinds, spelt with a blank or a tab",
			run: func(t *testing.T, b *between) string {
				wants := map[string]string{
					"Content-Length: 4\nContent-Length: 5": "400", "Content-Length: 4, 5": "400", "Content-Length: +4": "400", "Content-Length: 0x4": "400", "Content-Length: -4": "400",
					"Transfer-Encoding: chunked\nTransfer-Encoding: identity": "501", "Transfer-Encoding: gzip, chunked": "501", "Transfer-Encoding : chunked": "400", "Transfer-Encoding:\x0bchunked": "400", "Transfer-Encoding: xchunked": "501",
				}
				for it, want := range wants {
					b.words["it"] = it
					b.try(t, trick{request: run + "{it}\n\nbody" + second, want: want})
				}
				return answersSaid(slices.Collect(maps.Values(wants))...) + "; " + b.nothingSent(t)
			}},
		{tried: "a body that is longer than it says, which ends in a second request", want: "200, 401 unauthorized",
			request: run + "Content-Length: 4\n\nbody" + second, sent: whole("body"), why: "the rest is a request of its own"},
		{tried: "a body that is shorter than it says", run: func(t *testing.T, b *between) string {
			c := b.dial(t, "prod")
			_, _ = io.WriteString(c, fill(b.words, run+"Content-Length: 100\n\nbody"))
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(c) // whatever is said
			return b.nothingSent(t)
		}},
		{tried: "requests in one packet, the second of another client, the third of none", want: "200, 403 forbidden",
			request: "GET /api/v1/flows/" + toProd + asWhole + "\nGET /api/v1/flows/" + toProd + asRunner + "\n" + second, why: "each is judged for itself"},
		{tried: "a stray byte, a line's end, half a request or a whole one behind a request whose answer is silent for long; then the client leaves",
			run: func(t *testing.T, b *between) string {
				const limit = soon
				ended := make(chan struct{})
				b.server.answers(func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush() // fails only if the proxy has gone
					<-r.Context().Done()
					ended <- struct{}{}
				})
				defer b.server.answers(nil)
				for _, late := range []string{"", "G", "\r\n", "GET / HTTP/1.1\r\n", fill(b.words, second)} {
					c := b.dial(t, "prod")
					_, _ = io.WriteString(c, fill(b.words, "GET /api/v1/flows/"+toProd+asWhole+"\n")) // that it fails shows below
					if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusOK {
						t.Fatal(res, err)
					}
					_, _ = io.WriteString(c, late)
					_ = c.Close()
					select {
					case <-ended:
					case <-time.After(limit):
						t.Fatalf("behind %q it goes on", late)
					}
				}
				return fmt.Sprintf("the request to the server ends, after %.0f s at most, as without them", limit.Seconds())
			}},
		{tried: "`Connection` that names what the proxy adds, or what frames the body: `Connection: x-api-key, host, content-length, authorization`",
			want:    "200",
			request: run + "Connection: {it}\nContent-Length: 4\n\nbody", each: []string{"x-api-key", "X-Api-Key, close", "host", "content-length, transfer-encoding", "authorization, x-api-key, cookie", "keep-alive, x-api-key\nConnection: x-api-key"},
			sent: sight{"and the server gets the key and the body", func(t *testing.T, s seen) {
				if s.body != "body" || s.header.Get("X-Api-Key") == "" {
					t.Errorf("the server gets %q and %d keys", s.body, len(s.header["X-Api-Key"]))
				}
			}}},
		{tried: "the same on `/session`, for the bearer: `Connection: authorization`", want: "200",
			request: "GET /api/v1/session" + toProd + asWhole + "Connection: authorization\n\n", why: "the bearer goes with it all the same"},
		{tried: "credentials in trailers: `Trailer: X-Api-Key, Authorization`", want: "200", why: "trailers are not passed on, nor announced",
			request: run + "Transfer-Encoding: chunked\nTrailer: X-Api-Key, Authorization, Cookie\n\n4\nbody\n0\nX-Api-Key: stale\nAuthorization: Bearer stale\nCookie: stale\n\n", sent: whole("body")},
		{tried: "to leave HTTP/1.1, after which nobody judges paths: `Upgrade: h2c`, `TLS/1.0`, `websocket, h2c`, by prior knowledge",
			run: func(t *testing.T, b *between) string {
				var said string
				for _, it := range []string{"h2c", "H2C", "TLS/1.0", "websocket, h2c", "h2c, websocket", "HTTP/2.0"} {
					b.words["it"] = it
					c := trick{request: "GET /api/v1/version" + toProd + asWhole + "Connection: Upgrade, HTTP2-Settings\nUpgrade: {it}\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n", want: "200",
						sent: sight{"without the upgrade", func(t *testing.T, s seen) {
							if s.header.Get("Upgrade") != "" {
								t.Errorf("the server is asked to upgrade to %s", s.header.Get("Upgrade"))
							}
						}}}
					b.try(t, c)
					said = c.said()
				}
				preface := trick{request: "PRI * HTTP/2.0\n\nSM\n\n", want: "400 bad-request"}
				b.try(t, preface)
				return said + "; the preface of HTTP/2: " + preface.said()
			}},
		{tried: "headers that servers read in two ways: a blank before the colon, a NUL, a bare CR, an empty name",
			request: run + "{it}\n\n", want: "400", each: []string{"X-Api-Key : stale", "X: a\x00b", "X: a\rX-Api-Key: stale", ": x", "X Y: z"}},
		{tried: "a folded header", request: "GET /api/v1/version" + toProd + "X-Api-Key: {whole}\nBaggage: a\n Z: b\n\n", want: "200", sent: sight{"and it belongs to the line before", func(t *testing.T, s seen) {
			if s.header.Get("Baggage") != "a Z: b" || s.header.Get("Z") != "" {
				t.Errorf("the server gets %v", s.header)
			}
		}}},
		{tried: "40 KiB of headers", request: "GET /api/v1/version" + toProd + asWhole + "X: " + strings.Repeat("x", 40<<10) + "\n\n", want: "431"},
		{tried: "`Expect: 100-continue` without a token", request: "POST /api/v1/run/x" + toProd + "Content-Length: 1000000\nExpect: 100-continue\n\n", want: "401 unauthorized", why: "nobody is told to go on"},
		{tried: "TRACE, to which a server before Langflow may answer with what it was sent, the key with it",
			request: "TRACE {it}" + toProd + asWhole + "\n", want: "403 forbidden", each: []string{"/api/v1/flows/", "/", "/health", "/api/v1/version"}},
	})
}
