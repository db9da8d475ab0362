package connect

import (
	"strings"
	"testing"

	"langkeep/agent/vocabulary"
)

// A client can have the name of any tool and any profile.
func TestClientName(t *testing.T) {
	if got := ClientName("cursor", "prod"); got != "cursor-prod" {
		t.Error(got)
	}
	names := map[string]bool{}
	for _, tool := range Names() {
		for _, profile := range []string{strings.Repeat("a", 63), strings.Repeat("a", 62) + "b", strings.Repeat("a.-", 20) + "a"} {
			name := ClientName(tool, profile)
			if err := vocabulary.ValidName(name); err != nil || names[name] {
				t.Errorf("%s: %v, taken %v", name, err, names[name])
			}
			names[name] = true
		}
	}
}
