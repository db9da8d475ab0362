//go:build real && windows

package keychain

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// TestRealCredentialSizes: an item of 2,560 bytes is kept in one piece, one more is kept in
// several, and a short one after it leaves none of them. Windows refuses more in one piece.
func TestRealCredentialSizes(t *testing.T) {
	s := openCredentials(t)
	const account = "prod/refresh-token"
	item := func(bytes int) Item {
		it := Item{Origin: "https://a.example", Secret: secret.New("")}
		data, err := encode(account, it)
		if err != nil {
			t.Fatal(err)
		}
		it.Secret = secret.New(strings.Repeat("x", bytes-len(data)))
		return it
	}
	most := sizeLimit("windows")
	pieces := func() int {
		n := 0
		for _, set := range pieceSets {
			for number := range maxPieces {
				if _, err := keyring.Get(testService, pieceName(account, set, number+1)); err == nil {
					n++
				} else if !errors.Is(err, keyring.ErrNotFound) {
					t.Fatal(err)
				}
			}
		}
		return n
	}
	for _, try := range []struct{ bytes, pieces int }{{most, 0}, {most + 1, 2}, {MaxSecret, 26}, {most + 1, 2}, {most, 0}} {
		start := time.Now()
		if err := s.Set(t.Context(), account, item(try.bytes)); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes: set in %v", try.bytes, time.Since(start))
		if it, err := s.Get(t.Context(), account); err != nil || !sameItem(it, item(try.bytes)) {
			t.Errorf("%d bytes: it holds %v, %v", try.bytes, it.Origin, err)
		}
		if n := pieces(); n != try.pieces {
			t.Errorf("%d bytes: %d pieces, want %d", try.bytes, n, try.pieces)
		}
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
