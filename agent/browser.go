package agent

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"langkeep/agent/chromium"
	"langkeep/agent/gateway"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

const (
	// cookiePause is the time between two looks at the browser's cookies.
	cookiePause = time.Second
	// trialPause is the time between two trials of the same cookies: the server may have
	// been away at the first.
	trialPause = 15 * time.Second
)

// Window is a browser's window that a person signs in in: a *chromium.Window.
type Window interface {
	Cookies(ctx context.Context) ([]chromium.Cookie, error)
	Closed() <-chan struct{}
	Close() error
}

// errCancelled ends a sign-in in the browser that a person has cancelled.
var errCancelled = errors.New("the sign-in was cancelled")

// LoginInBrowser opens a window of a browser on the server's address, where the person
// signs in at whatever asks them to, and keeps what lets requests through: Langflow's
// refresh token, and the gateway's cookies. Of the Credentials it uses the headers and the
// change. The session from before goes on meanwhile, and after any failure. It never sees a
// password.
func (a *Agent) LoginInBrowser(ctx context.Context, name string, c Credentials) (snap Snapshot, err error) {
	done := make(chan struct{})
	// The crew does it, so that the agent does not end before the browser's folder is gone.
	begun := a.crew.begin(func() {
		defer close(done)
		snap, err = a.loginInBrowser(ctx, name, c)
	})
	if !begun {
		return Snapshot{}, errStopping
	}
	<-done
	return snap, err
}

func (a *Agent) loginInBrowser(ctx context.Context, name string, c Credentials) (Snapshot, error) {
	s, err := a.session(name)
	if err != nil {
		return Snapshot{}, err
	}
	if err := a.askForStore(ctx, name); err != nil {
		return Snapshot{}, err
	}
	if err := a.loadPass(ctx, s); err != nil {
		return Snapshot{}, keychainError(name, err)
	}
	before := s.known.Load()
	opened, err := a.candidate(before, c)
	if err != nil {
		return Snapshot{}, err
	}
	defer a.discard(s, opened.upstream)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(a.life, func() { cancel(errStopping) })
	defer stop()
	if !a.windows.begin(name, cancel) {
		return Snapshot{}, &Error{Kind: Conflict, Code: WindowOpen, Profile: name}
	}
	a.update(s, func(m *machine, _ moment) { m.signingIn = true })
	defer func() {
		a.windows.end(name)
		a.update(s, func(m *machine, _ moment) { m.signingIn = false })
	}()
	limited, end := context.WithTimeoutCause(ctx, vocabulary.WindowTime, errWindowTime)
	defer end()
	found, err := a.signInWithin(limited, s, before, opened)
	if err != nil {
		return Snapshot{}, windowError(name, context.Cause(limited), err)
	}
	found.credentials.Change = c.Change
	if err := a.takeFound(ctx, name, before, found); err != nil {
		return Snapshot{}, errorOf(name, err)
	}
	return a.Profile(name)
}

// errWindowTime ends a sign-in that takes longer than vocabulary.WindowTime.
var errWindowTime = errors.New("nobody signed in")

// CancelLogin closes the window of a sign-in in the browser; without one it is NotFound.
func (a *Agent) CancelLogin(name string) error {
	if !a.Has(name) {
		return noProfile(name)
	}
	if !a.windows.cancel(name, errCancelled) {
		return &Error{Kind: NotFound, Code: NoWindow, Profile: name}
	}
	return nil
}

// CloseWindows ends all sign-ins in the browser, ahead of the agent's end: its server else
// waits for them.
func (a *Agent) CloseWindows() { a.windows.cancelAll(errStopping) }

// windows are the open ones of sign-ins in the browser.
type windows struct {
	mu   sync.Mutex                         // protects the following
	open map[string]context.CancelCauseFunc // by profile
}

// begin notes that a window is open for a profile; false if there is one.
func (w *windows) begin(name string, cancel context.CancelCauseFunc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[name] != nil {
		return false
	}
	if w.open == nil {
		w.open = map[string]context.CancelCauseFunc{}
	}
	w.open[name] = cancel
	return true
}

func (w *windows) end(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, name)
}

// cancel ends the sign-in of a profile's window; false if there is none.
func (w *windows) cancel(name string, cause error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	cancel := w.open[name]
	if cancel != nil {
		cancel(cause)
	}
	return cancel != nil
}

func (w *windows) cancelAll(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.open {
		cancel(cause)
	}
}

// windowError is the Error of a sign-in in the browser that came to nothing. cause is why
// its context ended, nil if it did not.
func windowError(name string, cause, err error) *Error {
	e := &Error{Kind: NotSupported, Profile: name, Err: err}
	switch {
	case errors.Is(cause, errStopping):
		return errStopping
	case errors.Is(cause, errCancelled):
		e.Kind, e.Reason = SigningInRequired, vocabulary.BrowserClosed
	case errors.Is(cause, errWindowTime):
		e.Kind, e.Reason = SigningInRequired, string(langflow.TimedOut)
	case errors.Is(err, chromium.ErrNone):
		e.Reason = vocabulary.NoBrowser
	case errors.Is(err, chromium.ErrConfined):
		e.Reason = vocabulary.BrowserConfined
	case errors.Is(err, chromium.ErrNoDisplay):
		e.Reason = vocabulary.NoDisplay
	case errors.Is(err, chromium.ErrForbidden):
		e.Reason = vocabulary.BrowserForbidden
	case errors.Is(err, chromium.ErrSilent):
		e.Reason = vocabulary.BrowserSilent
	case errors.Is(err, chromium.ErrFailed):
		e.Reason, e.Detail = vocabulary.BrowserFailed, strings.TrimPrefix(err.Error(), chromium.ErrFailed.Error()+": ")
	case errors.Is(err, chromium.ErrEnded):
		e.Kind, e.Reason = SigningInRequired, vocabulary.BrowserClosed
	default:
		return errorOf(name, err)
	}
	return e
}

// found is what a sign-in in the browser came to.
type found struct {
	to          upstream // by which the sign-in works
	credentials Credentials
	tokens      *langflow.Tokens // nil with an API key, and where cookies alone sign in
	username    string
	version     string
	held        bool // the session from before works again; only the way to it is new
}

// signInWithin opens the window and waits until its cookies sign in, or until ctx ends.
// before is the session when it was asked for, and opened what the browser is opened for.
func (a *Agent) signInWithin(ctx context.Context, s *session, before, opened *machine) (f found, err error) {
	if opened.clientErr != nil {
		return found{}, opened.clientErr
	}
	if a.openWindow == nil {
		return found{}, chromium.ErrNoDisplay
	}
	w, err := a.openWindow(ctx, opened.client.URL())
	if err != nil {
		return found{}, err
	}
	defer func() {
		if closeErr := w.Close(); closeErr != nil {
			a.log.Warn("can't clear away after the browser", "profile", s.name, "error", closeErr)
		}
	}()
	calls, err := url.Parse(opened.client.URL() + "/api/v1/") // which JoinPath makes relative where there is no root path
	if err != nil {
		return found{}, err
	}
	look := time.NewTicker(cookiePause)
	defer look.Stop()
	tried, triedAt := "", time.Duration(0)
	for {
		m := s.known.Load()
		if m.changedSince(before) {
			return found{}, &Error{Kind: Conflict, Code: ChangedMeanwhile, Profile: s.name}
		}
		all, err := w.Cookies(ctx)
		if err != nil {
			return found{}, err
		}
		cookies := chromium.For(all, calls)
		now := a.clock.Elapsed()
		if looks := fingerprint(cookies); looks != tried || now-triedAt >= trialPause {
			tried, triedAt = looks, now
			if f, ok := a.try(ctx, m, opened, cookies); ok {
				return f, nil
			}
		}
		select {
		case <-look.C:
		case <-w.Closed():
			return found{}, chromium.ErrEnded
		case <-ctx.Done():
			return found{}, ctx.Err()
		}
	}
}

// fingerprint tells one set of cookies from another.
func fingerprint(cookies []chromium.Cookie) string {
	var b strings.Builder
	for _, c := range cookies {
		b.WriteString(c.Name + "=" + c.Value.Reveal() + ";")
	}
	return b.String()
}

// try finds out whether the browser's cookies sign in. ok is false if they don't yet.
// The cookies are those of the server that the browser was opened for, and go to no other.
func (a *Agent) try(ctx context.Context, m, opened *machine, cookies []chromium.Cookie) (f found, ok bool) {
	var refresh secret.Text
	var kept []gateway.Cookie
	for _, c := range cookies {
		switch {
		case strings.HasPrefix(c.Name, "refresh_token_lf"):
			refresh = c.Value
			f.credentials.cookieName = c.Name
		case gateway.IsLangflows(c.Name), strings.Contains(strings.ToLower(c.Name), "csrf"): // which is of one attempt to sign in
		default:
			kept = append(kept, gateway.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, Expires: c.Expires, HTTPOnly: c.HTTPOnly})
		}
	}
	next := m.by(a.withCookies(opened, kept))
	f.to = next.upstream
	var err error
	if f.version, err = next.client.Version(ctx); err != nil {
		return found{}, false // the gateway still wants something
	}
	if !refresh.Empty() {
		f.credentials.Method, f.credentials.RefreshToken = vocabulary.RefreshToken, refresh
		if f.tokens, f.username, err = signIn(ctx, next, f.credentials); err == nil {
			return f, true
		}
	}
	if len(kept) == 0 {
		return found{}, false // no gateway has let the person in, and Langflow's own page has not either
	}
	switch {
	case next.holds() && m.refused.reason == "" && !barred(ctx, m):
		// The session works without these cookies: the person wants another one.
	case !next.pair.Refresh.Empty():
		if f.tokens, err = next.client.Refresh(ctx, next.pair.Refresh, next.pair.CookieName); err == nil {
			f.held = true
			return f, true
		}
	case !next.apiKey.Empty():
		if _, err = next.client.WhoAmI(ctx, langflow.Key(next.apiKey)); err == nil {
			f.held = true
			return f, true
		}
	case next.token != nil && next.profile.Method == vocabulary.External:
		if f.tokens, _, err = next.externalTokens(ctx); err == nil {
			f.held = true
			return f, true
		}
	case next.profile.Method == "" || next.profile.Method == vocabulary.AutoLogin:
		f.credentials.Method = vocabulary.AutoLogin
		if f.tokens, f.username, err = signIn(ctx, next, f.credentials); err == nil {
			return f, true
		}
	}
	// A gateway may tell Langflow who it let in (external authentication, from 1.11). A server
	// that admits everybody does so without the cookies too.
	if next.token != nil {
		return found{}, false
	}
	user, err := next.client.WhoAmI(ctx, langflow.ByGateway())
	if err != nil {
		return found{}, false
	}
	if _, err := a.withCookies(opened, nil).client.WhoAmI(ctx, langflow.ByGateway()); err == nil {
		return found{}, false
	}
	f.credentials.Method, f.tokens, f.username = vocabulary.External, nil, user.Username
	f.credentials.RefreshToken = secret.Text{}
	return f, true
}

// withCookies returns the way that the browser was opened for, with cookies of a gateway in
// place of the kept ones.
func (a *Agent) withCookies(opened *machine, cookies []gateway.Cookie) upstream {
	headers, _ := opened.pass.Kept()
	pass := gateway.NewPass(opened.pass.Config)
	pass.Keep(headers, cookies)
	return a.upstreams.through(opened.upstream, opened.profile, pass)
}

// barred tells whether a session's requests don't get to its server.
func barred(ctx context.Context, m *machine) bool {
	if m.clientErr != nil || gatewayOf(m.outage.err) != "" {
		return true
	}
	_, err := m.client.Version(ctx)
	return gatewayOf(err) != ""
}

// takeFound replaces the session, or the way to it, by what a sign-in in the browser came
// to.
func (a *Agent) takeFound(ctx context.Context, name string, before *machine, f found) error {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	m := s.known.Load()
	if m.changedSince(before) {
		return &Error{Kind: Conflict, Code: ChangedMeanwhile, Profile: name}
	}
	if !f.held {
		return a.takeOver(ctx, s, f.to, f.credentials, f.tokens, f.username, f.version)
	}
	// The refresh token or the key is as good as before.
	ctx = context.WithoutCancel(ctx)
	if f.credentials.Change != nil {
		if _, err := a.editProfile(m.profile, f.credentials.editFile); err != nil {
			return err
		}
	}
	a.takeUpstream(ctx, s, f.to, func(m *machine, _ moment) { m.profile = f.credentials.edit(m.profile) })
	if f.tokens != nil {
		return a.adopt(ctx, s, f.tokens)
	}
	itemName, item := s.known.Load().item()
	a.saver.save(itemName, item, a.noteSaved(s))
	return a.proved(ctx, s)
}
