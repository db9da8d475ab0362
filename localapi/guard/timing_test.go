package guard

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"testing"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/proof"
)

type sameHash = func(a, b [sha256.Size]byte) bool

// How long a lookup takes must not tell how much of a token is right. A clock
// could only show that now and then, so the comparisons themselves are watched;
// BenchmarkLookup has the times.
func TestAttackTokenTiming(t *testing.T) {
	pages := NewPages(clock.System())
	var codes, tokens []string
	for range 3 {
		token, ok := pages.Exchange(proof.Of(pages.NewCode(false)), true)
		if !ok {
			t.Fatal("a code is not good")
		}
		tokens = append(tokens, token.Reveal())
	}
	for range 4 {
		codes = append(codes, pages.NewCode(false).Reveal())
	}
	owner := OwnerToken(secret.New(ownerToken1)).(*ownerToken)
	byToken := func(a Authority) func(string) bool {
		return func(token string) bool { _, ok := a.Lookup(token); return ok }
	}
	// A code is looked for as one whose browser is not known, so that it stays.
	byCode := func(code string) bool {
		_, ok := pages.Exchange(proof.Of(secret.New(code)), false)
		return ok
	}
	var rows [][]string
	for _, c := range []struct {
		whose string
		same  *sameHash
		looks func(string) bool
		right []string
		found bool // the right ones are told to be
	}{
		{"the owner's token", &owner.same, byToken(owner), []string{ownerToken1}, true},
		{"the control page's token", &pages.same, byToken(pages), tokens, true},
		{"the control page's code", &pages.same, byCode, codes, false},
	} {
		if reflect.ValueOf(*c.same).Pointer() != reflect.ValueOf(secret.SameHash).Pointer() {
			t.Errorf("%s: hashes are compared by something else than secret.SameHash", c.whose)
		}
		var compared [][2][sha256.Size]byte
		*c.same = func(a, b [sha256.Size]byte) bool {
			compared = append(compared, [2][sha256.Size]byte{a, b})
			return secret.SameHash(a, b)
		}
		first := c.right[0]
		wrong := []string{"", "lk_", first[:45], first[:45] + "!", first + "A"}
		for i, token := range append(wrong, c.right...) {
			compared = nil
			if got, want := c.looks(token), i >= len(wrong) && c.found; got != want {
				t.Errorf("%s: number %d is told to be %v", c.whose, i, got)
			}
			with := map[[sha256.Size]byte]bool{}
			for _, pair := range compared {
				if pair[0] != sha256.Sum256([]byte(token)) {
					t.Errorf("%s: something else than the hash of number %d is compared", c.whose, i)
				}
				with[pair[1]] = true
			}
			if len(compared) != len(c.right) || len(with) != len(c.right) {
				t.Errorf("%s: %d comparisons with %d of %d for number %d", c.whose, len(compared), len(with), len(c.right), i)
			}
		}
		*c.same = secret.SameHash
		rows = append(rows, []string{
			c.whose + ", guessed a letter at a time, and right, whichever of them",
			fmt.Sprintf("its hash is compared in constant time with all there are, here %d", len(c.right)),
		})
	}
	casebook.Table(t, "docs/attacks.md", "TestAttackTokenTiming in localapi/guard", []string{"what is tried", "what happens"}, rows)
}
