package trials

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// A server that means harm answers the agent's own requests.
func TestAttackServerAnswers(t *testing.T) {
	const pair = `{"access_token":"%s","refresh_token":"%s","token_type":"bearer"}`
	good := jwt(`{"sub":"1","type":"access","exp":` + fmt.Sprint(time.Now().Add(time.Hour).Unix()) + `}`)
	b := newBetrayed(t)
	honest := b.signedIn(t)
	// each tries answers to a sign-in, which must be refused.
	each := func(reasons []string, answers ...http.HandlerFunc) func(*testing.T, *betrayed) string {
		return func(t *testing.T, b *betrayed) string {
			var said, then string
			for _, answer := range answers {
				name := b.profile(t)
				b.meanwhile("/login", answer, func() { said = wantReason(t, b.signIn(t, name), reasons...) })
				p, err := b.owner.Profile(t.Context(), name)
				then = inState(t, p, err, client.SignedOut)
			}
			return "the sign-in fails, for " + said + ", and " + then
		}
	}
	redirects := func(t *testing.T, path string, do func()) {
		for _, to := range []string{
			b.elsewhere.url + "/api/v1" + path, "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "https://" + strings.TrimPrefix(b.server.URL, "http://") + "/x", "//evil.example/x",
			strings.Replace(b.server.URL, "127.0.0.1", "localhost", 1) + "/x", b.server.URL + "@evil.example/", strings.Replace(b.server.URL, "://", "://evil.example#@", 1), "http://evil.example\\@127.0.0.1/",
			"file:///etc/passwd", "gopher://127.0.0.1:1/", "http://%zz/", "",
		} {
			for _, status := range []int{301, 302, 303, 307, 308, 300, 305} {
				b.meanwhile(path, func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Location"] = []string{to}
					w.WriteHeader(status)
				}, do)
			}
		}
	}
	betrayals(t, "what the server does", b, []betrayal{
		{"redirects a sign-in: to another port of this computer, the metadata addresses, another scheme, `//host`, `localhost`, behind an `@`, `file:`, nowhere, with 300 to 308",
			func(t *testing.T, b *betrayed) string {
				name := b.profile(t)
				var said string
				redirects(t, "/login", func() { said = wantReason(t, b.signIn(t, name), "moved", "gateway", "not-langflow") })
				return "the sign-in fails, for " + said + "; " + b.nothingCarried(t)
			}},
		{"redirects a refresh in the same ways, which carries the refresh token", func(t *testing.T, b *betrayed) string {
			// At most one refresh every 5 s is forced: each is of a profile of its own.
			var said string
			for _, to := range []string{b.elsewhere.url, "http://169.254.169.254/", "//evil.example/", strings.Replace(b.server.URL, "127.0.0.1", "localhost", 1)} {
				name := b.signedIn(t)
				before, err := b.owner.Token(t.Context(), name, 0)
				if err != nil {
					t.Fatal(err)
				}
				b.meanwhile("/refresh", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }, func() {
					_, err := b.owner.Refresh(t.Context(), name)
					said = wantReason(t, err, "moved", "gateway", "not-langflow")
				})
				if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.AccessToken.Reveal() != before.AccessToken.Reveal() {
					t.Errorf("the session is lost: %v", err)
				}
			}
			return "the refresh fails, for " + said + ", and the access token is still served; " + b.nothingCarried(t)
		}},
		{"redirects what carries a token or a key: `GET` and `POST /api_key/`, `/version` and `/auto_login` of a probe", func(t *testing.T, b *betrayed) string {
			var said string
			redirects(t, "/api_key/", func() {
				_, err := b.owner.Keys(t.Context(), honest)
				said = wantReason(t, err, "moved", "gateway", "not-langflow")
			})
			name := b.signedIn(t)
			redirects(t, "/api_key/", func() {
				if key, err := b.owner.Key(t.Context(), name, 0); err == nil {
					t.Errorf("there is a key: %v", key)
				}
			})
			return "the list of keys fails, for " + said + ", and there is no key; " + b.nothingCarried(t)
		}},
		{"redirects to itself without end", func(t *testing.T, b *betrayed) string {
			b.server.takeAsked()
			b.meanwhile("", func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path+"x", http.StatusTemporaryRedirect)
			}, func() {
				wantReason(t, b.signIn(t, b.profile(t)), "not-langflow")
			})
			longest := 0
			for _, asked := range b.server.takeAsked() {
				longest = max(longest, len(asked.line)-len(strings.TrimRight(asked.line, "x")))
			}
			const want = 5
			if longest != want {
				t.Errorf("%d redirects are followed, want %d", longest, want)
			}
			return fmt.Sprintf("%d are followed", want)
		}},
		{"a body of 100 MB, and one that is compressed to a thousandth", func(t *testing.T, b *betrayed) string {
			const most = 48
			before := b.memory()
			bomb := gzipped(strings.Repeat(" ", 100<<20))
			said := each([]string{"not-langflow", "unreachable"},
				func(w http.ResponseWriter, r *http.Request) {
					chunk := bytes.Repeat([]byte(" "), 1<<20)
					for range 100 {
						if _, err := w.Write(chunk); err != nil {
							return
						}
					}
				},
				func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Encoding", "gzip")
					_, _ = w.Write(bomb)
				},
			)(t, b)
			if grown := b.memory() - before; grown > most<<20 {
				t.Errorf("the agent has grown by %d bytes", grown)
			}
			return fmt.Sprintf("%s; the agent's memory grows by at most %d MiB", said, most)
		}},
		{"a megabyte of headers, early hints without end, a header with an escape or a NUL in it", each([]string{"unreachable"},
			hijacked("HTTP/1.1 401 \x1b[2J\nSet-Cookie: \x1b[2J=1\nContent-Length: 2\n\n{}"), hijacked("HTTP/1.1 401 No\nX: a\x00b\nContent-Length: 2\n\n{}"),
			hijacked("HTTP/1.1 200 OK\nX: "+strings.Repeat("x", 1<<20)+"\n\n{}"), hijacked("HTTP/1.1 200 OK\n"+strings.Repeat("X: y\n", 50000)+"\n{}"), hijacked(strings.Repeat("HTTP/1.1 103 Early Hints\n\n", 1000)))},
		{"another protocol: SSH, TLS, HTTP/2, HTTP/0.9, nothing; `101 Switching Protocols`", each([]string{"unreachable", "not-langflow"},
			hijacked("SSH-2.0-OpenSSH_9.6\n"), hijacked("\x15\x03\x01\x00\x02\x02\x28"), hijacked("PRI * HTTP/2.0\n\nSM\n\n"), hijacked("<html>"), hijacked(""), hijacked("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c\n\n"))},
		{"more or fewer bytes than it says, chunks that are none, two lengths", each([]string{"unreachable", "not-langflow"},
			hijacked("HTTP/1.1 200 OK\nContent-Length: 1000\n\n{}"), hijacked("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\n{}"), hijacked("HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\n{}}"),
			hijacked("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"))},
		{"JSON that is none: cut short, 100,000 levels deep, a list, a text, null, two values, other types, an empty token", each([]string{"not-langflow"},
			jsonAnswer(200, `{"access_token":"`), jsonAnswer(200, strings.Repeat(`{"a":`, 100_000)), jsonAnswer(200, strings.Repeat("[", 100_000)), jsonAnswer(200, `[]`), jsonAnswer(200, `"x"`), jsonAnswer(200, `null`), jsonAnswer(200, `{}{}`),
			jsonAnswer(200, `{"access_token":1}`), jsonAnswer(200, `{"access_token":null}`), jsonAnswer(200, `{"access_token":""}`), jsonAnswer(200, `{"access_token":{"a":"b"}}`), jsonAnswer(200, ""), jsonAnswer(200, "\xff\xfe{}"))},
		{"a page of HTML that says it is JSON; JSON that says it is HTML", func(t *testing.T, b *betrayed) string {
			said := each([]string{"not-langflow", "gateway"}, jsonAnswer(200, "<html>"), jsonAnswer(401, "<html>"))(t, b)
			name := b.profile(t)
			b.meanwhile("/login", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprintf(w, pair, good, good)
			}, func() {
				if err := b.signIn(t, name); err != nil {
					t.Error(err)
				}
			})
			p, err := b.owner.Profile(t.Context(), name)
			return "HTML: " + said + "; JSON: " + because(inState(t, p, err, client.Fresh), "gateways get the type wrong")
		}},
		{"a token with a line's end, an escape, a NUL, a blank, a letter that is not ASCII: as access token, as refresh token", func(t *testing.T, b *betrayed) string {
			var said string
			for _, odd := range []string{`a\nX: y`, `a\r\nX: y`, `a\u0000b`, `a\u001b[2Jb`, `a b`, `a\tb`, `a\u007f`, `\u00e9`, `a\u202eb`, `\ud800`} {
				each([]string{"not-langflow"}, jsonAnswer(200, fmt.Sprintf(pair, odd, good)), jsonAnswer(200, fmt.Sprintf(pair, good, odd)))(t, b)
			}
			for _, odd := range []string{`;`, `,`, `\"`, `\\`, `a; evil=1`} {
				said = each([]string{"not-langflow"}, jsonAnswer(200, fmt.Sprintf(pair, good, odd)))(t, b)
			}
			return said
		}},
		{"such an API key, and one whose id is a path: `../logout`, `..`, `x/../../users/me`, `?x`", func(t *testing.T, b *betrayed) string {
			const keys, deleted = 0, 0
			handed := 0
			odds := []string{`sk-a\nX: y`, `sk-\u001b[2J`, `sk-a b`, ``}
			for _, odd := range odds {
				b.meanwhile("/api_key/", jsonAnswer(200, `{"id":"1","name":"n","api_key":"`+odd+`","expires_at":"2036-01-02T03:04:05Z","is_active":true}`), func() {
					if _, err := b.owner.Key(t.Context(), b.signedIn(t), 0); err == nil {
						handed++
					}
				})
			}
			if handed != keys {
				t.Errorf("%d odd keys are handed out", handed)
			}
			for _, id := range []string{"../logout", "x/../../users/me", "..", "?x", "#", "%2e%2e", `\\..\\x`} {
				name := b.signedIn(t)
				b.server.takeAsked()
				b.meanwhile("/api_key/", func(w http.ResponseWriter, r *http.Request) {
					jsonAnswer(200, `{"id":"`+id+`","name":"n","api_key":"sk-odd","expires_at":"2036-01-02T03:04:05Z","is_active":true,"total_count":0,"api_keys":[]}`)(w, r)
				}, func() {
					if _, err := b.owner.Key(t.Context(), name, 0); err != nil {
						t.Errorf("%s: %v", id, err)
					}
					if _, err := b.owner.Logout(t.Context(), name); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				})
				asked := slices.DeleteFunc(b.server.takeAsked(), func(s seen) bool { return !strings.HasPrefix(s.line, "DELETE ") })
				if len(asked) != deleted {
					t.Errorf("the id %q leads to %v", id, asked)
				}
			}
			return fmt.Sprintf("%d of %d such keys are handed out; at the sign-out %d requests `DELETE` go out for such an id", keys, len(odds), deleted)
		}},
		{"cookies of other domains and paths, with odd names, a thousand of them", func(t *testing.T, b *betrayed) string {
			var many []string
			for n := range 500 {
				many = append(many, fmt.Sprintf("c%d=%d; Domain=evil.example", n, n))
			}
			const cookie, token = "refresh_token_lf", "the-refresh-token"
			var wants []string
			for name, cookies := range map[string][]string{
				"refresh_token_lf":        {"session=evil; Domain=.example.com", "other=1; Domain=127.0.0.1; Path=/", "=", "refresh_token=x", "__Host-refresh_token_lf=1"},
				"refresh_token_lf_evil":   {"refresh_token_lf_evil=1; Domain=evil.example; Path=/elsewhere"},
				"refresh_token_lf_%2Fa b": {"refresh_token_lf_%2Fa b=1", "refresh_token_lf_\r\nX: y=1", "refresh_token_lf_;a=1", "refresh_token_lf_,=1", "refresh_token_lf_\"=1"},
				"many":                    many,
			} {
				p := b.profile(t)
				b.meanwhile("/login", func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Set-Cookie"] = cookies
					jsonAnswer(200, fmt.Sprintf(pair, good, token))(w, r)
				}, func() {
					if err := b.signIn(t, p); err != nil {
						t.Error(err)
					}
				})
				b.server.takeAsked()
				if _, err := b.owner.Refresh(t.Context(), p); err == nil {
					t.Error("the stand-in took a token that it did not make")
				}
				for _, s := range b.server.takeAsked() {
					if !strings.HasSuffix(s.line, "/refresh") {
						continue
					}
					sent := s.header["Cookie"]
					want := cookie + "=" + token
					if name == cookie+"_evil" { // it could be one of Langflow's
						want += "; " + name + "=" + token
					}
					notes(&wants, strings.ReplaceAll(want, token, "TOKEN"))
					if len(sent) != 1 || sent[0] != want {
						t.Errorf("after %.80q it sends %q", cookies, sent)
					}
				}
			}
			slices.Sort(wants)
			return "the next refresh sends `" + strings.Join(wants, "` or `") + "`, and no other cookie; " + b.nothingCarried(t)
		}},
		{"a token that ends in the year 10⁹⁹, in 1970, never, at `\"soon\"`", func(t *testing.T, b *betrayed) string {
			const years = 10
			for _, exp := range []string{"1e99", "-1e99", "1e308", "0", "1", `"soon"`, "null", "99999999999999999999", "[]"} {
				name, odd := b.profile(t), jwt(`{"sub":"1","type":"access","exp":`+exp+`}`)
				b.meanwhile("/login", jsonAnswer(200, fmt.Sprintf(pair, odd, odd)), func() {
					if err := b.signIn(t, name); err != nil {
						t.Errorf("exp %s: %v", exp, err)
					}
				})
				p, err := b.owner.Profile(t.Context(), name)
				if err != nil || p.AccessExpiresAt != nil && p.AccessExpiresAt.After(time.Now().AddDate(years, 0, 1)) {
					t.Errorf("exp %s: %v, %v", exp, p.AccessExpiresAt, err)
				}
				if _, err := b.owner.RemoveProfile(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			return fmt.Sprintf("the sign-in succeeds; no end that is told is more than %d years away", years)
		}},
		{"a `Date` of the year 9999, of the year 1, or none, with a token to fit; a key that ends in the year 10000", func(t *testing.T, b *betrayed) string {
			const years = 100
			for date, exp := range map[string]string{"Fri, 31 Dec 9999 23:59:59 GMT": "253402300900", "Mon, 01 Jan 0001 00:00:00 GMT": "3600", "soon": "0", "": "-1"} {
				name, odd := b.profile(t), jwt(`{"sub":"1","type":"access","exp":`+exp+`}`)
				b.meanwhile("", func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Date"] = []string{date}
					jsonAnswer(200, fmt.Sprintf(`{"access_token":"%s","refresh_token":"%s","id":"1","username":"u","version":"1","package":"Langflow","api_key":"sk-odd","expires_at":"9999-12-31T23:59:59-12:00"}`, odd, odd))(w, r)
				}, func() {
					if err := b.signIn(t, name); err != nil {
						t.Errorf("Date %s: %v", date, err)
					}
					_, _ = b.owner.Key(t.Context(), name, 0) // a key without an end, or none
					b.well(t)
				})
				if p, err := b.owner.RemoveProfile(t.Context(), name); err != nil || p.ClockOffsetSeconds != nil && max(*p.ClockOffsetSeconds, -*p.ClockOffsetSeconds) > years*366*24*3600 {
					t.Errorf("Date %s: %v, %v", date, p.ClockOffsetSeconds, err)
				}
			}
			return fmt.Sprintf("the sign-in succeeds; no clock offset that is told is more than %d years; the status of all profiles and the metrics are served", years)
		}},
		{"`Retry-After` of the year 9999, of 10⁹⁹ s, negative, in words", func(t *testing.T, b *betrayed) string {
			const limit = time.Hour
			var said string
			for _, after := range []string{"Fri, 31 Dec 9999 23:59:59 GMT", strings.Repeat("9", 99), "-5", "soon", "1e9"} {
				name := b.signedIn(t)
				b.meanwhile("/refresh", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", after)
					jsonAnswer(429, `{"detail":"wait"}`)(w, r)
				}, func() {
					_, err := b.owner.Refresh(t.Context(), name)
					said = wantReason(t, err, "rate-limited")
				})
				p, err := b.owner.Profile(t.Context(), name)
				if err != nil || p.NextAttemptAt == nil || time.Until(*p.NextAttemptAt) > limit+time.Minute {
					t.Errorf("%s: it tries again at %v, %v", after, p.NextAttemptAt, err)
				}
			}
			return fmt.Sprintf("the refresh fails, for %s, and is tried again after %.0f h at most", said, limit.Hours())
		}},
		{"the token twice in one answer, with other case, with fields that nobody knows", func(t *testing.T, b *betrayed) string {
			bodies := []string{
				`{"access_token":"first","access_token":"` + good + `"}`, `{"ACCESS_TOKEN":"` + good + `"}`, `{"access_token":"` + good + `","__proto__":{"admin":true},"scope":"*"}`,
			}
			for _, body := range bodies {
				name := b.profile(t)
				b.meanwhile("/login", jsonAnswer(200, body), func() {
					if err := b.signIn(t, name); err != nil {
						t.Errorf("%s: %v", body, err)
					}
				})
				if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.AccessToken.Reveal() != good {
					t.Errorf("%s: %v", body, err)
				}
			}
			return fmt.Sprintf("each of the %d sign-ins succeeds, with the token that comes last", len(bodies))
		}},
	})
	if got, err := b.owner.Token(t.Context(), honest, 0); err != nil || got.AccessToken.Empty() {
		t.Errorf("the session that was there before is lost: %v", err)
	}
}
