// Package proof lets the agent and the holder of one of its tokens recognise each other
// without showing the token, over connections that any program may have taken.
package proof

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"langkeep/agent/secret"
)

// Size is the number of bytes of secrets, nonces and proofs.
const Size = sha256.Size

// Secret is the SHA-256 of a token or a code, which have 256 random bits. The
// agent keeps these hashes, so both sides have it.
type Secret [Size]byte

// Of is the secret of a token or a code.
func Of(token secret.Text) Secret { return sha256.Sum256([]byte(token.Reveal())) }

// ID names the secret without revealing it, as 22 base64url characters.
func (s Secret) ID() string {
	sum := sha256.Sum256(append([]byte("langkeep-key-id"), s[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Named tells whether the id is the secret's, in a time that does not depend on
// how much of it fits.
func (s Secret) Named(id string) bool {
	return subtle.ConstantTimeCompare([]byte(s.ID()), []byte(id)) == 1
}

// OfAgent is the agent's proof for a nonce: only an agent with the secret can make it.
// at is the address of the agent's end of the connection, such as 127.0.0.1:17860, so
// that a stranger who listens elsewhere can't relay the question and the answer.
func (s Secret) OfAgent(nonce []byte, at string) []byte {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte("langkeep-agent\n" + at + "\n"))
	mac.Write(nonce)
	return mac.Sum(nil)
}

// Fits compares two proofs in constant time.
func Fits(a, b []byte) bool { return hmac.Equal(a, b) }

// key derives one of 32 bytes by HKDF-SHA-256 (RFC 5869), for one use.
func (s Secret) key(use string, salt []byte) []byte {
	key, err := hkdf.Key(sha256.New, s[:], salt, use, Size)
	if err != nil {
		panic(err) // only of a length that HKDF can't give
	}
	return key
}
