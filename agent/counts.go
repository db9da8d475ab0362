package agent

import (
	"errors"
	"maps"

	"langkeep/agent/langflow"
)

// Counts are what has happened to all sessions since the agent was made.
type Counts struct {
	Pairs     int64            // token pairs that servers gave, at a sign-in or a refresh
	Refreshes int64            // those of them that were had with a refresh token
	Keys      int64            // API keys that were made
	Failures  map[string]int64 // passing failures, by kind; "store" of the store, "other" of all else
	Ended     map[string]int64 // sessions that were refused for good, by reason
}

// Counts returns a copy.
func (a *Agent) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts
	c.Failures, c.Ended = maps.Clone(c.Failures), maps.Clone(c.Ended)
	return c
}

// countFailure counts a passing failure. The caller holds a.mu.
func (a *Agent) countFailure(err error) {
	kind := "other"
	var lf *langflow.Error
	if errors.As(err, &lf) {
		kind = string(lf.Kind)
	}
	a.counts.Failures[kind]++
}
