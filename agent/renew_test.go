package agent

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

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
		if _, err := r.Token(r.t.Context(), "prod", AnyLifetime); err != nil {
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

// A Retry-After for one silent sign-in holds for all of them at the server.
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

// A success of one profile does not shorten another one's Retry-After.
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

// After a gateway's refusal the token stays: it may be the only credential.
func TestGatewayRefusesProof(t *testing.T) {
	gateway := langflowtest.JSON(401, `{"detail":"the gateway says no"}`)
	t.Run("refresh token", func(t *testing.T) {
		bubble(t, langflowtest.Options{}, func(r *rig) {
			r.signIn("prod", false)
			r.server.Fault("", gateway)
			r.clock.Jump(time.Minute) // a sleep, after which the token is tried
			time.Sleep(tick + wakeSpread + time.Second)
			r.is("prod", Retrying)
			if _, err := r.Token(r.t.Context(), "prod", AnyLifetime); err != nil {
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

func TestTokenBornDeadReplacesNothing(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.SetLifetimes(time.Millisecond, 7*24*time.Hour)
		time.Sleep(50 * time.Minute)
		r.is("prod", Retrying)
		if _, err := r.Token(r.t.Context(), "prod", AnyLifetime); err != nil {
			t.Errorf("the held token is not served: %v", err)
		}
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
