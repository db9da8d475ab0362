package agent

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// printFile names a file that this program, run as a command, prints.
const printFile = "AGENT_TEST_PRINTS"

func TestMain(m *testing.M) {
	if path := os.Getenv(printFile); path != "" && len(os.Args) == 2 && os.Args[1] == "print" {
		text, err := os.ReadFile(path)
		if err != nil {
			os.Exit(9)
		}
		_, _ = os.Stdout.Write(text) // the reader notices
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// printing makes a command that prints what the returned function was last given.
func printing(t *testing.T) (command config.Argv, prints func(string)) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "printed")
	t.Setenv(printFile, path)
	return config.NewArgv([]string{self, "print"}), func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// gate is a gateway in front of the stand-in.
type gate struct {
	next http.RoundTripper

	mu      sync.Mutex // protects the following
	admits  func(*http.Request) bool
	gives   []string      // Set-Cookie of the next answer
	tells   func() string // the Authorization that Langflow gets of the gateway; nil is none
	refuses string        // the JSON with which it refuses, as API gateways do; "" redirects to a sign-in
	refused int
	seen    []http.Header // of admitted requests
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	admitted, gives, tells, refuses := g.admits(r), g.gives, g.tells, g.refuses
	g.gives = nil
	if admitted {
		g.seen = append(g.seen, r.Header.Clone())
	} else {
		g.refused++
	}
	g.mu.Unlock()
	if !admitted && refuses != "" {
		h := http.Header{"Content-Type": {"application/json"}}
		return &http.Response{StatusCode: http.StatusUnauthorized, Header: h, Body: io.NopCloser(strings.NewReader(refuses)), Request: r}, nil
	}
	if !admitted {
		h := http.Header{"Location": {"https://corp.cloudflareaccess.com/cdn-cgi/access/login"}}
		return &http.Response{StatusCode: http.StatusFound, Header: h, Body: http.NoBody, Request: r}, nil
	}
	if tells != nil && r.Header.Get("X-Api-Key") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", tells())
	}
	res, err := g.next.RoundTrip(r)
	if err == nil {
		for _, c := range gives {
			res.Header.Add("Set-Cookie", c)
		}
	}
	return res, err
}

// set changes what the gateway does.
func (g *gate) set(change func(g *gate)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}

// saw returns the headers of the admitted requests, and the number of the refused ones. The
// agent asks for more than the test does, such as the server's version.
func (g *gate) saw() (admitted []http.Header, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.seen), g.refused
}

// guarded puts a gateway before the rig's server.
func guarded(r *rig, admits func(*http.Request) bool) *gate {
	g := &gate{next: r.server.RoundTripper(), admits: admits}
	r.way = func([]byte) (http.RoundTripper, error) { return g, nil }
	r.restart()
	return g
}

func carries(name, value string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Header.Get(name) == value }
}

func credentialsOf(u langflowtest.User, headers gateway.Headers) Credentials {
	return Credentials{Method: vocabulary.Password, Username: u.Name, Password: secret.New(u.Password), Headers: headers}
}

// Kept headers go with every request of the profile, survive a restart, and are gone after
// a sign-out.
func TestKeptHeaders(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, carries("Authorization", "Basic Zzpw"))
		r.addProfile("prod")
		admin := langflowtest.Admin()
		e := r.fails(r.logIn(r.t.Context(), "prod", admin.Name, admin.Password), ServerUnreachable)
		if e.Reason != "gateway" || e.Gateway != vocabulary.CloudflareAccess {
			r.t.Errorf("without its header: %v, %s", e, e.Gateway)
		}
		headers := gateway.Headers{"Authorization": secret.New("Basic Zzpw"), "X-Team": secret.New("flows")}
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, headers)); err != nil {
			r.t.Fatal(err)
		}
		if snap := r.is("prod", Fresh); snap.Headers != "Authorization X-Team" {
			r.t.Errorf("the kept headers are %q", snap.Headers)
		}
		if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
			r.t.Error(err)
		}
		time.Sleep(2 * time.Hour) // so the session was renewed
		r.is("prod", Fresh)
		r.restart()
		r.mustToken("prod")
		// A sign-in without headers leaves those that are kept.
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, nil)); err != nil {
			r.t.Error(err)
		}
		admitted, refused := g.saw()
		for _, h := range admitted {
			if h.Get("X-Team") != "flows" {
				r.t.Error("a request lacks a kept header")
			}
			if strings.Contains(h.Get("Authorization"), "Bearer") {
				r.t.Error("the gateway got Langflow's token where it wants its own credential")
			}
		}
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			r.t.Fatal(err)
		}
		if r.keeps(keychain.ItemName("prod", keychain.Headers)) {
			r.t.Error("the headers outlive the sign-out")
		}
		r.fails(r.logIn(r.t.Context(), "prod", admin.Name, admin.Password), ServerUnreachable)
		if _, now := g.saw(); now == refused {
			r.t.Error("a header was sent after the sign-out")
		}
	})
}

// One kept header can be replaced, or taken away, without the others' values.
func TestChangeHeaders(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		sends := func(a, b string) func(*http.Request) bool {
			return func(r *http.Request) bool { return r.Header.Get("X-A") == a && r.Header.Get("X-B") == b }
		}
		g := guarded(r, sends("1", "2"))
		r.addProfile("prod")
		admin := langflowtest.Admin()
		change := func(headers map[string]secret.Text) error {
			_, err := r.ChangeHeaders(r.t.Context(), "prod", headers)
			return err
		}
		r.fails(change(map[string]secret.Text{"X-A": secret.New("1")}), SigningInRequired)
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, gateway.Headers{"X-A": secret.New("1"), "X-B": secret.New("2")})); err != nil {
			r.t.Fatal(err)
		}
		r.fails(change(map[string]secret.Text{"X-A": secret.New("two\nlines")}), BadRequest)
		r.fails(change(map[string]secret.Text{"Cookie": secret.New("c")}), BadRequest)
		g.set(func(g *gate) { g.admits = sends("1", "3") })
		if _, err := r.Refresh(r.t.Context(), "prod", false); err == nil {
			r.t.Fatal("the gateway let it through")
		}
		if err := change(map[string]secret.Text{"x-b": secret.New("3")}); err != nil {
			r.t.Fatal(err)
		}
		if snap := r.is("prod", Fresh); snap.Headers != "X-A X-B" || !snap.Saved { // it was tried at once
			r.t.Errorf("kept are %q", snap.Headers)
		}
		r.restart()
		r.mustToken("prod")
		g.set(func(g *gate) { g.admits = sends("1", "") })
		if err := change(map[string]secret.Text{"X-B": {}}); err != nil {
			r.t.Fatal(err)
		}
		r.is("prod", Fresh)
		// A sign-in can do the same.
		g.set(func(g *gate) { g.admits = sends("4", "") })
		c := credentialsOf(admin, nil)
		c.HeaderChange = map[string]secret.Text{"X-A": secret.New("4")}
		if _, err := r.Login(r.t.Context(), "prod", c); err != nil {
			r.t.Fatal(err)
		}
		// The last one's end, and the first one, are noted for the next start.
		for _, next := range []string{"", "5"} {
			g.set(func(g *gate) { g.admits = sends(next, "") })
			if err := change(map[string]secret.Text{"X-A": secret.New(next)}); err != nil {
				r.t.Fatal(err)
			}
			r.is("prod", Fresh)
			r.restart()
			r.mustToken("prod")
		}
	})
}

// Headers can be given to a profile whose CA file can't be read, and before its session was
// loaded.
func TestHeadersOfAProfileThatIsNotReady(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		key, err := r.Key(r.t.Context(), "prod", AnyLifetime)
		if err != nil {
			r.t.Fatal(err)
		}
		r.addProfile("key")
		if _, err := r.Login(r.t.Context(), "key", Credentials{Method: vocabulary.APIKey, APIKey: key.Key}); err != nil {
			r.t.Fatal(err)
		}
		r.halt()
		p, err := config.LoadProfile(filepath.Join(r.dir, "prod.toml"))
		if err != nil {
			r.t.Fatal(err)
		}
		p.CAFile = filepath.Join(r.dir, "none.pem")
		if err := config.SaveProfile(r.dir, p); err != nil {
			r.t.Fatal(err)
		}
		r.start()
		headers := map[string]secret.Text{"X-Pass": secret.New("p")}
		for name, state := range map[string]State{"prod": Stale, "key": Fresh} {
			if _, err := r.ChangeHeaders(r.t.Context(), name, headers); err != nil {
				r.t.Errorf("%s: %v", name, err)
			}
			if snap := r.is(name, state); snap.Headers != "X-Pass" {
				r.t.Errorf("%s keeps %q", name, snap.Headers)
			}
		}
		_, err = r.Login(r.t.Context(), "prod", credentialsOf(langflowtest.Admin(), headers))
		if e := r.fails(err, ServerUnreachable); e.Reason != "certificate" {
			r.t.Errorf("the reason is %s", e.Reason)
		}
		r.restart()
		for _, name := range []string{"prod", "key"} {
			synctest.Wait()
			if snap, err := r.Profile(name); err != nil || snap.Headers != "X-Pass" {
				r.t.Errorf("after a restart %s keeps %q, %v", name, snap.Headers, err)
			}
		}
	})
}

// A sign-in with headers that fails leaves the session and its headers alone.
func TestWrongHeaders(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		guarded(r, carries("Apikey", "right"))
		r.addProfile("prod")
		admin := langflowtest.Admin()
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, gateway.Headers{"Apikey": secret.New("right")})); err != nil {
			r.t.Fatal(err)
		}
		_, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, gateway.Headers{"Apikey": secret.New("wrong")}))
		r.fails(err, ServerUnreachable)
		time.Sleep(2 * time.Hour)
		r.is("prod", Fresh)
		r.restart()
		r.mustToken("prod")
	})
}

// A header command's answer goes with every request, and is asked for anew when the
// gateway refuses it.
func TestHeaderCommand(t *testing.T) {
	for name, refuses := range map[string]string{"redirecting": "", "in JSON": `{"message":"Unauthorized"}`} {
		t.Run(name, func(t *testing.T) { testHeaderCommand(t, refuses) })
	}
}

func testHeaderCommand(t *testing.T, refuses string) {
	command, prints := printing(t)
	prints(`{"headers":{"X-Pass":"one"},"expires_at":"2030-01-01T00:00:00Z"}`)
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, carries("X-Pass", "one"))
		g.set(func(g *gate) { g.refuses = refuses })
		if _, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL, HeaderCommand: command}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.Login(r.t.Context(), "prod", credentialsOf(langflowtest.Admin(), nil)); err != nil {
			r.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		prints(`{"headers":{"X-Pass":"two"},"expires_at":"2030-01-01T00:00:00Z"}`)
		g.set(func(g *gate) { g.admits = carries("X-Pass", "two") })
		if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
			r.t.Errorf("after the gateway refused what was printed before: %v", err)
		}
		// Another refusal is passing: the command gave it.
		g.set(func(g *gate) { g.admits = carries("X-Pass", "three") })
		time.Sleep(65 * time.Minute)
		if snap := r.is("prod", Stale); snap.Reason != "gateway" {
			r.t.Errorf("the reason is %s", snap.Reason)
		}
		prints("no header\nat all")
		time.Sleep(10 * time.Minute)
		if snap := r.is("prod", Stale); snap.Reason != "command-failed" || !strings.Contains(snap.Detail, "more than one line") {
			r.t.Errorf("the reason is %s, %s", snap.Reason, snap.Detail)
		}
		prints(`{"headers":{"X-Pass":"three"}}`)
		time.Sleep(10 * time.Minute)
		r.is("prod", Fresh)
	})
}

// The method external takes its tokens from a command.
func TestExternalTokens(t *testing.T) {
	command, prints := printing(t)
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("other", false)
		token := func() string { return r.mustToken("other").Token.Reveal() }
		prints(token())
		if _, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL}); err != nil {
			r.t.Fatal(err)
		}
		_, err := r.Login(r.t.Context(), "prod", Credentials{Method: vocabulary.External})
		if e := r.fails(err, BadRequest); e.Code != MethodNeeds {
			r.t.Errorf("without a command: %v", e)
		}
		if _, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.TokenCommand = command }); err != nil {
			r.t.Fatal(err)
		}
		snap, err := r.Login(r.t.Context(), "prod", Credentials{Method: vocabulary.External})
		if err != nil || snap.Username != langflowtest.Admin().Name || snap.State != Fresh {
			r.t.Fatal(snap, err)
		}
		for range 3 {
			time.Sleep(40 * time.Minute)
			if _, err := r.Refresh(r.t.Context(), "other", false); err != nil {
				r.t.Fatal(err)
			}
			prints(token())
			time.Sleep(20 * time.Minute)
			r.mustToken("prod")
		}
		r.restart()
		r.mustToken("prod")
		if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
			r.t.Error(err)
		}
		prints("not.a.token")
		time.Sleep(65 * time.Minute)
		if snap := r.is("prod", SignInRequired); snap.Reason != "token-refused" {
			r.t.Errorf("the reason is %s", snap.Reason)
		}
		if _, err := r.Refresh(r.t.Context(), "other", false); err != nil {
			r.t.Fatal(err)
		}
		prints(token())
		if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
			r.t.Error(err)
		}
		r.is("prod", Fresh)
	})
}

// A gateway's renewed cookies are kept, in as many parts as it makes of them; its
// deletions, its other cookies and Langflow's are not.
func TestRenewedCookies(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		has := func(want ...string) func(*http.Request) bool {
			return func(r *http.Request) bool {
				var got []string
				for _, c := range r.Cookies() {
					if !gateway.IsLangflows(c.Name) {
						got = append(got, c.Name+"="+c.Value)
					}
				}
				slices.Sort(got)
				return slices.Equal(got, want)
			}
		}
		g := guarded(r, has("_gate=v1"))
		r.addProfile("prod")
		w := newWindow(r)
		w.holds("_gate=v1", "refresh_token_lf="+refreshTokenOf(r))
		if _, err := r.LoginInBrowser(r.t.Context(), "prod", Credentials{}); err != nil {
			r.t.Fatal(err)
		}
		g.set(func(g *gate) {
			g.gives = []string{"_gate_0=v2; Max-Age=60", "_gate_1=v3", "_gate=; Max-Age=0", "other=x", "access_token_lf=x"}
		})
		if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
			r.t.Fatal(err)
		}
		g.set(func(g *gate) { g.admits, g.gives = has("_gate_0=v2", "_gate_1=v3"), []string{"_gate_0=; Max-Age=0"} })
		for range 2 {
			time.Sleep(forcedInterval)
			if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
				r.t.Fatal(err)
			}
		}
		r.restart()
		r.mustToken("prod")
	})
}

// The store gets a cookie that each answer renews once a minute, and the last one before
// the agent's end.
func TestCookiesRenewedInEachAnswer(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, cookie("_gate", "v1"))
		r.addProfile("prod")
		newWindow(r).holds("_gate=v1", "refresh_token_lf="+refreshTokenOf(r))
		if _, err := r.LoginInBrowser(r.t.Context(), "prod", Credentials{}); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
		var writes atomic.Int32
		itemName := keychain.ItemName("prod", keychain.Cookies)
		r.store.hook(func(op, name string) error {
			if op == "set" && name == itemName {
				writes.Add(1)
			}
			return nil
		})
		u, way, err := r.Upstream("prod")
		if err != nil {
			r.t.Fatal(err)
		}
		ask := func() {
			req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, u.String()+"/health", nil)
			if err != nil {
				r.t.Fatal(err)
			}
			res, err := way.RoundTrip(req)
			if err != nil || res.StatusCode == http.StatusFound {
				r.t.Fatal(res, err)
			}
			res.Body.Close()
		}
		const minutes = 10
		for i := range minutes * 60 {
			next := fmt.Sprint("w", i)
			g.set(func(g *gate) { g.gives = []string{"_gate=" + next} })
			ask()
			g.set(func(g *gate) { g.admits = cookie("_gate", next) })
			time.Sleep(time.Second)
		}
		if n := writes.Load(); n < minutes-1 || n > minutes+1 {
			r.t.Errorf("%d writes in %d minutes", n, minutes)
		}
		// One that stays as it is makes no write.
		time.Sleep(2 * time.Minute)
		before := writes.Load()
		g.set(func(g *gate) { g.gives = []string{fmt.Sprint("_gate=w", minutes*60-1)} })
		ask()
		time.Sleep(2 * time.Minute)
		if n := writes.Load(); n != before {
			r.t.Errorf("%d writes of what did not change", n-before)
		}
		for _, next := range []string{"x1", "x2"} { // the second soon after the first
			g.set(func(g *gate) { g.gives = []string{"_gate=" + next} })
			ask()
			g.set(func(g *gate) { g.admits = cookie("_gate", next) })
			synctest.Wait()
		}
		r.restart()
		r.mustToken("prod")
		r.is("prod", Fresh)
		if _, refused := g.saw(); refused > 0 {
			r.t.Errorf("%d requests were refused", refused)
		}
	})
}

// A person reads that what the gateway wants is not in the store, and it gets there as soon
// as it can.
func TestPassThatIsNotStored(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, func(*http.Request) bool { return true })
		refusing := func(what string, fault error) {
			r.store.hook(func(op, itemName string) error {
				if op == "set" && itemName == keychain.ItemName("prod", what) {
					return fault
				}
				return nil
			})
		}
		reads := func(saved bool, reason string) {
			r.t.Helper()
			if snap := r.is("prod", Fresh); snap.Saved != saved || snap.Reason != reason {
				r.t.Errorf("saved is %t, for %q", snap.Saved, snap.Reason)
			}
		}
		r.addProfile("prod")
		login := func(headers gateway.Headers) {
			r.t.Helper()
			if _, err := r.Login(r.t.Context(), "prod", credentialsOf(langflowtest.Admin(), headers)); err != nil {
				r.t.Fatal(err)
			}
		}
		for reason, fault := range map[string]error{"failing": keychain.ErrFailing, "too-big": keychain.ErrTooBig} {
			refusing(keychain.Headers, fault)
			login(gateway.Headers{"X-Pass": secret.New("p")})
			reads(false, reason)
			login(nil) // which leaves the headers
			reads(false, reason)
			r.store.hook(nil)
			if reason == "too-big" {
				login(gateway.Headers{"X-Pass": secret.New("shorter")})
			}
			time.Sleep(3 * time.Minute)
			reads(true, "")
			if !r.keeps(keychain.ItemName("prod", keychain.Headers)) {
				r.t.Error("the headers are not stored")
			}
		}

		newWindow(r).holds("_gate=v1", "refresh_token_lf="+refreshTokenOf(r))
		if _, err := r.LoginInBrowser(r.t.Context(), "prod", Credentials{}); err != nil {
			r.t.Fatal(err)
		}
		reads(true, "")
		renew := func(value string) {
			g.set(func(g *gate) { g.gives = []string{"_gate=" + value} })
			time.Sleep(2 * time.Minute)
			if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
				r.t.Fatal(err)
			}
			synctest.Wait()
		}
		refusing(keychain.Cookies, keychain.ErrTooBig)
		renew("long")
		reads(false, "too-big")
		refusing(keychain.Cookies, keychain.ErrFailing)
		renew("v3")
		reads(false, "failing")
		r.store.hook(nil)
		time.Sleep(3 * time.Minute)
		reads(true, "")
		g.set(func(g *gate) { g.admits = cookie("_gate", "v3") })
		r.restart()
		r.mustToken("prod")
	})
}
