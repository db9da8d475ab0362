package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths/pathstest"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
)

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

// What was never signed in has nothing in the store, so that it can be edited and removed
// without one. Nobody is asked to unlock it for that.
func TestRemoveWhatWasNeverSignedIn(t *testing.T) {
	for _, fault := range []error{keychain.ErrMissing, keychain.ErrLocked, keychain.ErrFailing} {
		bubble(t, langflowtest.Options{}, func(r *rig) {
			r.addProfile("new")
			left := keychain.Item{Origin: "https://langflow.test", Secret: secret.New("left")}
			if err := r.store.Set(r.t.Context(), "new/password", left); err != nil { // its method was deleted by hand
				r.t.Fatal(err)
			}
			r.store.fail(fault, nil)
			if _, err := r.Change(r.t.Context(), "new", func(p *config.Profile) { p.ServerURL = "https://elsewhere.test" }); err != nil {
				r.t.Errorf("change: %v", err)
			}
			if _, err := r.Logout(r.t.Context(), "new"); err != nil {
				r.t.Errorf("logout: %v", err)
			}
			if _, err := r.Remove(r.t.Context(), "new"); err != nil || r.Has("new") {
				r.t.Errorf("remove: %v", err)
			}
			if r.store.unlocked != 0 {
				r.t.Error("somebody was asked to unlock the store")
			}
			r.store.fail(nil, nil)
			time.Sleep(3 * time.Minute)
			if r.keeps("new/password") {
				r.t.Error("what was left stays in the store")
			}
		})
	}
}

func TestOtherOriginSignsOutFirst(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		elsewhere := "https://elsewhere.test"
		s, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = elsewhere })
		if err != nil || s.State != SignedOut || s.ServerURL != elsewhere {
			t.Fatalf("got %+v, %v", s, err)
		}
		for _, itemName := range r.itemNames("prod") {
			if _, err := r.store.Get(r.t.Context(), itemName); !errors.Is(err, keychain.ErrNotFound) {
				t.Errorf("%s is left", itemName)
			}
		}
		back := r.server.URL
		if s, err = r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = back }); err != nil || s.State != SignedOut {
			t.Errorf("back again it is %s at once, %v", s.State, err)
		}
	})
}

// A change that leaves the server where it is does not make us forget what it
// is, even if it can't be asked just then.
func TestChangeKeepsServersVersion(t *testing.T) {
	bubble(t, langflowtest.Options{RootPath: "/a"}, func(r *rig) {
		r.signIn("prod", false)
		r.server.Stop()
		yes := true
		s, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.AllowHTTP = yes })
		if err != nil || s.ServerVersion != "1.13.0" {
			t.Errorf("after a change the server's version is %q, %v", s.ServerVersion, err)
		}
		elsewhere := "https://langflow.test/b"
		if s, err = r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = elsewhere }); err != nil || s.ServerVersion != "" {
			t.Errorf("at another root path the server's version is %q, %v", s.ServerVersion, err)
		}
	})
}

func TestReload(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		if err := config.SaveProfile(r.dir, config.Profile{Name: "new", ServerURL: r.server.URL}); err != nil {
			t.Fatal(err)
		}
		if errs := r.reload(); errs != nil {
			t.Fatal(errs)
		}
		r.is("new", SignedOut)
		r.is("prod", Fresh)
		if err := config.RemoveProfile(r.dir, "prod"); err != nil {
			t.Fatal(err)
		}
		r.reload()
		if _, err := r.Profile("prod"); err == nil {
			t.Error("it is still there")
		}
		// An editor that writes by renaming removes a file for a moment.
		if err := config.SaveProfile(r.dir, config.Profile{Name: "prod", ServerURL: r.server.URL, Method: "password", Username: "admin"}); err != nil {
			t.Fatal(err)
		}
		r.reload()
		r.mustToken("prod")
	})
}

// A sign-in that hangs holds up the edits of its own profile alone: those of another
// profile come into force at once, one after the other, and its own when it ends.
func TestReloadWhileASignInHangs(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("slow", false)
		r.signIn("other", false)
		edit := func(name string, lifetime time.Duration) {
			t.Helper()
			p, err := config.LoadProfile(r.profileFile(name))
			if err == nil {
				p.KeyLifetime = lifetime
				err = config.SaveProfile(r.dir, p)
			}
			if err != nil {
				t.Fatal(err)
			}
			if errs := r.reload(); errs != nil {
				t.Error(errs)
			}
		}
		inForce := func(name string, want time.Duration) {
			t.Helper()
			if s, err := r.Profile(name); err != nil || s.KeyLifetime != want {
				t.Errorf("the key lifetime of %s is %v, %v, want %v", name, s.KeyLifetime, err, want)
			}
		}
		r.server.Fault("/login", langflowtest.Fault{Times: 1, Hang: true})
		signedIn := make(chan error)
		go func() { signedIn <- r.logIn(r.t.Context(), "slow", "admin", langflowtest.Admin().Password) }()
		synctest.Wait()
		for hours := range time.Duration(4) { // more edits than may wait for the session
			edit("slow", (1+hours)*time.Hour)
			edit("other", (5+hours)*time.Hour)
			inForce("slow", 0)
			inForce("other", (5+hours)*time.Hour)
		}
		if err := <-signedIn; err == nil {
			t.Error("the sign-in whose server hangs succeeds")
		}
		synctest.Wait()
		inForce("slow", 4*time.Hour)
		r.is("slow", Fresh)
	})
}

// An edit that was undone before it could come into force leaves no error behind.
func TestUnusableEditUndone(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		file := r.profileFile("prod")
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write := func(content []byte) {
			t.Helper()
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(append(was, "ca_file = '"+filepath.Join(r.dir, "later.pem")+"'\n"...))
		if errs := r.reload(); len(errs) != 1 {
			t.Errorf("the errors are %v", errs)
		}
		if errs := r.reload(); len(errs) != 1 {
			t.Errorf("on the second look the errors are %v", errs)
		}
		write(was)
		if errs := r.reload(); errs != nil {
			t.Errorf("after the edit was undone the errors are %v", errs)
		}
		r.mustToken("prod")
	})
}

// A profile's file that is a symbolic link to nothing, such as one to a disk that is
// away, is a file that can't be read: its session goes on.
func TestReloadOfALinkToNothing(t *testing.T) {
	pathstest.Symlink(t, "nowhere", filepath.Join(t.TempDir(), "link")) // it skips here, where that is told
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		file, aside := r.profileFile("prod"), filepath.Join(r.dir, "aside")
		if err := os.Rename(file, aside); err != nil {
			t.Fatal(err)
		}
		pathstest.Symlink(t, filepath.Join(r.dir, "nowhere"), file)
		if errs := r.reload(); len(errs) != 1 {
			t.Errorf("the errors are %v", errs)
		}
		r.is("prod", Fresh)
		r.mustToken("prod")
		if err := os.Rename(aside, file); err != nil {
			t.Fatal(err)
		}
		if errs := r.reload(); errs != nil {
			t.Error(errs)
		}
		r.mustToken("prod")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		r.reload()
		if r.Has("prod") {
			t.Error("the profile whose file is gone is still there")
		}
	})
}

// If only some of the secrets can be deleted, the session goes on.
func TestRemoveFailsHalfWay(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.store.hook(func(op, itemName string) error {
			if op == "delete" && itemName == "prod/password" {
				return keychain.ErrFailing
			}
			return nil
		})
		_, err := r.Remove(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")
	})
}

// A file that somebody has broken can't be written, and costs nothing else.
func TestBrokenProfileFile(t *testing.T) {
	users := []langflowtest.User{langflowtest.Admin(), {Name: "bob", Password: "bob-Password1"}}
	elsewhere := "https://elsewhere.test"
	for name, act := range map[string]func(r *rig) error{
		"login": func(r *rig) error { return r.logIn(r.t.Context(), "prod", "bob", "bob-Password1") },
		"change": func(r *rig) error {
			_, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = elsewhere })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, langflowtest.Options{Users: users}, func(r *rig) {
				r.signIn("prod", true)
				good, err := os.ReadFile(r.profileFile("prod"))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(r.profileFile("prod"), []byte("nonsense"), 0o600); err != nil {
					t.Fatal(err)
				}
				r.fails(act(r), Internal)
				r.mustToken("prod")
				if err := os.WriteFile(r.profileFile("prod"), good, 0o600); err != nil {
					t.Fatal(err)
				}
				r.restart()
				r.mustToken("prod")
				if !r.keeps("prod/password") {
					t.Error("the remembered password is gone")
				}
			})
		})
	}
}

func TestChangeWithLockedStoreKeepsEverything(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", true)
		r.store.fail(keychain.ErrFailing, nil)
		elsewhere := "https://elsewhere.test"
		_, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = elsewhere })
		r.fails(err, KeychainBlocked)
		r.store.fail(nil, nil)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")
	})
}

func TestAddedProfileIsSignedOut(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		if err := config.RemoveProfile(r.dir, "prod"); err != nil {
			t.Fatal(err)
		}
		r.reload()
		// Its secrets are still there, but they belong to no profile.
		s, err := r.Add(config.Profile{Name: "prod", ServerURL: r.server.URL})
		if err != nil || s.State != SignedOut {
			t.Errorf("added as %s, %v", s.State, err)
		}
		time.Sleep(time.Minute)
		r.is("prod", SignedOut)
	})
}

// A person's edits of a profile's file since its last reading stay, whatever change the
// agent makes, and come into force if they can be used.
func TestHandEditsStay(t *testing.T) {
	for name, act := range map[string]func(r *rig) error{
		"a change": func(r *rig) error {
			_, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.Proxy = true })
			return err
		},
		"a change that can't be made": func(r *rig) error {
			r.store.fail(keychain.ErrFailing, nil)
			_, err := r.Change(r.t.Context(), "prod", func(p *config.Profile) { p.ServerURL = "https://elsewhere.test"; p.CAFile = "" })
			r.fails(err, KeychainBlocked)
			r.store.fail(nil, nil)
			return nil
		},
		"a sign-in": func(r *rig) error {
			return r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password)
		},
		"a sign-in that does not fit": func(r *rig) error {
			r.store.fail(nil, keychain.ErrTooBig)
			r.fails(r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password), NotSupported)
			r.store.fail(nil, nil)
			return nil
		},
	} {
		for _, usable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, usable %v", name, usable), func(t *testing.T) {
				bubble(t, langflowtest.Options{}, func(r *rig) {
					r.signIn("prod", false)
					file := r.profileFile("prod")
					was, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					edit := "key_lifetime = '8h' # mine\n"
					if !usable {
						edit += "ca_file = '" + filepath.Join(r.dir, "later.pem") + "'\n"
					}
					if err := os.WriteFile(file, append(was, edit...), 0o600); err != nil {
						t.Fatal(err)
					}
					if err := act(r); err != nil {
						t.Fatal(err)
					}
					after, err := os.ReadFile(file)
					if err != nil || !strings.HasPrefix(string(after), string(was)+edit) {
						t.Errorf("%v: the file says\n%s\nand not\n%s%s", err, after, was, edit)
					}
					if errs := r.reload(); (len(errs) == 0) != usable {
						t.Errorf("taken up: %v", errs)
					}
					s := r.is("prod", Fresh)
					if (s.KeyLifetime == 8*time.Hour) != usable || s.Proxy != (name == "a change") {
						t.Errorf("in force: %+v", s)
					}
				})
			})
		}
	}
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestHandEditsStay in agent", []string{"what goes wrong", "what happens"}, [][]string{
			{"A command, the page or a sign-in changes a profile whose file was edited by hand just before", "both are in the file, and come into force"},
			{"The same, with an edit that can't be used yet, such as a CA file that is not there", "both are in the file; the change comes into force, the edit does not, and `status` says why"},
			{"That change or sign-in then fails", "the edit stays, and nothing else"},
		})
	}
}
