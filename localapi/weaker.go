package localapi

import (
	"context"
	"fmt"

	"langkeep/agent/asks"
	"langkeep/agent/audit"
)

// watchAsk looks after each change of a profile's ask, until ctx ends.
func (s *Server) watchAsk(ctx context.Context) {
	changes := s.Agent.Subscribe()
	defer s.Agent.Unsubscribe(changes)
	known := map[string]string{}
	for {
		changed := false
		for _, e := range changes.Take() {
			if ask, seen := known[e.Name]; !e.Removed && (!seen || ask != e.Snapshot.Ask) {
				known[e.Name], changed = e.Snapshot.Ask, true
			}
		}
		if changed {
			s.LookAtAsk()
		}
		select {
		case <-changes.Ready():
		case <-ctx.Done():
			return
		}
	}
}

// LookAtAsk notes in the audit log where programs are asked about less than at the last
// look, and has Weakened tell it. The settings are files that every program of the person's
// can write.
func (s *Server) LookAtAsk() {
	s.looking.Lock()
	defer s.looking.Unlock()
	modes := asks.Modes{All: asks.Mode(s.Settings.Get().Ask), Own: map[string]asks.Mode{}}
	for _, p := range s.Agent.Profiles() {
		if p.Ask != "" {
			modes.Own[p.Name] = asks.Mode(p.Ask)
		}
	}
	weaker, err := s.Modes.Look(modes, func(profile string) bool { return !s.Agent.Has(profile) })
	if err != nil {
		s.Log.Warn("a weaker setting of ask goes unnoticed while no agent runs", "error", err)
	}
	if len(weaker) == 0 {
		return
	}
	for _, w := range weaker {
		s.Log.Warn("programs are asked about less", "profile", w.Profile, "was", w.Was, "is", w.Is)
		s.Audit.Note(audit.Use{Profile: audit.Text(w.Profile), What: fmt.Sprintf("ask: %s, was %s", w.Is, w.Was)}, nil)
	}
	select {
	case s.weakened <- weaker:
	default: // nobody takes them
	}
}

// Weakened receives what LookAtAsk finds.
func (s *Server) Weakened() <-chan []asks.Weakened { return s.weakened }
