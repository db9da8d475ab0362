package guard

import (
	"strings"
	"testing"

	"langkeep/agent/secret"
)

func TestOwnerToken(t *testing.T) {
	token := NewToken()
	s := token.Reveal()
	if len(s) != 46 || s[:3] != "lk_" || strings.Trim(s[3:], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Error("a token is not lk_ and 43 base64url characters")
	}
	if NewToken().Equal(token) {
		t.Error("the same token twice")
	}
	a := OwnerToken(token)
	if c, ok := a.Lookup(s); !ok || !c.Owner || c.Name != "owner" {
		t.Errorf("the owner is %v, %v", c, ok)
	}
	for name, wrong := range map[string]string{
		"empty": "", "prefix": s[:45], "longer": s + "A", "another": NewToken().Reveal(), "upper case": strings.ToUpper(s),
		"padded": s + "=", "first": "l", "long": strings.Repeat(s, 100),
	} {
		if c, ok := a.Lookup(wrong); ok || c != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, ok := OwnerToken(secret.Text{}).Lookup("lk_"); ok {
		t.Error("a token where there is none")
	}
}
