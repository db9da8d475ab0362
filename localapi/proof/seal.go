package proof

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
)

// SaltSize is the number of random bytes that each side adds to the keys of a request.
const SaltSize = 16

// The uses of a secret's keys, one for each direction.
const (
	requestKey = "langkeep-page-request"
	answerKey  = "langkeep-page-answer"
)

// Open decrypts a request that was sealed with the secret and a fresh salt: AES-256-GCM
// under a key that is used once, so its nonce is zero.
func (s Secret) Open(salt, sealed []byte) (text []byte, ok bool) {
	text, err := s.aead(requestKey, salt).Open(nil, make([]byte, nonceSize), sealed, nil)
	return text, err == nil
}

// Answer begins the answer to the request with that salt. Its key depends on a second,
// fresh salt too, so that a repeated request gets another key.
func (s Secret) Answer(salt []byte) *Answer {
	own := make([]byte, SaltSize)
	_, _ = rand.Read(own) // never fails: crypto/rand ends the program instead
	return &Answer{aead: s.aead(answerKey, append(append([]byte(nil), salt...), own...)), salt: own}
}

// Answer seals an answer in lines, which the page can read as they come: the salt, then
// the pieces. A piece's nonce has its number and whether it is the last one, so no
// piece can be left out, repeated or come from another answer. It is not safe for use
// by several goroutines.
type Answer struct {
	aead cipher.AEAD
	salt []byte // nil once Seal has returned it
	next uint64 // piece
}

// Seal is the next line, which begins with "+", or for the last piece with ".".
func (a *Answer) Seal(piece []byte, last bool) []byte {
	var line []byte
	if a.salt != nil {
		line = append(base64.RawURLEncoding.AppendEncode(line, a.salt), '\n')
		a.salt = nil
	}
	nonce, mark := make([]byte, nonceSize), byte('+')
	if last {
		nonce[0], mark = 1, '.'
	}
	binary.BigEndian.PutUint64(nonce[nonceSize-8:], a.next)
	a.next++
	line = append(line, mark)
	line = base64.RawURLEncoding.AppendEncode(line, a.aead.Seal(nil, nonce, piece, nil))
	return append(line, '\n')
}

const nonceSize = 12 // bytes, as GCM has them

func (s Secret) aead(use string, salt []byte) cipher.AEAD {
	block, err := aes.NewCipher(s.key(use, salt))
	if err != nil {
		panic(err) // only of a key of another length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only of another block size
	}
	return aead
}
