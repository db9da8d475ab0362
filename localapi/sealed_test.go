package localapi

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/proof"
)

// gcm is a cipher as the page makes it, from nothing but the description.
func gcm(t testing.TB, token, use string, salt []byte) cipher.AEAD {
	t.Helper()
	hash := sha256.Sum256([]byte(token))
	key, err := hkdf.Key(sha256.New, hash[:], salt, use, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

var pageSalt = []byte("sixteen bytes...")

// sealedBody is a request to send.
func sealedBody(t testing.TB, token, text string) string {
	t.Helper()
	sealed := gcm(t, token, "langkeep-page-request", pageSalt).Seal(nil, make([]byte, 12), []byte(text), nil)
	body, err := json.Marshal(map[string]string{
		"key": proof.Of(secret.New(token)).ID(), "salt": base64.RawURLEncoding.EncodeToString(pageSalt), "sealed": base64.RawURLEncoding.EncodeToString(sealed),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// unsealedAnswer opens an answer as the page does: its pieces, and whether the last
// one is there.
func unsealedAnswer(t testing.TB, token string, answer []byte) (pieces []string, whole bool) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n")
	own, err := base64.RawURLEncoding.DecodeString(lines[0])
	if err != nil {
		t.Fatalf("%q: %v", lines[0], err)
	}
	aead := gcm(t, token, "langkeep-page-answer", append(bytes.Clone(pageSalt), own...))
	for i, line := range lines[1:] {
		text, err := base64.RawURLEncoding.DecodeString(line[1:])
		if err != nil {
			t.Fatal(err)
		}
		nonce := make([]byte, 12)
		nonce[11] = byte(i)
		if whole = line[0] == '.'; whole {
			nonce[0] = 1
		}
		piece, err := aead.Open(nil, nonce, text, nil)
		if err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		pieces = append(pieces, string(piece))
	}
	return pieces, whole
}

// TestSealed is what the page does, without a browser.
func TestSealed(t *testing.T) {
	r := newRig(t)
	r.signIn()
	code := r.pages.NewCode(true).Reveal()
	send := func(body string, headers ...string) (int, string) {
		t.Helper()
		status, _, answer := r.ask("", "POST", "/v1/page/sealed", body, headers...)
		return status, answer
	}
	own := []string{"Origin", r.url}
	if status, answer := send(sealedBody(t, code, "{}")); status != http.StatusForbidden {
		t.Errorf("without an Origin: %d %s", status, answer)
	}
	wrong := strings.Replace(sealedBody(t, code, "{}"), `"sealed":"`, `"sealed":"AAAA`, 1)
	if status, answer := send(wrong, own...); status != http.StatusUnauthorized {
		t.Errorf("with something else sealed: %d %s", status, answer)
	}
	status, answer := send(sealedBody(t, code, "{}"), own...)
	if status != http.StatusOK {
		t.Fatalf("the exchange: %d %s", status, answer)
	}
	pieces, whole := unsealedAnswer(t, code, []byte(answer))
	var given struct{ Token string }
	if !whole || len(pieces) != 2 || pieces[0] != `{"status":200}` || json.Unmarshal([]byte(pieces[1]), &given) != nil || strings.Contains(answer, "lk_") {
		t.Fatalf("the exchange is answered %q", pieces)
	}
	if status, answer := send(sealedBody(t, code, "{}"), own...); status != http.StatusUnauthorized {
		t.Errorf("the code again: %d %s", status, answer)
	}
	if status, _, answer := r.ask(given.Token, "GET", "/v1/status", ""); status != http.StatusOK {
		t.Errorf("the token as a bearer: %d %s", status, answer)
	}
	for request, want := range map[string]string{
		`{"method":"GET","path":"/v1/profiles/prod"}`:                                        "200",
		`{"method":"PATCH","path":"/v1/settings","body":{"log_level":"debug"}}`:              "200",
		`{"method":"GET","path":"/v1/profiles/prod/token"}`:                                  "403",
		`{"method":"POST","path":"/v1/page/code"}`:                                           "403",
		`{"method":"GET","path":"/v1/nothing"}`:                                              "404",
		`{"method":"POST","path":"/v1/page/sealed","body":{"key":"","salt":"","sealed":""}}`: "400",
		`{"method":"GET","path":"/"}`:                                                        "400",
		`{"method":"GET","path":"http://127.0.0.1/v1/status"}`:                               "400",
		`{"method":"GET","path":"/v1/status","more":1}`:                                      "400",
		`nonsense`: "400",
	} {
		status, answer := send(sealedBody(t, given.Token, request), own...)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", request, status, answer)
			continue
		}
		pieces, whole := unsealedAnswer(t, given.Token, []byte(answer))
		if !whole || pieces[0] != `{"status":`+want+`}` {
			t.Errorf("%s is answered %q, want %s", request, pieces, want)
		}
	}
	// The same request twice: the keys of the answers differ.
	_, first := send(sealedBody(t, given.Token, `{"method":"GET","path":"/v1/settings"}`), own...)
	_, second := send(sealedBody(t, given.Token, `{"method":"GET","path":"/v1/settings"}`), own...)
	if first[:22] == second[:22] {
		t.Error("two answers have one salt")
	}
}
