package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

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

// An edit that is made while the agent does not run, and undone while it does, costs no
// session: what is stored was not the edited profile's.
func TestEditUndoneAfterARestart(t *testing.T) {
	for what, edit := range map[string]func(*config.Profile){
		"username":   func(p *config.Profile) { p.Username = "bob" },
		"server_url": func(p *config.Profile) { p.ServerURL = "https://elsewhere.test" },
		"method":     func(p *config.Profile) { p.Method = "api-key" },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				r.signIn("prod", true)
				was, err := config.LoadProfile(r.profileFile("prod"))
				if err != nil {
					t.Fatal(err)
				}
				r.halt()
				edited := was
				edit(&edited)
				if err := config.SaveProfile(r.dir, edited); err != nil {
					t.Fatal(err)
				}
				r.start()
				r.is("prod", SignedOut)
				if err := config.SaveProfile(r.dir, was); err != nil {
					t.Fatal(err)
				}
				if errs := r.reload(); errs != nil {
					t.Fatal(errs)
				}
				r.is("prod", Fresh)
				r.mustToken("prod")
				if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A profile's URL, items and noted keys of an earlier version, which wrote some
// hosts otherwise, are the same server's: nobody is signed out.
func TestSpellingOfTheOriginSignsNobodyOut(t *testing.T) {
	store := keychain.NewMemory()
	item := keychain.Item{Origin: "https://b%C3%BCcher.example:7860", Username: "admin", Secret: secret.New("refresh")}
	if err := store.Set(t.Context(), keychain.ItemName("prod", keychain.RefreshToken), item); err != nil {
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

// A password that the store would not take yet is remembered all the same.
func TestAPasswordThatWaitsForTheStore(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute}, func(r *rig) {
		r.store.hook(func(op, itemName string) error {
			if op == "set" && itemName == keychain.ItemName("a", keychain.Password) {
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
