package agent

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
)

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

// A person's refresh asks for the keychain of a session in memory too, and has what waits
// for it stored. It renews the session first, and whatever the person answers.
func TestPersonUnlocksForStoring(t *testing.T) {
	for name, tc := range map[string]struct {
		server bool // answers
		answer error
	}{
		"unlocked": {true, nil}, "declined": {true, keychain.ErrLocked}, "server away": {false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.signIn("prod", false)
				r.store.fail(keychain.ErrLocked, nil)
				time.Sleep(forcedInterval)
				if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if s := r.is("prod", Fresh); s.Saved || r.store.unlocked != 0 {
					t.Errorf("a program's refresh: saved %v, asked %d times", s.Saved, r.store.unlocked)
				}
				time.Sleep(forcedInterval)
				r.store.answer = tc.answer
				if !tc.server {
					r.server.Fault("/refresh", langflowtest.HTML(502))
				}
				before := r.server.Count("/refresh")
				s, err := r.Refresh(r.t.Context(), "prod", true)
				if (err == nil) != tc.server {
					t.Errorf("it ends with %v", err)
				}
				if err != nil {
					s, _ = r.Profile("prod")
				}
				if s.Saved != (tc.answer == nil) {
					t.Errorf("saved: %v", s.Saved)
				}
				if r.store.unlocked != 1 || r.server.Count("/refresh") == before {
					t.Errorf("asked %d times, %d refreshes", r.store.unlocked, r.server.Count("/refresh")-before)
				}
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
