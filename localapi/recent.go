package localapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"langkeep/agent"
	"langkeep/agent/history"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
)

// recentKept bounds the list of recent events, and each profile's own.
const recentKept = 50

// recent is the list of the profiles' last events.
type recent struct {
	history *history.Log

	mu     sync.Mutex // protects the following
	events []client.RecentEvent
	strips map[string]strip // by profile
}

// strip is how a profile's session was from a time on.
type strip struct {
	since    time.Time
	added    int // to the history, when it was made
	segments []client.Segment
}

// load lists what the history tells of a profile, or with "" of all.
func (l *recent) load(profile string) {
	for _, e := range l.history.Entries(profile) {
		if e.Profile != "" && e.Words != "" {
			l.list(e)
		}
	}
}

// watch notes changes until ctx ends. The profiles' first states are no changes.
func (l *recent) watch(ctx context.Context, a *agent.Agent) {
	changes := a.Subscribe()
	defer a.Unsubscribe(changes)
	last := map[string]client.Profile{}
	kinds := map[string]history.Kind{}
	everybody := &guard.Caller{} // who may read the list
	// remember keeps a change, told or not, if a person would see the session otherwise.
	remember := func(p client.Profile, said string) {
		starting := p.State == client.Stale && p.Reason == nil
		if kind := history.KindOf(p.State); said != "" || !starting && kinds[p.Name] != kind {
			if !starting {
				kinds[p.Name] = kind
			}
			l.note(p.Name, p.State, said)
		}
	}
	for _, e := range changes.Take() {
		last[e.Name] = presentTo(everybody, e.Snapshot)
		remember(last[e.Name], "")
	}
	alive := time.NewTicker(l.history.MarkEvery())
	defer alive.Stop()
	for {
		select {
		case <-changes.Ready():
		case <-alive.C:
			l.history.Mark()
			continue
		case <-ctx.Done():
			return
		}
		for _, e := range changes.Take() {
			before, had := last[e.Name]
			if e.Removed {
				delete(last, e.Name)
				delete(kinds, e.Name)
				l.forgetStrip(e.Name)
				if had {
					l.note(e.Name, "", "Removed.")
				}
				continue
			}
			after := presentTo(everybody, e.Snapshot)
			last[e.Name] = after
			if had {
				remember(after, words.Change(before, after))
			} else {
				remember(after, added)
			}
		}
	}
}

// note adds an event, also to the history, but for refreshes, which would fill it.
func (l *recent) note(profile string, state client.State, said string) {
	e := history.Entry{Profile: profile, State: state, Words: said}
	if said != refreshed {
		l.history.Note(e)
	} else if state != client.Fresh {
		return
	}
	if said == "" {
		return
	}
	e.At = *moment(time.Now())
	l.list(e)
}

const (
	added     = "Added."
	refreshed = "Refreshed." // as words.Change says it
)

// list puts an event into the list. Equal events of a profile in a row become one entry,
// or else refreshes would fill it. A profile that is removed after no sign-in but failed
// ones, as a command does with a new one, was never added: its failures alone are told.
func (l *recent) list(entry history.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := client.RecentEvent{At: entry.At, Profile: entry.Profile, State: entry.State, Words: entry.Words, Times: 1}
	if e.State == "" && l.neverIn(e.Profile) {
		return
	}
	l.insert(e)
}

// insert puts an event at its place in time, together with an equal one just before it.
func (l *recent) insert(e client.RecentEvent) {
	last := slices.IndexFunc(l.events, func(old client.RecentEvent) bool { return old.Profile == e.Profile })
	if last >= 0 && l.events[last].Words == e.Words {
		e.Times += l.events[last].Times
		l.events = slices.Delete(l.events, last, last+1)
	}
	l.events = slices.Insert(l.events, 0, e)
	l.events = l.events[:min(len(l.events), recentKept)]
}

// neverIn tells whether all that is told of a profile since it was added is sign-ins that
// failed, and takes back that it was added. A sign-in and the change of its profile are
// noted by two goroutines, so the first may come before the second.
func (l *recent) neverIn(profile string) bool {
	failure, addition := -1, -1
	for i, old := range l.events {
		switch {
		case old.Profile != profile:
			continue
		case strings.HasPrefix(old.Words, failedSignIn) && failure < 0:
			failure = i
		case old.Words == added && addition < 0:
			addition = i
		default:
			return false
		}
		if failure >= 0 && addition >= 0 {
			e := l.events[failure]
			l.events = slices.Delete(l.events, max(failure, addition), max(failure, addition)+1)
			l.events = slices.Delete(l.events, min(failure, addition), min(failure, addition)+1)
			l.insert(e)
			return true
		}
	}
	return false
}

// failedSignIn begins the event of a sign-in that failed.
const failedSignIn = "The sign-in failed: "

// failed notes a sign-in that failed; why is a sentence.
func (l *recent) failed(profile string, state client.State, why string) {
	l.note(profile, state, failedSignIn+why)
}

// of are the last events of one profile, newest first.
func (l *recent) of(profile string) client.RecentEvents {
	only := recent{history: l.history}
	only.load(profile)
	return client.RecentEvents{Events: append([]client.RecentEvent{}, only.events...)}
}

// stripTime is the time that a card's strip shows.
const stripTime = 7 * 24 * time.Hour

// strip tells how a profile's session was in the last days. Its beginning moves by the
// hour, so that a card does not change each second; it is made anew when it can have
// changed, since each open page asks for it once a second. Nobody may change it.
func (l *recent) strip(profile string, now time.Time) []client.Segment {
	made := strip{since: now.UTC().Truncate(time.Hour).Add(-stripTime), added: l.history.Added()}
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := l.strips[profile]; kept.segments != nil && kept.added == made.added && kept.since.Equal(made.since) {
		return kept.segments
	}
	made.segments = []client.Segment{} // never null
	for _, s := range history.Strip(l.history.Entries(profile), made.since) {
		made.segments = append(made.segments, client.Segment{From: *moment(s.From), Kind: string(s.Kind)})
	}
	if l.strips == nil {
		l.strips = map[string]strip{}
	}
	l.strips[profile] = made
	return made.segments
}

// forgetStrip drops a removed profile's.
func (l *recent) forgetStrip(profile string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.strips, profile)
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

// recentEvents answers with the last events, or with those of ?profile= in 30 days.
func (s *Server) recentEvents(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	if name := r.URL.Query().Get("profile"); name != "" {
		if !caller.Sees(name) {
			return client.NewProblem(client.TypeForbidden, "this client may not use that profile: add a client that may")
		}
		return answer(w, http.StatusOK, s.recent.of(name))
	}
	return answer(w, http.StatusOK, s.recent.seen(caller))
}
