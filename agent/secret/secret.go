// Package secret holds strings that must never be printed.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Redacted is what every printed form of a secret says.
const Redacted = "[secret]"

// Text is a string that prints as Redacted however it is formatted, logged or
// marshalled; only Reveal gives it away. The zero Text is empty.
//
// It holds a pointer because fmt, which cannot call the methods of unexported
// fields, then prints an address rather than the string. Compare with Equal:
// == compares addresses.
type Text struct{ s *string }

// New makes a secret of s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{&s}
}

// Reveal returns the string itself.
func (t Text) Reveal() string {
	if t.s == nil {
		return ""
	}
	return *t.s
}

// Empty tells whether there is no secret.
func (t Text) Empty() bool { return t.s == nil }

// Equal compares two secrets in time that depends only on their lengths.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(u.Reveal())) == 1
}

// SameHash compares the SHA-256 sums of two secrets in constant time.
func SameHash(a, b [sha256.Size]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// String, and the methods below, keep the secret out of every kind of output.
func (t Text) String() string { return Redacted }

// Format implements fmt.Formatter for all verbs.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements encoding.TextMarshaler, and with it JSON and TOML.
func (t Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalJSON reads the secret from a JSON string or null.
func (t *Text) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		// The error of encoding/json can quote what it read.
		return fmt.Errorf("a secret must be a JSON string")
	}
	*t = New(s)
	return nil
}
