package trials

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A server that means harm answers through the proxy.
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
	// answered wants what a client gets to begin with a status, and says it.
	answered := func(t *testing.T, got string, want int) (happened string) {
		t.Helper()
		if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", want)) {
			t.Errorf("the client gets %.200q, want %d", got, want)
		}
		return fmt.Sprint(want)
	}
	// gets wants what a client gets to have some texts, however they are spelt, and to
	// lack others, and says so.
	gets := func(t *testing.T, got string, has, lacks []named) (happened string) {
		t.Helper()
		var with, without []string
		for _, one := range has {
			if !strings.Contains(got, one.is) {
				t.Errorf("%s is not in %q", one.as, got)
			}
			with = append(with, one.as)
		}
		for _, one := range lacks {
			if strings.Contains(strings.ToLower(got), strings.ToLower(one.is)) {
				t.Errorf("%s is in %q", one.as, got)
			}
			without = append(without, "no "+one.as)
		}
		return "the client gets " + strings.Join(append(with, without...), " and ")
	}
	body := named{"the body", "fine"}
	const ok = "HTTP/1.1 200 OK\nContent-Length: 4\nConnection: close\n"
	tricks(t, []trick{
		{tried: "`Set-Cookie`, which a browser would send to every port of this computer: in any case, several, in early hints, in a trailer",
			run: func(t *testing.T, b *between) string {
				var said string
				for _, answer := range []string{
					ok + "Set-Cookie: a=b\nset-cookie: c=d; Domain=127.0.0.1\nSET-COOKIE: e=f\n\nfine",
					"HTTP/1.1 103 Early Hints\nSet-Cookie: a=b\n\nHTTP/1.1 100 Continue\nSet-Cookie: a=b\n\n" + ok + "\nfine",
					"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Set-Cookie\n\n4\nfine\n0\nSet-Cookie: a=b\n\n",
					"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n4\nfine\n0\nSet-Cookie: a=b\n\n",
				} {
					said = gets(t, through(t, b, hijacked(answer), ""), []named{body}, []named{{"`Set-Cookie`", "cookie"}})
				}
				return said
			}},
		{tried: "`Location` on the server itself: with another scheme, with its port, without one, in another case, without a scheme, escaped, with a dot at the end, with a user name; `Content-Location` likewise",
			run: func(t *testing.T, b *between) string {
				const want = "http://{prod}/x?y"
				host := strings.TrimPrefix(b.server.URL, "http://")
				for _, location := range []string{"http://" + host + "/x?y", "HTTP://" + host + "/x?y", "http://ann:pw@" + host + "/x?y", "https://" + host + "/x?y", "//" + host + "/x?y",
					"http://127.0.0.1/x?y", "https://127.0.0.1:443/x?y", "http://127%2e0.0.1/x?y", "http://127.0.0.1./x?y", "\\\\127.0.0.1\\x?y", "http:127.0.0.1/x?y"} {
					if got := through(t, b, hijacked("HTTP/1.1 307 Temporary Redirect\nLocation: "+location+"\nContent-Location: "+location+"\nContent-Length: 0\n\n"), ""); strings.Count(got, "Location: "+fill(b.words, want)+"\r\n") != 2 {
						t.Errorf("%s becomes %q", location, got)
					}
				}
				return "each becomes `" + strings.ReplaceAll(want, "{prod}", "PROXY") + "`"
			}, why: "no client follows it past the proxy, in clear text"},
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
				return gets(t, got, []named{body, {"`X-Request-Id`", "\r\nX-Request-Id: kept\r\n"}}, []named{{fmt.Sprintf("header of these %d", len(names)), "evil"}})
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
				const want = 0
				if n := elsewhere.asked(); n != want {
					t.Errorf("%d connections went there", n)
				}
				return fmt.Sprintf("the client gets it as it is, and %d connections go to the other port", want)
			}},
		{tried: "header injection: a line's end, a bare CR or a NUL in a header, a name with a blank",
			run: func(t *testing.T, b *between) string {
				const injected = "X-Injected"
				wants := map[string]int{"X: a\rX-Injected: b": 502, "X: a\x00b": 502, "X: a\x1b[2Jb": 502, "X Injected: b": 200, "X: a\r\r\nX-Injected: b": 502, "Location: /x\rX-Injected: b": 502}
				var said []string
				for header, want := range wants {
					got := through(t, b, hijacked(ok+header+"\n\nfine"), "")
					said = append(said, answered(t, got, want))
					head, _, _ := strings.Cut(got, "\r\n\r\n")
					for line := range strings.SplitSeq(head, "\r\n") {
						if strings.HasPrefix(line, injected) || strings.ContainsAny(line, "\r\n\x00\x1b") {
							t.Errorf("%q becomes %q", header, got)
						}
					}
				}
				return answersSaid(said...) + ", and no header of the answer begins with `" + injected + "` or has a control character"
			}},
		{tried: "an answer that is another protocol's: SSH, TLS, HTTP/2, HTTP/0.9, a status that is none, nothing at all",
			run: func(t *testing.T, b *between) string {
				var said string
				for _, text := range []string{"SSH-2.0-OpenSSH_9.6\n", "\x15\x03\x01\x00\x02\x02\x28", "PRI * HTTP/2.0\n\nSM\n\n", "<html>", "HTTP/1.1 xxx OK\n\n", "HTTP/1.1 -200 OK\n\n", "HTTP/1.1 99999 OK\n\n", ""} {
					said = answered(t, through(t, b, hijacked(text), ""), http.StatusBadGateway)
				}
				return said
			}},
		{tried: "smuggling back: `Content-Length` twice, with chunks, more or less than it says, an answer after the answer",
			run: func(t *testing.T, b *between) string {
				const evil = "HTTP/1.1 200 OK\nX-Second: 1\nContent-Length: 4\n\nevil"
				second := []named{{"second answer", "X-Second"}, {"body of one", "evil"}}
				var said []string
				var one string
				for text, want := range map[string]int{
					"HTTP/1.1 200 OK\nContent-Length: 4\nContent-Length: 40\n\nfine" + evil: 502, "HTTP/1.1 200 OK\nContent-Length: 4\nTransfer-Encoding: chunked\n\n4\nfine\n0\n\n" + evil: 200,
					"HTTP/1.1 200 OK\nContent-Length: 4\n\nfine" + evil: 200, "HTTP/1.1 204 No Content\n\n" + evil: 204, "HTTP/1.1 304 Not Modified\nContent-Length: 4\n\n" + evil: 304, "HTTP/1.1 200 OK\nTransfer-Encoding: xchunked\n\nfine": 502,
				} {
					got := through(t, b, hijacked(text), "")
					said = append(said, answered(t, got, want))
					if one = gets(t, got, nil, second); strings.Count(got, "HTTP/1.1 ") != 1 {
						t.Errorf("%q becomes %q", text, got)
					}
				}
				next := gets(t, through(t, b, nil, ""), []named{{"its own answer", "\r\n\r\nreached"}}, second)
				return answersSaid(said...) + ", and " + one + "; at the next request " + next
			}},
		{tried: "`Connection` that names headers of the answer, or of the proxy: `Connection: content-length, cache-control`",
			run: func(t *testing.T, b *between) string {
				got := through(t, b, hijacked("HTTP/1.1 200 OK\nContent-Length: 4\nConnection: content-length, x-gone\nX-Gone: 1\nKeep-Alive: 1\nProxy-Authenticate: Basic\n\nfine"), "")
				if !strings.HasSuffix(got, "fine") && !strings.HasSuffix(got, "4\r\nfine\r\n0\r\n\r\n") {
					t.Errorf("the client gets half of %q", got)
				}
				return gets(t, got, []named{body}, []named{{"`X-Gone`", "X-Gone"}, {"`Proxy-Authenticate`", "Proxy-Authenticate"}})
			}},
		{tried: "a megabyte of headers, ten thousand of them, early hints without end", run: func(t *testing.T, b *between) string {
			var said string
			for _, text := range []string{
				ok + "X: " + strings.Repeat("x", 1<<20) + "\n\nfine", ok + strings.Repeat("X: y\n", 20000) + "\nfine", strings.Repeat("HTTP/1.1 103 Early Hints\nLink: </x>\n\n", 100000),
			} {
				said = answered(t, through(t, b, hijacked(text), ""), http.StatusBadGateway)
			}
			return said
		}},
		{tried: "\"Invalid API key\" for ever, from a route or a gateway that refuses good keys", run: func(t *testing.T, b *between) string {
			count := b.server.langflow.Count
			const asks, most = 20, 3 // it is tried once in 10 s; a slow computer may need longer than that
			made, tried := count("/api_key/"), count("/users/whoami")
			var said string
			for range asks {
				got := through(t, b, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"detail":"Invalid API key"}`)
				}, "")
				said = answered(t, got, http.StatusForbidden) + ", and " + gets(t, got, []named{{"the server's own words", `{"detail":"Invalid API key"}`}}, nil)
			}
			const renewals = 0
			if n := count("/api_key/") - made; n != renewals {
				t.Errorf("%d requests about keys", n)
			}
			if n := count("/users/whoami") - tried; n < 1 || n > most {
				t.Errorf("the key was tried %d times", n)
			}
			key, err := b.owner.Key(t.Context(), "prod", 0)
			if err != nil {
				t.Fatal(err)
			}
			b.words["key"] = key.APIKey.Reveal()
			return fmt.Sprintf("%s; after %d requests the key was tried at most %d times, and renewed %d times", said, asks, most, renewals)
		}},
		{tried: "a refusal that is compressed a thousandfold", run: func(t *testing.T, b *between) string {
			bomb := gzipped(strings.Repeat(" ", 16<<20) + `{"detail":"Invalid API key"}`)
			before := b.server.langflow.Count("/api_key/")
			got := through(t, b, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write(bomb)
			}, "Accept-Encoding: gzip\n")
			const more, renewals = 16 << 10, 0
			if len(got) > len(bomb)+more {
				t.Errorf("%d bytes of an answer of %d: %.100q", len(got), len(bomb), got)
			}
			if n := b.server.langflow.Count("/api_key/") - before; n != renewals {
				t.Errorf("the key was renewed %d times", n)
			}
			return fmt.Sprintf("%s, still compressed: the client gets at most %d KiB more than the server sends; the key is renewed %d times", answered(t, got, http.StatusForbidden), more>>10, renewals)
		}},
	})
}
