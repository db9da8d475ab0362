//go:build real && windows

package keychain

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"langkeep/agent/secret"
)

// testService is a service of this test's own in the user's Credential Manager.
const testService = "langkeep-test"

// openCredentials opens the Credential Manager, and empties it of us at the end.
func openCredentials(t *testing.T) Store {
	t.Helper()
	s := NewOS(testService, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		s.Close()
		if err := keyring.DeleteAll(testService); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRealCredentials(t *testing.T) {
	testStore(t, openCredentials(t), func(account, data string) {
		if err := keyring.Set(testService, account, data); err != nil {
			t.Fatal(err)
		}
	}, func() Store { return openCredentials(t) })
}

// TestRealCredentialSizes: an item of 2,560 bytes is kept, one more is refused
// and leaves the old one alone. Windows itself refuses it too.
func TestRealCredentialSizes(t *testing.T) {
	s := openCredentials(t)
	const account = "prod/refresh-token"
	item := func(bytes int) Item {
		it := Item{Origin: "https://a.example", Secret: secret.New("")}
		data, err := encode(it)
		if err != nil {
			t.Fatal(err)
		}
		it.Secret = secret.New(strings.Repeat("x", bytes-len(data)))
		return it
	}
	most := sizeLimit("windows")
	if err := s.Set(t.Context(), account, item(most)); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), account, item(most+1)); !errors.Is(err, ErrTooBig) {
		t.Errorf("one byte more: %v", err)
	}
	if it, err := s.Get(t.Context(), account); err != nil || !sameItem(it, item(most)) {
		t.Errorf("it holds %v, %v", it.Origin, err)
	}
	if err := keyring.Set(testService, account, strings.Repeat("x", most+1)); err == nil {
		t.Error("the Credential Manager takes more than we think")
	}
}

// TestRealCredentialsOfTwoAgents: each LANGKEEP_HOME has a service of its own.
func TestRealCredentialsOfTwoAgents(t *testing.T) {
	s := openCredentials(t)
	other := NewOS(testService+"-0123abcd", slog.New(slog.DiscardHandler))
	defer other.Close()
	if err := s.Set(t.Context(), "prod/password", Item{Secret: secret.New("p")}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get(t.Context(), "prod/password"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another agent's: %v", err)
	}
}
