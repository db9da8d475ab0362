package vocabulary

import (
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "0", "prod", "a.b_c-d", "1.13", "a" + strings.Repeat("-", 61) + "z", "console", "com10", "com", "lpt", "nul1", "xcon", "a.con"} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, rule := range map[string]string{
		"": "1 to 63", strings.Repeat("a", 64): "1 to 63",
		"Prod": "only a-z", "prød": "only a-z", "a b": "only a-z", "a/b": "only a-z", `a\b`: "only a-z", "a:b": "only a-z", "a\n": "only a-z", "a\x00b": "only a-z",
		".a": "begin and end", "a.": "begin and end", "-a": "begin and end", "a_": "begin and end", "..": "begin and end",
		"con": "Windows", "nul": "Windows", "aux": "Windows", "prn": "Windows", "com1": "Windows", "lpt9": "Windows", "com0": "Windows",
		"con.prod": "Windows", "nul.a.b": "Windows", "lpt1.x": "Windows",
	} {
		if err := ValidName(name); err == nil || !strings.Contains(err.Error(), rule) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
