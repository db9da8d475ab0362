package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

const tokenPrefix = "lk_"

// NewToken makes a token: lk_ and 32 random bytes as 43 base64url characters.
func NewToken() secret.Text {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return secret.New(tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

// OwnerToken is the authority for the owner's token.
func OwnerToken(t secret.Text) Authority {
	return &ownerToken{hash: sha256.Sum256([]byte(t.Reveal())), same: secret.SameHash, caller: &Caller{Name: "owner", Owner: true}}
}

// ownerToken keeps a hash and compares hashes, so that the time of a comparison depends
// neither on the token nor on its length.
type ownerToken struct {
	hash   [sha256.Size]byte
	same   func(a, b [sha256.Size]byte) bool // secret.SameHash but in tests
	caller *Caller
}

// Secret implements Authority.
func (o *ownerToken) Secret(id string) (proof.Secret, bool) {
	return o.hash, proof.Secret(o.hash).Named(id)
}

// Lookup implements Authority.
func (o *ownerToken) Lookup(token string) (*Caller, bool) {
	var room [64]byte // on the stack, for a token of the right length
	hash := sha256.Sum256(append(room[:0], token...))
	if !o.same(hash, o.hash) {
		return nil, false
	}
	return o.caller, true
}
