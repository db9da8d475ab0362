package agent

import (
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// A token that ends while its refresh hangs is told of before that gives up.
func TestSubscribersHearOfATokensEnd(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: 15 * time.Second}, func(r *rig) {
		r.signIn("prod", false)
		changes := r.Subscribe()
		defer r.Unsubscribe(changes)
		r.server.Fault("/refresh", langflowtest.Fault{Hang: true})
		time.Sleep(24 * time.Second)
		if e := changes.Take(); len(e) != 1 || e[0].State != Stale {
			t.Errorf("subscribers were told %+v", e)
		}
	})
}
