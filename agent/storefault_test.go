package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// faultHeader is that of the tables of docs/faults.md.
func faultHeader() []string {
	return []string{"what goes wrong", "state, reason", "exit code", "what is lost", "when it heals"}
}

// exitCode is what `langkeep token` ends with for an error of Token.
func (r *rig) exitCode(err error) string {
	r.t.Helper()
	var e *Error
	if err == nil {
		return "0"
	}
	if !errors.As(err, &e) {
		r.t.Fatalf("an error of no kind: %v", err)
	}
	code, ok := map[ErrorKind]string{SigningInRequired: "3", ServerUnreachable: "4", KeychainBlocked: "6"}[e.Kind]
	if !ok {
		return "1"
	}
	return code
}

// shown is a cell: the profile's state, its reason, and whether the store has
// the session.
func (r *rig) shown(name string) string {
	r.t.Helper()
	synctest.Wait()
	s, err := r.Profile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	cell := string(s.State)
	if s.Reason != "" {
		cell += ", " + s.Reason
	}
	if !s.Saved && (s.State == Fresh || s.State == Retrying) {
		cell += "; not saved"
	}
	return cell
}

// well tells whether all is as it should be: fresh, saved, and the server takes
// the token.
func (r *rig) well(name string) bool {
	r.t.Helper()
	synctest.Wait()
	s, err := r.Profile(name)
	if err != nil || s.State != Fresh || !s.Saved || s.Reason != "" {
		return false
	}
	grant, err := r.Token(r.t.Context(), name, AnyLifetime)
	return err == nil && r.accepted(grant.Token)
}

// wellWithin waits until all is well, for the limit at most.
func (r *rig) wellWithin(name string, limit time.Duration) {
	r.t.Helper()
	for begin := time.Now(); !r.well(name); time.Sleep(100 * time.Millisecond) {
		if time.Since(begin) > limit {
			r.t.Errorf("after %v it is %s", limit, r.shown(name))
			return
		}
	}
}

// items are what the store has of a profile, by account.
func (r *rig) items(profile string) map[string]keychain.Item {
	r.t.Helper()
	all := map[string]keychain.Item{}
	for _, itemName := range r.itemNames(profile) {
		item, err := r.store.Get(r.t.Context(), itemName)
		if err != nil && !errors.Is(err, keychain.ErrNotFound) {
			r.t.Fatal(err)
		}
		if err == nil {
			all[itemName] = item
		}
	}
	return all
}

// TestKeychainFaults does to the store what its table in docs/faults.md says.
func TestKeychainFaults(t *testing.T) {
	const saving = 2*time.Minute + 5*time.Second // the saver's longest pause, and a try
	rows := [][]string{}
	// try makes a row: bad does the harm to the profile prod, whose state is then
	// shown, and good sees it heal, which it describes, and costs so many sign-ins.
	try := func(what string, remember bool, bad func(r *rig), lost string, signIns int, good func(r *rig) string) {
		t.Run(what, func(t *testing.T) {
			bubble(t, langflowtest.Options{AccessLifetime: 10 * time.Minute}, func(r *rig) {
				r.signIn("prod", remember)
				if !r.well("prod") {
					t.Fatal("it was not well before")
				}
				bad(r)
				shown := r.shown("prod")
				_, err := r.Token(t.Context(), "prod", AnyLifetime)
				heals := good(r)
				r.wellWithin("prod", 0)
				r.restart()
				r.wellWithin("prod", time.Minute)
				if n := r.server.Count("/login") - 1; n != signIns {
					t.Errorf("%d sign-ins, want %d", n, signIns)
				}
				if r.store.unlocked != 0 {
					t.Error("somebody was asked to unlock it")
				}
				rows = append(rows, []string{what, shown, r.exitCode(err), lost, heals})
			})
		})
	}
	for _, fault := range []struct {
		what string
		err  error
	}{
		{"locked", keychain.ErrLocked},
		{"missing", keychain.ErrMissing},
		{"silent (it hangs, or asks a person for ever)", keychain.ErrSilent},
		{"failing", keychain.ErrFailing},
	} {
		try("The keychain is "+fault.what+" at the start", false, func(r *rig) {
			r.halt()
			r.store.fail(fault.err, nil)
			r.start()
			time.Sleep(time.Minute)
		}, "nothing", 0, func(r *rig) string {
			r.store.fail(nil, nil)
			r.wellWithin("prod", lockedTick+time.Second)
			return fmt.Sprintf("by itself, within %d s of its being there", (lockedTick+time.Second)/time.Second)
		})
	}
	for _, fault := range []struct {
		what     string
		all, set error
	}{
		{"locked", keychain.ErrLocked, nil},
		{"silent", keychain.ErrSilent, nil},
		{"gone", keychain.ErrMissing, nil},
		{"refusing a write", nil, keychain.ErrFailing},
	} {
		try("The keychain is "+fault.what+" while the agent runs, for an hour", false, func(r *rig) {
			r.store.fail(fault.all, fault.set)
			time.Sleep(time.Hour)
		}, "nothing: the session lives on in memory, and the store has an earlier token", 0, func(r *rig) string {
			r.store.fail(nil, nil)
			r.wellWithin("prod", saving)
			return "by itself, within 2 min of its being there"
		})
	}
	try("The keychain refuses writes, and the agent ends", false, func(r *rig) {
		r.store.fail(nil, keychain.ErrFailing)
		time.Sleep(time.Hour)
		r.restart()
		time.Sleep(time.Second)
	}, "nothing: the earlier token that the store has is still good", 0, func(r *rig) string {
		r.store.fail(nil, nil)
		r.wellWithin("prod", saving)
		return "by itself, within 2 min of its taking them"
	})
	try("The keychain takes 4 s for every call, at the start too", false, func(r *rig) {
		r.store.hook(func(string, string) error {
			time.Sleep(4 * time.Second)
			return nil
		})
		r.restart()
		begin := time.Now()
		if _, err := r.Token(r.t.Context(), "prod", AnyLifetime); err != nil || time.Since(begin) > 5*time.Second {
			r.t.Errorf("the first reader waited %v: %v", time.Since(begin), err)
		}
		time.Sleep(time.Hour)
		begin = time.Now()
		if _, err := r.Token(r.t.Context(), "prod", AnyLifetime); err != nil || time.Since(begin) > 0 {
			r.t.Errorf("a reader waited %v: %v", time.Since(begin), err)
		}
		time.Sleep(10 * time.Second)
	}, "nothing: the first reader waits for it, no other does", 0, func(r *rig) string {
		r.store.hook(nil)
		return "nothing to heal"
	})
	try("The keychain loses the session's item while the agent runs", false, func(r *rig) {
		if err := r.store.Delete(r.t.Context(), "prod/refresh-token"); err != nil {
			r.t.Fatal(err)
		}
	}, "nothing", 0, func(r *rig) string {
		time.Sleep(10 * time.Minute)
		if !r.keeps("prod/refresh-token") {
			r.t.Error("it is not there again")
		}
		return "by itself: it is stored again with the next refresh"
	})
	try("The keychain has lost the session's item at the start", false, func(r *rig) {
		r.halt()
		if err := r.store.Delete(r.t.Context(), "prod/refresh-token"); err != nil {
			r.t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Minute)
	}, "the session", 1, func(r *rig) string {
		if err := r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password); err != nil {
			r.t.Error(err)
		}
		return "with a sign-in"
	})
	try("The same, and the password is remembered", true, func(r *rig) {
		r.halt()
		if err := r.store.Delete(r.t.Context(), "prod/refresh-token"); err != nil {
			r.t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Second)
	}, "nothing", 1, func(r *rig) string { return "by itself, at once: it signs in again" })
	try("The keychain loses the remembered password, and the server ends the session", true, func(r *rig) {
		if err := r.store.Delete(r.t.Context(), "prod/password"); err != nil {
			r.t.Fatal(err)
		}
		r.server.RotateSecret()
		time.Sleep(20 * time.Minute)
	}, "the session", 1, func(r *rig) string {
		if err := r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password); err != nil {
			r.t.Error(err)
		}
		return "with a sign-in"
	})
	unreadable := func(set error) func(r *rig) {
		return func(r *rig) {
			r.halt()
			r.store.hook(func(op, itemName string) error {
				if itemName != "prod/refresh-token" {
					return nil
				}
				if op == "get" {
					return keychain.ErrFailing
				}
				return set
			})
			r.start()
			time.Sleep(time.Minute)
		}
	}
	try("The session's item can't be parsed", false, unreadable(nil), "the session", 1, func(r *rig) string {
		if err := r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password); err != nil {
			r.t.Error(err)
		}
		r.store.hook(nil) // it was replaced
		return "with a sign-in, which replaces it"
	})
	try("The session's item is of a newer Langkeep, which must not be replaced", false, unreadable(keychain.ErrFailing), "nothing: it is left alone", 0, func(r *rig) string {
		r.store.hook(nil) // the newer one is there again
		r.wellWithin("prod", lockedTick+time.Second)
		return "with the newer Langkeep"
	})
	try("A server gives a token of more than 64 KiB", false, func(r *rig) {
		r.store.fail(nil, keychain.ErrTooBig)
		time.Sleep(time.Hour)
	}, "nothing: the session lives on in memory, and the store has an earlier token", 0, func(r *rig) string {
		r.store.fail(nil, nil)
		time.Sleep(10 * time.Minute)
		return "by itself, with the next refresh whose token is shorter"
	})
	try("A sign-in without the password, while the earlier one can't be deleted", true, func(r *rig) {
		r.store.hook(func(op, itemName string) error {
			if op == "delete" {
				return keychain.ErrFailing
			}
			return nil
		})
		if err := r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password); err != nil {
			r.t.Fatal(err)
		}
		if silent, err := r.hasSilentWay(r.t.Context(), r.all()["prod"]); silent || err != nil {
			r.t.Errorf("the earlier password is used: %v", err)
		}
	}, "nothing: the earlier password is not used any more", 1, func(r *rig) string {
		r.store.hook(nil)
		time.Sleep(saving)
		if r.keeps("prod/password") {
			r.t.Error("it is still there")
		}
		return "by itself: it is deleted within 2 min of that being possible"
	})
	try("A sign-out that the keychain refuses", false, func(r *rig) {
		r.store.fail(keychain.ErrFailing, nil)
		_, err := r.Logout(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		_, err = r.Remove(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		synctest.Wait()
		r.store.fail(nil, nil)
		time.Sleep(saving)
	}, "nothing: the session goes on, and logout and remove end with 6", 0, func(r *rig) string { return "when it is asked for again" })
	try("A sign-out whose last question the person dismisses", true, func(r *rig) {
		key := r.mustKey("prod")
		synctest.Wait()
		before := r.items("prod")
		r.store.hook(func(op, itemName string) error {
			if op == "delete" && itemName == "prod/api-key" {
				return fmt.Errorf("%w: %w", keychain.ErrFailing, keychain.ErrKept)
			}
			return nil
		})
		_, err := r.Logout(r.t.Context(), "prod")
		r.fails(err, KeychainBlocked)
		synctest.Wait()
		if after := r.items("prod"); len(before) != 3 || !maps.Equal(before, after) {
			r.t.Errorf("the store has %v, before it had %v", slices.Collect(maps.Keys(after)), slices.Collect(maps.Keys(before)))
		}
		if again := r.mustKey("prod"); again.ID != key.ID {
			r.t.Error("another key")
		}
	}, "nothing: the session, the remembered password and the key stay, and logout ends with 6", 0, func(r *rig) string {
		r.store.hook(nil)
		return "when it is asked for again"
	})
	try("A sign-in without the password, while the person does not let the earlier one be deleted", true, func(r *rig) {
		r.store.hook(func(op, itemName string) error {
			if op == "delete" {
				return fmt.Errorf("%w: %w", keychain.ErrFailing, keychain.ErrKept)
			}
			return nil
		})
		if err := r.logIn(r.t.Context(), "prod", "admin", langflowtest.Admin().Password); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
		if item := r.items("prod")["prod/password"]; !item.Secret.Empty() {
			r.t.Error("the earlier password is still in the store")
		}
		r.store.hook(nil)
		r.restart()
		time.Sleep(time.Second)
		if silent, err := r.hasSilentWay(r.t.Context(), r.all()["prod"]); silent || err != nil {
			r.t.Errorf("the earlier password is used: %v", err)
		}
	}, "nothing: an empty item takes the place of the earlier password", 1, func(r *rig) string { return "at once" })
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestKeychainFaults in agent", faultHeader(), rows)
	}
}
