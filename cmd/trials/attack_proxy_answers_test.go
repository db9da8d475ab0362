package trials

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What a server that means harm answers through the proxy.
func TestAttackProxyAnswers(t *testing.T) {
	// through is all that a client gets for an answer.
	through := func(t *testing.T, b *between, answer http.HandlerFunc, header string) string {
		t.Helper()
		b.server.answers(answer)
		defer b.server.answers(nil)
		c := b.dial(t, "prod")
		_, _ = io.WriteString(c, fill(b.words, "GET /api/v1/version"+toProd+asWhole+"Connection: close\n"+header+"\n"))
		got, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("after %.200q: %v", got, err)
		}
		b.server.take()
		return string(got)
	}
	const ok = "HTTP/1.1 200 OK\nContent-Length: 4\nConnection: close\n"
	tricks(t, []trick{
		{tried: "`Set-Cookie`, which a browser would send to every port of this computer: in any case, several, in early hints, in a trailer",
			run: func(t *testing.T, b *between) string {
				for _, answer := range []string{
					ok + "Set-Cookie: a=b\nset-cookie: c=d; Domain=127.0.0.1\nSET-COOKIE: e=f\n\nfine",
					"HTTP/1.1 103 Early Hints\nSet-Cookie: a=b\n\nHTTP/1.1 100 Continue\nSet-Cookie: a=b\n\n" + ok + "\nfine",
					"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Set-Cookie\n\n4\nfine\n0\nSet-Cookie: a=b\n\n",
					"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nfine\n0\nSet-Cookie: a=b\n\n",
				} {
					if got := through(t, b, hijacked(answer), ""); !strings.Contains(got, "fine") || strings.Contains(strings.ToLower(got), "cookie") {
						t.Errorf("%q becomes %q", answer, got)
					}
				}
				return "none of them gets through"
			}},
		{tried: "`Location` on the server itself: with another scheme, with its port, without one, in another case, without a scheme, escaped, with a dot at the end, with a user name; `Content-Location` likewise",
			run: func(t *testing.T, b *between) string {
				host := strings.TrimPrefix(b.server.URL, "http://")
				for _, location := range []string{"http://" + host + "/x?y", "HTTP://" + host + "/x?y", "http://ann:pw@" + host + "/x?y", "https://" + host + "/x?y", "//" + host + "/x?y",
					"http://127.0.0.1/x?y", "https://127.0.0.1:443/x?y", "http://127%2e0.0.1/x?y", "http://127.0.0.1./x?y", "\\\\127.0.0.1\\x?y", "http:127.0.0.1/x?y"} {
					if got := through(t, b, hijacked("HTTP/1.1 307 Temporary Redirect\nLocation: "+location+"\nContent-Location: "+location+"\nContent-Length: 0\n\n"), ""); strings.Count(got, "Location: "+fill(b.words, "http://{prod}/x?y")+"\r\n") != 2 {
						t.Errorf("%s becomes %q", location, got)
					}
				}
				return "leads to the proxy, without a user name: no client follows it in clear text"
			}},
		{tried: "headers that are orders to a browser, or lead it away: `Clear-Site-Data`, `Alt-Svc`, `Refresh`, `Link`, `Service-Worker-Allowed`, `Strict-Transport-Security`, `NEL`, `Report-To`, `WWW-Authenticate`, `Timing-Allow-Origin`, any that is not known",
			run: func(t *testing.T, b *between) string {
				names := []string{"Clear-Site-Data", "Alt-Svc", "Refresh", "Link", "Service-Worker-Allowed", "Strict-Transport-Security", "NEL", "Report-To", "Reporting-Endpoints", "Public-Key-Pins",
					"Public-Key-Pins-Report-Only", "Content-Security-Policy-Report-Only", "Expect-CT", "WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Set-Cookie2", "Set-Login", "Timing-Allow-Origin",
					"Cross-Origin-Resource-Policy", "Accept-CH", "Critical-CH", "Origin-Agent-Cluster", "Origin-Trial", "SourceMap", "Speculation-Rules", "X-Accel-Redirect", "X-Sendfile", "Access-Control-Allow-Origin", "X_Request_Id", "X-Unknown"}
				answer := ok + "X-Request-Id: kept\n"
				for _, name := range names {
					answer += name + ": evil\n"
				}
				got := through(t, b, hijacked(answer+"\nfine"), "")
				if !strings.HasSuffix(got, "fine") || !strings.Contains(got, "\r\nX-Request-Id: kept\r\n") || strings.Contains(got, "evil") {
					t.Errorf("the client gets %q", got)
				}
				return "none of them gets through"
			}},
		{tried: "`Location` elsewhere: the metadata address, another port here, `//evil.example`, one that only begins like the server",
			run: func(t *testing.T, b *between) string {
				elsewhere := newElsewhere(t)
				host := strings.TrimPrefix(b.server.URL, "http://")
				for _, location := range []string{elsewhere.url + "/latest/meta-data", "http://169.254.169.254/latest/meta-data", "//evil.example/x", "http://" + host + ".evil.example/", "http://" + host + "@evil.example/", "file:///etc/passwd", "javascript:alert(1)"} {
					for _, status := range []string{"301 Moved Permanently", "302 Found", "307 Temporary Redirect"} {
						if got := through(t, b, hijacked("HTTP/1.1 "+status+"\nLocation: "+location+"\nContent-Length: 0\n\n"), ""); !strings.Contains(got, "\r\nLocation: "+location+"\r\n") {
							t.Errorf("%s becomes %q", location, got)
						}
					}
				}
				if n := elsewhere.asked(); n != 0 {
					t.Errorf("%d connections went there", n)
				}
				return "passed on as it is; the proxy follows nothing"
			}},
		{tried: "header injection: a line's end, a bare CR or a NUL in a header, a name with a blank",
			run: func(t *testing.T, b *between) string {
				for _, header := range []string{"X: a\rX-Injected: b", "X: a\x00b", "X: a\x1b[2Jb", "X Injected: b", "X: a\r\r\nX-Injected: b", "Location: /x\rX-Injected: b"} {
					got := through(t, b, hijacked(ok+header+"\n\nfine"), "")
					if strings.HasPrefix(got, "HTTP/1.1 502 ") {
						continue
					}
					for line := range strings.SplitSeq(got, "\r\n") {
						if strings.HasPrefix(line, "X-Injected") || strings.ContainsAny(line, "\r\n\x00\x1b") {
							t.Errorf("%q becomes %q", header, got)
						}
					}
				}
				return "502, or no header that the server did not send"
			}},
		{tried: "an answer that is another protocol's: SSH, TLS, HTTP/2, HTTP/0.9, a status that is none, nothing at all",
			run: func(t *testing.T, b *between) string {
				for _, text := range []string{"SSH-2.0-OpenSSH_9.6\n", "\x15\x03\x01\x00\x02\x02\x28", "PRI * HTTP/2.0\n\nSM\n\n", "<html>", "HTTP/1.1 xxx OK\n\n", "HTTP/1.1 -200 OK\n\n", "HTTP/1.1 99999 OK\n\n", ""} {
					if got := through(t, b, hijacked(text), ""); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
						t.Errorf("%q becomes %q", text, got)
					}
				}
				return "502"
			}},
		{tried: "smuggling back: `Content-Length` twice, with chunks, more or less than it says, an answer after the answer",
			run: func(t *testing.T, b *between) string {
				const evil = "HTTP/1.1 200 OK\nX-Second: 1\nContent-Length: 4\n\nevil"
				for _, text := range []string{
					"HTTP/1.1 200 OK\nContent-Length: 4\nContent-Length: 40\n\nfine" + evil, "HTTP/1.1 200 OK\nContent-Length: 4\nTransfer-Encoding: chunked\n\n4\nfine\n0\n\n" + evil,
					"HTTP/1.1 200 OK\nContent-Length: 4\n\nfine" + evil, "HTTP/1.1 204 No Content\n\n" + evil, "HTTP/1.1 304 Not Modified\nContent-Length: 4\n\n" + evil, "HTTP/1.1 200 OK\nTransfer-Encoding: xchunked\n\nfine",
				} {
					if got := through(t, b, hijacked(text), ""); strings.Contains(got, "evil") || strings.Contains(got, "X-Second") || strings.Count(got, "HTTP/1.1 ") != 1 {
						t.Errorf("%q becomes %q", text, got)
					}
				}
				if got := through(t, b, nil, ""); !strings.HasSuffix(got, "reached") {
					t.Errorf("the next one gets %q", got)
				}
				return "502, or one answer, framed once; the next request gets its own"
			}},
		{tried: "`Connection` that names headers of the answer, or of the proxy: `Connection: content-length, cache-control`",
			run: func(t *testing.T, b *between) string {
				got := through(t, b, hijacked("HTTP/1.1 200 OK\nContent-Length: 4\nConnection: content-length, x-gone\nX-Gone: 1\nKeep-Alive: 1\nProxy-Authenticate: Basic\n\nfine"), "")
				if !strings.HasSuffix(got, "fine") && !strings.HasSuffix(got, "4\r\nfine\r\n0\r\n\r\n") || strings.Contains(got, "X-Gone") || strings.Contains(got, "Proxy-Authenticate") {
					t.Errorf("%q", got)
				}
				return "one answer, whole"
			}},
		{tried: "a megabyte of headers, ten thousand of them, early hints without end", run: func(t *testing.T, b *between) string {
			for _, text := range []string{
				ok + "X: " + strings.Repeat("x", 1<<20) + "\n\nfine", ok + strings.Repeat("X: y\n", 20000) + "\nfine", strings.Repeat("HTTP/1.1 103 Early Hints\nLink: </x>\n\n", 100000),
			} {
				if got := through(t, b, hijacked(text), ""); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
					t.Errorf("%.60q becomes %.200q", text, got)
				}
			}
			return "502"
		}},
		{tried: "\"Invalid API key\" for ever, from a route or a gateway that refuses good keys", run: func(t *testing.T, b *between) string {
			count := b.server.langflow.Count
			made, tried := count("/api_key/"), count("/users/whoami")
			for range 20 {
				got := through(t, b, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"detail":"Invalid API key"}`)
				}, "")
				if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.HasSuffix(got, `{"detail":"Invalid API key"}`) {
					t.Fatalf("%q", got)
				}
			}
			if n := count("/api_key/") - made; n != 0 {
				t.Errorf("%d requests about keys", n)
			}
			if n := count("/users/whoami") - tried; n < 1 || n > 3 { // a slow computer may need more than 10 s
				t.Errorf("the key was tried %d times", n)
			}
			key, err := b.owner.Key(t.Context(), "prod", 0)
			if err != nil {
				t.Fatal(err)
			}
			b.words["key"] = key.APIKey.Reveal()
			return "the key is tried once in 10 s, however many ask, and stays; the client gets the 403"
		}},
		{tried: "a refusal that is compressed a thousandfold", run: func(t *testing.T, b *between) string {
			bomb := gzipped(strings.Repeat(" ", 16<<20) + `{"detail":"Invalid API key"}`)
			before := b.server.langflow.Count("/api_key/")
			got := through(t, b, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write(bomb)
			}, "Accept-Encoding: gzip\n")
			if !strings.HasPrefix(got, "HTTP/1.1 403 ") || len(got) > len(bomb)+16<<10 {
				t.Errorf("%d bytes of an answer of %d: %.100q", len(got), len(bomb), got)
			}
			if b.server.langflow.Count("/api_key/") != before {
				t.Error("the key was renewed")
			}
			return "4 KiB of it are looked at; the client gets it as it is"
		}},
	})
}
