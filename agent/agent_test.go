package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

// rig is an agent with its server, store and clock in a synctest bubble.
type rig struct {
	t *testing.T
	*Agent
	server *langflowtest.Server
	store  *faultyStore
	clock  *clock.Jumping
	dir    string
	halt   func()
}

// faultyStore is a memory store that fails on request.
type faultyStore struct {
	keychain.Store
	mu       sync.Mutex
	fault    error // of every call
	setFault error
	unlocked int // how often somebody was asked to unlock it
	sets     int
}

func (f *faultyStore) failing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fault
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
	if err := f.failing(); err != nil {
		return keychain.Item{}, err
	}
	return f.Store.Get(ctx, account)
}

func (f *faultyStore) Set(ctx context.Context, account string, item keychain.Item) error {
	f.mu.Lock()
	err := errors.Join(f.fault, f.setFault)
	f.sets++
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.Store.Set(ctx, account, item)
}

func (f *faultyStore) Delete(ctx context.Context, account string) error {
	if err := f.failing(); err != nil {
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
	r.Agent = New(Config{
		Store: r.store, Clock: r.clock, Log: slog.New(slog.DiscardHandler), ProfilesDir: r.dir,
		Transport: func([]byte) (http.RoundTripper, error) { return r.server.RoundTripper(), nil },
		Network:   func() string { return "" },
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

func (r *rig) addProfile(name string) {
	r.t.Helper()
	if _, err := r.Add(config.Profile{Name: name, ServerURL: r.server.URL}); err != nil {
		r.t.Fatal(err)
	}
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
		r.server.Start()
		time.Sleep(maxBackoff + 2*time.Second)
		if s := r.is("prod", Fresh); s.Reason != "" || !s.FailingSince.IsZero() {
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
		time.Sleep(refusedTwice + time.Second)
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
		r.addProfile("prod")
		if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: "auto-login"}); err != nil {
			t.Fatal(err)
		}
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
		r.addProfile("old")
		if _, err := r.Login(r.t.Context(), "old", Credentials{Method: "auto-login"}); err != nil {
			t.Fatal(err)
		}
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
