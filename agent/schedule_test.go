package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
)

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

// A session that becomes due in the moment in which its last work ends.
func TestDueWhileWorkEnds(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(time.Minute)
		s, _ := r.session("prod")
		ends := make(chan struct{})
		f, _ := s.turn.join(&r.crew, false, func(context.Context) error { <-ends; return nil })
		r.update(s, func(m *machine, now moment) { m.plan(now.wall) })
		synctest.Wait()
		close(ends)
		if err := f.Wait(r.t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Hour)
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
