package trials

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// betrayed is an agent whose server means harm. Whatever it would send to
// another computer goes to elsewhere, which stands in for a forward proxy; and
// so does what it is led to on this one.
type betrayed struct {
	launched
	paths     paths.Paths
	server    *upstream
	elsewhere *elsewhere
	owner     *client.Client
	made      int // profiles
}

func newBetrayed(t *testing.T, flags ...string) *betrayed {
	t.Helper()
	b := &betrayed{paths: homeFor(t), server: newUpstream(t, langflowtest.Options{}), elsewhere: newElsewhere(t)}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, b.elsewhere.url)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	b.start(t, flags...)
	return b
}

// start runs the agent.
func (b *betrayed) start(t *testing.T, flags ...string) {
	t.Helper()
	b.launched = launch(t, b.paths, flags...)
	if b.url == "" {
		t.Fatalf("the agent does not start: %s", b.said)
	}
	token, err := os.ReadFile(b.paths.Token())
	if err != nil {
		t.Fatal(err)
	}
	if b.owner, err = client.New(client.Options{URL: b.url, Token: secret.New(string(token))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.owner.Close)
}

// stop ends the agent.
func (b *betrayed) stop(t *testing.T) {
	t.Helper()
	b.owner.Close()
	if said, err := program(t, b.paths, "stop").CombinedOutput(); err != nil {
		t.Fatalf("stop: %v: %s", err, said)
	}
	_ = b.Wait() // it was asked to
}

// profile makes a new one.
func (b *betrayed) profile(t *testing.T) string {
	t.Helper()
	b.made++
	name := fmt.Sprint("p", b.made)
	if _, err := b.owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: b.server.URL}); err != nil {
		t.Fatal(err)
	}
	return name
}

// password is what a sign-in sends.
const password = "admin-Password1"

// signIn tries to sign a profile in.
func (b *betrayed) signIn(t *testing.T, name string) error {
	t.Helper()
	_, err := b.owner.Login(t.Context(), name, client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(password)})
	return err
}

// signedIn makes a profile that is.
func (b *betrayed) signedIn(t *testing.T) string {
	t.Helper()
	name := b.profile(t)
	if err := b.signIn(t, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// meanwhile has the server answer the agent with something else while do runs.
func (b *betrayed) meanwhile(path string, answer http.HandlerFunc, do func()) {
	b.server.answersAgent(func(w http.ResponseWriter, r *http.Request) {
		short := strings.TrimPrefix(r.URL.Path, "/api/v1")
		switch {
		case strings.HasPrefix(short, path):
			answer(w, r)
			return
		case path == "/login" && short == "/users/whoami": // with a token that is not the stand-in's
			jsonAnswer(200, `{"id":"1","username":"admin"}`)(w, r)
			return
		}
		b.server.langflow.ServeHTTP(w, r)
	})
	defer b.server.answersAgent(nil)
	do()
}

// wantReason wants an error with one of the reasons, whose words are fit for a
// terminal.
func wantReason(t *testing.T, err error, reasons ...string) {
	t.Helper()
	var p *client.Problem
	switch {
	case !errors.As(err, &p):
		t.Errorf("it says %v", err)
	case !slices.Contains(reasons, p.Reason):
		t.Errorf("the reason is %q (%s), want %q", p.Reason, p.Detail, reasons)
	}
	if err != nil {
		decentWords(t, "an error", err.Error())
	}
}

// decentWords wants nothing in a text that moves a cursor, and no secret.
func decentWords(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (!unicode.IsGraphic(r) || r == unicode.ReplacementChar) }); i >= 0 {
		t.Errorf("%s has %q", what, text[max(0, i-20):min(len(text), i+20)])
	}
	if strings.Contains(text, password) {
		t.Errorf("%s has the password", what)
	}
}

// well wants the agent to be as well as ever: it tells its status, and a session
// of an honest server is served.
func (b *betrayed) well(t *testing.T) {
	t.Helper()
	for _, route := range []string{"/v1/status", "/metrics"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, _ := os.ReadFile(b.paths.Token())
		req.Header.Set("Authorization", "Bearer "+string(token))
		res, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s, %v", route, res.StatusCode, body, err)
		}
		decentWords(t, route, string(body))
	}
	if carried := b.elsewhere.carried(); len(carried) > 0 {
		t.Errorf("this went elsewhere: %q", carried)
	}
}

// memory is what the agent's process has at most had resident, in bytes; 0 where
// the system does not tell.
func (b *betrayed) memory() int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Process.Pid)) // elsewhere there is none
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n << 10
}

// jsonAnswer is an answer of a status and a body.
func jsonAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // or the client has gone
	}
}

// jwt is a token with claims, which nobody signed.
func jwt(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// betrayal is a case of a table in docs/attacks.md.
type betrayal struct {
	tried, happens string
	run            func(*testing.T, *betrayed)
}

// betrayals tries them on one agent, and puts them into the document.
func betrayals(t *testing.T, made, tried string, b *betrayed, all []betrayal) {
	t.Helper()
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.tried, c.happens})
	}
	casebook.Table(t, "docs/attacks.md", made+" in cmd/trials", []string{tried, "what happens"}, rows)
	for _, c := range all {
		t.Run(c.tried, func(t *testing.T) {
			c.run(t, b)
			b.well(t)
		})
	}
}

// What a server answers to the agent's own requests.
func TestAttackServerAnswers(t *testing.T) {
	const pair = `{"access_token":"%s","refresh_token":"%s","token_type":"bearer"}`
	good := jwt(`{"sub":"1","type":"access","exp":` + fmt.Sprint(time.Now().Add(time.Hour).Unix()) + `}`)
	b := newBetrayed(t)
	honest := b.signedIn(t)
	// each tries answers to a sign-in, which must be refused.
	each := func(reasons []string, answers ...http.HandlerFunc) func(*testing.T, *betrayed) {
		return func(t *testing.T, b *betrayed) {
			for _, answer := range answers {
				name := b.profile(t)
				b.meanwhile("/login", answer, func() { wantReason(t, b.signIn(t, name), reasons...) })
				if p, err := b.owner.Profile(t.Context(), name); err != nil || p.State != client.SignedOut {
					t.Errorf("then it is %s, %v", p.State, err)
				}
			}
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
	betrayals(t, "TestAttackServerAnswers", "what the server does", b, []betrayal{
		{"redirects a sign-in: to another port of this computer, the metadata addresses, another scheme, `//host`, `localhost`, behind an `@`, `file:`, nowhere, with 300 to 308",
			"the password goes to the profile's own origin alone. A new address is asked for its version, without a credential, and only with TLS or on this computer; it is told as the new one if Langflow answers there", func(t *testing.T, b *betrayed) {
				name := b.profile(t)
				redirects(t, "/login", func() { wantReason(t, b.signIn(t, name), "moved", "not-langflow") })
			}},
		{"redirects a refresh in the same ways, which carries the refresh token", "it goes nowhere else, and the session goes on", func(t *testing.T, b *betrayed) {
			// At most one refresh every 5 s is forced: each is of a profile of its own.
			for _, to := range []string{b.elsewhere.url, "http://169.254.169.254/", "//evil.example/", strings.Replace(b.server.URL, "127.0.0.1", "localhost", 1)} {
				name := b.signedIn(t)
				b.meanwhile("/refresh", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }, func() {
					_, err := b.owner.Refresh(t.Context(), name)
					wantReason(t, err, "moved", "not-langflow")
				})
				if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.AccessToken.Empty() {
					t.Errorf("the session is lost: %v", err)
				}
			}
		}},
		{"redirects what carries a token or a key: `GET` and `POST /api_key/`, `/version` and `/auto_login` of a probe", "it goes nowhere else", func(t *testing.T, b *betrayed) {
			redirects(t, "/api_key/", func() {
				_, err := b.owner.Keys(t.Context(), honest)
				wantReason(t, err, "moved", "not-langflow")
			})
			name := b.signedIn(t)
			redirects(t, "/api_key/", func() {
				if key, err := b.owner.Key(t.Context(), name, 0); err == nil {
					t.Errorf("there is a key: %v", key)
				}
			})
		}},
		{"redirects to itself without end", "five are followed", func(t *testing.T, b *betrayed) {
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
			if longest != 5 {
				t.Errorf("%d redirects are followed", longest)
			}
		}},
		{"a body of 100 MB, and one that is compressed to a thousandth", "a megabyte is read, unpacked: the agent's memory does not grow by it", func(t *testing.T, b *betrayed) {
			before := b.memory()
			bomb := gzipped(strings.Repeat(" ", 100<<20))
			each([]string{"not-langflow", "unreachable"},
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
			if grown := b.memory() - before; grown > 48<<20 {
				t.Errorf("the agent has grown by %d bytes", grown)
			}
		}},
		{"a megabyte of headers, early hints without end, a header with an escape or a NUL in it", "the answer is dropped", each([]string{"unreachable"},
			hijacked("HTTP/1.1 401 \x1b[2J\nSet-Cookie: \x1b[2J=1\nContent-Length: 2\n\n{}"), hijacked("HTTP/1.1 401 No\nX: a\x00b\nContent-Length: 2\n\n{}"),
			hijacked("HTTP/1.1 200 OK\nX: "+strings.Repeat("x", 1<<20)+"\n\n{}"), hijacked("HTTP/1.1 200 OK\n"+strings.Repeat("X: y\n", 50000)+"\n{}"), hijacked(strings.Repeat("HTTP/1.1 103 Early Hints\n\n", 1000)))},
		{"another protocol: SSH, TLS, HTTP/2, HTTP/0.9, nothing; `101 Switching Protocols`", "an error like that of a server that is away", each([]string{"unreachable", "not-langflow"},
			hijacked("SSH-2.0-OpenSSH_9.6\n"), hijacked("\x15\x03\x01\x00\x02\x02\x28"), hijacked("PRI * HTTP/2.0\n\nSM\n\n"), hijacked("<html>"), hijacked(""), hijacked("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c\n\n"))},
		{"more or fewer bytes than it says, chunks that are none, two lengths", "an error, and the next answer is the next request's own", each([]string{"unreachable", "not-langflow"},
			hijacked("HTTP/1.1 200 OK\nContent-Length: 1000\n\n{}"), hijacked("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\n{}"), hijacked("HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\n{}}"),
			hijacked("HTTP/1.1 200 OK\nContent-Length: 2\n\n{}HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"))},
		{"JSON that is none: cut short, 100,000 levels deep, a list, a text, null, two values, other types, an empty token", "not Langflow", each([]string{"not-langflow"},
			jsonAnswer(200, `{"access_token":"`), jsonAnswer(200, strings.Repeat(`{"a":`, 100_000)), jsonAnswer(200, strings.Repeat("[", 100_000)), jsonAnswer(200, `[]`), jsonAnswer(200, `"x"`), jsonAnswer(200, `null`), jsonAnswer(200, `{}{}`),
			jsonAnswer(200, `{"access_token":1}`), jsonAnswer(200, `{"access_token":null}`), jsonAnswer(200, `{"access_token":""}`), jsonAnswer(200, `{"access_token":{"a":"b"}}`), jsonAnswer(200, ""), jsonAnswer(200, "\xff\xfe{}"))},
		{"a page of HTML that says it is JSON; JSON that says it is HTML", "the first is not Langflow; the second is taken for what it is, since gateways get that wrong", func(t *testing.T, b *betrayed) {
			each([]string{"not-langflow"}, jsonAnswer(200, "<html>"), jsonAnswer(401, "<html>"))(t, b)
			b.meanwhile("/login", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprintf(w, pair, good, good)
			}, func() {
				if err := b.signIn(t, b.profile(t)); err != nil {
					t.Error(err)
				}
			})
		}},
		{"a token with a line's end, an escape, a NUL, a blank, a letter that is not ASCII: as access token, as refresh token", "not Langflow: no such token is held, printed or sent", func(t *testing.T, b *betrayed) {
			for _, odd := range []string{`a\nX: y`, `a\r\nX: y`, `a\u0000b`, `a\u001b[2Jb`, `a b`, `a\tb`, `a\u007f`, `\u00e9`, `a\u202eb`, `\ud800`} {
				each([]string{"not-langflow"}, jsonAnswer(200, fmt.Sprintf(pair, odd, good)), jsonAnswer(200, fmt.Sprintf(pair, good, odd)))(t, b)
			}
			for _, odd := range []string{`;`, `,`, `\"`, `\\`, `a; evil=1`} {
				each([]string{"not-langflow"}, jsonAnswer(200, fmt.Sprintf(pair, good, odd)))(t, b)
			}
		}},
		{"such an API key, and one whose id is a path: `../logout`, `..`, `x/../../users/me`, `?x`", "no such key is handed out, and nothing is asked for under such an id", func(t *testing.T, b *betrayed) {
			for _, odd := range []string{`sk-a\nX: y`, `sk-\u001b[2J`, `sk-a b`, ``} {
				b.meanwhile("/api_key/", jsonAnswer(200, `{"id":"1","name":"n","api_key":"`+odd+`","expires_at":"2036-01-02T03:04:05Z","is_active":true}`), func() {
					if _, err := b.owner.Key(t.Context(), b.signedIn(t), 0); err == nil {
						t.Errorf("a key %q is handed out", odd)
					}
				})
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
				for _, s := range b.server.takeAsked() {
					if strings.HasPrefix(s.line, "DELETE ") {
						t.Errorf("the id %q leads to %s", id, s.line)
					}
				}
			}
		}},
		{"cookies of other domains and paths, with odd names, a thousand of them", "only what is named like Langflow's refresh cookie counts, and the next refresh sends it alone, to the same origin", func(t *testing.T, b *betrayed) {
			var many []string
			for n := range 500 {
				many = append(many, fmt.Sprintf("c%d=%d; Domain=evil.example", n, n))
			}
			for name, cookies := range map[string][]string{
				"refresh_token_lf":        {"session=evil; Domain=.example.com", "other=1; Domain=127.0.0.1; Path=/", "=", "refresh_token=x", "__Host-refresh_token_lf=1"},
				"refresh_token_lf_evil":   {"refresh_token_lf_evil=1; Domain=evil.example; Path=/elsewhere"},
				"refresh_token_lf_%2Fa b": {"refresh_token_lf_%2Fa b=1", "refresh_token_lf_\r\nX: y=1", "refresh_token_lf_;a=1", "refresh_token_lf_,=1", "refresh_token_lf_\"=1"},
				"many":                    many,
			} {
				p := b.profile(t)
				b.meanwhile("/login", func(w http.ResponseWriter, r *http.Request) {
					w.Header()["Set-Cookie"] = cookies
					jsonAnswer(200, fmt.Sprintf(pair, good, "the-refresh-token"))(w, r)
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
					want := "refresh_token_lf"
					if name == "refresh_token_lf_evil" {
						want += "=the-refresh-token; " + name
					}
					if len(sent) != 1 || sent[0] != want+"=the-refresh-token" {
						t.Errorf("after %.80q it sends %q", cookies, sent)
					}
				}
			}
		}},
		{"a token that ends in the year 10⁹⁹, in 1970, never, at `\"soon\"`", "it is served; what is told of it is ten years at most", func(t *testing.T, b *betrayed) {
			for _, exp := range []string{"1e99", "-1e99", "1e308", "0", "1", `"soon"`, "null", "99999999999999999999", "[]"} {
				name, odd := b.profile(t), jwt(`{"sub":"1","type":"access","exp":`+exp+`}`)
				b.meanwhile("/login", jsonAnswer(200, fmt.Sprintf(pair, odd, odd)), func() {
					if err := b.signIn(t, name); err != nil {
						t.Errorf("exp %s: %v", exp, err)
					}
				})
				p, err := b.owner.Profile(t.Context(), name)
				if err != nil || p.AccessExpiresAt != nil && p.AccessExpiresAt.After(time.Now().AddDate(10, 0, 1)) {
					t.Errorf("exp %s: %v, %v", exp, p.AccessExpiresAt, err)
				}
				if _, err := b.owner.RemoveProfile(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		}},
		{"a `Date` of the year 9999, of the year 1, or none, with a token to fit; a key that ends in the year 10000", "a clock more than a century off is not believed, and every profile's state can still be told", func(t *testing.T, b *betrayed) {
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
				if p, err := b.owner.RemoveProfile(t.Context(), name); err != nil || p.ClockOffsetSeconds != nil && max(*p.ClockOffsetSeconds, -*p.ClockOffsetSeconds) > 100*366*24*3600 {
					t.Errorf("Date %s: %v, %v", date, p.ClockOffsetSeconds, err)
				}
			}
		}},
		{"`Retry-After` of the year 9999, of 10⁹⁹ s, negative, in words", "it waits for an hour at most", func(t *testing.T, b *betrayed) {
			for _, after := range []string{"Fri, 31 Dec 9999 23:59:59 GMT", strings.Repeat("9", 99), "-5", "soon", "1e9"} {
				name := b.signedIn(t)
				b.meanwhile("/refresh", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", after)
					jsonAnswer(429, `{"detail":"wait"}`)(w, r)
				}, func() {
					_, err := b.owner.Refresh(t.Context(), name)
					wantReason(t, err, "rate-limited")
				})
				p, err := b.owner.Profile(t.Context(), name)
				if err != nil || p.NextAttemptAt == nil || time.Until(*p.NextAttemptAt) > time.Hour+time.Minute {
					t.Errorf("%s: it tries again at %v, %v", after, p.NextAttemptAt, err)
				}
			}
		}},
		{"the token twice in one answer, with other case, with fields that nobody knows", "one of them counts, and nothing else is kept", func(t *testing.T, b *betrayed) {
			for _, body := range []string{
				`{"access_token":"first","access_token":"` + good + `"}`, `{"ACCESS_TOKEN":"` + good + `"}`, `{"access_token":"` + good + `","__proto__":{"admin":true},"scope":"*"}`,
			} {
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
		}},
	})
	if got, err := b.owner.Token(t.Context(), honest, 0); err != nil || got.AccessToken.Empty() {
		t.Errorf("the session that was there before is lost: %v", err)
	}
}

// A secret is for the origin that gave it.
func TestAttackServerOrigin(t *testing.T) {
	all := t // that the agent lives for
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	b := newBetrayed(t, "--store", "file")
	evil := newUpstream(t, langflowtest.Options{Users: []langflowtest.User{{Name: "nobody", Password: "x"}}})
	// robbed tells what of a profile the other server has got.
	robbed := func(t *testing.T) {
		t.Helper()
		for _, s := range evil.takeAsked() {
			if s.header.Get("Cookie") != "" || s.header.Get("Authorization") != "" || s.header.Get("X-Api-Key") != "" || strings.Contains(s.body, password) {
				t.Errorf("the other server is sent a secret: %s %v", s.line, s.header)
			}
		}
	}
	// full is a profile with all that there can be: a token pair, a remembered
	// password, a managed key.
	full := func(t *testing.T) string {
		t.Helper()
		name := b.profile(t)
		_, err := b.owner.Login(t.Context(), name, client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(password), RememberPassword: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.owner.Key(t.Context(), name, 0); err != nil {
			t.Fatal(err)
		}
		b.eventually(t, name, "is saved", func(p client.Profile) bool { return p.Saved })
		return name
	}
	edit := func(t *testing.T, name, url string) {
		t.Helper()
		file := filepath.Join(b.paths.ProfilesDir(), name+".toml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), b.server.URL, url, 1)
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signedOut := func(p client.Profile) bool { return p.State == client.SignedOut && p.ServerURL == evil.URL }
	// poke has the agent ask its new server, if it would.
	poke := func(t *testing.T, name string) {
		t.Helper()
		if got, err := b.owner.Token(t.Context(), name, 0); err == nil {
			t.Errorf("there is a token: %v", got)
		}
		if got, err := b.owner.Key(t.Context(), name, 0); err == nil {
			t.Errorf("there is a key: %v", got)
		}
		_, _ = b.owner.Refresh(t.Context(), name) // an error
		robbed(t)
	}
	betrayals(t, "TestAttackServerOrigin", "what is tried", b, []betrayal{
		{"somebody has the owner change `server_url` to another port of the same computer (`PATCH`)", "signs out first: the other server gets no token, key or password", func(t *testing.T, b *betrayed) {
			name := full(t)
			if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &evil.URL}); err != nil || !signedOut(p) {
				t.Errorf("it is %s, %v", p.State, err)
			}
			poke(t, name)
		}},
		{"and back again", "still signed out: what was kept is gone", func(t *testing.T, b *betrayed) {
			name := full(t)
			for _, url := range []string{evil.URL, b.server.URL} {
				if _, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil {
					t.Fatal(err)
				}
			}
			if p, err := b.owner.Profile(t.Context(), name); err != nil || p.State != client.SignedOut {
				t.Errorf("it is %s, %v", p.State, err)
			}
			robbed(t)
		}},
		{"`langkeep login NAME OTHER-URL`, which a person was talked into, with a wrong password there", "the other server gets what was typed for it, and nothing that was kept", func(t *testing.T, b *betrayed) {
			name := full(t)
			evil.takeAsked()
			cmd := program(t, b.paths, "login", name, evil.URL, "--username", "ann", "--password-stdin", "--no-start")
			cmd.Stdin = strings.NewReader("typed-there\n")
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("it signs in: %s", out)
			}
			robbed(t)
		}},
		{"the profile's file is edited while the agent runs", "signed out within moments, and nothing is sent", func(t *testing.T, b *betrayed) {
			name := full(t)
			edit(t, name, evil.URL)
			b.eventually(t, name, "is signed out", signedOut)
			poke(t, name)
		}},
		{"the profile's file is edited while the agent is stopped", "signed out at the next start, and nothing is sent, though the store still has it all", func(t *testing.T, b *betrayed) {
			name := full(t)
			b.stop(t)
			edit(t, name, evil.URL)
			evil.takeAsked()
			b.start(all, "--store", "file")
			b.eventually(t, name, "is signed out", signedOut)
			poke(t, name)
		}},
		{"the same place under another name: `localhost` for `127.0.0.1`, `[::1]`, a dot at the end, https", "another origin: signed out", func(t *testing.T, b *betrayed) {
			port := b.server.URL[strings.LastIndex(b.server.URL, ":"):]
			for _, url := range []string{"http://localhost" + port, "http://[::1]" + port, "https://127.0.0.1" + port, "https://flows.example."} {
				name := full(t)
				if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil || p.State != client.SignedOut {
					t.Errorf("%s: it is %s, %v", url, p.State, err)
				}
				if _, err := b.owner.RemoveProfile(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		}},
		{"the same origin in other letters: `HTTP://`, a slash at the end, another root path", "the session goes on", func(t *testing.T, b *betrayed) {
			for _, url := range []string{strings.Replace(b.server.URL, "http", "HTTP", 1), b.server.URL + "/", b.server.URL + "/api/v1/login", b.server.URL + "/team"} {
				name := full(t)
				if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil || p.State == client.SignedOut {
					t.Errorf("%s: it is %s, %v", url, p.State, err)
				}
			}
		}},
		{"an origin that hides another: `http://127.0.0.1:PORT@evil.example`, `http://evil.example#@…`, `…?…`, with a backslash, without a scheme, `file:`", "400, and the profile is as it was; in a file edited by hand too", func(t *testing.T, b *betrayed) {
			name := full(t)
			for _, url := range []string{b.server.URL + "@evil.example", "http://ann:pw@127.0.0.1", "http://evil.example#@127.0.0.1", "http://evil.example?@127.0.0.1", `http://127.0.0.1\@evil.example`, "//evil.example", "evil.example", "file:///etc/passwd",
				"http://evil.example\n", "http://127.0.0.1:99999", "http://127.0.0.1:1:2", "http://", "http://x/../y", "http://x/%2e%2e/y", "javascript:alert(1)"} {
				_, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url})
				var problem *client.Problem
				if !errors.As(err, &problem) || problem.Kind() != client.TypeBadRequest {
					t.Errorf("%q: %v", url, err)
				}
			}
			edit(t, name, b.server.URL+"@evil.example")
			time.Sleep(100 * time.Millisecond)
			if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.ServerURL != b.server.URL {
				t.Errorf("after the edit: %s, %v", got.ServerURL, err)
			}
			robbed(t)
		}},
		{"plain http to another computer, which everybody on the way could read", "400 or a state that says so; nothing is sent unless `allow_http` is set", func(t *testing.T, b *betrayed) {
			url := "http://flows.example"
			name := full(t)
			p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url})
			if err == nil && p.State != client.SignedOut {
				t.Errorf("it is %s", p.State)
			}
			if err := b.signIn(t, name); err == nil && p.ServerURL == url {
				t.Error("it signs in over http")
			}
		}},
	})
	robbed(t)
}

// eventually waits until a profile is as it must be.
func (b *betrayed) eventually(t *testing.T, name, what string, is func(client.Profile) bool) {
	t.Helper()
	var p client.Profile
	var err error
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if p, err = b.owner.Profile(t.Context(), name); err == nil && is(p) {
			return
		}
	}
	t.Fatalf("it never %s: %+v, %v", what, p, err)
}
