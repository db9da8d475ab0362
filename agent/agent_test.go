package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths/pathstest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
)

// rig is an agent with its server, store and clock in a synctest bubble.
type rig struct {
	t *testing.T
	*Agent
	server *langflowtest.Server
	store  *faultyStore
	clock  *clock.Jumping
	dir    string
	where  atomic.Value // string: the network that the computer is in
	halt   func()

	keysFile string                                     // of the next start; "" keeps it in memory
	way      func(ca []byte) (http.RoundTripper, error) // to servers, of the next start; nil is straight to the stand-in
}

// faultyStore is a memory store that fails on request.
type faultyStore struct {
	keychain.Store
	mu       sync.Mutex
	fault    error // of every call
	setFault error
	unlocked int                            // how often somebody was asked to unlock it
	before   func(op, account string) error // acts ahead of each call, may be nil
}

func (f *faultyStore) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
}

// call is what happens ahead of a call, which heeds its context as the
// keychain's do.
func (f *faultyStore) call(ctx context.Context, op, account string) error {
	f.mu.Lock()
	err, before := f.fault, f.before
	if op == "set" {
		err = errors.Join(err, f.setFault)
	}
	f.mu.Unlock()
	if before != nil {
		err = errors.Join(err, before(op, account))
	}
	return errors.Join(err, ctx.Err())
}

// hook has a function act ahead of each call.
func (f *faultyStore) hook(before func(op, account string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faultyStore) fail(all, set error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.setFault = all, set
}

func (f *faultyStore) Ready(context.Context) error { return f.failing() }

func (f *faultyStore) Unlock(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlocked++
	f.fault = nil
	return nil
}

func (f *faultyStore) Get(ctx context.Context, account string) (keychain.Item, error) {
	if err := f.call(ctx, "get", account); err != nil {
		return keychain.Item{}, err
	}
	return f.Store.Get(ctx, account)
}

func (f *faultyStore) Set(ctx context.Context, account string, item keychain.Item) error {
	if err := f.call(ctx, "set", account); err != nil {
		return err
	}
	return f.Store.Set(ctx, account, item)
}

func (f *faultyStore) Delete(ctx context.Context, account string) error {
	if err := f.call(ctx, "delete", account); err != nil {
		return err
	}
	return f.Store.Delete(ctx, account)
}

// bubble runs a test in a bubble with an agent and a server of the given kind.
func bubble(t *testing.T, o langflowtest.Options, test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		if o.Version == "" {
			o.Version = "1.13"
		}
		r := &rig{t: t, server: langflowtest.NewInProcess(o), store: &faultyStore{Store: keychain.NewMemory()},
			clock: clock.NewJumping(), dir: dir}
		defer r.server.Close()
		r.start()
		defer func() { r.halt() }()
		test(r)
	})
}

// start starts the agent, as after a restart if there was one before.
func (r *rig) start() {
	r.t.Helper()
	way := r.way
	if way == nil {
		way = func([]byte) (http.RoundTripper, error) { return r.server.RoundTripper(), nil }
	}
	r.Agent = New(Config{
		Store: r.store, Clock: r.clock, Log: slog.New(slog.DiscardHandler), ProfilesDir: r.dir, Transport: way,
		Network:  func() string { where, _ := r.where.Load().(string); return where },
		KeysFile: r.keysFile,
	})
	for _, err := range r.Reload(r.t.Context()) {
		r.t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	r.halt = func() {
		cancel()
		<-done
	}
}

func (r *rig) restart() {
	r.halt()
	r.start()
}

// signIn makes a profile and signs it in as the stand-in's admin.
func (r *rig) signIn(name string, remember bool) {
	r.t.Helper()
	r.addProfile(name)
	admin := langflowtest.Admin()
	if _, err := r.Login(r.t.Context(), name, Credentials{Method: "password", Username: admin.Name,
		Password: secret.New(admin.Password), RememberPassword: remember}); err != nil {
		r.t.Fatal(err)
	}
}

// autoLogIn makes a profile and signs it in without a password.
func (r *rig) autoLogIn(name string) {
	r.t.Helper()
	r.addProfile(name)
	if _, err := r.Login(r.t.Context(), name, Credentials{Method: "auto-login"}); err != nil {
		r.t.Fatal(err)
	}
}

// logIn is a person's sign-in with a password, which is not remembered.
func (r *rig) logIn(ctx context.Context, name, username, password string) error {
	_, err := r.Login(ctx, name, Credentials{Method: "password", Username: username, Password: secret.New(password)})
	return err
}

func (r *rig) addProfile(name string) {
	r.t.Helper()
	if _, err := r.Add(config.Profile{Name: name, ServerURL: r.server.URL}); err != nil {
		r.t.Fatal(err)
	}
}

// keeps tells whether the store has the item.
func (r *rig) keeps(account string) bool {
	r.t.Helper()
	_, err := r.store.Get(r.t.Context(), account)
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		r.t.Fatal(err)
	}
	return err == nil
}

func (r *rig) is(name string, want State) Snapshot {
	r.t.Helper()
	synctest.Wait()
	got, err := r.Profile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	if got.State != want {
		r.t.Fatalf("%s is %s (%s), want %s", name, got.State, got.Reason, want)
	}
	return got
}

// accepted tells whether the server takes a token.
func (r *rig) accepted(token secret.Text) bool {
	r.t.Helper()
	c, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper(), Clock: clock.System()})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = c.WhoAmI(r.t.Context(), langflow.Bearer(token))
	return err == nil
}

// mustToken reads a token that the server must take.
func (r *rig) mustToken(name string) Grant {
	r.t.Helper()
	grant, err := r.Token(r.t.Context(), name, Wish)
	if err != nil {
		r.t.Fatal(err)
	}
	if !r.accepted(grant.Token) {
		r.t.Fatalf("the server does not accept the token of %s", name)
	}
	return grant
}

func (r *rig) noToken(name string, want ErrorKind) *Error {
	r.t.Helper()
	_, err := r.Token(r.t.Context(), name, Wish)
	return r.fails(err, want)
}

func (r *rig) fails(err error, want ErrorKind) *Error {
	r.t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want {
		r.t.Fatalf("got %v, want a %s", err, want)
	}
	return e
}

func TestSessionStaysFresh(t *testing.T) {
	for _, tc := range []struct {
		access   time.Duration
		quiet    time.Duration
		min, max int // refreshes
	}{
		{15 * time.Second, 3 * time.Minute, 20, 28},
		{time.Hour, 48 * time.Hour, 58, 68},
	} {
		t.Run(tc.access.String(), func(t *testing.T) {
			bubble(t, langflowtest.Options{AccessLifetime: tc.access}, func(r *rig) {
				r.signIn("prod", false)
				for end := time.Now().Add(tc.quiet); time.Now().Before(end); time.Sleep(tc.quiet / 900) {
					r.mustToken("prod")
				}
				if n := r.server.Count("/refresh"); n < tc.min || n > tc.max {
					t.Errorf("%d refreshes in %v, want %d to %d", n, tc.quiet, tc.min, tc.max)
				}
				if n := r.server.Count("/login"); n != 1 {
					t.Errorf("%d sign-ins", n)
				}
			})
		})
	}
}

func TestOutage(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 10 * time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(7 * time.Minute)
		r.server.Stop()
		time.Sleep(2 * time.Minute) // a refresh was due at 8 minutes
		s := r.is("prod", Retrying)
		if s.Reason != string(langflow.Unreachable) || s.FailingSince.IsZero() || s.NextAttempt.IsZero() {
			t.Errorf("while retrying: %+v", s)
		}
		if _, err := r.Token(r.t.Context(), "prod", Wish); err != nil {
			t.Errorf("the held token is not served: %v", err)
		}
		_, err := r.Token(r.t.Context(), "prod", 5*time.Minute)
		e := r.fails(err, ServerUnreachable)
		if e.HeldValid < 30*time.Second || e.HeldValid > 2*time.Minute || e.RetryAfter <= 0 {
			t.Errorf("asked for more than is held: %+v", e)
		}
		time.Sleep(3 * time.Minute)
		r.is("prod", Stale)
		if e := r.noToken("prod", ServerUnreachable); e.HeldValid != 0 || e.RetryAfter <= 0 {
			t.Errorf("with nothing valid: %+v", e)
		}
		r.server.Fault("/version", langflowtest.JSON(200, `{"version":"1.14.0","package":"Langflow"}`)) // that was an upgrade
		r.server.Start()
		time.Sleep(maxBackoff + 2*time.Second)
		if s := r.is("prod", Fresh); s.Reason != "" || !s.FailingSince.IsZero() || s.ServerVersion != "1.14.0" {
			t.Errorf("after the outage: %+v", s)
		}
		r.mustToken("prod")
		if r.server.Count("/login") != 1 {
			t.Error("the outage cost a sign-in")
		}
	})
}

func TestReaderEndsOutageAtOnce(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 15 * time.Second}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Stop()
		time.Sleep(10 * time.Minute)
		r.noToken("prod", ServerUnreachable)
		r.server.Start()
		time.Sleep(forcedInterval)
		r.mustToken("prod")
	})
}

func TestManyReadersOneRefresh(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(30 * time.Minute)
		r.server.Fault("/refresh", langflowtest.Fault{Delay: time.Second})
		var readers sync.WaitGroup
		for range 50 {
			readers.Go(func() {
				if _, err := r.Token(r.t.Context(), "prod", 50*time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		readers.Wait()
		if n := r.server.Count("/refresh"); n != 1 {
			t.Errorf("%d refreshes for 50 readers: %v", n, r.server.Requests())
		}
	})
}

func TestReaderWhoLeavesStopsNothing(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(30 * time.Minute)
		r.server.Fault("/refresh", langflowtest.Fault{Delay: 2 * time.Second})
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		if _, err := r.Token(ctx, "prod", 50*time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the reader who left got %v", err)
		}
		time.Sleep(2 * time.Second)
		if s := r.is("prod", Fresh); time.Since(s.LastRefresh) > 3*time.Second {
			t.Error("the refresh did not go on")
		}
	})
}

func TestMinValid(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(10 * time.Second)
		if g, err := r.Token(r.t.Context(), "prod", 55*time.Second); err != nil || g.ExpiresIn < 55*time.Second {
			t.Errorf("a longer-lived token was to be had: %v, %v", g.ExpiresIn, err)
		}
		_, err := r.Token(r.t.Context(), "prod", 2*time.Minute)
		if e := r.fails(err, LifetimeTooShort); e.MaxValid > time.Minute || e.MaxValid < 58*time.Second {
			t.Errorf("max_valid is %v", e.MaxValid)
		}
		before := r.server.Count("/refresh")
		start := time.Now()
		for time.Since(start) < 30*time.Second {
			_, err := r.Token(r.t.Context(), "prod", 2*time.Minute)
			r.fails(err, LifetimeTooShort)
			time.Sleep(100 * time.Millisecond)
		}
		if n := r.server.Count("/refresh") - before; n > 8 {
			t.Errorf("%d refreshes were forced in 30 s", n)
		}
	})
}

func TestServerAsksToWait(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/refresh", langflowtest.Busy(429, "300"))
		time.Sleep(2 * time.Minute)
		before := r.server.Count("/refresh")
		if e := r.noToken("prod", ServerUnreachable); e.RetryAfter < 2*time.Minute {
			t.Errorf("readers are told to come back in %v", e.RetryAfter)
		}
		r.server.ClearFaults()
		time.Sleep(2 * time.Minute)
		if n := r.server.Count("/refresh"); n != before {
			t.Errorf("%d attempts in spite of Retry-After", n-before)
		}
		time.Sleep(5 * time.Minute)
		r.is("prod", Fresh)
	})
}

func TestNewSecretKeyWithoutPassword(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		changes := r.Subscribe()
		defer r.Unsubscribe(changes)
		told := 0
		ctx, cancel := context.WithCancel(r.t.Context())
		defer cancel()
		go func() {
			for {
				select {
				case <-changes.Ready():
				case <-ctx.Done():
					return
				}
				for _, e := range changes.Take() {
					if e.State == SignInRequired {
						told++
					}
				}
			}
		}()
		r.server.RotateSecret()
		time.Sleep(time.Minute)
		if s := r.is("prod", SignInRequired); s.Reason != string(langflow.SessionEnded) {
			t.Errorf("the reason is %q", s.Reason)
		}
		if told != 1 {
			t.Errorf("subscribers were told %d times", told)
		}
		r.noToken("prod", SigningInRequired)
		if r.server.Count("/login") != 1 {
			t.Error("it tried to sign in")
		}
		// A final answer marks; it never deletes.
		if _, err := r.store.Get(r.t.Context(), "prod/refresh-token"); err != nil {
			t.Errorf("the refresh token is gone: %v", err)
		}
		before := r.server.Count("/refresh")
		time.Sleep(3 * time.Hour)
		if n := r.server.Count("/refresh") - before; n < 2 || n > 4 {
			t.Errorf("it was tried %d times in 3 h, want once an hour", n)
		}
	})
}

func TestNewSecretKeyWithRememberedPassword(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute, RateLimit: 5}, func(r *rig) {
		names := []string{"a", "b"}
		for _, name := range names {
			r.signIn(name, true)
		}
		r.server.RotateSecret()
		time.Sleep(2 * time.Minute)
		for _, name := range names {
			r.is(name, Fresh)
			r.mustToken(name)
		}
		if n := r.server.Count("/login"); n != 4 {
			t.Errorf("%d sign-ins, want 4", n)
		}
	})
}

func TestSilentSignInsShareOneBucket(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		const profiles = 10
		for i := range profiles {
			r.signIn(fmt.Sprintf("p%d", i), true)
		}
		r.server.RotateSecret()
		time.Sleep(8 * time.Minute)
		var signIns []time.Time
		for _, q := range r.server.Requests() {
			if q.Path == "/login" {
				signIns = append(signIns, q.Time)
			}
		}
		signIns = signIns[profiles:]
		if len(signIns) != profiles {
			t.Fatalf("%d silent sign-ins, want %d", len(signIns), profiles)
		}
		for i := 2; i < len(signIns); i++ {
			if d := signIns[i].Sub(signIns[i-2]); d < time.Minute-time.Second {
				t.Errorf("three sign-ins within %v", d)
			}
		}
		for i := range profiles {
			r.is(fmt.Sprintf("p%d", i), Fresh)
		}
	})
}

// What one silent sign-in is told of the server's limit holds for all of them.
func TestLimitOfSignInsIsTheServers(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		names := []string{"a", "b", "c", "d", "e", "f"}
		for _, name := range names {
			r.signIn(name, true)
		}
		time.Sleep(5 * time.Minute)
		r.server.RotateSecret()
		busy := langflowtest.Busy(429, "300")
		busy.Times = 1
		r.server.Fault("/login", busy)
		for r.server.Count("/login") == len(names) {
			time.Sleep(time.Second)
		}
		time.Sleep(298 * time.Second)
		if n := r.server.Count("/login") - len(names); n != 1 {
			t.Errorf("%d sign-ins in spite of Retry-After", n-1)
		}
		time.Sleep(5 * time.Minute)
		for _, name := range names {
			r.is(name, Fresh)
		}
		if n := r.server.Count("/login") - 2*len(names); n != 1 {
			t.Errorf("%d sign-ins more than it takes", n)
		}
	})
}

func TestWrongRememberedPasswordIsTriedOnce(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", true)
		r.server.ChangePassword("admin", "another")
		r.server.RotateSecret()
		time.Sleep(2 * time.Minute)
		if s := r.is("prod", SignInRequired); s.Reason != string(langflow.WrongPassword) {
			t.Errorf("the reason is %q", s.Reason)
		}
		r.restart()
		time.Sleep(2 * time.Hour)
		r.is("prod", SignInRequired)
		if n := r.server.Count("/login"); n != 2 {
			t.Errorf("%d sign-ins, want the first and one refused", n)
		}
		if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: "password", Username: "admin",
			Password: secret.New("another"), RememberPassword: true}); err != nil {
			t.Fatal(err)
		}
		r.is("prod", Fresh)
		r.server.RotateSecret()
		time.Sleep(3 * time.Minute)
		r.is("prod", Fresh)
	})
}

func TestUnknownRefusalCountsTwice(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 10 * time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/refresh", langflowtest.JSON(401, `{"detail":"the gateway says no"}`))
		for r.server.Count("/refresh") == 0 {
			time.Sleep(time.Second)
		}
		if s := r.is("prod", Retrying); s.Reason != string(langflow.Refused) {
			t.Errorf("the reason is %q", s.Reason)
		}
		time.Sleep(refusedTwice / 2)
		_, err := r.Refresh(r.t.Context(), "prod", false)
		r.fails(err, ServerUnreachable)
		r.server.Fault("/version", langflowtest.HTML(200)) // what answers is not Langflow
		time.Sleep(2 * refusedTwice)
		if s := r.is("prod", Retrying); s.Reason != string(langflow.Refused) {
			t.Errorf("the reason is %q", s.Reason)
		}
		r.server.ClearFaults()
		r.server.Fault("/refresh", langflowtest.JSON(401, `{"detail":"the gateway says no"}`))
		time.Sleep(maxBackoff + time.Second)
		r.is("prod", SignInRequired)
		r.server.ClearFaults()
		time.Sleep(time.Hour + time.Second)
		r.is("prod", Fresh)
	})
}

func TestGatewayInFrontIsNoRefusal(t *testing.T) {
	for name, fault := range map[string]langflowtest.Fault{
		"a captive portal": langflowtest.HTML(200), "a 401 page": langflowtest.HTML(401),
		"bad gateway": langflowtest.HTML(502), "elsewhere": langflowtest.Redirect(302, "https://portal.test/"),
		"empty": langflowtest.JSON(200, ""), "cut": langflowtest.JSON(200, `{"access_token":"x`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
				r.signIn("prod", false)
				r.server.Fault("", fault)
				time.Sleep(time.Hour)
				r.is("prod", Stale)
				r.server.ClearFaults()
				time.Sleep(maxBackoff + time.Second)
				r.is("prod", Fresh)
				if r.server.Count("/login") != 1 {
					t.Error("it cost a sign-in")
				}
			})
		})
	}
}

func TestSleep(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(time.Minute)
		r.clock.Jump(8 * time.Hour) // the timers stood still
		time.Sleep(tick + wakeSpread + time.Second)
		if s := r.is("prod", Fresh); r.clock.Now().Sub(s.LastRefresh) > time.Minute {
			t.Errorf("last refreshed %v ago", r.clock.Now().Sub(s.LastRefresh))
		}
	})
}

func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 400 * 24 * time.Hour, -400 * 24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.signIn("prod", false)
				r.clock.Jump(jump)
				r.mustToken("prod")
				time.Sleep(tick + wakeSpread + time.Second)
				s := r.is("prod", Fresh)
				if off := s.Offset + jump; off.Abs() > 3*time.Second {
					t.Errorf("the offset is %v after a jump of %v", s.Offset, jump)
				}
				for range 100 {
					time.Sleep(5 * time.Minute)
					r.mustToken("prod")
				}
				if n := r.server.Count("/refresh"); n > 14 {
					t.Errorf("%d refreshes in 8 h", n)
				}
			})
		})
	}
}

func TestServerClockIsOff(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			now := func() time.Time { return time.Now().Add(off) }
			bubble(t, langflowtest.Options{AccessLifetime: 10 * time.Minute, Now: now}, func(r *rig) {
				r.server.Fault("", langflowtest.Fault{}) // leave the answers alone
				r.signIn("prod", false)
				for range 100 {
					time.Sleep(time.Minute)
					r.mustToken("prod")
				}
				if n := r.server.Count("/refresh"); n < 10 || n > 15 {
					t.Errorf("%d refreshes in 100 min", n)
				}
			})
		})
	}
}

func TestKeychainLockedAtStart(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.halt()
		r.store.fail(keychain.ErrLocked, nil)
		r.start()
		time.Sleep(time.Minute)
		if s := r.is("prod", KeychainLocked); s.Reason != "locked" {
			t.Errorf("the reason is %q", s.Reason)
		}
		r.noToken("prod", KeychainBlocked)
		if r.store.unlocked != 0 {
			t.Error("somebody was asked to unlock it")
		}
		r.store.fail(nil, nil)
		time.Sleep(lockedTick + time.Second)
		r.is("prod", Fresh)
		if r.server.Count("/login") != 1 {
			t.Error("the lock cost a sign-in")
		}
	})
}

func TestPersonUnlocks(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.halt()
		r.store.fail(keychain.ErrLocked, nil)
		r.start()
		synctest.Wait()
		_, err := r.Refresh(r.t.Context(), "prod", false)
		r.fails(err, KeychainBlocked)
		if _, err := r.Refresh(r.t.Context(), "prod", true); err != nil {
			t.Fatal(err)
		}
		r.is("prod", Fresh)
		if r.store.unlocked != 1 {
			t.Errorf("asked %d times", r.store.unlocked)
		}
	})
}

// On a new desktop the first sign-in is what makes the keychain.
func TestFirstSignInMakesTheKeychain(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.store.fail(keychain.ErrMissing, nil)
		r.signIn("prod", false)
		if !r.is("prod", Fresh).Saved || r.store.unlocked != 1 {
			t.Errorf("asked %d times", r.store.unlocked)
		}
	})
}

// A server that hangs must not keep the readers of its other profiles waiting
// for as many time limits as there are profiles.
func TestManyProfilesOfAServerThatHangs(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		const profiles = 40
		for i := range profiles {
			r.signIn(fmt.Sprintf("p%d", i), false)
		}
		r.server.Fault("", langflowtest.Fault{Hang: true})
		time.Sleep(5 * time.Minute)
		for i := range profiles {
			start := time.Now()
			r.noToken(fmt.Sprintf("p%d", i), ServerUnreachable)
			if waited := time.Since(start); waited > 2*parallelWait+time.Second {
				t.Errorf("a reader waited %v", waited)
			}
		}
		r.server.ClearFaults()
		time.Sleep(maxBackoff + 2*parallelWait)
		for i := range profiles {
			r.mustToken(fmt.Sprintf("p%d", i))
		}
	})
}

func TestStoreRefusesWrite(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		if !r.is("prod", Fresh).Saved {
			t.Error("not saved after the sign-in")
		}
		before, _ := r.store.Get(r.t.Context(), "prod/refresh-token")
		r.store.fail(nil, keychain.ErrFailing)
		time.Sleep(10 * time.Minute)
		if s := r.is("prod", Fresh); s.Saved || s.Reason != "failing" {
			t.Errorf("saved is %v, reason %q", s.Saved, s.Reason)
		}
		r.mustToken("prod")
		if after, err := r.store.Get(r.t.Context(), "prod/refresh-token"); err != nil || !after.Secret.Equal(before.Secret) {
			t.Error("the stored token was touched")
		}
		r.store.fail(nil, nil)
		time.Sleep(3 * time.Minute)
		if s := r.is("prod", Fresh); !s.Saved || s.Reason != "" {
			t.Errorf("afterwards saved is %v, reason %q", s.Saved, s.Reason)
		}
		r.restart()
		time.Sleep(time.Second)
		r.mustToken("prod")
	})
}

func TestSecretTooBigIsRefusedBeforeAnythingIsLost(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.store.fail(nil, keychain.ErrTooBig)
		_, err := r.Login(r.t.Context(), "prod", Credentials{Method: "password", Username: "admin", Password: secret.New(langflowtest.Admin().Password)})
		r.fails(err, NotSupported)
		r.is("prod", Fresh)
		r.mustToken("prod")
	})
}

func TestFailedLoginKeepsTheSession(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", true)
		_, err := r.Login(r.t.Context(), "prod", Credentials{Method: "password", Username: "admin", Password: secret.New("wrong")})
		if e := r.fails(err, SigningInRequired); e.Reason != string(langflow.WrongPassword) {
			t.Errorf("the reason is %q", e.Reason)
		}
		time.Sleep(10 * time.Minute)
		r.mustToken("prod")
		r.restart()
		time.Sleep(time.Second)
		r.mustToken("prod")
	})
}

func TestRestartNeedsNoSignIn(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		for range 5 {
			r.restart()
			r.mustToken("prod")
			time.Sleep(20 * time.Hour)
		}
		if n := r.server.Count("/login"); n != 1 {
			t.Errorf("%d sign-ins", n)
		}
	})
}

func TestRemoveDuringRefreshLeavesNothing(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		time.Sleep(30 * time.Minute)
		r.server.Fault("/refresh", langflowtest.Fault{Delay: 5 * time.Second})
		var reader sync.WaitGroup
		reader.Go(func() {
			_, err := r.Token(r.t.Context(), "prod", 50*time.Minute)
			r.fails(err, NotFound)
		})
		time.Sleep(2 * time.Second)
		if _, err := r.Remove(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		reader.Wait()
		time.Sleep(time.Minute)
		if len(r.Profiles()) != 0 {
			t.Error("the profile is still there")
		}
		for _, account := range r.accounts("prod") {
			if _, err := r.store.Get(r.t.Context(), account); !errors.Is(err, keychain.ErrNotFound) {
				t.Errorf("%s is left: %v", account, err)
			}
		}
		r.restart()
		if len(r.Profiles()) != 0 {
			t.Error("the profile is back after a restart")
		}
	})
}

func TestRemoveWithLockedStoreKeepsEverything(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		r.store.fail(keychain.ErrFailing, nil)
		_, err := r.Remove(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		r.store.fail(nil, nil)
		r.mustToken("prod")
		time.Sleep(10 * time.Hour)
		r.mustToken("prod")
	})
}

func TestLogout(t *testing.T) {
	bubble(t, langflowtest.Options{AutoLogin: true}, func(r *rig) {
		r.autoLogIn("prod")
		r.mustToken("prod")
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		r.is("prod", SignedOut)
		r.noToken("prod", SigningInRequired)
		time.Sleep(5 * time.Hour)
		r.restart()
		time.Sleep(time.Hour)
		r.is("prod", SignedOut)
		if n := r.server.Count("/auto_login"); n != 1 {
			t.Errorf("%d automatic sign-ins", n)
		}
	})
}

func TestLongLivedTokenWithoutRefreshToken(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
		r.autoLogIn("old")
		s := r.is("old", Fresh)
		if !s.RefreshExpires.IsZero() || time.Until(s.AccessExpires) < 364*24*time.Hour {
			t.Errorf("the token: %+v", s)
		}
		time.Sleep(10 * time.Hour)
		if n := r.server.Count("/users/whoami"); n < 9 || n > 13 {
			t.Errorf("tried %d times in 10 h, want once an hour", n)
		}
		r.restart()
		r.mustToken("old")
		if n := r.server.Count("/auto_login"); n != 1 {
			t.Errorf("%d sign-ins while the token passes", n)
		}
		r.server.RotateSecret()
		time.Sleep(time.Hour + time.Second)
		r.is("old", Fresh)
		if n := r.server.Count("/auto_login"); n != 2 {
			t.Errorf("%d sign-ins, want a second one", n)
		}
		r.server.RotateSecret()
		r.server.SetAutoLogin(false)
		time.Sleep(2 * time.Hour)
		if s := r.is("old", SignInRequired); s.Reason != string(langflow.AutoLoginOff) {
			t.Errorf("the reason is %q", s.Reason)
		}
	})
}

func TestImportedRefreshToken(t *testing.T) {
	for _, root := range []string{"", "/team/a"} {
		bubble(t, langflowtest.Options{RootPath: root}, func(r *rig) {
			c, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper(), Clock: clock.System()})
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := c.Login(r.t.Context(), "admin", secret.New(langflowtest.Admin().Password))
			if err != nil {
				t.Fatal(err)
			}
			r.addProfile("sso")
			if _, err := r.Login(r.t.Context(), "sso", Credentials{Method: "refresh-token", RefreshToken: tokens.Refresh}); err != nil {
				t.Fatal(err)
			}
			if s := r.is("sso", Fresh); s.Username != "admin" {
				t.Errorf("signed in as %q", s.Username)
			}
			time.Sleep(5 * time.Hour)
			r.restart()
			r.mustToken("sso")
		})
	}
}

func TestAPIKey(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		key := r.server.AddAPIKey("admin")
		r.addProfile("ci")
		_, err := r.Login(r.t.Context(), "ci", Credentials{Method: "api-key", APIKey: secret.New("sk-wrong")})
		r.fails(err, SigningInRequired)
		if _, err := r.Login(r.t.Context(), "ci", Credentials{Method: "api-key", APIKey: key}); err != nil {
			t.Fatal(err)
		}
		r.is("ci", Fresh)
		r.noToken("ci", NotSupported)
		r.restart()
		time.Sleep(time.Second)
		r.is("ci", Fresh)
		r.server.Stop()
		time.Sleep(2 * time.Hour)
		r.is("ci", Retrying)
		r.server.Start()
		time.Sleep(3 * time.Minute)
		r.is("ci", Fresh)
		r.server.RevokeAPIKey(key)
		time.Sleep(time.Hour + time.Second)
		r.is("ci", SignInRequired)
	})
}

func TestOtherOriginSignsOutFirst(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		elsewhere := "https://elsewhere.test"
		s, err := r.Change(r.t.Context(), "prod", Change{ServerURL: &elsewhere})
		if err != nil || s.State != SignedOut || s.ServerURL != elsewhere {
			t.Fatalf("got %+v, %v", s, err)
		}
		for _, account := range r.accounts("prod") {
			if _, err := r.store.Get(r.t.Context(), account); !errors.Is(err, keychain.ErrNotFound) {
				t.Errorf("%s is left", account)
			}
		}
	})
}

// A change that leaves the server where it is does not make us forget what it
// is, even if it can't be asked just then.
func TestChangeKeepsServersVersion(t *testing.T) {
	bubble(t, langflowtest.Options{RootPath: "/a"}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Stop()
		yes := true
		s, err := r.Change(r.t.Context(), "prod", Change{AllowHTTP: &yes})
		if err != nil || s.ServerVersion != "1.13.0" {
			t.Errorf("after a change the server's version is %q, %v", s.ServerVersion, err)
		}
		elsewhere := "https://langflow.test/b"
		if s, err = r.Change(r.t.Context(), "prod", Change{ServerURL: &elsewhere}); err != nil || s.ServerVersion != "" {
			t.Errorf("at another root path the server's version is %q, %v", s.ServerVersion, err)
		}
	})
}

func TestStoredSecretOfAnotherOriginIsNotUsed(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		r.halt()
		// Somebody edits the file while the agent does not run.
		if err := config.SaveProfile(r.dir, config.Profile{Name: "prod", ServerURL: "https://evil.test", Method: "password", Username: "admin"}); err != nil {
			t.Fatal(err)
		}
		before := len(r.server.Requests())
		r.start()
		time.Sleep(time.Hour)
		r.is("prod", SignedOut)
		for _, q := range r.server.Requests()[before:] {
			t.Errorf("it asked %s", q.Path)
		}
	})
}

// A profile's URL, items and noted keys of an earlier version, which wrote some
// hosts otherwise, are the same server's: nobody is signed out.
func TestSpellingOfTheOriginSignsNobodyOut(t *testing.T) {
	store := keychain.NewMemory()
	item := keychain.Item{Origin: "https://b%C3%BCcher.example:7860", Username: "admin", Secret: secret.New("refresh")}
	if err := store.Set(t.Context(), keychain.Account("prod", keychain.RefreshToken), item); err != nil {
		t.Fatal(err)
	}
	a := &Agent{store: store, saver: newSaver(store, slog.New(slog.DiscardHandler)), log: slog.New(slog.DiscardHandler)}
	for _, url := range []string{"https://b%C3%BCcher.example:7860", "https://b\u00fccher.example:7860/team/a", "https://xn--bcher-kva.example:7860"} {
		profile := normal(config.Profile{Name: "prod", ServerURL: url})
		if !strings.HasPrefix(profile.ServerURL, "https://xn--bcher-kva.example:7860") {
			t.Errorf("%s becomes %s", url, profile.ServerURL)
		}
		origin, err := langflow.Origin(profile.ServerURL)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.stored(t.Context(), "prod", keychain.RefreshToken, origin, "admin"); err != nil || got.Secret.Reveal() != "refresh" {
			t.Errorf("with %s what is stored is not used: %v", url, err)
		}
	}
	if _, err := a.stored(t.Context(), "prod", keychain.RefreshToken, "https://xn--bcher-kva.example", "admin"); err == nil {
		t.Error("another port is the same server")
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(`{"schema":1,"keys":[{"profile":"prod","origin":"https://b%C3%BCcher.example:7860","username":"admin","name":"n","id":"i"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	noted, err := keys.OpenJournal(file).All()
	if err != nil || len(noted) != 1 || noted[0].Origin != "https://xn--bcher-kva.example:7860" {
		t.Errorf("noted keys: %v, %v", noted, err)
	}
}

func TestReload(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		if err := config.SaveProfile(r.dir, config.Profile{Name: "new", ServerURL: r.server.URL}); err != nil {
			t.Fatal(err)
		}
		if errs := r.Reload(r.t.Context()); errs != nil {
			t.Fatal(errs)
		}
		r.is("new", SignedOut)
		r.is("prod", Fresh)
		if err := config.RemoveProfile(r.dir, "prod"); err != nil {
			t.Fatal(err)
		}
		r.Reload(r.t.Context())
		if _, err := r.Profile("prod"); err == nil {
			t.Error("it is still there")
		}
		// An editor that writes by renaming removes a file for a moment.
		if err := config.SaveProfile(r.dir, config.Profile{Name: "prod", ServerURL: r.server.URL, Method: "password", Username: "admin"}); err != nil {
			t.Fatal(err)
		}
		r.Reload(r.t.Context())
		r.mustToken("prod")
	})
}

// A profile's file that is a symbolic link to nothing, such as one to a disk that is
// away, is a file that can't be read: its session goes on.
func TestReloadOfALinkToNothing(t *testing.T) {
	pathstest.Symlink(t, "nowhere", filepath.Join(t.TempDir(), "link")) // it skips here, where that is told
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		file, aside := r.profileFile("prod"), filepath.Join(r.dir, "aside")
		if err := os.Rename(file, aside); err != nil {
			t.Fatal(err)
		}
		pathstest.Symlink(t, filepath.Join(r.dir, "nowhere"), file)
		if errs := r.Reload(r.t.Context()); len(errs) != 1 {
			t.Errorf("the errors are %v", errs)
		}
		r.is("prod", Fresh)
		r.mustToken("prod")
		if err := os.Rename(aside, file); err != nil {
			t.Fatal(err)
		}
		if errs := r.Reload(r.t.Context()); errs != nil {
			t.Error(errs)
		}
		r.mustToken("prod")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r.Reload(r.t.Context())
		if r.Has("prod") {
			t.Error("the profile whose file is gone is still there")
		}
	})
}

func TestDeactivatedUser(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", true)
		r.server.Deactivate("admin")
		time.Sleep(2 * time.Minute)
		if s := r.is("prod", SignInRequired); s.Reason != string(langflow.Inactive) {
			t.Errorf("the reason is %q", s.Reason)
		}
	})
}

func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct{ access, refresh, want time.Duration }{
		{time.Hour, 7 * day, 48 * time.Minute},
		{5 * time.Minute, 7 * day, 4 * time.Minute},
		{time.Minute, 7 * day, 30 * time.Second},
		{time.Hour, 20 * time.Minute, 10 * time.Minute},
		{365 * day, 7 * day, 7 * day / 2},
		{0, 0, 48 * time.Minute}, // unknown
		{time.Second, 0, minRenewal},
	} {
		now := moment{wall: time.Now()}
		latest := renewal(now, tc.access, tc.refresh).Sub(now.wall)
		now.luck = 1
		earliest := renewal(now, tc.access, tc.refresh).Sub(now.wall)
		if want := max(tc.want*9/10, minRenewal); latest != tc.want || earliest != want {
			t.Errorf("%v, %v: renewed after %v to %v, want %v to %v", tc.access, tc.refresh, earliest, latest, want, tc.want)
		}
	}
}

// With no server to measure the clocks by, a token that may have ended is not
// handed out.
func TestClockJumpsInAnOutage(t *testing.T) {
	for name, tc := range map[string]struct{ jump, sleep time.Duration }{
		"slept":    {2 * time.Hour, 0},
		"set back": {-2 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.signIn("prod", false)
				r.server.Stop()
				r.clock.Jump(tc.jump)
				time.Sleep(tc.sleep)
				r.noToken("prod", ServerUnreachable)
			})
		})
	}
}

// After a wake, and after a start, a reader gets no token that was not tried.
func TestUnprovenTokenIsTried(t *testing.T) {
	t.Run("wake", func(t *testing.T) {
		bubble(t, langflowtest.Options{}, func(r *rig) {
			r.signIn("prod", false)
			r.server.RotateSecret()
			r.wake(true)
			r.noToken("prod", SigningInRequired)
		})
	})
	t.Run("refused", func(t *testing.T) {
		bubble(t, langflowtest.Options{}, func(r *rig) {
			r.signIn("prod", false)
			r.server.RotateSecret()
			r.server.Fault("/refresh", langflowtest.HTML(502))
			r.wake(true)
			r.noToken("prod", ServerUnreachable)
		})
	})
	t.Run("start", func(t *testing.T) {
		bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
			r.autoLogIn("old")
			r.halt()
			r.server.RotateSecret()
			r.server.Fault("/users/whoami", langflowtest.Fault{Delay: time.Second, Times: 1})
			r.start()
			synctest.Wait() // till the token is loaded, and being tried
			r.mustToken("old")
		})
	})
}

func TestNetworkChangeEndsBackoff(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Stop()
		time.Sleep(time.Hour)
		r.server.Start()
		r.where.Store("another")
		time.Sleep(tick + wakeSpread + time.Second)
		r.is("prod", Fresh)
	})
}

func TestOneProfileGetsThrough(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		for _, name := range []string{"a", "b", "c", "d"} {
			r.signIn(name, false)
		}
		r.server.Stop()
		time.Sleep(time.Hour)
		r.server.Start()
		time.Sleep(forcedInterval)
		r.mustToken("a")
		time.Sleep(2 * time.Second)
		for _, name := range []string{"b", "c", "d"} {
			r.is(name, Fresh)
		}
	})
}

// What gets through for one profile is no reason to ask too early for another.
func TestRetryAfterOutlastsOthersSuccess(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 10 * time.Minute}, func(r *rig) {
		r.signIn("a", false)
		r.signIn("b", false)
		busy := langflowtest.Busy(429, "300")
		busy.Times = 1
		r.server.Fault("/refresh", busy)
		for r.server.Count("/refresh") < 2 {
			time.Sleep(time.Second)
		}
		time.Sleep(200 * time.Second)
		if n := r.server.Count("/refresh"); n != 2 {
			t.Errorf("%d attempts in spite of Retry-After", n-2)
		}
		time.Sleep(2 * time.Minute)
		r.is("a", Fresh)
		r.is("b", Fresh)
	})
}

// A person's sign-in counts for the bucket, and where many wait the first of
// them is spread over a minute.
func TestBucket(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		for _, name := range []string{"a", "b", "c", "d"} {
			r.signIn(name, true)
		}
		s, _ := r.session("a")
		if wait := r.reserveSlot(s); wait < silentInterval-time.Second || wait > silentInterval {
			t.Errorf("a silent sign-in %v after a person's", wait)
		}
		time.Sleep(2 * time.Hour)
		r.updateAll(func(m *machine, _ moment) { m.rejectAccess() })
		latest := time.Duration(0)
		for range 100 {
			r.update(s, func(m *machine, _ moment) { m.refused.slot = 0 })
			clear(r.slots)
			latest = max(latest, r.reserveSlot(s))
		}
		if latest < 30*time.Second || latest > time.Minute {
			t.Errorf("the first sign-in of many waits up to %v", latest)
		}
	})
}

// If only some of the secrets can be deleted, the session goes on.
func TestRemoveFailsHalfWay(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.store.hook(func(op, account string) error {
			if op == "delete" && account == "prod/password" {
				return keychain.ErrFailing
			}
			return nil
		})
		_, err := r.Remove(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")
	})
}

func TestForcedRefreshesOfAFailingServer(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/refresh", langflowtest.HTML(502))
		for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(100 * time.Millisecond) {
			_, err := r.Refresh(r.t.Context(), "prod", false)
			r.fails(err, ServerUnreachable)
		}
		if n := r.server.Count("/refresh"); n > 8 {
			t.Errorf("%d refreshes were forced in 30 s", n)
		}
	})
}

// A refresh is interrupted for a person who then does not wait for their turn.
func TestInterruptedForNothing(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/refresh", langflowtest.Fault{Delay: 5 * time.Second, Times: 1})
		for r.server.Count("/refresh") == 0 {
			time.Sleep(time.Second)
		}
		gone, cancel := context.WithCancel(r.t.Context())
		cancel()
		if _, err := r.Logout(gone, "prod"); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left got %v", err)
		}
		time.Sleep(5 * time.Minute)
		r.is("prod", Fresh)
	})
}

// A session that becomes due in the moment in which its last work ends.
func TestDueWhileWorkEnds(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(time.Minute)
		s, _ := r.session("prod")
		ends := make(chan struct{})
		f := s.turn.join(&r.crew, false, func(context.Context) error { <-ends; return nil })
		r.update(s, func(m *machine, now moment) { m.plan(now.wall) })
		synctest.Wait()
		close(ends)
		<-f.done
		time.Sleep(2 * time.Hour)
		r.is("prod", Fresh)
	})
}

// What a gateway refuses keeps the token, which may be all that there is.
func TestGatewayRefusesProof(t *testing.T) {
	gateway := langflowtest.JSON(401, `{"detail":"the gateway says no"}`)
	t.Run("refresh token", func(t *testing.T) {
		bubble(t, langflowtest.Options{}, func(r *rig) {
			r.signIn("prod", false)
			r.server.Fault("", gateway)
			r.clock.Jump(time.Minute) // a sleep, after which the token is tried
			time.Sleep(tick + wakeSpread + time.Second)
			r.is("prod", Retrying)
			if _, err := r.Token(r.t.Context(), "prod", Wish); err != nil {
				t.Errorf("the held token is not served: %v", err)
			}
		})
	})
	t.Run("access token alone", func(t *testing.T) {
		bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
			r.autoLogIn("old")
			r.server.SetAutoLogin(false)
			r.server.Fault("/users/whoami", gateway)
			time.Sleep(time.Hour + refusedTwice/2)
			r.is("old", Retrying)
			r.server.ClearFaults()
			time.Sleep(time.Minute)
			r.is("old", Fresh)
		})
	})
}

func TestUnknownRefusalOfAKey(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		key := r.server.AddAPIKey("admin")
		r.addProfile("ci")
		if _, err := r.Login(r.t.Context(), "ci", Credentials{Method: "api-key", APIKey: key}); err != nil {
			t.Fatal(err)
		}
		r.server.Fault("/users/whoami", langflowtest.JSON(401, `{"detail":"in other words"}`))
		time.Sleep(proofAge + refusedTwice/2)
		r.is("ci", Retrying)
		time.Sleep(5 * time.Minute)
		r.is("ci", SignInRequired)
		r.server.ClearFaults()
		time.Sleep(signInRetry)
		r.is("ci", Fresh)
	})
}

// Nothing is deleted by a final answer: a token without a refresh token is
// tried again too.
func TestRefusedAccessTokenIsTriedHourly(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
		r.autoLogIn("old")
		r.server.SetAutoLogin(false)
		r.server.Fault("/users/whoami", langflowtest.JSON(401, `{"detail":"Could not validate credentials"}`))
		time.Sleep(time.Hour + time.Minute)
		r.is("old", SignInRequired)
		r.noToken("old", SigningInRequired)
		r.server.ClearFaults()
		time.Sleep(time.Hour)
		r.is("old", Fresh)
		r.mustToken("old")
	})
}

// A clock that runs ahead of the server's makes a token look ended which the
// server takes.
func TestEndedTokenThatPasses(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
		r.autoLogIn("old")
		item, err := r.store.Get(r.t.Context(), "old/access-token")
		if err != nil {
			t.Fatal(err)
		}
		r.halt()
		item.ExpiresAt = time.Now().Add(30 * time.Minute)
		if err := r.store.Set(r.t.Context(), "old/access-token", item); err != nil {
			t.Fatal(err)
		}
		r.start()
		before := r.server.Count("/users/whoami")
		time.Sleep(3 * time.Hour)
		if n := r.server.Count("/users/whoami") - before; n > 6 {
			t.Errorf("it was tried %d times in 3 h", n)
		}
		if n := r.server.Count("/auto_login"); n != 1 {
			t.Errorf("%d sign-ins while the token passes", n)
		}
	})
}

func TestRefusedPasswordWithFailingStore(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", true)
		r.server.ChangePassword("admin", "another")
		r.server.RotateSecret()
		r.store.fail(nil, keychain.ErrFailing) // so that it can't be marked there
		time.Sleep(5 * time.Hour)
		r.is("prod", SignInRequired)
		if n := r.server.Count("/login"); n != 2 {
			t.Errorf("%d sign-ins, want the first and one refused", n)
		}
	})
}

func TestStoreFaultAtSilentSignIn(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", true)
		r.server.RotateSecret()
		r.store.fail(keychain.ErrLocked, nil)
		time.Sleep(2 * time.Minute)
		if s := r.is("prod", Stale); s.Reason != "locked" {
			t.Errorf("the reason is %q", s.Reason)
		}
		r.noToken("prod", KeychainBlocked)
		_, err := r.Refresh(r.t.Context(), "prod", false)
		r.fails(err, KeychainBlocked)
		r.store.fail(nil, nil)
		time.Sleep(maxBackoff + time.Second)
		r.is("prod", Fresh)
	})
}

func TestClockIsSetBack(t *testing.T) {
	const month = 30 * 24 * time.Hour
	t.Run("short tokens", func(t *testing.T) {
		bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
			r.signIn("prod", false)
			time.Sleep(10 * time.Second)
			r.clock.Jump(-time.Hour)
			for range 30 {
				time.Sleep(20 * time.Second)
				r.is("prod", Fresh) // with no reader who would notice
			}
		})
	})
	t.Run("waiting to sign in", func(t *testing.T) {
		bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
			names := []string{"a", "b", "c", "d", "e"}
			for _, name := range names {
				r.signIn(name, true)
			}
			r.server.RotateSecret()
			time.Sleep(time.Minute)
			r.clock.Jump(-month)
			time.Sleep(8 * time.Minute)
			for _, name := range names {
				r.is(name, Fresh)
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
			r.signIn("prod", false)
			r.server.Fault("/refresh", langflowtest.JSON(401, `{"detail":"Invalid refresh token"}`))
			time.Sleep(2 * time.Minute)
			r.is("prod", SignInRequired)
			r.server.ClearFaults()
			r.clock.Jump(-month)
			time.Sleep(signInRetry)
			r.is("prod", Fresh)
		})
	})
}

func TestTokenBornDeadReplacesNothing(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.SetLifetimes(time.Millisecond, 7*24*time.Hour)
		time.Sleep(50 * time.Minute)
		r.is("prod", Retrying)
		if _, err := r.Token(r.t.Context(), "prod", Wish); err != nil {
			t.Errorf("the held token is not served: %v", err)
		}
	})
}

// A file that somebody has broken can't be written, and costs nothing else.
func TestBrokenProfileFile(t *testing.T) {
	users := []langflowtest.User{langflowtest.Admin(), {Name: "bob", Password: "bob-Password1"}}
	elsewhere := "https://elsewhere.test"
	for name, act := range map[string]func(r *rig) error{
		"login": func(r *rig) error { return r.logIn(r.t.Context(), "prod", "bob", "bob-Password1") },
		"change": func(r *rig) error {
			_, err := r.Change(r.t.Context(), "prod", Change{ServerURL: &elsewhere})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{Users: users}, func(r *rig) {
				r.signIn("prod", true)
				good, err := os.ReadFile(r.profileFile("prod"))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(r.profileFile("prod"), []byte("nonsense"), 0o600); err != nil {
					t.Fatal(err)
				}
				r.fails(act(r), Internal)
				r.mustToken("prod")
				if err := os.WriteFile(r.profileFile("prod"), good, 0o600); err != nil {
					t.Fatal(err)
				}
				r.restart()
				r.mustToken("prod")
				if !r.keeps("prod/password") {
					t.Error("the remembered password is gone")
				}
			})
		})
	}
}

func TestChangeWithLockedStoreKeepsEverything(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		r.store.fail(keychain.ErrFailing, nil)
		elsewhere := "https://elsewhere.test"
		_, err := r.Change(r.t.Context(), "prod", Change{ServerURL: &elsewhere})
		r.fails(err, KeychainBlocked)
		r.store.fail(nil, nil)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")
	})
}

// Whoever leaves once their sign-in was spent gets it all the same.
func TestClientLeavesLogin(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		ctx, cancel := context.WithCancel(r.t.Context())
		r.store.hook(func(op, _ string) error {
			if op == "set" {
				cancel()
			}
			return nil
		})
		if err := r.logIn(ctx, "prod", "admin", langflowtest.Admin().Password); err != nil {
			t.Error(err)
		}
		if !r.is("prod", Fresh).Saved || r.keeps("prod/password") {
			t.Error("the sign-in is half in place")
		}
	})
}

func TestCAFileAppears(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.halt()
		p, err := config.LoadProfile(r.profileFile("prod"))
		if err != nil {
			t.Fatal(err)
		}
		p.CAFile = filepath.Join(r.dir, "ca.pem")
		if err := config.SaveProfile(r.dir, p); err != nil {
			t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Minute)
		if s := r.is("prod", Stale); s.Reason != string(langflow.Certificate) {
			t.Errorf("the reason is %q", s.Reason)
		}
		if err := os.WriteFile(p.CAFile, []byte("a certificate"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxBackoff + time.Second)
		r.is("prod", Fresh)
	})
}

func TestLogoutDuringFailingWrite(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.store.hook(func(op, _ string) error {
			if op != "set" {
				return nil
			}
			time.Sleep(5 * time.Second)
			return keychain.ErrSilent
		})
		for r.server.Count("/refresh") == 0 {
			time.Sleep(time.Second)
		}
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		r.store.hook(nil)
		time.Sleep(5 * time.Minute)
		if s := r.is("prod", SignedOut); s.Saved || s.Reason != "" || r.keeps("prod/refresh-token") {
			t.Errorf("signed out, but saved is %v, reason %q, kept %v", s.Saved, s.Reason, r.keeps("prod/refresh-token"))
		}
	})
}

func TestStoreRefusesSignIn(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		key := r.server.AddAPIKey("admin")
		r.store.fail(nil, keychain.ErrFailing)
		r.signIn("prod", true)
		r.addProfile("ci")
		if _, err := r.Login(r.t.Context(), "ci", Credentials{Method: "api-key", APIKey: key}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"prod", "ci"} {
			if s := r.is(name, Fresh); s.Saved || s.Reason != "failing" {
				t.Errorf("%s: saved is %v, reason %q", name, s.Saved, s.Reason)
			}
		}
		r.store.fail(nil, nil)
		time.Sleep(5 * time.Minute)
		for _, account := range []string{"prod/refresh-token", "prod/password", "ci/api-key"} {
			if !r.keeps(account) {
				t.Errorf("%s was not stored later", account)
			}
		}
		if !r.is("prod", Fresh).Saved || !r.is("ci", Fresh).Saved {
			t.Error("nobody is told that they are stored now")
		}
	})
}

func TestTooBigSignInKeepsUnsavedSession(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.store.fail(nil, keychain.ErrFailing)
		r.signIn("prod", false)
		synctest.Wait() // till it could not be stored
		r.store.fail(nil, nil)
		tooBig := keychain.ErrTooBig
		r.store.hook(func(op, _ string) (err error) {
			if op == "set" {
				err, tooBig = tooBig, nil // of the first alone
			}
			return err
		})
		r.fails(r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password), NotSupported)
		time.Sleep(5 * time.Minute)
		if !r.is("prod", Fresh).Saved {
			t.Error("the session that stayed was not stored later")
		}
	})
}

func TestAddedProfileIsSignedOut(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		if err := config.RemoveProfile(r.dir, "prod"); err != nil {
			t.Fatal(err)
		}
		r.Reload(r.t.Context())
		// Its secrets are still there, but they belong to no profile.
		s, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL})
		if err != nil || s.State != SignedOut {
			t.Errorf("added as %s, %v", s.State, err)
		}
		time.Sleep(time.Minute)
		r.is("prod", SignedOut)
	})
}

// A server that is upgraded to give refresh tokens: the access token is only
// kept where there is none.
func TestServerBeginsToGiveRefreshTokens(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4", AutoLogin: true}, func(r *rig) {
		r.autoLogIn("old")
		if !r.keeps("old/access-token") {
			t.Fatal("the access token is not kept")
		}
		s, _ := r.session("old")
		tokens, err := s.known.Load().client.Login(r.t.Context(), "admin", secret.New(langflowtest.Admin().Password))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.adopt(r.t.Context(), s, tokens); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !r.keeps("old/refresh-token") || r.keeps("old/access-token") {
			t.Error("the access token stays beside the refresh token")
		}
	})
}

// A token that ends while its refresh hangs is told of before that gives up.
func TestSubscribersHearOfATokensEnd(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 15 * time.Second}, func(r *rig) {
		r.signIn("prod", false)
		changes := r.Subscribe()
		defer r.Unsubscribe(changes)
		r.server.Fault("/refresh", langflowtest.Fault{Hang: true})
		time.Sleep(24 * time.Second)
		if e := changes.Take(); len(e) != 1 || e[0].State != Stale {
			t.Errorf("subscribers were told %+v", e)
		}
	})
}

func TestSecretThatCannotBeSent(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.addProfile("prod")
		for _, c := range []Credentials{
			{Method: "refresh-token", RefreshToken: secret.New("two words")}, {Method: "api-key", APIKey: secret.New("two words")},
		} {
			_, err := r.Login(r.t.Context(), "prod", c)
			r.fails(err, BadRequest)
		}
		relative := "ca.pem"
		_, err := r.Change(r.t.Context(), "prod", Change{CAFile: &relative})
		r.fails(err, BadRequest)
	})
}

// A password that the store would not take yet is remembered all the same.
func TestAPasswordThatWaitsForTheStore(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.store.hook(func(op, account string) error {
			if op == "set" && account == keychain.Account("a", keychain.Password) {
				return keychain.ErrFailing
			}
			return nil
		})
		r.signIn("a", true)
		r.server.RotateSecret()
		time.Sleep(3 * time.Minute)
		if p, err := r.Profile("a"); err != nil || p.State != Fresh {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// Everybody does everything at once for a while, and all goes wrong that can.
// Once that is over every session is well or signed out, looked after, and told
// of as it is.
func TestAllAtOnce(t *testing.T) {
	for seed := range uint64(2) {
		bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
			var mu sync.Mutex // protects dice and storeIsOdd
			dice := rand.New(rand.NewPCG(seed, 1))
			storeIsOdd := true
			roll := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return dice.IntN(n)
			}
			seconds := func(n int) time.Duration { return time.Duration(roll(n*1000)) * time.Millisecond }
			names := []string{"a", "b", "c", "d"}
			admin := langflowtest.Admin()
			for _, name := range names {
				r.signIn(name, true)
			}
			r.store.hook(func(string, string) error {
				mu.Lock()
				odd := storeIsOdd
				mu.Unlock()
				switch n := roll(30); {
				case odd && n < 2:
					time.Sleep(seconds(5))
				case odd && n == 2:
					return keychain.ErrFailing
				}
				return nil
			})
			end := time.Now().Add(40 * time.Minute)
			var everybody sync.WaitGroup
			for range 8 {
				everybody.Go(func() {
					for time.Now().Before(end) {
						time.Sleep(seconds(20))
						name, yes := names[roll(len(names))], roll(2) == 0
						ctx, cancel := context.WithTimeout(r.t.Context(), seconds(20))
						switch roll(11) {
						case 0, 1:
							_, _ = r.Token(ctx, name, Wish)
						case 2:
							_, _ = r.Token(ctx, name, 58*time.Second)
						case 3:
							_, _ = r.Refresh(ctx, name, yes)
						case 4, 5:
							_, _ = r.Login(ctx, name, Credentials{Method: "password", Username: admin.Name,
								Password: secret.New(admin.Password), RememberPassword: true})
						case 6:
							_, _ = r.Logout(ctx, name)
						case 7:
							_, _ = r.Remove(ctx, name)
						case 8:
							_, _ = r.Add(config.Profile{Name: name, ServerURL: r.server.URL})
						case 9:
							_, _ = r.Change(ctx, name, Change{AllowHTTP: &yes})
						case 10:
							if yes {
								_ = os.Remove(r.profileFile(name))
							}
							r.Reload(ctx)
						}
						cancel()
					}
				})
			}
			everybody.Go(func() {
				for time.Now().Before(end) {
					time.Sleep(seconds(60))
					switch roll(8) {
					case 0:
						r.server.Stop()
						time.Sleep(seconds(60))
						r.server.Start()
					case 1:
						r.server.RotateSecret()
					case 2:
						r.clock.Jump(seconds(7200) - time.Hour)
					case 3:
						r.server.Fault("", langflowtest.Fault{Delay: seconds(10)})
					case 4:
						r.server.Fault("/refresh", langflowtest.HTML(502))
					case 5:
						r.server.Fault("/login", langflowtest.Busy(429, "30"))
					case 6:
						r.store.fail(keychain.ErrLocked, nil)
						time.Sleep(seconds(30))
						r.store.fail(nil, nil)
					case 7:
						r.server.ClearFaults()
					}
				}
			})
			changes := r.Subscribe()
			defer r.Unsubscribe(changes)
			told := map[string]Event{}
			everybody.Wait()
			mu.Lock()
			storeIsOdd = false
			mu.Unlock()
			r.server.ClearFaults()
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			for _, e := range changes.Take() {
				told[e.Name] = e
			}
			for _, p := range r.Profiles() {
				if e := told[p.Name]; e.Removed || e.State != p.State || e.Saved != p.Saved {
					t.Errorf("seed %d: subscribers were told %+v of %+v", seed, e, p)
				}
				if p.State != SignedOut {
					r.is(p.Name, Fresh)
					r.mustToken(p.Name)
				}
				for _, account := range r.accounts(p.Name) {
					if p.State == SignedOut && p.Method != "" && r.keeps(account) {
						t.Errorf("seed %d: %s is left of a profile that is signed out", seed, account)
					}
				}
			}
			for name, s := range r.all() {
				if s.turn.busy() || len(s.turn.worker) != 0 || s.known.Load().holds() != (s.index >= 0) {
					t.Errorf("seed %d: %s is at work or not looked after", seed, name)
				}
			}
		})
	}
}

func TestManySessions(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		admin := langflowtest.Admin()
		for i := range 200 {
			name := fmt.Sprintf("p%03d", i)
			if err := config.SaveProfile(r.dir, config.Profile{Name: name, ServerURL: r.server.URL, Method: "password", Username: admin.Name}); err != nil {
				t.Fatal(err)
			}
		}
		r.Reload(r.t.Context())
		synctest.Wait()
		var starting sync.WaitGroup
		for i := range 200 {
			starting.Go(func() {
				if _, err := r.Login(r.t.Context(), fmt.Sprintf("p%03d", i), Credentials{Method: "password", Username: admin.Name, Password: secret.New(admin.Password)}); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		time.Sleep(5 * time.Minute)
		for _, s := range r.Profiles() {
			if s.State != Fresh {
				t.Fatalf("%s is %s", s.Name, s.State)
			}
		}
		if n := r.server.Count("/refresh"); n < 1800 || n > 2600 {
			t.Errorf("%d refreshes in 5 min of 200 sessions", n)
		}
	})
}

// What a person has written into a profile's file since it was last read stays
// there, whatever is changed from here, and comes into force if it can be used.
func TestHandEditsStay(t *testing.T) {
	for name, act := range map[string]func(r *rig) error{
		"a change": func(r *rig) error {
			_, err := r.Change(r.t.Context(), "prod", Change{Proxy: new(true)})
			return err
		},
		"a change that can't be made": func(r *rig) error {
			r.store.fail(keychain.ErrFailing, nil)
			_, err := r.Change(r.t.Context(), "prod", Change{ServerURL: new("https://elsewhere.test"), CAFile: new("")})
			r.fails(err, KeychainBlocked)
			r.store.fail(nil, nil)
			return nil
		},
		"a sign-in": func(r *rig) error {
			return r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password)
		},
		"a sign-in that does not fit": func(r *rig) error {
			r.store.fail(nil, keychain.ErrTooBig)
			r.fails(r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password), NotSupported)
			r.store.fail(nil, nil)
			return nil
		},
	} {
		for _, usable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, usable %v", name, usable), func(t *testing.T) {
				bubble(t, langflowtest.Options{}, func(r *rig) {
					r.signIn("prod", false)
					file := r.profileFile("prod")
					was, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					edit := "key_lifetime = '8h' # mine\n"
					if !usable {
						edit += "ca_file = '" + filepath.Join(r.dir, "later.pem") + "'\n"
					}
					if err := os.WriteFile(file, append(was, edit...), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := act(r); err != nil {
						t.Fatal(err)
					}
					after, err := os.ReadFile(file)
					if err != nil || !strings.HasPrefix(string(after), string(was)+edit) {
						t.Errorf("%v: the file says\n%s\nand not\n%s%s", err, after, was, edit)
					}
					if errs := r.Reload(r.t.Context()); (len(errs) == 0) != usable {
						t.Errorf("taken up: %v", errs)
					}
					s := r.is("prod", Fresh)
					if (s.KeyLifetime == 8*time.Hour) != usable || s.Proxy != (name == "a change") {
						t.Errorf("in force: %+v", s)
					}
				})
			})
		}
	}
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestHandEditsStay in agent", []string{"what goes wrong", "what happens"}, [][]string{
			{"A command, the page or a sign-in changes a profile whose file was edited by hand just before", "both are in the file, and come into force"},
			{"The same, with an edit that can't be used yet, such as a CA file that is not there", "both are in the file; the change comes into force, the edit does not, and `status` says why"},
			{"That change or sign-in then fails", "the edit stays, and nothing else"},
		})
	}
}
