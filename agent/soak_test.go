package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// TestSoak keeps sessions of all methods with two servers for 48 hours in which
// the computer sleeps, the servers fail in every way and change their keys, and
// programs read all the time. Every token is judged by its server at once.
func TestSoak(t *testing.T) {
	const awake = 48 * time.Hour
	var asleep atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }
	bubble(t, langflowtest.Options{AutoLogin: true, Now: now}, func(r *rig) {
		old := langflowtest.NewInProcess(langflowtest.Options{Version: "1.4", AutoLogin: true, Now: now, Origin: "https://old.test"})
		defer old.Close()
		servers := map[string]*langflowtest.Server{"https://langflow.test": r.server, "https://old.test": old}
		r.halt()
		r.way = func([]byte) (http.RoundTripper, error) {
			way, err := langflow.NewTransport(nil)
			if err != nil {
				return nil, err
			}
			way.Proxy = nil
			way.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				host, _, _ := net.SplitHostPort(address)
				return servers["https://"+host].RoundTripper().(*http.Transport).DialContext(ctx, network, address)
			}
			return way, nil
		}
		r.keysFile = filepath.Join(r.dir, "keys.json")
		r.start()

		var mu sync.Mutex // protects dice and rotated
		dice := rand.New(rand.NewPCG(7, 7))
		rotated := map[*langflowtest.Server]time.Time{}
		roll := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return dice.IntN(n)
		}
		between := func(least, most time.Duration) time.Duration {
			return least + time.Duration(roll(int((most-least)/time.Millisecond)))*time.Millisecond
		}
		rotatedAt := func(s *langflowtest.Server) time.Time {
			mu.Lock()
			defer mu.Unlock()
			return rotated[s]
		}

		admin := langflowtest.Admin()
		key := r.server.AddAPIKey(admin.Name)
		password := Credentials{Method: vocabulary.Password, Username: admin.Name, Password: secret.New(admin.Password)}
		kept := password
		kept.RememberPassword = true
		straight, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper()})
		if err != nil {
			t.Fatal(err)
		}
		// imported is what somebody takes from a browser.
		imported := func() Credentials {
			tokens, err := straight.Login(r.t.Context(), admin.Name, secret.New(admin.Password))
			if err != nil {
				return Credentials{Method: vocabulary.RefreshToken, RefreshToken: secret.New("none")}
			}
			return Credentials{Method: vocabulary.RefreshToken, RefreshToken: tokens.Refresh}
		}
		profiles := []struct {
			name   string
			server *langflowtest.Server
			with   func() Credentials
			person bool // signs in again by hand
		}{
			{"kept-a", r.server, func() Credentials { return kept }, false},
			{"kept-b", r.server, func() Credentials { return kept }, false},
			{"kept-old", old, func() Credentials { return kept }, false},
			{"typed", r.server, func() Credentials { return password }, true},
			{"imported", r.server, imported, true},
			{"auto", r.server, func() Credentials { return Credentials{Method: vocabulary.AutoLogin} }, false},
			{"auto-old", old, func() Credentials { return Credentials{Method: vocabulary.AutoLogin} }, false},
			{"ci", r.server, func() Credentials { return Credentials{Method: vocabulary.APIKey, APIKey: key} }, false},
		}
		for _, p := range profiles {
			if _, err := r.Add(config.Profile{Name: p.name, ServerURL: p.server.URL}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Login(r.t.Context(), p.name, p.with()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		goroutines := runtime.NumGoroutine()

		end := time.Now().Add(awake)
		var everybody sync.WaitGroup
		var reads, served, dead, byHand, keys atomic.Int64
		var longestDead atomic.Int64
		for _, p := range profiles {
			for range 2 {
				everybody.Go(func() {
					for time.Now().Before(end) {
						time.Sleep(between(10*time.Second, 4*time.Minute))
						if p.name == "ci" || roll(20) == 0 {
							if _, err := r.Key(r.t.Context(), p.name, AnyLifetime); err == nil {
								keys.Add(1)
							}
							continue
						}
						reads.Add(1)
						grant, err := r.Token(r.t.Context(), p.name, AnyLifetime)
						if err != nil {
							continue
						}
						served.Add(1)
						if p.server.Accepts(grant.Token) {
							continue
						}
						// Nobody told the agent of the new secret key yet.
						dead.Add(1)
						since := time.Since(rotatedAt(p.server))
						longestDead.Store(max(longestDead.Load(), int64(since)))
						if rotatedAt(p.server).IsZero() || since > 2*time.Hour {
							t.Errorf("%s: a token that the server refuses, %v after its last new key", p.name, since)
						}
					}
				})
			}
			// A person is needed where a new key ended what can't be had silently.
			everybody.Go(func() {
				signedIn := time.Now()
				for time.Now().Before(end) {
					time.Sleep(time.Minute)
					s, err := r.Profile(p.name)
					if err != nil {
						t.Error(err)
						return
					}
					if s.State == SignedOut || s.State == KeychainLocked ||
						s.State == SignInRequired && (!p.person || rotatedAt(p.server).Before(signedIn)) {
						t.Errorf("%s is %s (%s): it should live", p.name, s.State, s.Reason)
						return
					}
					if s.State != SignInRequired {
						continue
					}
					if _, err := r.Login(r.t.Context(), p.name, p.with()); err == nil {
						signedIn = time.Now()
						byHand.Add(1)
					}
				}
			})
		}
		// Two follow the events, one of them slowly.
		told := map[string]Event{}
		for _, pause := range []time.Duration{0, 10 * time.Minute} {
			everybody.Go(func() {
				changes := r.Subscribe()
				defer r.Unsubscribe(changes)
				for time.Now().Before(end.Add(time.Hour)) {
					select {
					case <-changes.Ready():
					case <-time.After(time.Minute):
					}
					time.Sleep(pause)
					events := changes.Take()
					if len(events) > len(profiles) {
						t.Errorf("%d events wait for %d profiles", len(events), len(profiles))
					}
					for _, e := range events {
						if pause == 0 {
							told[e.Name] = e
						}
					}
				}
			})
		}
		happened := map[string]int{}
		var slept time.Duration
		everybody.Go(func() {
			for time.Now().Before(end.Add(-2 * time.Hour)) {
				time.Sleep(between(5*time.Minute, 40*time.Minute))
				s := r.server
				if roll(3) == 0 {
					s = old
				}
				spoil := func(what, path string, f langflowtest.Fault) {
					happened[what]++
					s.Fault(path, f)
					time.Sleep(between(time.Minute, 30*time.Minute))
					s.ClearFaults()
				}
				switch roll(11) {
				case 0, 1:
					happened["sleeps"]++
					d := between(5*time.Minute, 9*time.Hour)
					slept += d
					asleep.Add(int64(d))
					r.clock.Jump(d)
				case 2:
					happened["outages"]++
					s.Stop()
					time.Sleep(between(time.Minute, time.Hour))
					s.Start()
				case 3:
					happened["flapping"]++
					for range 20 {
						s.Stop()
						time.Sleep(between(time.Second, 20*time.Second))
						s.Start()
						time.Sleep(between(time.Second, 20*time.Second))
					}
				case 4:
					happened["new keys"]++
					mu.Lock()
					rotated[s] = time.Now()
					mu.Unlock()
					s.RotateSecret()
				case 5:
					spoil("bad gateways", "", langflowtest.HTML(502))
				case 6:
					spoil("captive portals", "", langflowtest.HTML(200))
				case 7:
					spoil("hanging", "", langflowtest.Fault{Hang: true})
				case 8:
					spoil("rate limits", "/refresh", langflowtest.Busy(429, "120"))
				case 9:
					happened["networks"]++
					r.where.Store(fmt.Sprint(roll(1000)))
				case 10:
					happened["clock jumps"]++
					r.clock.Jump(between(-2*time.Hour, 2*time.Hour))
				}
			}
		})
		everybody.Wait()
		synctest.Wait()

		for _, p := range profiles {
			s := r.is(p.name, Fresh)
			if !s.Saved || s.Reason != "" {
				t.Errorf("%s in the end: %+v", p.name, s)
			}
			if e := told[p.name]; e.State != s.State {
				t.Errorf("%s: whoever follows the events was last told of %s", p.name, e.State)
			}
			if p.name == "ci" {
				continue
			}
			grant, err := r.Token(r.t.Context(), p.name, AnyLifetime)
			if err != nil || !p.server.Accepts(grant.Token) {
				t.Errorf("%s has no good token in the end: %v", p.name, err)
			}
		}
		time.Sleep(5 * time.Minute) // till idle connections are closed
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > goroutines {
			t.Errorf("%d goroutines, and %d at the beginning", n, goroutines)
		}

		requests := map[string]int{}
		total := 0
		for _, s := range servers {
			for _, q := range s.Requests() {
				if rest, ok := strings.CutPrefix(q.Path, "/api_key/"); ok && rest != "" {
					q.Path = "/api_key/ID"
				}
				requests[q.Path]++
				total++
			}
		}
		t.Logf("%v awake, %v asleep; %v", awake, slept.Round(time.Hour), happened)
		t.Logf("%d reads: %d tokens, %d of them dead, the last %v after a new key; %d keys; %d sign-ins by hand",
			reads.Load(), served.Load(), dead.Load(), time.Duration(longestDead.Load()).Round(time.Second), keys.Load(), byHand.Load())
		t.Logf("%d requests of %d sessions, %.1f an hour each: %v", total, len(profiles), float64(total)/float64(len(profiles))/awake.Hours(), requests)
		// A refresh and a proof an hour, and attempts in outages, in which readers may
		// force one every 5 s.
		if most := len(profiles) * int(awake.Hours()) * 12; total > most {
			t.Errorf("%d requests, want at most %d", total, most)
		}
		if silent := requests["/login"] + requests["/auto_login"]; silent > 100 {
			t.Errorf("%d sign-ins", silent)
		}
		r.checkTables(len(profiles), len(servers))
		if n := r.server.Keys() + old.Keys(); n > 4*len(profiles) {
			t.Errorf("%d api keys are left on the servers", n)
		}
	})
}

// checkTables looks whether anything grows in the agent that should not.
func (r *rig) checkTables(profiles, servers int) {
	r.t.Helper()
	records, err := r.keys.Journal.All()
	if err != nil {
		r.t.Error(err)
	}
	r.saver.mu.Lock()
	pending := len(r.saver.pending)
	r.saver.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, sizes := range map[string][2]int{
		"sessions": {len(r.all()), profiles}, "queue": {len(r.queue), profiles}, "limits": {len(r.limits), servers},
		"slots": {len(r.slots), servers}, "subscriptions": {len(r.subscriptions), 0}, "connections": {len(r.upstreams.connections), 1},
		"secrets to be saved": {pending, 0}, "keys in the journal": {len(records), 4 * profiles},
		"failures": {len(r.counts.Failures), 20}, "ends": {len(r.counts.Ended), 20},
	} {
		if sizes[0] > sizes[1] {
			r.t.Errorf("%s: %d, want at most %d", what, sizes[0], sizes[1])
		}
	}
	if at := slices.IndexFunc(r.queue, func(s *session) bool { return s.at.IsZero() }); at >= 0 {
		r.t.Errorf("%s is in the queue without a time", r.queue[at].name)
	}
}
