package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

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
		for _, itemName := range r.itemNames("prod") {
			if _, err := r.store.Get(r.t.Context(), itemName); !errors.Is(err, keychain.ErrNotFound) {
				t.Errorf("%s is left: %v", itemName, err)
			}
		}
		r.restart()
		if len(r.Profiles()) != 0 {
			t.Error("the profile is back after a restart")
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
							_, _ = r.Token(ctx, name, AnyLifetime)
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
							_, _ = r.Change(ctx, name, func(p *config.Profile) { p.AllowHTTP = yes })
						case 10:
							if yes {
								_ = os.Remove(r.profileFile(name))
							}
							r.Reload()
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
				for _, itemName := range r.itemNames(p.Name) {
					if p.State == SignedOut && p.Method != "" && r.keeps(itemName) {
						t.Errorf("seed %d: %s is left of a profile that is signed out", seed, itemName)
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
		r.reload()
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
