package keychain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// An item that can be read is written and read again as it was; one that can't
// is failing, never absent, and its error tells nothing of what is in it.
func FuzzItem(f *testing.F) {
	f.Add(`{"v":1,"origin":"https://x.test","username":"ann","cookie_name":"refresh_token_lf","secret":"hunter2-hunter2","expires_at":"2026-01-02T03:04:05Z","id":"1"}`)
	f.Add(`{"v":1,"secret":"hunter2-hunter2","expires_at":"9999-12-31T23:59:59-01:00"}`)
	f.Add(`{"v":2,"secret":["hunter2-hunter2"]}`)
	f.Add(`{"v":1,"secret":"hunter2-hunter2"`)
	f.Add(`hunter2-hunter2`)
	f.Fuzz(func(t *testing.T, data string) {
		it, err := decode("prod/password", data)
		if err != nil {
			if !errors.Is(err, ErrFailing) || errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "hunter2-hunter2") {
				t.Error(err)
			}
			return
		}
		again, err := encode("prod/password", it)
		if err != nil {
			t.Fatalf("%q can't be written again: %v", data, err)
		}
		back, err := decode("prod/password", again)
		if err != nil || back.Secret.Reveal() != it.Secret.Reveal() || back.Origin != it.Origin || back.Username != it.Username ||
			back.CookieName != it.CookieName || back.ID != it.ID || !back.ExpiresAt.Equal(it.ExpiresAt) {
			t.Errorf("%+v became %+v, %v", it, back, err)
		}
	})
}

// The store opens secrets.age whole or leaves it alone, with any text around its blocks
// or in them. An opened file takes another item and gives back all.
func FuzzSecretsFile(f *testing.F) {
	const given = "# langkeep secrets, schema = 1\n"
	f.Add(given, `{"prod/password":{"v":1,"origin":"https://x.test","username":"","cookie_name":"","secret":"s","expires_at":null}}`, "")
	f.Add("# langkeep secrets, schema = 2\n", `{}`, "")
	f.Add("", `null`, "\n")
	f.Add(given, `{"a":{}`, "-----BEGIN AGE ENCRYPTED FILE-----\n")
	f.Add(given+given, `{"a":1,"a":2}`, "more")
	made, err := beginFile("", passphrase, 1) // scrypt is not what is tried
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, plain, after string) {
		sealed, err := seal([]byte(plain), made.identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		content := header + made.wrapped + sealed + after
		path := filepath.Join(t.TempDir(), "secrets.age")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		store, err := newFile(path, passphrase, 1)
		if err != nil {
			if !errors.Is(err, ErrFailing) && !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
				t.Error(err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != content {
				t.Errorf("it was changed: %v", err)
			}
			return
		}
		before := map[string]string{}
		for account, data := range store.items {
			before[account] = string(data)
		}
		item := Item{Origin: "https://y.test", Secret: secret.New("new"), ExpiresAt: time.Unix(1760000000, 0).UTC()}
		if err := store.Set(ctx, "new/password", item); err != nil {
			return // it can't be written over: of a newer version
		}
		again, err := newFile(path, passphrase, 1)
		if err != nil {
			t.Fatalf("it can't be opened again: %v", err)
		}
		if got, err := again.Get(ctx, "new/password"); err != nil || got.Secret.Reveal() != "new" {
			t.Errorf("%+v, %v", got, err)
		}
		for account := range before {
			if _, ok := again.items[account]; !ok {
				t.Errorf("%q is lost", account)
			}
		}
	})
}

// A text that is no age file is never taken for one, however it is cut.
func FuzzUnseal(f *testing.F) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := seal([]byte("the secrets"), identity.Recipient())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, 0, byte(0))
	f.Add(sealed[:len(sealed)/2], 3, byte(1))
	f.Add(strings.Repeat(sealed, 2), 200, byte('\n'))
	f.Add(fmt.Sprintf("%s%d\n%s", fileHeader, paths.Schema, sealed), 1, byte(4))
	f.Fuzz(func(t *testing.T, block string, at int, flip byte) {
		changed := []byte(block)
		if at >= 0 && at < len(changed) {
			changed[at] ^= flip
		}
		plain, err := unseal(string(changed), identity)
		if err == nil && !bytes.Equal(plain, []byte("the secrets")) {
			t.Errorf("opened as %q", plain)
		}
	})
}
