package agent

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

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

// The settings of a sign-in come into force with its session, and those of one that fails
// not at all. Nothing of the session from before goes to another server.
func TestLoginWithChange(t *testing.T) {
	const other = "https://other.example.org"
	command, prints := printing(t)
	prints(`{"headers":{"X-Pass":"printed"}}`)
	for name, change := range map[string]func(p *config.Profile){
		"a header command": func(p *config.Profile) { p.HeaderCommand, p.HeaderCommandFor = command, "X-Pass" },
		"plain http":       func(p *config.Profile) { p.AllowHTTP = true },
		"another server":   func(p *config.Profile) { p.ServerURL = other + "/" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{}, func(r *rig) {
				guarded(r, func(q *http.Request) bool {
					if sends := q.Header.Get("X-Kept") == "SECRET"; sends == strings.Contains(other, q.URL.Host) {
						t.Errorf("a request to %s has the kept header: %t", q.URL.Host, sends)
					}
					return true
				})
				r.addProfile("prod")
				admin := langflowtest.Admin()
				kept := gateway.Headers{"X-Kept": secret.New("SECRET")}
				if _, err := r.Login(r.t.Context(), "prod", credentialsOf(admin, kept)); err != nil {
					r.t.Fatal(err)
				}
				before := r.is("prod", Fresh).Profile
				file := filepath.Join(r.dir, "prod.toml")
				written, err := os.ReadFile(file)
				if err != nil {
					r.t.Fatal(err)
				}
				wrong, right := credentialsOf(langflowtest.User{Name: admin.Name, Password: "wrong"}, nil), credentialsOf(admin, nil)
				wrong.Change, right.Change = change, change
				_, err = r.Login(r.t.Context(), "prod", wrong)
				r.fails(err, SigningInRequired)
				// It is given up in the middle, too.
				ctx, giveUp := context.WithTimeout(r.t.Context(), time.Second)
				r.server.Fault("/login", langflowtest.Fault{Hang: true})
				if _, err = r.Login(ctx, "prod", right); err == nil {
					r.t.Error("the server hangs, and the sign-in succeeds")
				}
				giveUp()
				r.server.ClearFaults()
				if after, err := os.ReadFile(file); err != nil || string(after) != string(written) {
					r.t.Errorf("the file has become\n%s", after)
				}
				if snap := r.is("prod", Fresh); snap.Profile != before || snap.Headers != "X-Kept" {
					r.t.Errorf("the profile has become %+v", snap.Profile)
				}
				r.mustToken("prod")
				if _, err := r.Refresh(r.t.Context(), "prod", false); err != nil {
					r.t.Error(err)
				}

				if _, err := r.Login(r.t.Context(), "prod", right); err != nil {
					r.t.Fatal(err)
				}
				want := before
				change(&want)
				want = normal(want)
				if snap := r.is("prod", Fresh); snap.Profile != want {
					r.t.Errorf("in force is %+v", snap.Profile)
				}
				if p, err := config.LoadProfile(file); err != nil || p != want {
					r.t.Errorf("the file has %+v, %v", p, err)
				}
				r.restart()
				r.mustToken("prod")
			})
		})
	}
}

// A sign-in whose settings can't be used says so before it asks the server.
func TestLoginWithBadChange(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		before := r.is("prod", Fresh).Profile
		for name, change := range map[string]func(p *config.Profile){
			"no URL":                 func(p *config.Profile) { p.ServerURL = "ftp://flows.example.org" },
			"no such CA":             func(p *config.Profile) { p.CAFile = filepath.Join(r.dir, "none.pem") },
			"a key alone":            func(p *config.Profile) { p.ClientKey = filepath.Join(r.dir, "key.pem") },
			"a header of Langkeep's": func(p *config.Profile) { p.TokenHeader = "Cookie" },
		} {
			c := credentialsOf(langflowtest.Admin(), nil)
			c.Change = change
			_, err := r.Login(r.t.Context(), "prod", c)
			r.fails(err, BadRequest)
			if snap := r.is("prod", Fresh); snap.Profile != before {
				r.t.Errorf("%s: the profile has become %+v", name, snap.Profile)
			}
		}
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

// A caller that leaves once its sign-in was spent is signed in all the same.
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
		for _, itemName := range []string{"prod/refresh-token", "prod/password", "ci/api-key"} {
			if !r.keeps(itemName) {
				t.Errorf("%s was not stored later", itemName)
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
		_, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.CAFile = relative })
		r.fails(err, BadRequest)
	})
}
