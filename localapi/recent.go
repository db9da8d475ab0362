package localapi

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"langkeep/agent"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// recentKept bounds the list of recent events.
const recentKept = 50

// recent is the list of the profiles' events since the agent's start, in memory only.
type recent struct {
	mu     sync.Mutex // protects the following
	events []client.RecentEvent
}

// watch notes changes until ctx ends. The profiles' first states are no changes.
func (l *recent) watch(ctx context.Context, a *agent.Agent) {
	changes := a.Subscribe()
	defer a.Unsubscribe(changes)
	last := map[string]client.Profile{}
	everybody := &guard.Caller{} // who may read the list
	for _, e := range changes.Take() {
		last[e.Name] = presentTo(everybody, e.Snapshot)
	}
	for {
		select {
		case <-changes.Ready():
		case <-ctx.Done():
			return
		}
		for _, e := range changes.Take() {
			before, had := last[e.Name]
			if e.Removed {
				delete(last, e.Name)
				if had {
					l.note(e.Name, "", "Removed.")
				}
				continue
			}
			after := presentTo(everybody, e.Snapshot)
			last[e.Name] = after
			if !had {
				l.note(e.Name, after.State, "Added.")
			} else if said := words.Change(before, after); said != "" {
				l.note(e.Name, after.State, said)
			}
		}
	}
}

// note adds an event. Equal events of a profile in a row become one entry, or else
// refreshes would fill the list.
func (l *recent) note(profile string, state client.State, said string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := client.RecentEvent{At: *moment(time.Now()), Profile: profile, State: state, Words: said, Times: 1}
	i := slices.IndexFunc(l.events, func(old client.RecentEvent) bool { return old.Profile == profile })
	if i >= 0 && l.events[i].Words == said {
		e.Times += l.events[i].Times
		l.events = slices.Delete(l.events, i, i+1)
	}
	l.events = slices.Insert(l.events, 0, e)
	l.events = l.events[:min(len(l.events), recentKept)]
}

// seen are the events of the profiles that a caller may see, newest first.
func (l *recent) seen(caller *guard.Caller) client.RecentEvents {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := client.RecentEvents{Events: []client.RecentEvent{}} // never null
	for _, e := range l.events {
		if caller.Sees(e.Profile) {
			all.Events = append(all.Events, e)
		}
	}
	return all
}

func (s *Server) recentEvents(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	return answer(w, http.StatusOK, s.recent.seen(caller))
}
