package agent

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

// mustKey gets a key, which the server must accept.
func (r *rig) mustKey(name string) KeyGrant {
	r.t.Helper()
	grant, err := r.Key(r.t.Context(), name, Wish)
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
	keys, err := client.Keys(r.t.Context(), langflow.Bearer(tokens.Access))
	if err != nil {
		r.t.Fatal(err)
	}
	return keys
}

func (r *rig) records() []keyRecord {
	r.t.Helper()
	all, err := r.journal.all()
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
		if _, err := r.Change(r.t.Context(), "prod", Change{KeyLifetime: &short}); err != nil {
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
		record := keyRecord{Profile: "prod", Origin: "https://langflow.test", Username: admin, Name: keyName("prod"), Ends: time.Now().Add(time.Hour).UTC()}
		if err := r.journal.put(record); err != nil {
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
			_, err := r.Key(r.t.Context(), "prod", Wish)
			if e := r.fails(err, NotSupported); e.Reason != reasonKeysForbidden || !strings.Contains(e.Message, "API keys are disabled") {
				t.Fatalf("%+v", e)
			}
			time.Sleep(time.Second)
		}
		if n := r.server.Count("/api_key/"); n != 1 {
			t.Errorf("the server was asked %d times", n)
		}
		if s := r.is("prod", Fresh); s.KeyReason != reasonKeysForbidden {
			t.Errorf("told: %q", s.KeyReason)
		}
		if left := r.records(); len(left) != 0 {
			t.Errorf("written down: %+v", left)
		}
	})
}

func TestKeyWhoseEndTheServerIgnores(t *testing.T) {
	bubble(t, langflowtest.Options{Version: "1.4"}, func(r *rig) {
		r.signIn("prod", false)
		first := r.mustKey("prod")
		if s := r.is("prod", Fresh); s.KeyReason != reasonExpiryIgnored {
			t.Errorf("told: %q", s.KeyReason)
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
		if s := r.is("prod", SignedOut); s.KeysLeft != 0 || !s.KeyExpires.IsZero() {
			t.Errorf("%d keys are left, one till %v", s.KeysLeft, s.KeyExpires)
		}
		if _, err := r.Key(r.t.Context(), "prod", Wish); err == nil {
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
		if s := r.is("prod", SignedOut); s.KeysLeft != 1 || !s.KeysLeftUntil.Equal(ours.ExpiresAt) {
			t.Errorf("%d keys are left, till %v", s.KeysLeft, s.KeysLeftUntil)
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
		if s := r.is("prod", Fresh); s.KeysLeft != 0 {
			t.Errorf("%d keys are left", s.KeysLeft)
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
		if again, err := r.Key(r.t.Context(), "prod", Wish); err != nil || again.ID != first.ID {
			t.Errorf("a stranger's word counted: %v", err)
		}
		r.KeyRefused("prod", first.Key)
		second := r.mustKey("prod")
		r.server.RevokeAPIKey(second.Key)
		r.KeyRefused("prod", second.Key)
		if again, err := r.Key(r.t.Context(), "prod", Wish); err != nil || again.ID != second.ID {
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
		_, err := r.Key(r.t.Context(), "prod", Wish)
		r.fails(err, ServerUnreachable)
		r.server.Start()
		time.Sleep(11 * time.Second)
		first := r.mustKey("prod")
		r.server.Stop()
		if again, err := r.Key(r.t.Context(), "prod", Wish); err != nil || again.ID != first.ID {
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
			if _, err := r.Key(r.t.Context(), "prod", Wish); err != nil {
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
		_, err := r.Key(r.t.Context(), "prod", Wish)
		r.fails(err, SigningInRequired)
		if _, err := r.Key(r.t.Context(), "none", Wish); err == nil || errors.Is(err, errStopping) {
			t.Errorf("no such profile: %v", err)
		}
	})
}
