package localapi

import (
	"strings"
	"testing"

	"langkeep/agent/audit"
	"langkeep/localapi/words"
)

// A line of the audit log says in words which route was asked.
func TestEveryNotedRouteHasWords(t *testing.T) {
	for _, e := range (&Server{}).prepared() {
		if e.noted != notNoted && strings.HasPrefix(words.Did(audit.Use{What: e.what}), "called ") {
			t.Errorf("%s has no words for the audit log", e.what)
		}
	}
}
