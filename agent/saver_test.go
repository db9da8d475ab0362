package agent

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"langkeep/agent/keychain"
)

// A write that is under way may have another account tidied up at its end. After forget
// has dropped both accounts no deletion comes later: it would remove the item that a
// new sign-in has stored.
func TestForgottenForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass := make(chan struct{})
		store := &faultyStore{Store: keychain.NewMemory()}
		store.hook(func(op, _ string) error {
			if op != "get" {
				<-pass
			}
			return nil
		})
		v := newSaver(store, slog.New(slog.DiscardHandler))
		go v.run(t.Context())
		refresh, access := keychain.ItemName("prod", keychain.RefreshToken), keychain.ItemName("prod", keychain.AccessToken)
		v.save(access, keychain.Item{}, func(error) { v.remove(refresh) })
		synctest.Wait()
		forgotten := make(chan struct{})
		go func() {
			v.forget(refresh, access)
			close(forgotten)
		}()
		synctest.Wait()
		pass <- struct{}{}
		synctest.Wait()
		select {
		case <-forgotten:
			if _, waits := v.newest(refresh); waits {
				t.Error("the refresh token is still to be removed")
			}
		default: // it waits for that
		}
		close(pass)
		<-forgotten
	})
}
