package agent

import (
	"errors"
	"maps"
	"sync"

	"langkeep/agent/langflow"
)

// Counts are totals over all sessions since the agent was made.
type Counts struct {
	Pairs     int64            // token pairs that servers gave, at a sign-in or a refresh
	Refreshes int64            // those pairs that a refresh token gave
	Keys      int64            // API keys that were made
	Failures  map[string]int64 // passing failures, by kind; "store" of the store, "other" of all else
	Ended     map[string]int64 // sessions that were refused for good, by reason
}

// Counts returns a copy.
func (a *Agent) Counts() Counts {
	var c Counts
	a.counts.add(func(all *Counts) {
		c = *all
		c.Failures, c.Ended = maps.Clone(c.Failures), maps.Clone(c.Ended)
	})
	c.Keys = a.keys.Made()
	return c
}

// counts are Counts that many may add to.
type counts struct {
	mu sync.Mutex // protects all
	Counts
}

func (c *counts) add(with func(all *Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Failures == nil {
		c.Failures, c.Ended = map[string]int64{}, map[string]int64{}
	}
	with(&c.Counts)
}

// failed counts a passing failure.
func (c *counts) failed(err error) {
	kind := "other"
	var lf *langflow.Error
	if errors.As(err, &lf) {
		kind = string(lf.Kind)
	}
	c.add(func(all *Counts) { all.Failures[kind]++ })
}
