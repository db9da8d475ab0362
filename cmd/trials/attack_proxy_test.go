package trials

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// upstream stands where the server of the profiles is: it is Langflow for the
// agent, and writes down what comes through a proxy.
type upstream struct {
	*httptest.Server
	langflow *langflowtest.Server

	mu     sync.Mutex // protects the following
	seen   []seen
	answer http.HandlerFunc // what a proxied request is answered; nil: 200
	asked  []seen           // by the agent itself
	own    http.HandlerFunc // what the agent is answered; nil: as Langflow does
}

// seen is a request that came through a proxy.
type seen struct {
	line   string // the method and the target, as they were sent
	host   string
	header http.Header // the trailers' names included
	body   string
}

func newUpstream(t *testing.T, o langflowtest.Options) *upstream {
	t.Helper()
	u := &upstream{langflow: langflowtest.New(o)}
	t.Cleanup(u.langflow.Close)
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what came of it
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.UserAgent(), "langkeep/") {
		u.mu.Lock()
		u.asked = append(u.asked, seen{r.Method + " " + r.RequestURI, r.Host, r.Header.Clone(), string(body)})
		own := u.own
		u.mu.Unlock()
		if own == nil {
			own = u.langflow.ServeHTTP
		}
		own(w, r)
		return
	}
	header := r.Header.Clone()
	for name, values := range r.Trailer {
		header[name] = append(header[name], values...)
	}
	u.mu.Lock()
	u.seen = append(u.seen, seen{r.Method + " " + r.RequestURI, r.Host, header, string(body)})
	answer := u.answer
	u.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.WriteString(w, "reached")
}

// take returns what has come since the last time.
func (u *upstream) take() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.seen
	u.seen = nil
	return all
}

// takeAsked returns what the agent itself has asked since the last time.
func (u *upstream) takeAsked() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.asked
	u.asked = nil
	return all
}

// answersAgent sets what the agent is answered from now on, nil for what Langflow
// does.
func (u *upstream) answersAgent(with http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.own = with
}

// answers sets what proxied requests are answered from now on.
func (u *upstream) answers(with http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = with
}

// between is an agent between clients that attack its proxies and a server that
// sees what comes of it. The attackers know more than they should: each {name}
// in what they send is one of its words.
type between struct {
	launched
	server, older *upstream // of the profiles prod and rooted, and of old and open
	owner         *client.Client
	words         map[string]string
}

func newBetween(t *testing.T) *between {
	t.Helper()
	p := homeFor(t)
	b := &between{
		server: newUpstream(t, langflowtest.Options{RootPath: "/team/a"}), older: newUpstream(t, langflowtest.Options{Version: "1.10"}),
	}
	b.launched = launch(t, p)
	if b.url == "" {
		t.Fatalf("the agent does not start: %s", b.said)
	}
	token, err := os.ReadFile(p.Token())
	if err != nil {
		t.Fatal(err)
	}
	b.words = map[string]string{"owner": string(token)}
	if b.owner, err = client.New(client.Options{URL: b.url, Token: secret.New(string(token))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.owner.Close)
	for name, server := range map[string]string{
		"prod": b.server.URL, "rooted": b.server.URL + "/team/a", "open": b.older.URL, "old": b.older.URL, "other": b.older.URL,
	} {
		b.words[name] = b.profile(t, name, server)
	}
	origins := []string{"http://app.example"}
	if _, err := b.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{ProxyAllowOrigins: &origins}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []client.NewClient{
		{Name: "whole", Scopes: []string{"proxy"}, Profiles: []string{"prod", "rooted", "open", "old"}},
		{Name: "editor", Scopes: []string{"edit"}, Profiles: []string{"prod", "open"}},
		{Name: "tweaker", Scopes: []string{"tweak"}, Profiles: []string{"prod"}},
		{Name: "run", Scopes: []string{"run"}, Profiles: []string{"prod"}},
		{Name: "reader", Scopes: []string{"read", "token", "api-key", "manage"}, Profiles: []string{"prod"}},
		{Name: "stranger", Scopes: []string{"proxy"}, Profiles: []string{"other"}},
		{Name: "revoked", Scopes: []string{"proxy"}, Profiles: []string{"prod"}},
		{Name: "over", Scopes: []string{"proxy"}, Profiles: []string{"prod"}, ExpiresIn: new(int64(1))},
	} {
		added, _, err := b.owner.AddClient(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		b.words[c.Name] = added.Token.Reveal()
	}
	if err := b.owner.RevokeClient(t.Context(), "revoked"); err != nil {
		t.Fatal(err)
	}
	got, err := b.owner.Token(t.Context(), "prod", 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.owner.Key(t.Context(), "prod", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.words["access"], b.words["key"] = got.AccessToken.Reveal(), key.APIKey.Reveal()
	b.openUnknown(t, p.ProfileFile("open"))
	return b
}

// openUnknown lets the profile open use routes that no version of Langflow has.
func (b *between) openUnknown(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, "unknown_routes = true\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(30 * time.Second); b.send(t, "open", "GET /made-up HTTP/1.1\nHost: {open}\nX-Api-Key: {whole}\n\n", 1) != "200"; {
		if time.Now().After(limit) {
			t.Fatal("the hand edit is not read")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// profile makes one, signs it in and opens its proxy, whose address it returns.
func (b *between) profile(t *testing.T, name, server string) string {
	t.Helper()
	if _, err := b.owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: server}); err != nil {
		t.Fatal(err)
	}
	login := client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(langflowtest.Admin().Password)}
	if _, err := b.owner.Login(t.Context(), name, login); err != nil {
		t.Fatal(err)
	}
	p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{Proxy: new(true)})
	if err != nil || p.ProxyURL == nil {
		t.Fatalf("%s has no proxy: %v", name, err)
	}
	u, err := url.Parse(*p.ProxyURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// trick is a case of a table in docs/attacks.md: what is tried on a proxy, what
// happens, and how that is seen. It is a request, once for each {it}, or
// anything else.
type trick struct {
	tried, happens string
	to             string // the profile whose proxy it is sent to; "": prod
	request        string // \n is a line's end
	each           []string
	want           string                 // the answers; every 200 and 101 is the server's, and no other may come of what reached it
	sent           func(*testing.T, seen) // looks at what reached the server
	run            func(*testing.T, *between)
}

// tricks tries them on one agent, and puts them into the document.
func tricks(t *testing.T, made string, all []trick) {
	t.Helper()
	var rows [][]string
	for _, c := range all {
		rows = append(rows, []string{c.tried, c.happens})
	}
	casebook.Table(t, "docs/attacks.md", made+" in cmd/trials", []string{"what is tried", "what happens"}, rows)
	b := newBetween(t)
	for _, c := range all {
		t.Run(c.tried, func(t *testing.T) {
			if c.run != nil {
				c.run(t, b)
				return
			}
			for _, it := range append(c.each, "")[:max(1, len(c.each))] {
				b.words["it"] = it
				b.try(t, c)
			}
		})
	}
}

// try sends a trick's request.
func (b *between) try(t *testing.T, c trick) {
	t.Helper()
	to, server := c.to, b.server
	if to == "" {
		to = "prod"
	}
	if to == "old" || to == "other" || to == "open" {
		server = b.older
	}
	server.take()
	got := b.send(t, to, c.request, 1+strings.Count(c.want, ", "))
	if got != c.want {
		t.Errorf("%q is answered %s, want %s", b.words["it"], got, c.want)
	}
	reached := server.take()
	if n := strings.Count(c.want, "200") + strings.Count(c.want, "101"); len(reached) != n {
		t.Errorf("%q: %d requests reached the server, want %d: %v", b.words["it"], len(reached), n, reached)
	}
	for _, s := range reached {
		b.decent(t, server, s)
		if c.sent != nil {
			c.sent(t, s)
		}
	}
}

// decent checks what everything that reaches the server must be.
func (b *between) decent(t *testing.T, server *upstream, s seen) {
	t.Helper()
	if host := strings.TrimPrefix(server.URL, "http://"); s.host != host {
		t.Errorf("the server is called %q", s.host)
	}
	bearer := strings.HasSuffix(strings.TrimSuffix(strings.SplitN(s.line, "?", 2)[0], "/"), "/session")
	for name, values := range s.header {
		switch strings.ToLower(name) {
		case "x-api-key":
			if bearer || len(values) != 1 || !strings.HasPrefix(values[0], "sk-") || server == b.server && values[0] != b.words["key"] {
				t.Errorf("it has the keys %.6q", values)
			}
		case "authorization":
			if !bearer || len(values) != 1 || !strings.HasPrefix(values[0], "Bearer ey") {
				t.Errorf("it has the header %s", name)
			}
		case "cookie", "origin", "api_key", "x-langflow-mcp-composer-token", "forwarded", "proxy-authorization", "sec-fetch-site", "http2-settings":
			t.Errorf("it has the header %s", name)
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			t.Errorf("it has the header %s", name)
		}
	}
	if bearer == (len(s.header["X-Api-Key"]) == 1) {
		t.Errorf("it has %d keys", len(s.header["X-Api-Key"]))
	}
	if all := fmt.Sprint(s.line, s.header); strings.Contains(all, "lk_") || strings.Contains(all, "stale") {
		t.Errorf("it has what a client took for a credential: %s", all)
	}
}

// dial connects to a profile's proxy.
func (b *between) dial(t *testing.T, to string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.words[to])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // fails only on a closed connection
	return c
}

// send writes raw bytes and returns what the first n answers are, see answers.
func (b *between) send(t *testing.T, to, text string, n int) string {
	t.Helper()
	return answers(t, b.dial(t, to), fill(b.words, text), n, b.harmless, http.StatusNotFound)
}

// harmless checks what no answer may have.
func (b *between) harmless(t *testing.T, res *http.Response, body []byte) {
	t.Helper()
	for _, name := range []string{"key", "access", "owner", "whole", "run"} {
		if all := fmt.Sprint(res.Header, string(body)); strings.Contains(all, b.words[name]) {
			t.Errorf("the answer has a secret: %s", name)
		}
	}
	if len(res.Header["Set-Cookie"]) != 0 {
		t.Error("the answer sets a cookie")
	}
}

const (
	asWhole  = "X-Api-Key: {whole}\n"
	asRunner = "X-Api-Key: {run}\n"
	toProd   = " HTTP/1.1\nHost: {prod}\n"
	aPath    = "GET {it}" + toProd + asWhole + "\n"
)

// sentAs wants a target to have been sent so.
func sentAs(want string) func(*testing.T, seen) {
	return func(t *testing.T, s seen) {
		t.Helper()
		if s.line != want {
			t.Errorf("what was sent is %q, want %q", s.line, want)
		}
	}
}

// sentAsMatched wants a target to be sent that means what was written.
func sentAsMatched(t *testing.T, b *between, s seen) {
	t.Helper()
	_, target, _ := strings.Cut(s.line, " ")
	path, _, _ := strings.Cut(target, "?")
	written, _, _ := strings.Cut(b.words["it"], "?")
	was, err := url.PathUnescape(written)
	is, sentErr := url.PathUnescape(path)
	if err != nil || sentErr != nil || was != is {
		t.Errorf("%q was written and %q sent", b.words["it"], target)
	}
}

// The rules of the proxy are about paths, so paths are written oddly.
func TestAttackProxyPaths(t *testing.T) {
	// same are paths that no version has, each of which must be sent with the
	// meaning that it was judged by, if unknown routes are let through.
	same := func(paths ...string) func(*testing.T, *between) {
		return func(t *testing.T, b *between) {
			for _, it := range paths {
				b.words["it"] = it
				b.try(t, trick{request: aPath, want: "403 forbidden"})
				b.try(t, trick{to: "open", request: "GET {it} HTTP/1.1\nHost: {open}\n" + asWhole + "\n", want: "200",
					sent: func(t *testing.T, s seen) { sentAsMatched(t, b, s) }})
			}
		}
	}
	tricks(t, "TestAttackProxyPaths", []trick{
		{tried: "what is never forwarded, with letters escaped: `/api/v1/%61uto_login`, `/%61pi/%76%31/login`, `/api/v1/api%5fkey`",
			happens: "403, and nothing is sent", request: "POST {it}" + toProd + asWhole + "\n", want: "403 forbidden",
			each: []string{"/api/v1/%61uto_login", "/%61pi/%76%31/login", "/api/v1/api%5fkey", "/api/v1/api%5Fkey/", "/api/v1/%6c%6F%67%69%6e",
				"/api/v1/mcp/project/p/inst%61ll", "/api/v1/users/%6de/x", "/api/v1/users/x/reset%2dpassword"}},
		{tried: "the same with a slash at the end, and in another version of the API: `/api/v2/login`, `/api/v01/auto_login/`",
			happens: "403", request: aPath, want: "403 forbidden",
			each: []string{"/api/v1/auto_login/", "/api/v1/login/", "/api/v1/refresh/", "/api/v2/login", "/api/v01/auto_login/", "/api/v9/logout"}},
		{tried: "a slash or a backslash that is escaped: `/api%2fv1%2Fauto_login`, `/x%5c..%5Clogin`, and a backslash as it is",
			happens: "400", request: aPath, want: "400 bad-request",
			each: []string{"/api%2fv1%2Fauto_login", "/api/v1%2Fauto_login", "/api/v1/x%2f..%2flogin", "/x%5c..%5Clogin", `/api/v1\login`, `/api\v1\login`, "/api/v1/login%5c"}},
		{tried: "control characters, of which servers drop some: `%0a`, `%0d`, `%00`, `%09`, `%7f`",
			happens: "400", request: "POST {it}" + toProd + asWhole + "\n", want: "400 bad-request",
			each: []string{"/api/v1/api_key/%0a", "/api/v1/api_key%0A", "/api/v1/%0dlogin", "/api/v1/login%00", "/api/v1/auto%09_login", "/api/v1/login%7f", "/api/v1/login%1f"}},
		{tried: "a line's end in the path, for a header of one's own: `/x%0d%0aHost:%20evil.example`",
			happens: "400", request: aPath, want: "400 bad-request", each: []string{"/x%0d%0aHost:%20evil.example", "/x%0aX-Api-Key:%20stale"}},
		{tried: "two slashes: `//api/v1/login`, `/api//v1/login`, `/api/v1//login`",
			happens: "400", request: aPath, want: "400 bad-request", each: []string{"//api/v1/login", "/api//v1/login", "/api/v1//auto_login", "/api/v1/auto_login//", "//evil.example/api/v1/version"}},
		{tried: "dot segments, plain and escaped: `/api/v1/x/../login`, `/api/v1/./login`, `/%2e%2e/`, `/.%2E/`",
			happens: "400", request: aPath, want: "400 bad-request",
			each: []string{"/api/v1/x/../auto_login", "/api/v1/./auto_login", "/api/v1/x/%2e%2e/auto_login", "/api/v1/x/.%2E/auto_login", "/api/v1/%2e/auto_login", "/..", "/api/v1/run/..", "/."}},
		{tried: "escapes that are none: `%zz`, `%`, `%2`, `%u0061`",
			happens: "400", request: aPath, want: "400", each: []string{"/api/v1/%zzlogin", "/api/v1/login%", "/api/v1/login%2", "/api/v1/%u0061uto_login", "/%-1"}},
		{tried: "encoded twice: `%2561uto_login`, `%252f`, `%252e%252e`, `%25%36%31uto_login`",
			happens: "403: no version has such a route; with `unknown_routes = true` sent encoded twice: what was judged is what is sent, and Langflow decodes once",
			run:     same("/api/v1/%2561uto_login", "/api/v1%252flogin", "/api/v1/x/%252e%252e/login", "/api/v1/%25%36%31uto_login", "/api/v1/api_key%250a")},
		{tried: "other case and letters that look alike: `/API/v1/login`, `/api/V1/login`, `/api/v1/Login`, `/api/v1/ｌogin`, `/api/v1/lоgin`",
			happens: "403; with `unknown_routes = true` sent as they are: to Langflow they are other paths",
			run:     same("/API/v1/login", "/api/V1/login", "/api/v1/Login", "/api/v1/AUTO_LOGIN", "/api/v1/%ef%bd%8cogin", "/api/v1/l%D0%BEgin")},
		{tried: "bytes that are no UTF-8, such as a slash that is too long: `%c0%af`, `%e0%80%af`, `%ff`",
			happens: "403; with `unknown_routes = true` sent as they are: nobody reads a slash in them", run: same("/api/v1%c0%aflogin", "/api/v1/x%e0%80%af..%c0%aflogin", "/api/v1/%ff")},
		{tried: "parameters, escaped question marks and hashes, blanks: `/api/v1/login;x`, `/api/v1/x/x%3f/../`, `/x%23`",
			happens: "403; with `unknown_routes = true` sent as they are, and with the same meaning; with a dot segment 400", run: func(t *testing.T, b *between) {
				same("/api/v1/login;x", "/api/v1;x/login", "/api/v1/x/x%3f", "/x%23y", "/api/v1/login%20", "/api/v1/%20login", "/api/v1/login.", "/api/v1/login*")(t, b)
				b.words["it"] = "/api/v1/x/x%3f/../login"
				b.try(t, trick{request: aPath, want: "400 bad-request"})
			}},
		{tried: "a path in the query: `/api/v1/run/x?/../login&x=%2e%2e%2flogin`",
			happens: "sent as it is written", request: "POST /api/v1/run/x?/../login&x=%2e%2e%2flogin" + toProd + asWhole + "\n", want: "200",
			sent: sentAs("POST /api/v1/run/x?/../login&x=%2e%2e%2flogin")},
		{tried: "a server with a root path that the profile does not know: `/team/a/api/v1/login`, `/x/y/api/v1/login`",
			happens: "403: what is never forwarded is not, wherever it begins", request: aPath, want: "403 forbidden",
			each: []string{"/team/a/api/v1/login", "/team/a/api/v1/auto_login/", "/x/y/z/api/v2/logout", "/api/v1/api/v1/refresh"}},
		{tried: "a server with a root path that it does know: `/team/a/api/v1/auto_login`, and with another one in between",
			happens: "403", to: "rooted", request: "GET {it} HTTP/1.1\nHost: {rooted}\n" + asWhole + "\n", want: "403 forbidden",
			each: []string{"/team/a/api/v1/auto_login", "/team/a/api/v1/%61uto_login", "/team/a/b/api/v1/auto_login"}},
		{tried: "what is outside that root path, which the same server answers too: `/api/v1/auto_login`, `/team/ab/…`, `/team/a`, `/Team/a/…`",
			happens: "404, and nothing is sent", to: "rooted", request: "GET {it} HTTP/1.1\nHost: {rooted}\n" + asWhole + "\n", want: "404 not-found",
			each: []string{"/api/v1/auto_login", "/api/v1/version", "/team/ab/api/v1/version", "/team/a", "/Team/a/api/v1/version", "/team/api/v1/version", "/"}},
		{tried: "an absolute target, an authority, an asterisk: `GET http://evil.example/`, `CONNECT evil.example:443`, `OPTIONS *`",
			happens: "400", request: "{it}" + toProd + asWhole + "\n", want: "400 bad-request",
			each: []string{"GET http://evil.example/api/v1/version", "GET http://{prod}/api/v1/version", "CONNECT 169.254.169.254:80", "OPTIONS *", "CONNECT /api/v1/version"}},
	})
}

// Whoever may use the whole account must still not get away with a credential.
func TestAttackProxyCredentials(t *testing.T) {
	// each are requests that are refused to several clients.
	each := func(requests []string, clients ...string) func(*testing.T, *between) {
		return func(t *testing.T, b *between) {
			for _, it := range requests {
				for _, c := range clients {
					b.words["it"] = it
					b.try(t, trick{request: "{it}" + toProd + "X-Api-Key: {" + c + "}\nContent-Type: application/json\nContent-Length: 2\n\n{}", want: "403 forbidden"})
				}
			}
		}
	}
	line := func(header string) string { return "{it}" + toProd + header + "Content-Length: 2\n\n{}" }
	tricks(t, "TestAttackProxyCredentials", []trick{
		{tried: "to sign in: `POST /login`, `GET /auto_login`, `POST /refresh`, with any method, with the scope `proxy`",
			happens: "403", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/login", "GET /api/v1/login", "GET /api/v1/auto_login", "POST /api/v1/auto_login", "POST /api/v1/refresh",
				"GET /api/v1/refresh", "OPTIONS /api/v1/login", "BREW /api/v1/login", "post /api/v1/login", "POST /api/v2/login"}},
		{tried: "to end the session: `/logout`", happens: "403", request: line(asWhole), want: "403 forbidden", each: []string{"POST /api/v1/logout", "GET /api/v1/logout"}},
		{tried: "to make an API key, which would never end: `POST /api_key/`, `/api_key/store`, with any method that writes",
			happens: "403", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/api_key/", "POST /api/v1/api_key", "POST /api/v1/api_key/store", "PUT /api/v1/api_key/", "PATCH /api/v1/api_key/x", "BREW /api/v1/api_key/", "post /api/v1/api_key/"}},
		{tried: "to have Langflow make a key of its own, which never ends, beside a project: `POST /projects/`",
			happens: "200: it is passed on, and no answer shows that key (TestTools, on a real Langflow)", request: line(asWhole), want: "200", each: []string{"POST /api/v1/projects/"}},
		{tried: "to delete the key that the proxy uses: `DELETE /api_key/ID`", happens: "403", request: line(asWhole), want: "403 forbidden", each: []string{"DELETE /api/v1/api_key/x", "DELETE /api/v1/api_key/"}},
		{tried: "to have the MCP installer write a key into a file: `POST /mcp/project/ID/install`", happens: "403", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/mcp/project/x/install", "GET /api/v1/mcp/project/x/install", "POST /api/v1/mcp/project/x/install/", "POST /api/v1/mcp/project/x/install/y"}},
		{tried: "to take the account over: `PATCH /users/ID/reset-password`, `PATCH /users/ID`, `POST /users/`, `DELETE /users/ID`",
			happens: "403", request: line(asWhole), want: "403 forbidden",
			each: []string{"PATCH /api/v1/users/x/reset-password", "GET /api/v1/users/x/reset-password", "PATCH /api/v1/users/x", "POST /api/v1/users/", "POST /api/v1/users", "DELETE /api/v1/users/x"}},
		{tried: "to take all of it out, or have it deleted: `/users/me/data-export`, `/users/me/deletion-request`",
			happens: "403", request: line(asWhole), want: "403 forbidden", each: []string{"GET /api/v1/users/me/data-export", "POST /api/v1/users/me/deletion-request", "GET /api/v1/users/me", "GET /api/v1/users/me/"}},
		{tried: "to read the keys of stored MCP servers, where the server shows them (before 1.13): `/api/v2/mcp/servers`",
			happens: "403", to: "old", request: "{it} HTTP/1.1\nHost: {old}\n" + asWhole + "\n", want: "403 forbidden",
			each: []string{"GET /api/v2/mcp/servers", "GET /api/v2/mcp/servers/", "GET /api/v2/mcp/servers/x", "POST /api/v2/mcp/servers/x", "GET /api/v1/mcp/servers/x"}},
		{tried: "another method in a header or the query: `X-HTTP-Method-Override: POST`, `?_method=POST`",
			happens: "sent as the GET that it is, which lists keys without showing them", want: "200", sent: func(t *testing.T, s seen) {
				if !strings.HasPrefix(s.line, "GET ") {
					t.Error(s.line)
				}
			},
			request: "GET /api/v1/api_key/{it}\n" + asWhole + "\n",
			each:    []string{" HTTP/1.1\nHost: {prod}\nX-HTTP-Method-Override: POST", " HTTP/1.1\nHost: {prod}\nX-Method-Override: POST", "?_method=POST HTTP/1.1\nHost: {prod}"}},
		{tried: "the account, with a client that has the scope `run`: flows, keys, variables, files, users, the session, the interface itself",
			happens: "403", request: line(asRunner), want: "403 forbidden",
			each: []string{"GET /api/v1/flows/", "POST /api/v1/flows/", "GET /api/v1/api_key/", "GET /api/v1/variables/", "POST /api/v1/variables/", "GET /api/v1/users/whoami", "GET /api/v1/session",
				"GET /api/v1/projects/", "POST /api/v1/projects/", "GET /api/v2/files", "GET /api/v2/mcp/servers", "GET /api/v1/files/download/x/y", "POST /api/v1/build/x/flow", "POST /api/v1/custom_component",
				"POST /api/v1/validate/code", "GET /openapi.json", "GET /", "GET /api/v1/runs", "GET /api/v1/run_x", "GET /api/v1/monitor/messages", "POST /api/v1/mcp/project/x/install", "GET /x/api/v1/run/y"}},
		{tried: "a project's settings, with the scope `run`, `tweak` or `edit`: `PATCH /mcp/project/ID` with `{\"auth_settings\":{\"auth_type\":\"none\"}}` would make its tools public from then on",
			happens: "403: a rule names its methods, and a writing route is for `run` only if it runs something (TestRunWritesNothing, over every route of every version)", run: each(
				[]string{"PATCH /api/v1/mcp/project/x", "PATCH /api/v1/mcp/project/x/", "PATCH /api/v1/mcp/project/%78"}, "run", "tweaker", "editor")},
		{tried: "who may do what, with the scope `edit`, `run` or even `proxy`: `POST /authz/roles`, `/authz/teams/ID/members`, `/authz/role-assignments`, `/authz/shares`",
			happens: "403", run: each(
				[]string{"POST /api/v1/authz/roles", "PATCH /api/v1/authz/roles/x", "DELETE /api/v1/authz/roles/x", "POST /api/v1/authz/role-assignments", "POST /api/v1/authz/teams", "POST /api/v1/authz/teams/x/members",
					"POST /api/v1/authz/shares", "POST /api/v1/authz/made-up", "POST /x/api/v1/authz/roles/"}, "run", "editor", "whole")},
		{tried: "what takes code, reaches stored credentials or is an administrator's, with the scope `edit`: `/custom_component`, `/validate/code`, `/mcp/servers`, `/variables`, `/connections`, `/triggers`, `/agentic`, policies",
			happens: "403, and the answer names the scope that is lacking", run: each(
				[]string{"POST /api/v1/custom_component", "POST /api/v1/custom_component/update", "POST /api/v1/validate/code", "POST /api/v2/mcp/servers/x", "GET /api/v2/mcp/servers", "PATCH /api/v1/variables/x",
					"POST /api/v1/connections", "POST /api/v1/triggers", "POST /api/v1/agentic/assist", "PUT /api/v1/policy-bundle", "PUT /api/v1/catalog-policy/components", "POST /api/v1/data-subjects/erase", "GET /logs"},
				"run", "tweaker", "editor")},
		{tried: "the key of a stored MCP server, by a change of its URL alone: `PATCH /mcp/servers/NAME` with `{\"url\":\"http://evil.example/\"}`, with the scope `proxy`",
			happens: "403: Langflow keeps the key and sends it there; a server can be made anew, without it", request: line(asWhole), want: "403 forbidden",
			each: []string{"PATCH /api/v2/mcp/servers/x", "PATCH /api/v2/mcp/servers/x/", "PATCH /api/v1/mcp/servers/x", "PATCH /x/api/v2/mcp/servers/x"}},
		{tried: "the account's MCP servers, which Langflow has in a file of the account's, by an upload of that name with the scope `tweak`, plain, escaped, in capitals, or by `PUT /files/ID?name=` with the scope `edit`",
			happens: "403; one too large to be held ends before its end is sent (TestUploadRefused)", run: func(t *testing.T, b *between) {
				for _, it := range []string{`filename="_mcp_servers_1.json"`, `filename="_MCP_servers_1.json"`, "filename*=UTF-8''%5fmcp_servers_1.json", `filename=_mcp_servers_1.json`, `filename="../x"`} {
					b.words["it"] = it
					body := "--b\r\nContent-Disposition: form-data; name=\"file\"; " + it + "\r\n\r\n{}\r\n--b--\r\n"
					if got := b.send(t, "prod", "POST /api/v2/files"+toProd+"X-Api-Key: {tweaker}\nContent-Type: multipart/form-data; boundary=b\nContent-Length: "+strconv.Itoa(len(body))+"\n\n"+strings.ReplaceAll(body, "\r\n", "\n"), 1); got != "403 forbidden" {
						t.Errorf("%s: %s", it, got)
					}
				}
				if reached := b.server.take(); len(reached) != 0 {
					t.Errorf("the server gets %v", reached)
				}
				each([]string{"PUT /api/v2/files/x?name=_mcp_servers_1"}, "tweaker", "editor")(t, b)
			}},
		{tried: "the server's whole database: `POST /migration/backup/database`", happens: "403", request: line(asWhole), want: "403 forbidden",
			each: []string{"POST /api/v1/migration/backup/database", "POST /api/v1/migration/secret-key/verify", "PUT /api/v1/migration/destinations"}},
		{tried: "a route that is made up, or a method that a route does not have: `POST /api/v1/made-up`, `PUT /flows`, `POST /api/v3/run/x`",
			happens: "403 to every scope, and the answer names `unknown_routes`, with which the scope `proxy` alone may", run: func(t *testing.T, b *between) {
				made := []string{"POST /api/v1/made-up", "PUT /api/v1/flows", "POST /api/v3/run/x", "GET /made-up", "BREW /api/v1/run/x", "GET /api/v1/run/x"}
				each(made, "run", "tweaker", "editor", "whole")(t, b)
				for _, it := range made {
					b.words["it"] = it
					b.try(t, trick{to: "open", request: "{it} HTTP/1.1\nHost: {open}\nX-Api-Key: {editor}\n\n", want: "403 forbidden"})
					b.try(t, trick{to: "open", request: "{it} HTTP/1.1\nHost: {open}\n" + asWhole + "\n", want: "200"})
				}
			}},
		{tried: "what that scope is for: `/run`, `/responses`, `/webhook`",
			happens: "200: nothing honest is refused", request: "{it}" + toProd + asRunner + "Content-Type: application/json\nContent-Length: 2\n\n{}", want: "200",
			each: []string{"POST /api/v1/run/x", "POST /api/v1/run/advanced/x", "POST /api/v1/responses", "POST /api/v1/webhook/x"}},
		{tried: "and to list and call tools, over each way to MCP", happens: "200", want: "200",
			request: "POST {it}" + toProd + asRunner + "Content-Type: application/json\nContent-Length: 46\n\n" + `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
			each:    []string{"/api/v1/mcp/streamable", "/api/v1/mcp/project/x/streamable", "/api/v1/mcp/?session_id=x", "/api/v1/mcp/project/x/?session_id=x"}},
		{tried: "and to read: a stream of MCP, `/health`, `/version`",
			happens: "200", request: "{it}" + toProd + asRunner + "\n", want: "200",
			each: []string{"GET /api/v1/mcp/sse", "GET /health", "GET /health_check", "GET /api/v1/version"}},
		{tried: "a session, which takes a token and no key: `GET /session`",
			happens: "the server gets a bearer and the client only the answer", request: "GET {it}" + toProd + asWhole + "\n", want: "200", each: []string{"/api/v1/session", "/api/v1/session/", "/api/v1/s%65ssion"}},
	})
}

// Tools put their key in many places.
func TestAttackProxyCallers(t *testing.T) {
	const version = "GET /api/v1/version"
	places := func(token string) []string {
		return []string{
			version + toProd + "X-Api-Key: " + token + "\n", version + toProd + "Authorization: Bearer " + token + "\n", version + "?x-api-key=" + token + toProd,
			version + "?a=b&X-Api-Key=" + token + toProd, version + "?%78-api-key=" + token + toProd, version + toProd + "authorization: BEARER  " + token + "\n",
		}
	}
	everywhere := func(token, want string) func(*testing.T, *between) {
		return func(t *testing.T, b *between) {
			for _, place := range places(token) {
				b.words["it"] = ""
				b.try(t, trick{request: place + "\n", want: want})
			}
		}
	}
	tricks(t, "TestAttackProxyCallers", []trick{
		{tried: "no token; a client's in each place that one may be: `x-api-key`, `Authorization: Bearer`, `?x-api-key=`, in any case",
			happens: "401; and 200, with nothing of the token on the way to the server", run: func(t *testing.T, b *between) {
				b.try(t, trick{request: version + toProd + "\n", want: "401 unauthorized"})
				everywhere("{whole}", "200")(t, b)
			}},
		{tried: "a wrong token in each place, a part of a right one, one with more, one in another case",
			happens: "401", run: func(t *testing.T, b *between) {
				whole := b.words["whole"]
				for _, token := range []string{"lk_" + strings.Repeat("A", 43), whole[:45], whole[:20], whole[3:], whole + "A", strings.ToUpper(whole), "lk_", "%00", "sk-stale"} {
					everywhere(token, "401 unauthorized")(t, b)
				}
			}},
		{tried: "the owner's token, in each place: it would give a tool every right", happens: "403", run: everywhere("{owner}", "403 forbidden")},
		{tried: "a client of another profile", happens: "403", run: everywhere("{stranger}", "403 forbidden")},
		{tried: "a client with `read`, `token`, `api-key` and `manage`, but neither `run` nor `proxy`", happens: "403", run: everywhere("{reader}", "403 forbidden")},
		{tried: "a token that was revoked, and one whose time is over", happens: "401", run: func(t *testing.T, b *between) {
			everywhere("{revoked}", "401 unauthorized")(t, b)
			for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(50 * time.Millisecond) {
				b.words["it"] = ""
				if b.send(t, "prod", version+toProd+"X-Api-Key: {over}\n\n", 1) == "401 unauthorized" {
					break
				}
			}
			b.server.take()
			everywhere("{over}", "401 unauthorized")(t, b)
		}},
		{tried: "what the server itself takes: its access token, and the managed key", happens: "401: whoever has one needs no proxy", run: func(t *testing.T, b *between) {
			everywhere("{access}", "401 unauthorized")(t, b)
			everywhere("{key}", "401 unauthorized")(t, b)
		}},
		{tried: "the right token where the proxy does not look: a cookie, `api_key` as header or query, `?token=`, Basic, `Proxy-Authorization`, the body",
			happens: "401", request: "{it}\n\n", want: "401 unauthorized",
			each: []string{version + " HTTP/1.1\nHost: {prod}\nCookie: x-api-key={whole}", version + " HTTP/1.1\nHost: {prod}\napi_key: {whole}", version + "?api_key={whole} HTTP/1.1\nHost: {prod}",
				version + "?token={whole} HTTP/1.1\nHost: {prod}", version + " HTTP/1.1\nHost: {prod}\nAuthorization: Basic {whole}", version + " HTTP/1.1\nHost: {prod}\nAuthorization: {whole}",
				version + " HTTP/1.1\nHost: {prod}\nProxy-Authorization: Bearer {whole}", "POST /api/v1/version HTTP/1.1\nHost: {prod}\nContent-Length: 56\n\nx-api-key={whole}"}},
		{tried: "two of ours, a wrong one first: in two headers, in header and query, in header and bearer",
			happens: "401: the first of ours counts", request: version + "{it}\n\n", want: "401 unauthorized",
			each: []string{" HTTP/1.1\nHost: {prod}\nX-Api-Key: lk_wrong\nX-Api-Key: {whole}", "?x-api-key={whole} HTTP/1.1\nHost: {prod}\nX-Api-Key: lk_wrong",
				" HTTP/1.1\nHost: {prod}\nAuthorization: Bearer {whole}\nX-Api-Key: {revoked}", "?x-api-key=lk_wrong&x-api-key={whole} HTTP/1.1\nHost: {prod}"}},
		{tried: "two, of which the narrower comes first: a client that only runs flows, with the whole account's token behind it",
			happens: "403: rights do not add up", request: "GET /api/v1/flows/{it}\n\n", want: "403 forbidden",
			each: []string{" HTTP/1.1\nHost: {prod}\nX-Api-Key: {run}\nX-Api-Key: {whole}", "?x-api-key={whole} HTTP/1.1\nHost: {prod}\nAuthorization: Bearer {run}"}},
		{tried: "a right token beside stale keys of the server's, in every place that Langflow reads one from",
			happens: "200, and none of them gets there", want: "200", request: "GET /api/v1/users/whoami?x-api-key=sk-stale&api_key=stale&API_KEY=stale&x%2dapi-key=stale" + toProd + asWhole + "{it}\n\n",
			each: []string{"Authorization: Bearer stale", "X-Api-Key: sk-stale", "api_key: stale", "API_KEY: stale", "Cookie: access_token_lf=stale; apikey_tkn_lflw=stale", "X-Langflow-Mcp-Composer-Token: stale",
				"Proxy-Authorization: Basic stale"},
			sent: sentAs("GET /api/v1/users/whoami")},
		{tried: "stale credentials in a WebSocket's query, which takes `token` as well", happens: "200 or 101, without them", want: "200",
			request: "GET /api/v1/voice/ws/flow_tts/x?token=stale&a=b&api_key=stale&Token=stale" + toProd + asWhole + "Connection: Upgrade\nUpgrade: websocket\n\n", sent: sentAs("GET /api/v1/voice/ws/flow_tts/x?a=b")},
	})
}

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

// What browsers send, who else sends something like it, and WebSockets.
func TestAttackProxyPages(t *testing.T) {
	const (
		version   = "GET /api/v1/version"
		preflight = "OPTIONS /api/v1/run/x" + toProd + "Origin: {it}\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-api-key\nAccess-Control-Request-Private-Network: true\n\n"
		socket    = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
	)
	// passed sends a request and returns the answer's headers.
	passed := func(t *testing.T, b *between, text string) http.Header {
		t.Helper()
		c := b.dial(t, "prod")
		_, _ = io.WriteString(c, fill(b.words, text))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return res.Header
	}
	tricks(t, "TestAttackProxyPages", []trick{
		{tried: "DNS rebinding: a Host that is not the proxy's own, another port's, the metadata address, with a dot at the end, none",
			happens: "421", request: version + " HTTP/1.1\nHost: {it}\n" + asWhole + "\n", want: "421 forbidden-host",
			each: []string{"evil.example", "{rooted}", "localhost.:1", "127.0.0.1", "169.254.169.254", ""}},
		{tried: "an Origin that nobody allowed: another site, `null`, another port of this computer, one that begins like an allowed one, two",
			happens: "403", request: version + toProd + asWhole + "Origin: {it}\n\n", want: "403 forbidden-origin",
			each: []string{"http://evil.example", "null", "http://127.0.0.1:3000", "http://app.example.evil.example", "https://app.example", "http://app.example:80", "http://app.example/",
				"HTTP://app.example", "http://app.example\nOrigin: http://evil.example", "http://app.example\nOrigin: http://app.example"}},
		{tried: "what a browser marks as another site's: `Sec-Fetch-Site: cross-site` or `same-site`, a navigation to the proxy too",
			happens: "403", request: version + toProd + asWhole + "Sec-Fetch-Site: {it}\n\n", want: "403 forbidden-origin",
			each: []string{"cross-site", "same-site", "cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"}},
		{tried: "through a reverse proxy: `Forwarded`, any `X-Forwarded-*`", happens: "403", request: version + toProd + asWhole + "{it}\n\n", want: "403 forbidden-origin",
			each: []string{"X-Forwarded-Host: evil.example", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Prefix: /x", "Forwarded: host=evil.example"}},
		{tried: "a preflight of a page that nobody allowed", happens: "403", request: preflight, want: "403 forbidden-origin", each: []string{"http://evil.example", "null"}},
		{tried: "a preflight of an allowed page", happens: "204 without a token, for that Origin alone, and the server never hears of it", run: func(t *testing.T, b *between) {
			b.words["it"] = "http://app.example"
			h := passed(t, b, preflight)
			if h.Get("Access-Control-Allow-Origin") != "http://app.example" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Access-Control-Allow-Private-Network") != "" || h.Get("Vary") != "Origin" {
				t.Errorf("the preflight is answered %v", h)
			}
			if got := b.server.take(); len(got) != 0 {
				t.Errorf("the server is asked %v", got)
			}
		}},
		{tried: "an allowed page without a token", happens: "401", request: "{it}" + toProd + "Origin: http://app.example\n\n", want: "401 unauthorized", each: []string{version, "OPTIONS /api/v1/run/x"}},
		{tried: "an allowed page with a token, where the server answers `Access-Control-Allow-Origin: *` and `…-Credentials: true`, early hints included",
			happens: "200, for that Origin alone, once", run: func(t *testing.T, b *between) {
				b.server.answers(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Access-Control-Allow-Origin", "*")
					w.Header().Set("Access-Control-Allow-Credentials", "true")
					w.WriteHeader(http.StatusEarlyHints)
				})
				defer b.server.answers(nil)
				h := passed(t, b, version+toProd+asWhole+"Origin: http://app.example\nSec-Fetch-Site: cross-site\n\n")
				if got := h.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "http://app.example" || h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("the answer has %v", h)
				}
				if h = passed(t, b, version+toProd+asWhole+"\n"); len(h.Values("Access-Control-Allow-Origin")) != 0 {
					t.Errorf("without an Origin the answer has %v", h)
				}
				b.server.take()
			}},
		{tried: "a WebSocket with its token in `?token=`, where Langflow takes one", happens: "401: that is no place for a client's", request: "GET /api/v1/voice/ws/flow_tts/x?token={whole}" + toProd + socket + "\n", want: "401 unauthorized"},
		{tried: "a WebSocket of a page that nobody allowed, whose Origin is all that tells it from a program's", happens: "403",
			request: "GET /api/v1/voice/ws/flow_tts/x?x-api-key={whole}" + toProd + socket + "Origin: {it}\n\n", want: "403 forbidden-origin", each: []string{"http://evil.example", "null"}},
		{tried: "a WebSocket with a client that only runs flows", happens: "403", request: "GET /api/v1/voice/ws/flow_tts/x?x-api-key={run}" + toProd + socket + "\n", want: "403 forbidden"},
		{tried: "a server that switches protocols though nobody asked, or to another than was asked for", happens: "502", run: func(t *testing.T, b *between) {
			for protocol, ask := range map[string]string{"websocket": "/api/v1/flows/" + toProd, "h2c": "/api/v1/voice/ws/flow_tts/x" + toProd + socket} {
				b.server.answers(hijacked("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: " + protocol + "\n\n"))
				if got := b.send(t, "prod", "GET "+ask+asWhole+"\n", 1); got != "502 server-unreachable" {
					t.Errorf("%s: %s", protocol, got)
				}
			}
			b.server.answers(nil)
			b.server.take()
		}},
		{tried: "curl, Python, Node's `fetch` (`Sec-Fetch-Mode: cors` alone), Electron (`Sec-Fetch-Site: none`), the proxy's own Origin",
			happens: "200: nobody honest is refused, and the server sees none of it", request: version + toProd + asWhole + "{it}\n\n", want: "200",
			each: []string{"User-Agent: curl/8.14.1\nAccept: */*", "User-Agent: node\nAccept-Language: *\nSec-Fetch-Mode: cors", "Sec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty",
				"Origin: http://{prod}\nSec-Fetch-Site: same-origin", "Cookie: session=of-another-port"}},
		{tried: "what a gateway or framework behind the proxy could take for a route, a method, a client's address or a signed-in user: `X-Original-URL`, `X-Rewrite-URL`, `X-HTTP-Method-Override`, `X-Real-IP`, `Remote-User`, `X-Consumer-Username`, names with `_`",
			happens: "200, and the server gets none of them: only headers that are known pass", want: "200", request: version + toProd + asWhole + "{it}: evil\n\n",
			each: []string{"X-Original-URL", "X-Rewrite-URL", "X-Host", "X-Original-Host", "X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method", "Remote-User", "X-Remote-User", "X-User", "X-Auth-Request-User",
				"X-Consumer-Username", "X-Goog-Authenticated-User-Email", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Forwarded", "X_Forwarded_For", "X_Original_URL", "Remote_User", "X_Api_Key", "X-Api_Key",
				"X_Langflow_Global_Var_A", "Via", "Proxy", "Client-IP", "X-ProxyUser-Ip", "X-Cluster-Client-IP", "SOAPAction", "Destination", "Max-Forwards", "X-Accel-Internal", "Surrogate-Capability", "Referer", "Expect-CT"},
			sent: func(t *testing.T, s seen) {
				for name, values := range s.header {
					if strings.Contains(strings.Join(values, ","), "evil") {
						t.Errorf("the server gets %s", name)
					}
				}
			}},
		{tried: "what tools send to Langflow: `X-LANGFLOW-GLOBAL-VAR-*`, `X-Langflow-Client`, `Mcp-Session-Id`, tracing", happens: "200, and the server gets them", want: "200",
			request: "POST /api/v1/mcp/streamable" + toProd + asWhole + "X-LANGFLOW-GLOBAL-VAR-A: v\nX-LANGFLOW-GLOBAL-VAR-B_C: w\nX-Langflow-Client: c\nMcp-Session-Id: s\ntraceparent: t\n\n", sent: func(t *testing.T, s seen) {
				if s.header.Get("X-Langflow-Global-Var-A") != "v" || s.header.Get("X-Langflow-Global-Var-B_c") != "w" || s.header.Get("Traceparent") != "t" || s.header.Get("X-Langflow-Client") != "c" || s.header.Get("Mcp-Session-Id") != "s" {
					t.Errorf("the server gets %v", s.header)
				}
			}},
	})
}

// hijacked answers with raw text, in which \n is a line's end, and then closes
// the connection.
func hijacked(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the client has gone
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
	}
}

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
	tricks(t, "TestAttackProxyAnswers", []trick{
		{tried: "`Set-Cookie`, which a browser would send to every port of this computer: in any case, several, in early hints, in a trailer",
			happens: "none of them gets through", run: func(t *testing.T, b *between) {
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
			}},
		{tried: "`Location` on the server itself: with another scheme, with its port, without one, in another case, without a scheme, escaped, with a dot at the end, with a user name; `Content-Location` likewise",
			happens: "leads to the proxy, without a user name: no client follows it in clear text", run: func(t *testing.T, b *between) {
				host := strings.TrimPrefix(b.server.URL, "http://")
				for _, location := range []string{"http://" + host + "/x?y", "HTTP://" + host + "/x?y", "http://ann:pw@" + host + "/x?y", "https://" + host + "/x?y", "//" + host + "/x?y",
					"http://127.0.0.1/x?y", "https://127.0.0.1:443/x?y", "http://127%2e0.0.1/x?y", "http://127.0.0.1./x?y", "\\\\127.0.0.1\\x?y", "http:127.0.0.1/x?y"} {
					if got := through(t, b, hijacked("HTTP/1.1 307 Temporary Redirect\nLocation: "+location+"\nContent-Location: "+location+"\nContent-Length: 0\n\n"), ""); strings.Count(got, "Location: "+fill(b.words, "http://{prod}/x?y")+"\r\n") != 2 {
						t.Errorf("%s becomes %q", location, got)
					}
				}
			}},
		{tried: "headers that are orders to a browser, or lead it away: `Clear-Site-Data`, `Alt-Svc`, `Refresh`, `Link`, `Service-Worker-Allowed`, `Strict-Transport-Security`, `NEL`, `Report-To`, `WWW-Authenticate`, `Timing-Allow-Origin`, any that is not known",
			happens: "none of them gets through", run: func(t *testing.T, b *between) {
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
			}},
		{tried: "`Location` elsewhere: the metadata address, another port here, `//evil.example`, one that only begins like the server",
			happens: "passed on as it is; the proxy follows nothing", run: func(t *testing.T, b *between) {
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
			}},
		{tried: "header injection: a line's end, a bare CR or a NUL in a header, a name with a blank",
			happens: "502, or no header that the server did not send", run: func(t *testing.T, b *between) {
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
			}},
		{tried: "an answer that is another protocol's: SSH, TLS, HTTP/2, HTTP/0.9, a status that is none, nothing at all",
			happens: "502", run: func(t *testing.T, b *between) {
				for _, text := range []string{"SSH-2.0-OpenSSH_9.6\n", "\x15\x03\x01\x00\x02\x02\x28", "PRI * HTTP/2.0\n\nSM\n\n", "<html>", "HTTP/1.1 xxx OK\n\n", "HTTP/1.1 -200 OK\n\n", "HTTP/1.1 99999 OK\n\n", ""} {
					if got := through(t, b, hijacked(text), ""); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
						t.Errorf("%q becomes %q", text, got)
					}
				}
			}},
		{tried: "smuggling back: `Content-Length` twice, with chunks, more or less than it says, an answer after the answer",
			happens: "502, or one answer, framed once; the next request gets its own", run: func(t *testing.T, b *between) {
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
			}},
		{tried: "`Connection` that names headers of the answer, or of the proxy: `Connection: content-length, cache-control`",
			happens: "one answer, whole", run: func(t *testing.T, b *between) {
				got := through(t, b, hijacked("HTTP/1.1 200 OK\nContent-Length: 4\nConnection: content-length, x-gone\nX-Gone: 1\nKeep-Alive: 1\nProxy-Authenticate: Basic\n\nfine"), "")
				if !strings.HasSuffix(got, "fine") && !strings.HasSuffix(got, "4\r\nfine\r\n0\r\n\r\n") || strings.Contains(got, "X-Gone") || strings.Contains(got, "Proxy-Authenticate") {
					t.Errorf("%q", got)
				}
			}},
		{tried: "a megabyte of headers, ten thousand of them, early hints without end", happens: "502", run: func(t *testing.T, b *between) {
			for _, text := range []string{
				ok + "X: " + strings.Repeat("x", 1<<20) + "\n\nfine", ok + strings.Repeat("X: y\n", 20000) + "\nfine", strings.Repeat("HTTP/1.1 103 Early Hints\nLink: </x>\n\n", 100000),
			} {
				if got := through(t, b, hijacked(text), ""); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
					t.Errorf("%.60q becomes %.200q", text, got)
				}
			}
		}},
		{tried: "\"Invalid API key\" for ever, from a route or a gateway that refuses good keys", happens: "the key is tried once in 10 s, however many ask, and stays; the client gets the 403", run: func(t *testing.T, b *between) {
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
		}},
		{tried: "a refusal that is compressed a thousandfold", happens: "4 KiB of it are looked at; the client gets it as it is", run: func(t *testing.T, b *between) {
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
		}},
	})
}

// gzipped compresses text.
func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // into memory
	_ = w.Close()
	return b.Bytes()
}

// elsewhere is a place where nobody must go.
type elsewhere struct {
	url string

	mu    sync.Mutex // protects the following
	heard []string   // what came first, of each connection
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &elsewhere{url: "http://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			n := len(e.heard)
			e.heard = append(e.heard, "")
			e.mu.Unlock()
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // fails only on a closed connection
				first := make([]byte, 4<<10)
				got, _ := c.Read(first) // whatever there is
				e.mu.Lock()
				e.heard[n] = string(first[:got])
				e.mu.Unlock()
			}()
		}
	}()
	return e
}

// carried is what came, but for a question of the agent's own for a version, and the
// way to ask it, that carry no credential.
func (e *elsewhere) carried() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, heard := range e.heard {
		low := strings.ToLower(heard)
		question := strings.HasPrefix(heard, "GET /api/v1/version HTTP/1.1\r\n") || strings.HasPrefix(heard, "CONNECT ")
		for _, credential := range []string{"authorization:", "cookie:", "x-api-key:", strings.ToLower(password)} {
			question = question && !strings.Contains(low, credential)
		}
		if heard != "" && !question {
			all = append(all, heard)
		}
	}
	return all
}

// asked is how many connections came.
func (e *elsewhere) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.heard)
}
