package localapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

func TestProve(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.newClient("ci", "read")
	shared := proof.Of(secret.New(token))
	nonce := []byte(strings.Repeat("n", proof.Size))
	body := func(key string, nonce []byte) string {
		return fmt.Sprintf(`{"key":%q,"nonce":%q}`, key, base64.RawURLEncoding.EncodeToString(nonce))
	}
	// It is asked before any token is sent.
	status, _, text := r.ask("", "POST", "/v1/proof", body(shared.ID(), nonce))
	var got client.Proof
	if err := json.Unmarshal([]byte(text), &got); status != 200 || err != nil {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	is, err := base64.RawURLEncoding.DecodeString(got.Proof)
	if at := strings.TrimPrefix(r.url, "http://"); err != nil || !proof.Fits(is, shared.OfAgent(nonce, at)) {
		t.Errorf("%q proves nothing at %s: %v", got.Proof, at, err)
	}
	for name, tt := range map[string]struct{ body, kind string }{
		"a key nobody has":  {body(proof.Of(secret.New("lk_other")).ID(), nonce), client.TypeUnauthorized},
		"no key":            {body("", nonce), client.TypeUnauthorized},
		"a short nonce":     {body(shared.ID(), nonce[1:]), client.TypeBadRequest},
		"a long nonce":      {body(shared.ID(), append(nonce, 'n')), client.TypeBadRequest},
		"no nonce":          {body(shared.ID(), nil), client.TypeBadRequest},
		"another alphabet":  {fmt.Sprintf(`{"key":%q,"nonce":%q}`, shared.ID(), strings.Repeat("+", 43)), client.TypeBadRequest},
		"a field too many":  {`{"key":"a","nonce":"b","at":"127.0.0.1:1"}`, client.TypeBadRequest},
		"what is not JSON":  {"nonce", client.TypeBadRequest},
		"nothing to answer": {"", client.TypeBadRequest},
	} {
		t.Run(name, func(t *testing.T) { r.refused(tt.kind, "", "POST", "/v1/proof", tt.body) })
	}
	r.must(204, "DELETE", "/v1/clients/ci", "")
	r.refused(client.TypeUnauthorized, "", "POST", "/v1/proof", body(shared.ID(), nonce))
}
