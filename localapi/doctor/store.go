package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/secret"
	"langkeep/localapi/words"
)

// secretSize is that of the largest refresh token that Langflow makes: RS512
// with a key of 4,096 bits, in bytes.
const secretSize = 900

// account is no profile's item: those all have a slash.
const account = "doctor"

// Keychain writes a secret of real size to the store, reads it back and deletes it. It
// asks nobody to unlock the store. Only one may run at a time.
func Keychain(store keychain.Store) Check {
	return Check{Name: "keychain", Look: func(ctx context.Context) Finding {
		begin := time.Now()
		if err := roundTrip(ctx, store); err != nil {
			return storeFinding(err)
		}
		if store.Kind() == "memory" {
			return warning("Run it with --store keychain or --store file to keep them.", "The agent keeps secrets in memory and forgets them when it ends.")
		}
		return ok("A secret of %d bytes was written to the %s, read back and deleted in %d ms.", secretSize, store.Kind(), time.Since(begin).Milliseconds())
	}}
}

// errDiffers means that a store returned another secret than it was given.
var errDiffers = errors.New("what was written does not read back")

func roundTrip(ctx context.Context, store keychain.Store) (err error) {
	text := ""
	for len(text) < secretSize {
		text += rand.Text()
	}
	item := keychain.Item{Origin: "https://langflow.invalid", Secret: secret.New(text[:secretSize])}
	if err := store.Ready(ctx); err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if deleteErr := store.Delete(last, account); err == nil {
			err = deleteErr
		}
	}()
	if err := store.Set(ctx, account, item); err != nil {
		return err
	}
	back, err := store.Get(ctx, account)
	if err != nil {
		return err
	}
	if !back.Secret.Equal(item.Secret) {
		return errDiffers
	}
	if err := store.Delete(ctx, account); err != nil {
		return err
	}
	if _, err := store.Get(ctx, account); !errors.Is(err, keychain.ErrNotFound) {
		if err == nil {
			err = errors.New("what was deleted is still there")
		}
		return err
	}
	return nil
}

func storeFinding(err error) Finding {
	switch {
	case errors.Is(err, keychain.ErrLocked):
		return failed("Unlock it, or run langkeep refresh, which asks you to.", "The keychain is locked.")
	case errors.Is(err, keychain.ErrNoKeyring):
		return failed("Run langkeep login: a window then asks for the new keyring's password, or for KWallet's set-up.", "The keychain has no keyring yet.")
	case errors.Is(err, keychain.ErrMissing):
		return failed("Start the agent in a desktop session, or with --store file.", "There is no keychain here.")
	case errors.Is(err, keychain.ErrSilent), errors.Is(err, context.DeadlineExceeded):
		return failed("Look for its prompt, or restart it.", "The keychain doesn't answer.")
	case errors.Is(err, errDiffers):
		return failed("Restart it, or run the agent with --store file.", "The keychain gives back something else than it was given.")
	}
	return failed("Restart the keychain, or run the agent with --store file.", "%s", words.Sentence(err.Error()))
}
