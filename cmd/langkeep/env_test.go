package main

import (
	"strings"
	"testing"
)

// PowerShell takes typographic quotes for an apostrophe: a text that is quoted
// holds each of them twice or ends there.
func TestPowershellQuotes(t *testing.T) {
	for _, quote := range []string{"'", "\u2018", "\u2019", "\u201a", "\u201b"} {
		value := "a" + quote + "; calc #"
		if got := shells["powershell"]("NO_PROXY", &value); got != "$Env:NO_PROXY = 'a"+quote+quote+"; calc #'" {
			t.Errorf("%q is written %s", value, got)
		}
	}
	// Double quotation marks, also the typographic ones, mean nothing in it.
	value := "\u201c\u201d\u201e\""
	if got := shells["powershell"]("NO_PROXY", &value); !strings.HasSuffix(got, "'"+value+"'") {
		t.Errorf("%q is written %s", value, got)
	}
}
