package trials

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

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
	_, b.words["prod's port"], _ = strings.Cut(b.words["prod"], ":")
	origins := []string{"http://app.example"}
	hosts := []string{"host.docker.internal"}
	if _, err := b.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{ProxyAllowOrigins: &origins, ProxyAllowHosts: &hosts}); err != nil {
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

// sight is what must have reached the server, and how the document says it.
type sight struct {
	says string
	look func(*testing.T, seen)
}

// trick is a trial of a proxy. It is a request, once for each {it}, or anything
// else.
type trick struct {
	tried   string
	to      string // the profile whose proxy it is sent to; "": prod
	request string // \n is a line's end
	each    []string
	want    string // the answers; every 200 and 101 is the server's, and no other may come of what reached it
	why     string // that is right, for the document
	sent    sight
	run     func(*testing.T, *between) (happened string)
}

// said are the words for the effect that it must have.
func (c trick) said() string {
	said := answersSaid(c.want)
	if c.sent.says != "" {
		said += ", " + c.sent.says
	}
	return because(said, c.why)
}

// tricks tries them on one agent.
func tricks(t *testing.T, all []trick) {
	t.Helper()
	b := newBetween(t)
	var trials []trial
	for _, c := range all {
		trials = append(trials, trial{c.tried, func(t *testing.T) string {
			if c.run != nil {
				return because(c.run(t, b), c.why)
			}
			for _, it := range append(c.each, "")[:max(1, len(c.each))] {
				b.words["it"] = it
				b.try(t, c)
			}
			return c.said()
		}})
	}
	runTrials(t, trials)
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
		if c.sent.look != nil {
			c.sent.look(t, s)
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

// nothingSent wants no request to have reached the server prod since the last look,
// and says so.
func (b *between) nothingSent(t *testing.T) (happened string) {
	t.Helper()
	if reached := b.server.take(); len(reached) != 0 {
		t.Errorf("%d requests reached the server: %v", len(reached), reached)
	}
	return "nothing is sent"
}

// naming wants the answer to a request at prod's proxy to have a name in it, and says so.
func (b *between) naming(t *testing.T, request, name string) (happened string) {
	t.Helper()
	c := b.dial(t, "prod")
	_, _ = io.WriteString(c, fill(b.words, request)) // that it fails shows below
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !bytes.Contains(body, []byte(name)) {
		t.Errorf("%q is not named: %s, %v", name, body, err)
	}
	return ", and the answer names `" + name + "`"
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

// sentAs wants a request's first words to be sent so.
func sentAs(want string) sight {
	return sight{"sent as `" + want + "`", func(t *testing.T, s seen) {
		t.Helper()
		if s.line != want {
			t.Errorf("what was sent is %q, want %q", s.line, want)
		}
	}}
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
