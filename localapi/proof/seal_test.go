package proof

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"

	"langkeep/agent/secret"
)

// sealed is what the page does to a request.
func sealed(t *testing.T, s Secret, salt []byte, text string) []byte {
	t.Helper()
	return s.aead(requestKey, salt).Seal(nil, make([]byte, nonceSize), []byte(text), nil)
}

func newSalt(t *testing.T) []byte {
	t.Helper()
	salt := make([]byte, SaltSize)
	if _, err := rand.Read(salt); err != nil {
		t.Fatal(err)
	}
	return salt
}

func TestOpen(t *testing.T) {
	salt := newSalt(t)
	request := sealed(t, example, salt, "GET /v1/status")
	if text, ok := example.Open(salt, request); !ok || string(text) != "GET /v1/status" {
		t.Errorf("it is %q, %v", text, ok)
	}
	changed := bytes.Clone(request)
	changed[0] ^= 1
	other := Of(secret.New("lk_other"))
	for name, open := range map[string]func() ([]byte, bool){
		"one bit changed": func() ([]byte, bool) { return example.Open(salt, changed) },
		"cut":             func() ([]byte, bool) { return example.Open(salt, request[:len(request)-1]) },
		"nothing":         func() ([]byte, bool) { return example.Open(salt, nil) },
		"another salt":    func() ([]byte, bool) { return example.Open(newSalt(t), request) },
		"another secret":  func() ([]byte, bool) { return other.Open(salt, request) },
	} {
		if text, ok := open(); ok {
			t.Errorf("%s: it opens as %q", name, text)
		}
	}
	// An answer of the agent does not open as a request.
	line := string(example.Answer(salt).Seal([]byte("x"), true))
	_, piece, _ := strings.Cut(line, "\n.")
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSuffix(piece, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := example.Open(salt, raw); ok {
		t.Errorf("an answer opens as the request %q", text)
	}
}

// opened is what the page does to an answer: the pieces up to the first that
// can't be opened, and whether the last one is among them.
func opened(t *testing.T, s Secret, salt []byte, lines []string) (pieces []string, whole bool) {
	t.Helper()
	own, err := base64.RawURLEncoding.DecodeString(lines[0])
	if err != nil || len(own) != SaltSize {
		t.Fatalf("the salt is %q, %v", lines[0], err)
	}
	aead := s.aead(answerKey, append(bytes.Clone(salt), own...))
	for i, line := range lines[1:] {
		raw, err := base64.RawURLEncoding.DecodeString(line[1:])
		if err != nil {
			t.Fatal(err)
		}
		nonce := make([]byte, nonceSize)
		if whole = line[0] == '.'; whole {
			nonce[0] = 1
		}
		binary.BigEndian.PutUint64(nonce[nonceSize-8:], uint64(i))
		text, err := aead.Open(nil, nonce, raw, nil)
		if err != nil {
			return pieces, false
		}
		pieces = append(pieces, string(text))
	}
	return pieces, whole
}

func TestAnswer(t *testing.T) {
	salt := newSalt(t)
	seal := func() []string {
		a := example.Answer(salt)
		var all []byte
		for i, piece := range []string{"one", "", "three"} {
			all = append(all, a.Seal([]byte(piece), i == 2)...)
		}
		return strings.Split(strings.TrimSuffix(string(all), "\n"), "\n")
	}
	lines := seal()
	if pieces, whole := opened(t, example, salt, lines); strings.Join(pieces, ",") != "one,,three" || !whole {
		t.Fatalf("it is %q, whole %v", pieces, whole)
	}
	if again := seal(); lines[0] == again[0] || lines[1] == again[1] {
		t.Error("two answers to one request have the same key")
	}
	for name, changed := range map[string][]string{
		"without the first": {lines[0], lines[2], lines[3]},
		"without the last":  lines[:3],
		"in another order":  {lines[0], lines[2], lines[1], lines[3]},
		"one twice":         {lines[0], lines[1], lines[1], lines[3]},
		"ended early":       {lines[0], "." + lines[1][1:]},
		"the end hidden":    {lines[0], lines[1], lines[2], "+" + lines[3][1:]},
		"of another answer": {lines[0], seal()[1], lines[2], lines[3]},
	} {
		if pieces, whole := opened(t, example, salt, changed); whole {
			t.Errorf("%s: it is whole: %q", name, pieces)
		}
	}
	if pieces, _ := opened(t, Of(secret.New("lk_other")), salt, lines); len(pieces) > 0 {
		t.Errorf("another secret reads %q", pieces)
	}
}
