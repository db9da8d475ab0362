package agent

import (
	"sync"
)

// Event is a profile's new snapshot, or with Removed its end.
type Event struct {
	Snapshot
	Removed bool
}

// Subscription holds the newest change of each profile: a slow reader misses steps in
// between but never the last.
type Subscription struct {
	ready chan struct{}

	mu     sync.Mutex // protects the following
	events map[string]Event
	order  []string
}

// Ready receives when Take has an event.
func (u *Subscription) Ready() <-chan struct{} { return u.ready }

// Take returns the changes since the last call, oldest first.
func (u *Subscription) Take() []Event {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := make([]Event, 0, len(u.order))
	for _, name := range u.order {
		taken = append(taken, u.events[name])
	}
	clear(u.events)
	u.order = u.order[:0]
	return taken
}

func (u *Subscription) put(e Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, waiting := u.events[e.Name]; !waiting {
		u.order = append(u.order, e.Name)
	}
	u.events[e.Name] = e
	select {
	case u.ready <- struct{}{}:
	default:
	}
}

// Subscribe returns a Subscription that begins with every profile's snapshot.
// Give it back to Unsubscribe.
func (a *Agent) Subscribe() *Subscription {
	u := &Subscription{ready: make(chan struct{}, 1), events: map[string]Event{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, snap := range a.Profiles() {
		u.put(Event{Snapshot: snap})
	}
	a.subscriptions[u] = struct{}{}
	return u
}

// Unsubscribe ends a Subscription.
func (a *Agent) Unsubscribe(u *Subscription) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.subscriptions, u)
}

// publishLocked tells subscribers of the session's snapshot, if it differs from the
// last one.
func (a *Agent) publishLocked(s *session) {
	if s.known.Load().removed {
		return
	}
	snap := a.snapshot(s)
	// Every response measures the offset anew, so a new offset alone is no change.
	last := s.published
	last.Offset, last.OffsetKnown = snap.Offset, snap.OffsetKnown
	if snap == last {
		return
	}
	if snap.State != last.State {
		a.log.Info("state", "profile", s.name, "state", snap.State, "reason", snap.Reason)
	}
	s.published = snap
	for u := range a.subscriptions {
		u.put(Event{Snapshot: snap})
	}
}
