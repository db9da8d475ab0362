package guard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

const ownerToken1 = "lk_owner-0123456789012345678901234567890123456"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// people is an authority with the owner, a page and a client.
type people map[string]*Caller

func (p people) Lookup(token string) (*Caller, bool) {
	c, ok := p[token]
	return c, ok
}

func (p people) Secret(id string) (proof.Secret, bool) {
	for token := range p {
		if s := proof.Of(secret.New(token)); s.Named(id) {
			return s, true
		}
	}
	return proof.Secret{}, false
}

var callers = people{
	ownerToken1: {Name: "owner", Owner: true},
	"lk_page":   {Name: "page", Page: true, Scopes: []Scope{Read, Manage, Owner}},
	"lk_client": {Name: "script", Scopes: []Scope{Read, Token}, Profiles: []string{"prod"}},
	"lk_lease":  {Name: "exec-0a1b2c3d", Root: "script", Scopes: []Scope{Read}, Profiles: []string{"prod"}},
	"lk_other":  {Name: "other", Scopes: []Scope{Read}, Profiles: []string{"prod"}},
}

// fakeRaw is the end of a connection that is never used.
type fakeRaw struct {
	rawConn
	local, remote net.Addr
}

func (f fakeRaw) LocalAddr() net.Addr  { return f.local }
func (f fakeRaw) RemoteAddr() net.Addr { return f.remote }

func tcpAddr(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func fakeTCP() *conn {
	c := newConn(fakeRaw{local: tcpAddr("127.0.0.1:17860"), remote: tcpAddr("127.0.0.1:40000")})
	c.listener = guarded(nil, 4)
	return c
}

// fakeSocket is a connection to the socket whose other end was looked up.
func fakeSocket(uid uint32, err error) *conn {
	c := newConn(fakeRaw{local: &net.UnixAddr{Name: "s"}, remote: &net.UnixAddr{}})
	c.listener = guarded(nil, 4)
	c.peerOnce.Do(func() { c.uid, c.peerErr = uid, err })
	return c
}

func request(t *testing.T, c *conn, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r.WithContext(context.WithValue(context.Background(), connKey{}, c))
}

func guardFor(uid uint32, err error) *Guard {
	g := New(Config{Authority: callers, Log: quiet()})
	g.self = 1000
	g.lookUp = func(_, _ netip.AddrPort) (peer, error) { return peer{uid: uid}, err }
	return g
}

func kind(p *client.Problem) string {
	if p == nil {
		return ""
	}
	return p.Kind()
}

const (
	bearerLine = "\nAuthorization: Bearer " + ownerToken1
	get        = "GET /v1/status HTTP/1.1\nHost: 127.0.0.1:17860"
	authed     = get + bearerLine
	post       = "POST /v1/profiles HTTP/1.1\nHost: 127.0.0.1:17860"
	ours       = "\nOrigin: http://127.0.0.1:17860"
)

func host(h string) string { return "GET /v1/status HTTP/1.1\nHost: " + h + bearerLine }

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		request string
		want    string // problem, empty if let through
	}{
		{"the owner's token", authed, ""},
		{"localhost", host("localhost:17860"), ""},
		{"IPv6", host("[::1]:17860"), ""},
		{"HTTP/1.0 with the Host", strings.Replace(authed, "1.1\n", "1.0\n", 1), ""},

		{"rebound name", host("evil.example:17860"), client.TypeForbiddenHost},
		{"no port", host("127.0.0.1"), client.TypeForbiddenHost},
		{"another port", host("127.0.0.1:17861"), client.TypeForbiddenHost},
		{"port with a zero in front", host("127.0.0.1:017860"), client.TypeForbiddenHost},
		{"trailing dot", host("localhost.:17860"), client.TypeForbiddenHost},
		{"upper case", host("LOCALHOST:17860"), client.TypeForbiddenHost},
		{"user in the Host", host("127.0.0.1:17860@evil.example"), client.TypeForbiddenHost},
		{"user before the Host", host("evil@127.0.0.1:17860"), client.TypeForbiddenHost},
		{"another loopback address", host("127.0.0.2:17860"), client.TypeForbiddenHost},
		{"short loopback address", host("127.1:17860"), client.TypeForbiddenHost},
		{"decimal address", host("2130706433:17860"), client.TypeForbiddenHost},
		{"any address", host("0.0.0.0:17860"), client.TypeForbiddenHost},
		{"IPv6 without brackets", host("::1:17860"), client.TypeForbiddenHost},
		{"long IPv6", host("[0:0:0:0:0:0:0:1]:17860"), client.TypeForbiddenHost},
		{"mapped IPv6", host("[::ffff:127.0.0.1]:17860"), client.TypeForbiddenHost},
		{"IPv6 with a zone", host("[::1%25lo]:17860"), client.TypeForbiddenHost},
		{"subdomain of localhost", host("a.localhost:17860"), client.TypeForbiddenHost},
		{"HTTP/1.0 without Host", "GET /v1/status HTTP/1.0" + bearerLine, client.TypeForbiddenHost},
		{"empty Host", host(""), client.TypeForbiddenHost},

		{"absolute target", strings.Replace(authed, "/v1", "http://127.0.0.1:17860/v1", 1), client.TypeBadRequest},
		{"absolute target elsewhere", strings.Replace(authed, "/v1", "http://evil.example/v1", 1), client.TypeBadRequest},
		{"CONNECT", "CONNECT 127.0.0.1:17860 HTTP/1.1\nHost: 127.0.0.1:17860" + bearerLine, client.TypeBadRequest},
		{"CONNECT to a path", "CONNECT /v1/status HTTP/1.1\nHost: 127.0.0.1:17860" + bearerLine, client.TypeBadRequest},
		{"asterisk", "OPTIONS * HTTP/1.1\nHost: 127.0.0.1:17860" + bearerLine, client.TypeBadRequest},
		{"preface of HTTP/2", "PRI * HTTP/2.0", client.TypeBadRequest},

		{"our Origin", authed + ours, ""},
		{"Origin of another name of ours", authed + "\nOrigin: http://localhost:17860", client.TypeForbiddenOrigin},
		{"Origin and Host by the same name", host("localhost:17860") + "\nOrigin: http://localhost:17860", ""},
		{"foreign Origin", authed + "\nOrigin: https://evil.example", client.TypeForbiddenOrigin},
		{"Origin on another port", authed + "\nOrigin: http://127.0.0.1:3000", client.TypeForbiddenOrigin},
		{"Origin with https", authed + "\nOrigin: https://127.0.0.1:17860", client.TypeForbiddenOrigin},
		{"Origin with a slash", authed + ours + "/", client.TypeForbiddenOrigin},
		{"Origin that begins like ours", authed + ours + ".evil.example", client.TypeForbiddenOrigin},
		{"null Origin", authed + "\nOrigin: null", client.TypeForbiddenOrigin},
		{"empty Origin", authed + "\nOrigin:", client.TypeForbiddenOrigin},
		{"two Origins", authed + ours + ours, client.TypeForbiddenOrigin},
		{"extension's Origin", authed + "\nOrigin: chrome-extension://abc", client.TypeForbiddenOrigin},
		{"foreign Referer alone", authed + "\nReferer: https://evil.example/", ""},

		{"cross-site", authed + "\nSec-Fetch-Site: cross-site", client.TypeForbiddenOrigin},
		{"page on another port", authed + "\nSec-Fetch-Site: same-site", client.TypeForbiddenOrigin},
		{"one of two is cross-site", authed + "\nSec-Fetch-Site: none\nSec-Fetch-Site: cross-site", client.TypeForbiddenOrigin},
		{"navigation to the API", authed + "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", client.TypeForbiddenOrigin},
		{"same origin", authed + "\nSec-Fetch-Site: same-origin", ""},
		{"typed by hand", authed + "\nSec-Fetch-Site: none", ""},
		{"Node's fetch", authed + "\nSec-Fetch-Mode: cors", ""},
		{"Electron", authed + "\nSec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty", ""},

		{"X-Forwarded-For", authed + "\nX-Forwarded-For: 127.0.0.1", client.TypeForbiddenOrigin},
		{"X-Forwarded-Host in lower case", authed + "\nx-forwarded-host: a", client.TypeForbiddenOrigin},
		{"empty X-Forwarded-Proto", authed + "\nX-Forwarded-Proto:", client.TypeForbiddenOrigin},
		{"Forwarded", authed + "\nForwarded: for=127.0.0.1", client.TypeForbiddenOrigin},
		{"X-Forward alone", authed + "\nX-Forward: 1", ""},

		{"no bearer", get, client.TypeUnauthorized},
		{"empty Authorization", get + "\nAuthorization:", client.TypeUnauthorized},
		{"scheme alone", get + "\nAuthorization: Bearer", client.TypeUnauthorized},
		{"another scheme", get + "\nAuthorization: Basic " + ownerToken1, client.TypeUnauthorized},
		{"no scheme", get + "\nAuthorization: " + ownerToken1, client.TypeUnauthorized},
		{"scheme in lower case", get + "\nAuthorization: bearer " + ownerToken1, ""},
		{"two spaces", get + "\nAuthorization: Bearer  " + ownerToken1, ""},
		{"tab for a space", get + "\nAuthorization: Bearer\t" + ownerToken1, client.TypeUnauthorized},
		{"prefix of a token", authed[:len(authed)-1], client.TypeUnauthorized},
		{"token and more", authed + "x", client.TypeUnauthorized},
		{"two tokens in one header", authed + ", Bearer " + ownerToken1, client.TypeUnauthorized},
		{"the same bearer twice", authed + bearerLine, client.TypeUnauthorized},
		{"a right and a wrong bearer", authed + "\nAuthorization: Bearer x", client.TypeUnauthorized},
		{"token as x-api-key", get + "\nx-api-key: " + ownerToken1, client.TypeUnauthorized},
		{"token as a cookie", get + "\nCookie: token=" + ownerToken1, client.TypeUnauthorized},

		{"page reads without Origin", get + "\nAuthorization: Bearer lk_page", ""},
		{"page writes with Origin", post + "\nAuthorization: Bearer lk_page" + ours, ""},
		{"page writes without Origin", post + "\nAuthorization: Bearer lk_page", client.TypeForbiddenOrigin},
		{"client writes without Origin", post + "\nAuthorization: Bearer lk_client", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			caller, p := guardFor(1000, nil).Check(request(t, fakeTCP(), test.request), TCP)
			if kind(p) != test.want || caller == nil && p == nil {
				t.Errorf("got %v, %q, want %q", caller, kind(p), test.want)
			}
		})
	}
}

func TestCheckSocket(t *testing.T) {
	tests := []struct {
		name    string
		uid     uint32
		err     error
		request string
		caller  string
		want    string
	}{
		{"our user", 1000, nil, "GET / HTTP/1.1\nHost: anything", "owner", ""},
		{"our user with a client's token", 1000, nil, "GET / HTTP/1.1\nHost: a\nAuthorization: Bearer lk_client", "script", ""},
		{"our user with a wrong token", 1000, nil, "GET / HTTP/1.1\nHost: a\nAuthorization: Bearer x", "", client.TypeUnauthorized},
		{"our user with another scheme", 1000, nil, "GET / HTTP/1.1\nHost: a\nAuthorization: Basic x", "", client.TypeUnauthorized},
		{"our user with an empty bearer", 1000, nil, "GET / HTTP/1.1\nHost: a\nAuthorization:", "", client.TypeUnauthorized},
		{"our user with two bearers", 1000, nil, "GET / HTTP/1.1\nHost: a" + bearerLine + bearerLine, "", client.TypeUnauthorized},
		{"our user with an Origin", 1000, nil, "GET / HTTP/1.1\nHost: a\nOrigin: http://a", "", client.TypeForbiddenOrigin},
		{"our user with an empty Origin", 1000, nil, "GET / HTTP/1.1\nHost: a\nOrigin:", "", client.TypeForbiddenOrigin},
		{"our user, forwarded", 1000, nil, "GET / HTTP/1.1\nHost: a\nForwarded: for=a", "", client.TypeForbiddenOrigin},
		{"our user, cross-site", 1000, nil, "GET / HTTP/1.1\nHost: a\nSec-Fetch-Site: cross-site", "", client.TypeForbiddenOrigin},
		{"our user, absolute target", 1000, nil, "GET http://a/ HTTP/1.1\nHost: a", "", client.TypeBadRequest},
		{"root", 0, nil, "GET / HTTP/1.1\nHost: a", "", client.TypeForbidden},
		{"root with a token", 0, nil, "GET / HTTP/1.1\nHost: a" + bearerLine, "", client.TypeForbidden},
		{"allowed user", 7, nil, "GET / HTTP/1.1\nHost: a", "", client.TypeUnauthorized},
		{"allowed user with a token", 7, nil, "GET / HTTP/1.1\nHost: a\nAuthorization: Bearer lk_client", "script", ""},
		{"nobody can tell", 1000, errors.New("no"), "GET / HTTP/1.1\nHost: a", "", client.TypeForbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := guardFor(0, nil)
			g.allowUIDs = func() []uint32 { return []uint32{7} }
			caller, p := g.Check(request(t, fakeSocket(test.uid, test.err), test.request), Socket)
			if kind(p) != test.want || caller != nil && caller.Name != test.caller || (caller == nil) != (p != nil) {
				t.Errorf("got %v, %q, want %q, %q", caller, kind(p), test.caller, test.want)
			}
		})
	}
}

func TestCheckPeer(t *testing.T) {
	tests := []struct {
		name    string
		uid     uint32
		err     error
		request string
		want    string
	}{
		{"ours", 1000, nil, authed, ""},
		{"allowed", 7, nil, authed, ""},
		{"allowed without a token", 7, nil, get, client.TypeUnauthorized},
		{"another", 1001, nil, authed, client.TypeForbidden},
		{"another without a token learns no more", 1001, nil, get, client.TypeForbidden},
		{"root", 0, nil, authed, client.TypeForbidden},
		{"gone", 0, errNobody, authed, client.TypeForbidden},
		{"gone, though ours", 1000, errNobody, authed, client.TypeForbidden},
		{"not to be told", 0, errors.New("not permitted"), authed, ""},
		{"not to be told, without a token", 0, errors.New("not permitted"), get, client.TypeUnauthorized},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := guardFor(test.uid, test.err)
			g.allowUIDs = func() []uint32 { return []uint32{7} }
			caller, p := g.Check(request(t, fakeTCP(), test.request), TCP)
			if kind(p) != test.want || caller == nil && p == nil {
				t.Errorf("got %v, %q, want %q", caller, kind(p), test.want)
			}
		})
	}
}

func TestCheckPage(t *testing.T) {
	page := "GET / HTTP/1.1\nHost: 127.0.0.1:17860"
	link := "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: "
	tests := []struct {
		name    string
		uid     uint32
		request string
		want    string
	}{
		{"no token is asked for", 1000, page, ""},
		{"HEAD", 1000, "HEAD" + page[3:], ""},
		{"a link on another site", 1000, page + link + "document", ""},
		{"in a frame", 1000, page + link + "iframe", client.TypeForbiddenOrigin},
		{"as a script", 1000, page + "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: script", client.TypeForbiddenOrigin},
		{"a form of another site", 1000, "POST" + page[3:] + link + "document", client.TypeForbiddenOrigin},
		{"a foreign Origin", 1000, page + link + "document\nOrigin: http://evil.example", client.TypeForbiddenOrigin},
		{"a foreign Host", 1000, "GET / HTTP/1.1\nHost: evil.example", client.TypeForbiddenHost},
		{"a write takes a token", 1000, "POST" + page[3:] + ours, client.TypeUnauthorized},
		{"another user", 1001, page, client.TypeForbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := guardFor(test.uid, nil)
			caller, p := g.Check(request(t, fakeTCP(), test.request), Page)
			if kind(p) != test.want {
				t.Fatalf("got %q, want %q", kind(p), test.want)
			}
			for _, s := range []Scope{Read, Token, APIKey, Run, Proxy, Manage, Owner} {
				if p == nil && (g.Require(caller, s, "") == nil || caller.Sees("prod")) {
					t.Errorf("whoever reads the page has the scope %s or sees profiles", s)
				}
			}
		})
	}
}

func TestCheckRefusesUnguardedConnections(t *testing.T) {
	g := guardFor(1000, nil)
	for name, test := range map[string]struct {
		c   *conn
		way Way
	}{
		"no connection":  {nil, TCP},
		"TCP as socket":  {fakeTCP(), Socket},
		"socket as TCP":  {fakeSocket(1000, nil), TCP},
		"socket as page": {fakeSocket(1000, nil), Page},
	} {
		r := request(t, test.c, authed)
		if test.c == nil {
			r = r.WithContext(context.Background())
		}
		if caller, p := g.Check(r, test.way); kind(p) != client.TypeInternal || caller != nil {
			t.Errorf("%s: %v, %q", name, caller, kind(p))
		}
	}
}

func TestPeerIsLookedUpOnceAConnection(t *testing.T) {
	g := guardFor(1000, nil)
	lookUps := 0
	g.lookUp = func(remote, local netip.AddrPort) (peer, error) {
		lookUps++
		if remote.String() != "127.0.0.1:40000" || local.String() != "127.0.0.1:17860" {
			t.Errorf("looked up %s to %s", remote, local)
		}
		return peer{uid: 1000}, nil
	}
	c := fakeTCP()
	for range 3 {
		if _, p := g.Check(request(t, c, authed), TCP); p != nil {
			t.Fatal(p)
		}
		c.rest()
	}
	if lookUps != 1 {
		t.Errorf("%d look-ups", lookUps)
	}
}

func TestFailedLookUpIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	g := guardFor(0, errors.New("operation not permitted"))
	g.log = slog.New(slog.NewTextHandler(&log, nil))
	if g.PeerLookup() == nil {
		t.Error("no failure before the first connection")
	}
	for range 3 {
		if _, p := g.Check(request(t, fakeTCP(), authed), TCP); p != nil {
			t.Fatal(p)
		}
	}
	if g.PeerLookup() == nil || strings.Count(log.String(), "operation not permitted") != 1 {
		t.Errorf("PeerLookup %v, log %s", g.PeerLookup(), &log)
	}
	g.lookUp = func(_, _ netip.AddrPort) (peer, error) { return peer{}, errNobody }
	if g.PeerLookup() != nil {
		t.Errorf("with look-ups that work: %v", g.PeerLookup())
	}
}

func TestRequire(t *testing.T) {
	script := callers["lk_client"]
	tests := []struct {
		name    string
		caller  *Caller
		scope   Scope
		profile string
		want    string
	}{
		{"owner", callers[ownerToken1], Proxy, "other", ""},
		{"owner alone", callers[ownerToken1], Owner, "", ""},
		{"granted", script, Token, "prod", ""},
		{"no profile named", script, Read, "", ""},
		{"not granted", script, APIKey, "prod", client.TypeForbidden},
		{"owner's route", script, Owner, "", client.TypeForbidden},
		{"profile not granted", script, Token, "other", client.TypeForbidden},
		{"page manages", callers["lk_page"], Owner, "other", ""},
		{"page gets no token", callers["lk_page"], Token, "prod", client.TypeForbidden},
		{"no profiles is not all", &Caller{Scopes: []Scope{Read}, Profiles: []string{}}, Read, "prod", client.TypeForbidden},
	}
	g := guardFor(1000, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if p := g.Require(test.caller, test.scope, test.profile); kind(p) != test.want {
				t.Errorf("got %q, want %q", kind(p), test.want)
			}
		})
	}
}

func TestRefusalsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := guardFor(1000, nil)
		g.log = slog.New(slog.NewTextHandler(&log, nil))
		nasty := "GET /v1/" + ownerToken1 + " HTTP/1.1\nHost: 127.0.0.1:17860" + bearerLine
		origins := []string{"http://a\x1b[2J\n\u009b\u202e" + strings.Repeat("b", 500), ownerToken1}
		refuse := func(times int, text string) {
			for range times {
				r := request(t, fakeTCP(), text)
				r.Header["Origin"] = origins
				if _, p := g.Check(r, TCP); p == nil {
					t.Fatal("let through")
				}
			}
		}
		refuse(100, nasty)
		if n := strings.Count(log.String(), "\n"); n != 5 {
			t.Errorf("100 refusals make %d lines", n)
		}
		time.Sleep(11 * time.Second)
		origins = origins[1:]
		refuse(1, nasty)
		if n := strings.Count(log.String(), "\n"); n != 6 || !strings.Contains(log.String(), "refusals=96") {
			t.Errorf("%d lines: %s", n, &log)
		}
		for _, c := range log.String() {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Errorf("%q in the log", c)
			}
		}
		for line := range strings.Lines(log.String()) {
			if len(line) > 500 || strings.Contains(line, "lk_") || strings.Contains(line, "0123456789") {
				t.Errorf("too long, or a token: %s", line)
			}
		}
	})
}

func TestCheckAllocatesNothing(t *testing.T) {
	g := New(Config{Authority: OwnerToken(secret.New(ownerToken1)), Log: quiet()})
	g.lookUp = func(_, _ netip.AddrPort) (peer, error) { return peer{uid: g.self}, nil }
	c := fakeTCP()
	r := request(t, c, authed)
	if n := testing.AllocsPerRun(100, func() {
		if _, p := g.Check(r, TCP); p != nil {
			t.Fatal(p)
		}
		c.rest()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkLookup has how much longer a lookup takes for a token that is wrong
// in one letter, or right, than for one that is wrong in all: the shortest of
// many turns that take turns, which is 1 but for chance.
func BenchmarkLookup(b *testing.B) {
	owner := OwnerToken(secret.New(ownerToken1))
	n := len(ownerToken1)
	guesses := []struct{ is, token string }{
		{"all-wrong", strings.Repeat("x", n)}, {"half-right", ownerToken1[:n/2] + strings.Repeat("x", n-n/2)}, {"one-letter-wrong", ownerToken1[:n-1] + "x"}, {"right", ownerToken1},
	}
	shortest := make([]time.Duration, len(guesses))
	for b.Loop() {
		for i, guess := range guesses {
			begin := time.Now()
			for range 100 { // one is too short for a clock
				owner.Lookup(guess.token)
			}
			if took := time.Since(begin); shortest[i] == 0 || took < shortest[i] {
				shortest[i] = took
			}
		}
	}
	for i, guess := range guesses[1:] {
		b.ReportMetric(float64(shortest[i+1])/float64(shortest[0]), guess.is)
	}
}

func BenchmarkCheck(b *testing.B) {
	g := New(Config{Authority: OwnerToken(secret.New(ownerToken1)), Log: quiet()})
	g.lookUp = func(_, _ netip.AddrPort) (peer, error) { return peer{uid: g.self}, nil }
	c := fakeTCP()
	r, _ := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(authed, "\n", "\r\n") + "\r\n\r\n")))
	r = r.WithContext(context.WithValue(context.Background(), connKey{}, c))
	for b.Loop() {
		_, _ = g.Check(r, TCP)
		c.rest()
	}
}

// Of all that a stranger can write, only an exact Host and the right bearer get in.
func FuzzCheck(f *testing.F) {
	f.Add(authed)
	f.Add(get + "\nOrigin: http://evil.test")
	f.Add("GET http://127.0.0.1:17860/v1/status HTTP/1.1\nHost: 127.0.0.1:17860" + bearerLine)
	f.Add(post + "\nAuthorization: Bearer lk_client\nX-Forwarded-For: 127.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n")))
		if err != nil {
			return
		}
		for _, way := range []Way{TCP, Page, Exchange} {
			asked := r.WithContext(context.WithValue(context.Background(), connKey{}, fakeTCP()))
			caller, p := guardFor(1000, nil).Check(asked, way)
			if p != nil {
				continue
			}
			origin := r.Header["Origin"]
			if !slices.Contains([]string{"127.0.0.1:17860", "localhost:17860", "[::1]:17860"}, r.Host) || len(origin) > 1 || len(origin) == 1 && origin[0] != "http://"+r.Host {
				t.Errorf("%d let in Host %q, Origin %q", way, r.Host, origin)
			}
			if way == TCP {
				token, ok := bearer(strings.Join(r.Header["Authorization"], ","))
				if known, _ := callers.Lookup(token); !ok || known != caller {
					t.Errorf("let in as %v with %q", caller, r.Header["Authorization"])
				}
			}
		}
	})
}

// Of HTTP's own port clients leave out the number, in Host and in Origin.
func TestPort80(t *testing.T) {
	for _, tt := range []struct {
		port         string
		host, origin string
		problem      string
	}{
		{"80", "127.0.0.1", "", ""},
		{"80", "localhost", "http://localhost", ""},
		{"80", "[::1]", "http://[::1]", ""},
		{"80", "127.0.0.1:80", "", ""},
		{"80", "127.0.0.1:80", "http://127.0.0.1:80", ""},
		{"80", "127.0.0.1", "http://localhost", client.TypeForbiddenOrigin},
		{"80", "127.0.0.1", "https://127.0.0.1", client.TypeForbiddenOrigin},
		{"80", "127.0.0.1:443", "", client.TypeForbiddenHost},
		{"80", "127.0.0.1.", "", client.TypeForbiddenHost},
		{"80", "evil.example", "", client.TypeForbiddenHost},
		{"80", "", "", client.TypeForbiddenHost},
		{"17860", "127.0.0.1", "", client.TypeForbiddenHost},
		{"17860", "127.0.0.1:80", "", client.TypeForbiddenHost},
		{"443", "127.0.0.1", "", client.TypeForbiddenHost}, // no TLS is spoken there
	} {
		c := newConn(fakeRaw{local: tcpAddr("127.0.0.1:" + tt.port), remote: tcpAddr("127.0.0.1:40000")})
		r := &http.Request{Method: "GET", ProtoMajor: 1, RequestURI: "/v1/status", Host: tt.host, Header: http.Header{}}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		own, p := c.addressed(r)
		if p == nil {
			p = checkSource(r, TCP, own)
		}
		kind := ""
		if p != nil {
			kind = p.Kind()
		}
		if kind != tt.problem {
			t.Errorf("port %s, Host %q, Origin %q: %q, want %q", tt.port, tt.host, tt.origin, kind, tt.problem)
		}
	}
}
