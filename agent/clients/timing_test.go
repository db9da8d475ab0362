package clients

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"testing"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
)

// How long a lookup takes must not tell how much of a token is right. A clock
// could only show that now and then, so the comparisons themselves are watched;
// BenchmarkLookup has the times.
func TestAttackTokenTiming(t *testing.T) {
	const clients = 5
	l := Open("", clock.System(), quiet)
	if reflect.ValueOf(l.same).Pointer() != reflect.ValueOf(secret.SameHash).Pointer() {
		t.Error("hashes are compared by something else than secret.SameHash")
	}
	token := func(n int) string { return fmt.Sprintf("lk_%043d", n) }
	for n := range clients {
		if err := l.Add(Client{Name: fmt.Sprint("c", n), Expires: in(time.Hour)}, secret.New(token(n))); err != nil {
			t.Fatal(err)
		}
	}
	var compared [][2][sha256.Size]byte
	l.same = func(a, b [sha256.Size]byte) bool {
		compared = append(compared, [2][sha256.Size]byte{a, b})
		return secret.SameHash(a, b)
	}
	var rows [][]string
	for _, c := range []struct {
		tried  string
		tokens []string
		good   bool
	}{
		{"a client's token, guessed a letter at a time", []string{"", "lk_", token(0)[:45], token(0)[:45] + "x", token(clients), token(0) + "0"}, false},
		{"the right one, of the first client, of the last and of each in between", []string{token(0), token(1), token(2), token(3), token(4)}, true},
	} {
		for _, token := range c.tokens {
			compared = nil
			if got := l.takes(token); got != c.good {
				t.Errorf("%q: %v", token, got)
			}
			with := map[[sha256.Size]byte]bool{}
			for _, pair := range compared {
				if pair[0] != sha256.Sum256([]byte(token)) {
					t.Errorf("%q: something else than its hash is compared", token)
				}
				with[pair[1]] = true
			}
			if len(compared) != clients || len(with) != clients {
				t.Errorf("%q: %d comparisons with %d of %d clients", token, len(compared), len(with), clients)
			}
		}
		rows = append(rows, []string{c.tried, fmt.Sprintf("its hash is compared in constant time with those of all clients there are, here %d", clients)})
	}
	casebook.Table(t, "docs/attacks.md", "TestAttackTokenTiming in agent/clients", []string{"what is tried", "what happens"}, rows)
}
