package proof

import (
	"encoding/hex"
	"testing"

	"langkeep/agent/secret"
)

// example has the secret of a token. The values below follow from it by the contract, and
// were made with openssl dgst, not with this package.
var example = Of(secret.New("lk_example"))

func TestSecret(t *testing.T) {
	if got := hex.EncodeToString(example[:]); got != "2e5d2ec566c26a71970dea1985e0f5bbd98747206389b088c2ed47dacc855b5c" {
		t.Errorf("the secret is %s", got)
	}
	if got := example.ID(); got != "Y0RT_YbjLLNheaKns62v1A" {
		t.Errorf("its ID is %s", got)
	}
	if !example.Named(example.ID()) {
		t.Error("it is not named by its own ID")
	}
	for _, id := range []string{"", example.ID()[1:], example.ID() + "A", Of(secret.New("lk_other")).ID()} {
		if example.Named(id) {
			t.Errorf("it is named by %q", id)
		}
	}
}

func TestOfAgent(t *testing.T) {
	nonce, at := []byte("a nonce of the client"), "127.0.0.1:17860"
	right := example.OfAgent(nonce, at)
	if got := hex.EncodeToString(right); got != "597aabc2c035a42573048c4f4c57b4e0e037732e6d9a3555a691367d667c32b6" {
		t.Errorf("the proof is %s", got)
	}
	if !Fits(right, example.OfAgent(nonce, at)) {
		t.Error("the same proof does not fit")
	}
	for name, wrong := range map[string][]byte{
		"another address": example.OfAgent(nonce, "127.0.0.1:17861"),
		"another nonce":   example.OfAgent([]byte("another"), at),
		"another secret":  Of(secret.New("lk_other")).OfAgent(nonce, at),
		"a part of it":    right[:Size-1],
		"nothing":         nil,
	} {
		if Fits(right, wrong) {
			t.Errorf("%s fits", name)
		}
	}
}
