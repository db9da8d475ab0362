package agent

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/chromium"
	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// fakeWindow is a browser's window whose cookies a test sets.
type fakeWindow struct {
	host string

	mu     sync.Mutex // protects the following
	has    []chromium.Cookie
	open   bool
	opened int
	fault  error // of opening it
	gone   chan struct{}
}

// newWindow gives the rig's agent a browser.
func newWindow(r *rig) *fakeWindow {
	r.t.Helper()
	u, err := url.Parse(r.server.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	w := &fakeWindow{host: u.Hostname(), gone: make(chan struct{})}
	r.openWindow = func(_ context.Context, address string) (Window, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fault != nil {
			return nil, w.fault
		}
		if address != r.server.URL || w.open {
			r.t.Errorf("a window for %s, beside another: %t", address, w.open)
		}
		w.open, w.gone = true, make(chan struct{})
		w.opened++
		return w, nil
	}
	return w
}

// holds sets the cookies, each as name=value.
func (w *fakeWindow) holds(cookies ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.has = nil
	for _, c := range cookies {
		name, value, _ := strings.Cut(c, "=")
		w.has = append(w.has, chromium.Cookie{Name: name, Value: secret.New(value), Domain: w.host, HostOnly: true, Path: "/", Secure: true})
	}
}

func (w *fakeWindow) Cookies(context.Context) ([]chromium.Cookie, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.has, nil
}

func (w *fakeWindow) Closed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

func (w *fakeWindow) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = false
	return nil
}

// isClosed tells whether no window is left open.
func (w *fakeWindow) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.open
}

// refreshTokenOf signs in at the stand-in as a person in a browser does.
func refreshTokenOf(r *rig) string {
	r.t.Helper()
	c, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper()})
	if err != nil {
		r.t.Fatal(err)
	}
	admin := langflowtest.Admin()
	tokens, err := c.Login(r.t.Context(), admin.Name, secret.New(admin.Password))
	if err != nil {
		r.t.Fatal(err)
	}
	return tokens.Refresh.Reveal()
}

func cookie(name, value string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		c, err := r.Cookie(name)
		return err == nil && c.Value == value
	}
}

// inBackground signs in in the browser, and returns its end.
func (r *rig) inBackground(ctx context.Context, name string) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.LoginInBrowser(ctx, name, Credentials{})
		done <- err
	}()
	synctest.Wait()
	return done
}

// A person signs in at the gateway and at Langflow. When the gateway's cookie ends, the
// session is kept, and the gateway's sign-in alone brings it back.
func TestLoginInBrowser(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		g := guarded(r, cookie("_gate", "v1"))
		w := newWindow(r)
		r.addProfile("prod")
		done := r.inBackground(r.t.Context(), "prod")
		if snap := r.is("prod", SignedOut); !snap.SigningIn {
			r.t.Error("nobody is told that a browser is open")
		}
		if _, err := r.LoginInBrowser(r.t.Context(), "prod", Credentials{}); err == nil {
			r.t.Error("a second window was opened")
		}
		for _, cookies := range [][]string{{"_gate_csrf=x"}, {"_gate=v0"}, {"_gate=v1"}, {"_gate=v1", "access_token_lf=x", "apikey_tkn_lflw=y"}} {
			w.holds(cookies...)
			time.Sleep(time.Minute)
			if snap, _ := r.Profile("prod"); !snap.SigningIn || snap.State != SignedOut {
				r.t.Fatalf("with %s it is %s", cookies, snap.State)
			}
		}
		w.holds("_gate_csrf=x", "_gate=v1", "refresh_token_lf="+refreshTokenOf(r), "access_token_lf=x")
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		if snap := r.is("prod", Fresh); snap.SigningIn || snap.Method != vocabulary.RefreshToken || !snap.Saved || !w.isClosed() {
			r.t.Errorf("signed in: %+v", snap)
		}
		item, err := r.store.Get(r.t.Context(), keychain.ItemName("prod", keychain.Cookies))
		if kept, decodeErr := gateway.DecodeCookies(item.Secret); err != nil || decodeErr != nil || len(kept) != 1 || kept[0].Name != "_gate" {
			r.t.Errorf("kept are %d cookies, %v", len(kept), err)
		}
		r.restart()
		w = newWindow(r)
		r.mustToken("prod")

		g.set(func(g *gate) { g.admits = cookie("_gate", "v2") })
		time.Sleep(time.Hour)
		snap := r.is("prod", SignInRequired)
		if snap.Reason != "gateway" || snap.Gateway != vocabulary.CloudflareAccess || !r.keeps(keychain.ItemName("prod", keychain.RefreshToken)) {
			r.t.Errorf("the gateway's cookie has ended: %+v", snap)
		}
		if e := r.noToken("prod", SigningInRequired); e.Gateway != vocabulary.CloudflareAccess {
			r.t.Errorf("a reader hears %v", e)
		}
		done = r.inBackground(r.t.Context(), "prod")
		w.holds("_gate=v2")
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		r.is("prod", Fresh)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")
	})
}

// The window over a session that works stays open until the person has signed in anew:
// cookies that let nothing new through are no sign-in.
func TestBrowserBesideASessionThatWorks(t *testing.T) {
	command, prints := printing(t)
	for name, begin := range map[string]func(r *rig){
		"a password": func(r *rig) { r.signIn("prod", false) },
		"an API key": func(r *rig) {
			r.signIn("other", false)
			grant, err := r.Key(r.t.Context(), "other", AnyLifetime)
			if err != nil {
				r.t.Fatal(err)
			}
			r.addProfile("prod")
			if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: vocabulary.APIKey, APIKey: grant.Key}); err != nil {
				r.t.Fatal(err)
			}
		},
		"a command": func(r *rig) {
			r.signIn("other", false)
			prints(r.mustToken("other").Token.Reveal())
			if _, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL, TokenCommand: command}); err != nil {
				r.t.Fatal(err)
			}
			if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: vocabulary.External}); err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{AccessLifetime: 100 * time.Hour}, func(r *rig) {
				g := guarded(r, func(*http.Request) bool { return true })
				begin(r)
				w := newWindow(r)
				done := r.inBackground(r.t.Context(), "prod")
				w.holds("_analytics=x")
				time.Sleep(time.Minute)
				if snap := r.is("prod", Fresh); !snap.SigningIn {
					r.t.Fatal("the window closed at once")
				}
				// The gateway begins to want a sign-in, so its cookie is what was asked for.
				g.set(func(g *gate) { g.admits = cookie("_gate", "v1") })
				time.Sleep(time.Minute)
				w.holds("_analytics=x", "_gate=v1")
				if err := <-done; err != nil {
					r.t.Fatal(err)
				}
				method := r.is("prod", Fresh).Method
				g.set(func(g *gate) { g.admits = func(*http.Request) bool { return true } })
				// A new session is too.
				done = r.inBackground(r.t.Context(), "prod")
				w.holds("_gate=v1", "refresh_token_lf="+refreshTokenOf(r))
				if err := <-done; err != nil {
					r.t.Fatal(err)
				}
				if snap := r.is("prod", Fresh); method == vocabulary.RefreshToken || snap.Method != vocabulary.RefreshToken {
					r.t.Errorf("the method was %s and is %s", method, snap.Method)
				}
			})
		})
	}
}

// A server that tells everybody the same name has not heard it of a gateway.
func TestNobodysWord(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 100 * time.Hour}, func(r *rig) {
		r.signIn("other", false)
		token := r.mustToken("other").Token.Reveal()
		g := guarded(r, func(*http.Request) bool { return true })
		g.set(func(g *gate) { g.tells = func() string { return "Bearer " + token } })
		w := newWindow(r)
		r.addProfile("prod")
		done := r.inBackground(r.t.Context(), "prod")
		w.holds("_analytics=x")
		time.Sleep(time.Minute)
		if snap := r.is("prod", SignedOut); !snap.SigningIn {
			r.t.Error("the window closed")
		}
		if err := r.CancelLogin("prod"); err != nil {
			r.t.Error(err)
		}
		<-done
	})
}

// Each end of a sign-in in the browser closes the window, and the session from before goes
// on.
func TestNoLoginInBrowser(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  error
		end    func(r *rig, w *fakeWindow, cancel func())
		kind   ErrorKind
		reason string
	}{
		"no browser":        {fault: chromium.ErrNone, kind: NotSupported, reason: vocabulary.NoBrowser},
		"a confined one":    {fault: chromium.ErrConfined, kind: NotSupported, reason: vocabulary.BrowserConfined},
		"no desktop":        {fault: chromium.ErrNoDisplay, kind: NotSupported, reason: vocabulary.NoDisplay},
		"forbidden":         {fault: chromium.ErrForbidden, kind: NotSupported, reason: vocabulary.BrowserForbidden},
		"silent":            {fault: chromium.ErrSilent, kind: NotSupported, reason: vocabulary.BrowserSilent},
		"nobody signs in":   {end: func(*rig, *fakeWindow, func()) { time.Sleep(vocabulary.WindowTime) }, kind: SigningInRequired, reason: "timed-out"},
		"the window closed": {end: func(_ *rig, w *fakeWindow, _ func()) { w.crash() }, kind: SigningInRequired, reason: vocabulary.BrowserClosed},
		"cancelled": {end: func(r *rig, _ *fakeWindow, _ func()) {
			if err := r.CancelLogin("prod"); err != nil {
				r.t.Error(err)
			}
		}, kind: SigningInRequired, reason: vocabulary.BrowserClosed},
		"the caller leaves": {end: func(_ *rig, _ *fakeWindow, cancel func()) { cancel() }},
		"the agent stops":   {end: func(r *rig, _ *fakeWindow, _ func()) { r.halt() }, kind: Internal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.signIn("prod", false)
				w := newWindow(r)
				w.fault = tt.fault
				ctx, cancel := context.WithCancel(r.t.Context())
				defer cancel()
				done := r.inBackground(ctx, "prod")
				if tt.end != nil {
					tt.end(r, w, cancel)
				}
				err := <-done
				var e *Error
				switch {
				case tt.kind == "" && !errors.Is(err, context.Canceled):
					r.t.Errorf("got %v", err)
				case tt.kind == "":
				case !errors.As(err, &e) || e.Kind != tt.kind || e.Reason != tt.reason:
					r.t.Errorf("got %v", err)
				}
				if !w.isClosed() {
					r.t.Error("the window is open still")
				}
				if name == "the agent stops" {
					r.start()
				}
				if snap := r.is("prod", Fresh); snap.SigningIn {
					r.t.Error("it is signing in still")
				}
				r.mustToken("prod")
				if err := r.CancelLogin("prod"); err == nil {
					r.t.Error("there was a sign-in to cancel")
				}
			})
		})
	}
}

// A server that admits everybody needs the gateway's sign-in alone.
func TestAutoLoginInBrowser(t *testing.T) {
	bubble(t, langflowtest.Options{AutoLogin: true, Version: "1.4"}, func(r *rig) {
		guarded(r, cookie("_gate", "v1"))
		w := newWindow(r)
		r.addProfile("prod")
		done := r.inBackground(r.t.Context(), "prod")
		w.holds("_gate=v1")
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		if snap := r.is("prod", Fresh); snap.Method != vocabulary.AutoLogin {
			r.t.Errorf("the method is %s", snap.Method)
		}
	})
}

// A profile that changes while its browser is open keeps what it has become, and the
// browser's cookies go to no other server.
func TestChangedBehindTheBrowser(t *testing.T) {
	for name, change := range map[string]func(r *rig){
		"signed out": func(r *rig) {
			if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
				r.t.Error(err)
			}
		},
		"removed": func(r *rig) {
			if _, err := r.Remove(r.t.Context(), "prod"); err != nil {
				r.t.Error(err)
			}
		},
		"another server": func(r *rig) {
			if _, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = "https://other.example.org" }); err != nil {
				r.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				g := guarded(r, func(*http.Request) bool { return true })
				r.signIn("prod", false)
				w := newWindow(r)
				done := r.inBackground(r.t.Context(), "prod")
				change(r)
				w.holds("_gate=SECRET", "refresh_token_lf="+refreshTokenOf(r))
				var e *Error
				if err := <-done; !errors.As(err, &e) || e.Code != ChangedMeanwhile || !w.isClosed() {
					r.t.Errorf("got %v, the window is closed: %t", err, w.isClosed())
				}
				admitted, _ := g.saw()
				for _, h := range admitted {
					if strings.Contains(h.Get("Cookie"), "SECRET") {
						r.t.Error("the browser's cookies were sent")
					}
				}
				if r.Has("prod") {
					r.is("prod", SignedOut)
				}
			})
		})
	}
}

// Where the gateway tells Langflow who it let in, its cookies are the whole session.
func TestGatewaysWord(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 100 * time.Hour}, func(r *rig) {
		r.signIn("other", false)
		token := r.mustToken("other").Token.Reveal() // read ahead: the gateway lets no other session through
		g := guarded(r, cookie("_gate", "v1"))
		g.set(func(g *gate) { g.tells = func() string { return "Bearer " + token } })
		w := newWindow(r)
		r.addProfile("prod")
		done := r.inBackground(r.t.Context(), "prod")
		w.holds("_gate=v1")
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		signedIn := func() {
			r.t.Helper()
			if snap := r.is("prod", Fresh); snap.Method != vocabulary.External || snap.Username != langflowtest.Admin().Name || !snap.Saved {
				r.t.Errorf("signed in: %+v", snap)
			}
			r.noToken("prod", NotSupported)
			if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
				r.t.Errorf("a key: %v", err)
			}
			if token, err := r.Access(r.t.Context(), "prod"); err != nil || !token.Empty() {
				r.t.Errorf("for the proxy: %v", err)
			}
		}
		signedIn()
		r.restart()
		synctest.Wait()
		signedIn()
		g.set(func(g *gate) { g.admits = cookie("_gate", "v2") })
		time.Sleep(25 * time.Hour)
		if snap := r.is("prod", SignInRequired); snap.Reason != "gateway" {
			r.t.Errorf("the reason is %s", snap.Reason)
		}
		newWindow(r).holds("_gate=v2")
		if _, err := r.LoginInBrowser(r.t.Context(), "prod", Credentials{}); err != nil {
			r.t.Fatal(err)
		}
		signedIn()
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			r.t.Fatal(err)
		}
		r.restart()
		r.is("prod", SignedOut)
	})
}

// crash ends the browser.
func (w *fakeWindow) crash() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.gone)
}
