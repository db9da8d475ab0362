package agent

import (
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// Totals count what servers gave and refused, and are the caller's own copy.
func TestCounts(t *testing.T) {
	bubble(t, langflowtest.Options{AccessLifetime: time.Minute, RefreshLifetime: time.Hour}, func(r *rig) {
		r.signIn("prod", false)
		if _, err := r.Key(r.t.Context(), "prod", AnyLifetime); err != nil {
			r.t.Fatal(err)
		}
		if got := r.Counts(); got.Pairs != 1 || got.Refreshes != 0 || got.Keys != 1 || len(got.Failures)+len(got.Ended) != 0 {
			r.t.Errorf("after the sign-in: %+v", got)
		}
		r.server.Fault("/refresh", langflowtest.Fault{Times: 1, Status: 500})
		time.Sleep(2 * time.Minute)
		got := r.Counts()
		if got.Refreshes == 0 || got.Pairs != got.Refreshes+1 || got.Failures["server-error"] != 1 {
			r.t.Errorf("after a failure: %+v", got)
		}
		got.Failures["server-error"] = 99
		if r.Counts().Failures["server-error"] != 1 {
			r.t.Error("a caller changed the counts")
		}
		r.server.RotateSecret()
		time.Sleep(2 * time.Minute)
		r.is("prod", SignInRequired)
		if got := r.Counts(); got.Ended["session-ended"] != 1 {
			r.t.Errorf("after the session's end: %+v", got)
		}
	})
}
