package trials

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// These are requests at and beyond the limits of HTTP.
func TestAttackHTTP(t *testing.T) {
	const end = "GET /v1/status HTTP/1.1\nHost: {host}\n" + asOwner + last + "\n" // a second request
	suffers(t, []attack{
		{tried: "HTTP/0.9, HTTP/2.0 and 3.0 by name, a line that is none", request: "{it}\nHost: {host}\n" + asOwner + "\n", wants: map[string]string{
			"GET /v1/status": "400", "GET /v1/status HTTP/2.0": "505", "GET /v1/status HTTP/3.0": "505", "GET /v1/status HTTP/1.1 x": "400", "\x16\x03\x01\x02": "400", "SSH-2.0-x": "400",
		}},
		{tried: "h2c by upgrade: `Upgrade: h2c`, `HTTP2-Settings`", run: func(t *testing.T, v *victim) string {
			const upgrade = status + "Connection: Upgrade, HTTP2-Settings, close\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n"
			return v.all(t, "200", upgrade+asOwner+"\n") + " over HTTP/1.1, as if it were not asked for; without a bearer " + v.all(t, "401 unauthorized", upgrade+"\n")
		}},
		{tried: "h2c by prior knowledge: the preface `PRI * HTTP/2.0`", want: "400 bad-request",
			request: "PRI * HTTP/2.0\n\nSM\n\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"},
		{tried: "a WebSocket: `Upgrade: websocket` with the owner's token", want: "200",
			request: status + "Connection: Upgrade, close\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n" + asOwner + "\n", why: "nothing is upgraded"},
		{tried: "CONNECT, to ourselves, to another host, to a path", want: "400 bad-request",
			request: "CONNECT {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"{host}", "evil.example:443", "169.254.169.254:80", "/v1/status"}},
		{tried: "TRACE, which would show the bearer to a page", run: func(t *testing.T, v *victim) string {
			return v.all(t, "405 method-not-allowed", "TRACE /v1/status HTTP/1.1\nHost: {host}\n"+asOwner+"\n") + "; without a bearer " + v.all(t, "401 unauthorized", "TRACE /v1/status HTTP/1.1\nHost: {host}\n\n")
		}},
		{tried: "`OPTIONS *`", want: "400 bad-request", request: "OPTIONS * HTTP/1.1\nHost: {host}\n" + asOwner + "\n"},
		{tried: "methods that are none of the route's: PUT, `get`, `BREW`", want: "405 method-not-allowed",
			request: "{it} /v1/status HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"PUT", "get", "BREW", "OPTIONS"}},
		{tried: "HEAD, which would be a GET without its body", want: "405", request: "HEAD /v1/profiles/prod/token HTTP/1.1\nHost: {host}\n" + asOwner + "\n"},
		{tried: "another method or path in a header: `X-HTTP-Method-Override`, `X-Original-URL`, `X-Rewrite-URL`", want: "200", why: "they are not read",
			request: status + "{it}\n" + asReader + "\n",
			each:    []string{"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: POST", "X-Method-Override: DELETE", "X-Original-URL: /v1/stop", "X-Rewrite-URL: /v1/stop"}},
		{tried: "smuggling: `Content-Length` twice or as a list, not equal; signed, hexadecimal, negative, too large", want: "400",
			request: "POST /v1/profiles/prod/refresh HTTP/1.1\nHost: {host}\n" + asOwner + "{it}\n\n" + end,
			each: []string{"Content-Length: 0\nContent-Length: 5", "Content-Length: 0, 5", "Content-Length: +0", "Content-Length: 0x0", "Content-Length: -1",
				"Content-Length: 99999999999999999999", "Content-Length: 0 0", "Content-Length: zero"}},
		{tried: "smuggling: `Transfer-Encoding` twice, unknown, of two kinds, folded, before a colon with a blank", request: "POST /v1/stop HTTP/1.1\nHost: {host}\n" + asReader + "{it}\n\n0\n\n" + end, wants: map[string]string{
			"Transfer-Encoding: chunked\nTransfer-Encoding: chunked": "501", "Transfer-Encoding: xchunked": "501", "Transfer-Encoding: chunked, identity": "501",
			"Transfer-Encoding: gzip, chunked": "501", "Transfer-Encoding : chunked": "400", "Transfer-Encoding: chunked\n x": "501", "Transfer-Encoding:\x0bchunked": "400",
		}},
		{tried: "smuggling: both `Content-Length` and `Transfer-Encoding`, with a second request that is in the body by one of them",
			want:    "404 not-found, 401 unauthorized",
			why:     "chunks decide, as RFC 9112 has it; what follows them is a request of its own, which needs its own bearer",
			request: "POST /v1/nothing HTTP/1.1\nHost: {host}\n" + asOwner + "Content-Length: 500\nTransfer-Encoding: chunked\n\n0\n\n" + stop + "\n"},
		{tried: "a request in the body of one that is refused", want: "401 unauthorized",
			request: post("/v1/stop", "", "POST /v1/stop HTTP/1.1 Host: {host} ") + end},
		{tried: "a request in the body of a GET", want: "200",
			request: status + asOwner + last + "Content-Length: 20\n\nPOST /v1/stop HTTP/1", why: "the body is a body"},
		{tried: "two requests in one packet, the second without a bearer", want: "200, 401 unauthorized", why: "what one has proved is not proved for the next",
			request: status + asOwner + "\n" + stop + "\n"},
		{tried: "bad chunks: a size that overflows, none, of letters, an extension without end", want: "400 bad-request",
			request: "POST /v1/probe HTTP/1.1\nHost: {host}\n" + asOwner + "Transfer-Encoding: chunked\n\n{it}",
			each:    []string{"fffffffffffffffff\n", "\n\n", "zz\n", "2;x=" + strings.Repeat("y", 8<<10) + "\n{}\n0\n\n"}},
		{tried: "the bearer in a trailer, after the body", want: "401 unauthorized",
			request: "POST /v1/stop HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked\nTrailer: Authorization\n\n0\n" + asOwner + "\n"},
		{tried: "headers that servers read in two ways: a blank before the colon, no colon, folded, with a NUL, a CR alone, no name",
			want: "400", request: status + "{it}\n\n",
			each: []string{"Authorization : Bearer {owner}", "Authorization", "X: a\n Authorization: Bearer {owner}\x01", "X: a{nul}b", "X: a{cr}Authorization: Bearer {owner}", ": x", "X Y: z", "\x7f: x"}},
		{tried: "a bearer in a folded header, which belongs to the line before", want: "401 unauthorized", request: status + "X: a\n Authorization: Bearer {owner}\n\n"},
		{tried: "40 KiB of headers, in one, in many, or in the first line", why: "an attacker who still writes when the connection ends does not hear the answer", run: func(t *testing.T, v *victim) string {
			wants := []string{"431", "closed"} // it may be closed while the attacker writes
			for _, text := range []string{
				status + "X: " + strings.Repeat("x", 40<<10), status + strings.Repeat("X: y\n", 8<<10), "GET /" + strings.Repeat("x", 40<<10) + " HTTP/1.1\nHost: {host}",
			} {
				if got := v.send(t, "", text+"\n\n", 1); !slices.Contains(wants, got) {
					t.Errorf("it is answered %s, want one of %s", got, wants)
				}
			}
			return answersSaid(wants...)
		}},
		{tried: "a body of more than 1 MiB, announced or in chunks", run: func(t *testing.T, v *victim) string {
			body := `{"server_url":"` + strings.Repeat("x", 1<<20) + `"}`
			return v.all(t, "413 too-large",
				post("/v1/probe", asOwner, body),
				fmt.Sprintf("POST /v1/probe HTTP/1.1\nHost: {host}\n%sTransfer-Encoding: chunked\n\n%x\n%s\n0\n\n", asOwner, len(body), body),
			)
		}},
		{tried: "a body of a terabyte, announced without a bearer", want: "401 unauthorized", request: stop + "Content-Length: 1099511627776\n\n{"},
		{tried: "`Expect: 100-continue` without a bearer, and an `Expect` that nobody knows", request: stop + "Content-Length: 1000000\nExpect: {it}\n\n", why: "nobody is told to go on", wants: map[string]string{"100-continue": "401 unauthorized", "a-pony": "417"}},
		{tried: "JSON that goes 500,000 levels deep, a second value, a field that is not known or is there twice, a number for a text", run: func(t *testing.T, v *victim) string {
			var requests []string
			for _, body := range []string{strings.Repeat("[", 500_000), `{"server_url":` + strings.Repeat("{\"a\":", 100_000), `{"server_url":"https://x.test"}{}`, `{"__proto__":{}}`, `{"server_url":1}`, `{"server_url":"https://x.test","server_url":"https://y.test"}`, `{"server_url":"https://x.test","SERVER_URL":"https://y.test"}`, `null null`, ``} {
				requests = append(requests, post("/v1/probe", asOwner, body))
			}
			return v.all(t, "400 bad-request", requests...)
		}},
		{tried: "a query with a parameter twice, however it is spelt, and one that can't be read: `min_valid=1s&min%5Fvalid=1h`, `x=%zz`, `a;b`",
			request: "GET /v1/profiles/prod/token?{it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", want: "400 bad-request",
			each: []string{"min_valid=1s&min_valid=1h", "min_valid=1s&min%5Fvalid=1h", "x&x", "x=%zz", "a;b"}},
	})
}
