package agent

import (
	"crypto/rand"
	"errors"
	"io"
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
	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
	"langkeep/assets/casebook"
)

// mustKey gets a key, which the server must accept.
func (r *rig) mustKey(name string) KeyGrant {
	r.t.Helper()
	grant, err := r.Key(r.t.Context(), name, AnyLifetime)
	if err != nil {
		r.t.Fatal(err)
	}
	if !r.takesKey(grant.Key) {
		r.t.Fatalf("the server refuses the key that ends at %v, %v", grant.ExpiresAt, grant.ExpiresIn)
	}
	return grant
}

func (r *rig) takesKey(key secret.Text) bool {
	r.t.Helper()
	client, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper()})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = client.WhoAmI(r.t.Context(), langflow.Key(key))
	return err == nil
}

// onServer lists the keys of the stand-in's admin.
func (r *rig) onServer() []langflow.APIKey {
	r.t.Helper()
	client, err := langflow.New(r.server.URL, langflow.Options{Transport: r.server.RoundTripper()})
	if err != nil {
		r.t.Fatal(err)
	}
	admin := langflowtest.Admin()
	tokens, err := client.Login(r.t.Context(), admin.Name, secret.New(admin.Password))
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := client.Keys(r.t.Context(), langflow.Bearer(tokens.Access))
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) records() []keys.Record {
	r.t.Helper()
	all, err := r.keys.Journal.All()
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestKeyIsMadeOnceAndReplacedInTime(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		var first KeyGrant
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { r.mustKey("prod") })
		}
		wg.Wait()
		first = r.mustKey("prod")
		if keys := r.onServer(); len(keys) != 1 || keys[0].ID != first.ID || !keys[0].Expires.Equal(first.ExpiresAt) {
			t.Errorf("on the server: %+v, want one, %+v", keys, first)
		} else if name := keys[0].Name; !strings.HasPrefix(name, "langkeep ") || !strings.Contains(name, " prod ") {
			t.Errorf("its name is %q", name)
		}
		if left := first.ExpiresIn; left < 23*time.Hour || left > 24*time.Hour {
			t.Errorf("it lives %v", left)
		}
		time.Sleep(19 * time.Hour)
		if again := r.mustKey("prod"); again.ID != first.ID {
			t.Error("another one before 80 % of its life")
		}
		time.Sleep(20 * time.Minute)
		r.mustKey("prod") // still the first, while another is made
		synctest.Wait()
		second := r.mustKey("prod")
		if second.ID == first.ID {
			t.Error("the same one after 80 % of its life")
		}
		if !r.takesKey(first.Key) {
			t.Error("the first was deleted before its end")
		}
		time.Sleep(5 * time.Hour)
		if keys := r.onServer(); len(keys) != 1 || keys[0].ID != second.ID {
			t.Errorf("after the first one's end: %+v", keys)
		}
	})
}

func TestKeyLifetimes(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.signIn("prod", false)
		r.mustKey("prod") // of a day, which is replaced below
		short := 20 * time.Second
		if _, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.KeyLifetime = short }); err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			if grant := r.mustKey("prod"); i > 0 && grant.ExpiresIn > short {
				t.Fatalf("a key of %v", grant.ExpiresIn)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(21 * time.Second)
		r.mustKey("prod")
		if keys := r.onServer(); len(keys) != 2 { // the one of a day may still be in use
			t.Errorf("%d keys are left", len(keys))
		}
		_, err := r.Key(r.t.Context(), "prod", time.Minute)
		if e := r.fails(err, LifetimeTooShort); e.MaxValid != short {
			t.Errorf("at most %v", e.MaxValid)
		}
		if grant, err := r.Key(r.t.Context(), "prod", 19*time.Second); err != nil || grant.ExpiresIn < 19*time.Second {
			t.Errorf("%v, %v", grant.ExpiresIn, err)
		}
	})
}

func TestKeyOutlivesTheAgent(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.keysFile = filepath.Join(r.dir, "keys.json")
		r.restart()
		r.signIn("prod", false)
		first := r.mustKey("prod")
		r.restart()
		if again := r.mustKey("prod"); again.ID != first.ID || !again.ExpiresAt.Equal(first.ExpiresAt) {
			t.Errorf("after a restart: %+v, before: %+v", again, first)
		}
		// Time for its replacement passes while the agent is off.
		r.halt()
		time.Sleep(25 * time.Hour)
		r.start()
		if again := r.mustKey("prod"); again.ID == first.ID {
			t.Error("an ended key was handed out")
		}
		time.Sleep(2 * time.Minute)
		if keys := r.onServer(); len(keys) != 1 {
			t.Errorf("left on the server: %+v", keys)
		}
	})
}

// A key that was made while nobody heard of it any more is found by its name;
// no other is touched.
func TestKeyOfACrash(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.keysFile = filepath.Join(r.dir, "keys.json")
		r.restart()
		r.signIn("prod", false)
		admin := langflowtest.Admin().Name
		other := r.server.AddAPIKey(admin)
		// As another computer's agent would have made it.
		client, cred, err := r.Credential(r.t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CreateKey(r.t.Context(), cred, "langkeep elsewhere prod XYZ", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		record := keys.Record{Profile: "prod", Origin: "https://langflow.test", Username: admin, Name: "langkeep here prod " + rand.Text(), Ends: time.Now().Add(time.Hour).UTC()}
		if err := r.keys.Journal.Put(record); err != nil {
			t.Fatal(err)
		}
		if _, err := client.CreateKey(r.t.Context(), cred, record.Name, record.Ends); err != nil {
			t.Fatal(err)
		}
		r.restart()
		r.mustToken("prod")
		time.Sleep(time.Minute)
		names := []string{}
		for _, k := range r.onServer() {
			names = append(names, k.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"langkeep elsewhere prod XYZ", "made by hand"}) || !r.takesKey(other) {
			t.Errorf("left: %q", names)
		}
		if left := r.records(); len(left) != 0 {
			t.Errorf("still written down: %+v", left)
		}
	})
}

func TestKeyWhereThereAreNone(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/api_key/", langflowtest.Fault{Status: 403, Body: `{"detail":"API keys are disabled"}`})
		for range 50 {
			_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
			if e := r.fails(err, NotSupported); e.Reason != vocabulary.KeysForbidden || !strings.Contains(e.Detail, "API keys are disabled") {
				t.Fatalf("%+v", e)
			}
			time.Sleep(time.Second)
		}
		if n := r.server.Count("/api_key/"); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
		if s := r.is("prod", Fresh); s.Keys.Reason != vocabulary.KeysForbidden {
			t.Errorf("told: %q", s.Keys.Reason)
		}
		if left := r.records(); len(left) != 0 {
			t.Errorf("written down: %+v", left)
		}
	})
}

// An account of an identity provider that the server makes no keys for has its own words,
// since the token stands in for the key.
func TestKeyOfAnIdentityProvidersAccount(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		print := []string{"echo", r.mustToken("prod").Token.Reveal()}
		if runtime.GOOS == "windows" {
			print = append([]string{"cmd", "/c"}, print...)
		}
		if _, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.TokenCommand = config.NewArgv(print) }); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: vocabulary.External}); err != nil {
			t.Fatal(err)
		}
		r.server.Fault("/api_key/", langflowtest.Fault{Status: 403, Body: `{"detail":"API key creation is disabled for externally authenticated users"}`})
		for range 2 { // the second one is not asked for
			_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
			if e := r.fails(err, NotSupported); e.Code != NoKeysOfProvider || e.Reason != vocabulary.KeysForbidden {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestKeyWhoseEndTheServerIgnores(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4"}, func(r *rig) {
		r.signIn("prod", false)
		first := r.mustKey("prod")
		if s := r.is("prod", Fresh); s.Keys.Reason != vocabulary.ExpiryIgnored {
			t.Errorf("told: %q", s.Keys.Reason)
		}
		time.Sleep(20 * time.Hour)
		r.mustKey("prod")
		synctest.Wait()
		if second := r.mustKey("prod"); second.ID == first.ID {
			t.Error("it was not replaced")
		}
		for range 10 { // somebody goes on with it
			time.Sleep(5 * time.Minute)
			if !r.takesKey(first.Key) {
				t.Fatal("it was deleted while it was used")
			}
		}
		time.Sleep(12 * time.Minute)
		if r.takesKey(first.Key) {
			t.Error("it was not deleted after its last use")
		}
	})
}

func TestKeysGoAtSignOut(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		own := r.server.AddAPIKey(langflowtest.Admin().Name)
		ours := r.mustKey("prod")
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		if r.takesKey(ours.Key) || !r.takesKey(own) {
			t.Error("our key still works, or the person's own does not")
		}
		if s := r.is("prod", SignedOut); s.Keys.Left != 0 || !s.Keys.Expires.IsZero() {
			t.Errorf("%d keys are left, one till %v", s.Keys.Left, s.Keys.Expires)
		}
		if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err == nil {
			t.Error("a key of a profile that is signed out")
		}
	})
}

func TestKeysGoWhenTheServerIsBack(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		ours := r.mustKey("prod")
		r.server.Stop()
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		if s := r.is("prod", SignedOut); s.Keys.Left != 1 || !s.Keys.LeftUntil.Equal(ours.ExpiresAt) {
			t.Errorf("%d keys are left, till %v", s.Keys.Left, s.Keys.LeftUntil)
		}
		r.server.Start()
		admin := langflowtest.Admin()
		if err := r.logIn(r.t.Context(), "prod", admin.Name, admin.Password); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if r.takesKey(ours.Key) {
			t.Error("it still works after the next sign-in")
		}
		if s := r.is("prod", Fresh); s.Keys.Left != 0 {
			t.Errorf("%d keys are left", s.Keys.Left)
		}
		second := r.mustKey("prod")
		if _, err := r.Remove(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		if r.takesKey(second.Key) {
			t.Error("it still works after its profile was removed")
		}
	})
}

func TestKeyDeletedBehindOurBack(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		first := r.mustKey("prod")
		r.server.RevokeAPIKey(first.Key)
		r.KeyRefused("prod", secret.New("sk-of-somebody-else"))
		if again, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil || again.ID != first.ID {
			t.Errorf("a stranger's word counted: %v", err)
		}
		r.KeyRefused("prod", first.Key)
		second := r.mustKey("prod")
		r.server.RevokeAPIKey(second.Key)
		r.KeyRefused("prod", second.Key)
		if again, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil || again.ID != second.ID {
			t.Errorf("replaced twice within 10 s: %v", err)
		}
		time.Sleep(11 * time.Second)
		r.KeyRefused("prod", second.Key)
		r.mustKey("prod")
		if err := r.RevokeKey(r.t.Context(), "prod", r.mustKey("prod").ID); err != nil {
			t.Fatal(err)
		}
		r.mustKey("prod")
		_, err := r.Keys(r.t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		r.fails(r.RevokeKey(r.t.Context(), "prod", "00000000-0000-4000-8000-00000000dead"), NotFound)
	})
}

func TestKeyWhileTheServerIsAway(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Stop()
		_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
		r.fails(err, ServerUnreachable)
		r.server.Start()
		time.Sleep(11 * time.Second)
		first := r.mustKey("prod")
		r.server.Stop()
		if again, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil || again.ID != first.ID {
			t.Errorf("a key in memory: %v", err)
		}
	})
}

// A key that is due for another is asked for once in a while, not once a
// reader.
func TestKeyThatCannotBeReplaced(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.mustKey("prod")
		r.server.Fault("/api_key/", langflowtest.Fault{Status: 403, Body: `{"detail":"API keys are disabled"}`})
		time.Sleep(20 * time.Hour)
		before := r.server.Count("/api_key/")
		for range 300 {
			if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := r.server.Count("/api_key/") - before; n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}

func TestKeyOfAProfileWithAKey(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		own := r.server.AddAPIKey(langflowtest.Admin().Name)
		r.addProfile("prod")
		if _, err := r.Login(r.t.Context(), "prod", Credentials{Method: "api-key", APIKey: own}); err != nil {
			t.Fatal(err)
		}
		grant := r.mustKey("prod")
		if grant.Key.Reveal() != own.Reveal() || !grant.ExpiresAt.IsZero() {
			t.Errorf("%+v", grant)
		}
		if _, err := r.Logout(r.t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
		if !r.takesKey(own) {
			t.Error("a person's own key was deleted")
		}
		_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
		r.fails(err, SigningInRequired)
		if _, err := r.Key(r.t.Context(), "none", AnyLifetime); err == nil || errors.Is(err, errStopping) {
			t.Errorf("no such profile: %v", err)
		}
	})
}

// A reader whose key is not made any more hears that the agent stops, as one of a token
// does.
func TestKeyWhileTheAgentStops(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.crew.stop()
		_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
		if e := r.fails(err, Internal); e.Code != Stopping {
			t.Errorf("%+v", e)
		}
	})
}

// TestFaultsOfKeys makes a table of docs/faults.md.
func TestFaultsOfKeys(t *testing.T) {
	rows := [][]string{}
	for _, row := range []struct {
		what, happens string
		test          func(t *testing.T)
	}{
		{"A key is revoked, or its server refuses it, whether or not the keychain deletes it, and the agent starts again",
			"another key is made; the old one is never handed out again", keyGivenUpStaysGone},
		{"A route behind the proxy, or a gateway, answers 401 to a good key or token",
			"it is tried, at most every 10 s, and stays: only Langflow's own refusal counts", credentialThatOneAnswerRefuses},
		{"A route behind the proxy answers 401 to a good token, and another to a key that is really revoked",
			"each is tried, at most every 10 s of its own: the key is replaced at once", tokenAndKeyTriedApart},
		{"A gateway answers 401 when a key is to be made", "it passes: a key is made 10 s later", keyThatAGatewayRefuses},
		{"A gateway answers 404 when a key is to be deleted", "the key is deleted later, within 15 s of that being possible", keyThatAGatewayCannotFind},
	} {
		t.Run(row.what, row.test)
		rows = append(rows, []string{row.what, row.happens})
	}
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsOfKeys in agent", []string{"what goes wrong", "what happens"}, rows)
	}
}

// A key that was revoked, or that its server refused, never comes back, whether
// the keychain lets it be deleted or not.
func keyGivenUpStaysGone(t *testing.T) {
	revoke := func(r *rig, profile, id string) {
		if err := r.RevokeKey(r.t.Context(), profile, id); err != nil {
			r.t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		giveUp  func(r *rig, first KeyGrant)
		locked  bool // the store deletes nothing meanwhile
		visible bool // the key is in memory when it is given up
	}{
		"revoked":                      {func(r *rig, first KeyGrant) { revoke(r, "prod", first.ID) }, false, true},
		"revoked under a locked store": {func(r *rig, first KeyGrant) { revoke(r, "prod", first.ID) }, true, true},
		"revoked before it was loaded": {func(r *rig, first KeyGrant) { revoke(r, "prod", first.ID) }, false, false},
		"revoked by another profile":   {func(r *rig, first KeyGrant) { revoke(r, "same", first.ID) }, false, true},
		"refused": {func(r *rig, first KeyGrant) {
			r.server.RevokeAPIKey(first.Key)
			r.KeyRefused("prod", first.Key)
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.keysFile = filepath.Join(r.dir, "keys.json")
				r.restart()
				r.signIn("prod", false)
				r.signIn("same", false)
				first := r.mustKey("prod")
				synctest.Wait()
				if !tc.visible {
					r.restart()
				}
				if tc.locked {
					r.store.hook(func(op, itemName string) error {
						if op == "delete" {
							return keychain.ErrFailing
						}
						return nil
					})
				}
				tc.giveUp(r, first)
				synctest.Wait()
				item, err := r.store.Get(r.t.Context(), "prod/api-key")
				if !tc.locked && tc.visible && err == nil && item.ID == first.ID {
					t.Error("the store still has it")
				}
				r.restart()
				if again, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil || again.ID == first.ID || !r.takesKey(again.Key) {
					t.Errorf("after a restart there is the key %s again: %v", again.ID, err)
				}
			})
		})
	}
}

// A 401 of one route behind the proxy says nothing of the key, or of the token,
// unless Langflow says so when it is asked.
func credentialThatOneAnswerRefuses(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		first, token := r.mustKey("prod"), r.mustToken("prod").Token
		for name, fault := range map[string]*langflowtest.Fault{
			"langflow takes it": nil,
			"a gateway's words": {Status: 401, Body: `{"detail":"sign in to the gateway"}`},
			"a gateway's page":  new(langflowtest.HTML(401)),
			"a gateway is down": {Status: 502},
		} {
			time.Sleep(doubtInterval)
			if fault != nil {
				r.server.Fault("/users/whoami", *fault)
			}
			before := r.server.Count("/users/whoami")
			for range 90 {
				r.KeyRefused("prod", first.Key)
				if again, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil || again.ID != first.ID {
					t.Fatalf("%s: another key, %s: %v", name, again.ID, err)
				}
				time.Sleep(time.Second / 3)
			}
			if n := r.server.Count("/users/whoami") - before; n < 1 || n > 6 {
				t.Errorf("%s: 90 refusals in 30 s asked the server %d times", name, n)
			}
			r.server.ClearFaults()
			if !r.takesKey(first.Key) {
				t.Fatalf("%s: a good key was deleted", name)
			}
		}
		time.Sleep(doubtInterval)
		before := r.server.Count("/users/whoami")
		for range 90 {
			r.TokenRefused("prod", token)
			if again := r.mustToken("prod").Token; again.Reveal() != token.Reveal() {
				t.Fatal("another token")
			}
			time.Sleep(time.Second / 3)
		}
		if n := r.server.Count("/users/whoami") - before; n > 6+90 { // mustToken itself asks once
			t.Errorf("90 refusals of a token in 30 s asked the server %d times", n-90)
		}
	})
}

// Refusals of the token, which a route may answer all the time, leave a key that
// was really revoked its own trial, and the other way round.
func tokenAndKeyTriedApart(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		first, token := r.mustKey("prod"), r.mustToken("prod").Token
		time.Sleep(doubtInterval)
		r.TokenRefused("prod", token)
		synctest.Wait()
		r.server.RevokeAPIKey(first.Key)
		r.KeyRefused("prod", first.Key)
		second := r.mustKey("prod")
		if second.ID == first.ID {
			t.Error("the revoked key is handed out again")
		}
		time.Sleep(doubtInterval)
		r.KeyRefused("prod", second.Key)
		synctest.Wait()
		before := r.server.Count("/users/whoami")
		r.TokenRefused("prod", token)
		synctest.Wait()
		if n := r.server.Count("/users/whoami") - before; n != 1 {
			t.Errorf("a refused token is tried %d times", n)
		}
	})
}

// A "not found" may be a gateway's: a key that Langflow still lists must still be
// deleted.
func keyThatAGatewayCannotFind(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		var noRoute atomic.Bool
		r.way = func([]byte) (http.RoundTripper, error) {
			return roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodDelete && noRoute.Load() {
					return &http.Response{StatusCode: 404, Header: http.Header{"Content-Type": {"application/json"}},
						Body: io.NopCloser(strings.NewReader(`{"detail":"no route"}`)), Request: req}, nil
				}
				return r.server.RoundTripper().RoundTrip(req)
			}), nil
		}
		r.restart()
		r.signIn("prod", false)
		first := r.mustKey("prod")
		noRoute.Store(true)
		err := r.keys.Journal.Change(func(all []keys.Record) []keys.Record {
			all[0].Over = true
			return all
		})
		if err != nil {
			t.Fatal(err)
		}
		r.keys.Kick()
		synctest.Wait()
		if len(r.records()) != 1 {
			t.Error("the key is forgotten, and opens the server")
		}
		noRoute.Store(false)
		time.Sleep(15 * time.Second) // between two looks at what is to be deleted
		synctest.Wait()
		if r.takesKey(first.Key) || len(r.records()) != 0 {
			t.Error("it was not deleted when that was possible again")
		}
	})
}

// A gateway that refuses the making of a key does not speak for the server.
func keyThatAGatewayRefuses(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Fault("/api_key/", langflowtest.Fault{Status: 401, Body: `{"detail":"sign in to the gateway"}`, Times: 1})
		_, err := r.Key(r.t.Context(), "prod", AnyLifetime)
		r.fails(err, ServerUnreachable)
		time.Sleep(10 * time.Second) // between two attempts
		r.mustKey("prod")
	})
}

// While a slow sign-in and a reload contend for a session, a reader of a key waits rather
// than ask in a loop.
func TestKeyWaitsForASignIn(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		pass := make(chan struct{})
		r.store.hook(func(op, itemName string) error {
			if op == "set" && itemName == "prod/refresh-token" {
				<-pass
			}
			return nil
		})
		admin := langflowtest.Admin()
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := r.logIn(r.t.Context(), "prod", admin.Name, admin.Password); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			lifetime := time.Hour
			if _, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.KeyLifetime = lifetime }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := r.Token(r.t.Context(), "prod", time.Minute); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := r.Refresh(r.t.Context(), "prod", true); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // never returns while something runs in a loop
		close(pass)
		wg.Wait()
	})
}

// roundTrip is a function as a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
