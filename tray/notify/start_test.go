package notify

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent"
	"langkeep/agent/vocabulary"
)

// loginStart is one without a system.
type loginStart struct {
	on      bool
	offered atomic.Bool
}

func (l *loginStart) Enabled() bool   { return l.on }
func (l *loginStart) IsOffered() bool { return l.offered.Load() }
func (l *loginStart) Offered() error  { l.offered.Store(true); return nil }

// The start at login is offered once, a minute after the first sign-in, unless somebody else
// has offered it or the page is open.
func TestOfferStart(t *testing.T) {
	if vocabulary.ValidName(Starting) == nil {
		t.Errorf("a profile can be named %q", Starting)
	}
	const offer = "Start at login? | Langkeep keeps you signed in while it runs. The tray's menu has “Start at login” at any time. [Start at login] [Not now]"
	event := func(s agent.State) []agent.Event { return []agent.Event{{Snapshot: agent.Snapshot{State: s}}} }
	for name, c := range map[string]struct {
		on, offered, // before
		byCommand, // within the minute
		elsewhere,
		never bool // nobody signs in
		want []string
	}{
		"offered":                      {want: []string{offer}},
		"it starts at login":           {on: true},
		"it was offered":               {offered: true},
		"a command offers it":          {byCommand: true},
		"the page is open, or no tray": {elsewhere: true},
		"nobody signs in":              {never: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s, start, events := &screen{}, &loginStart{on: c.on}, make(changes, 4)
				start.offered.Store(c.offered)
				events <- event(agent.SignedOut)
				if !c.never {
					events <- event(agent.Fresh)
				}
				done := make(chan error, 1)
				go func() { done <- OfferStart(ctx, events, start, func() bool { return !c.elsewhere }, s.show) }()
				time.Sleep(offerPatience / 2)
				if seen := s.take(); len(seen) != 0 {
					t.Errorf("at once it says %q", seen)
				}
				if c.byCommand {
					start.offered.Store(true)
				}
				time.Sleep(offerPatience)
				if seen := s.take(); !slices.Equal(seen, c.want) {
					t.Errorf("it says %q, want %q", seen, c.want)
				}
				if offered := start.IsOffered(); offered != (c.want != nil || c.offered || c.byCommand) {
					t.Errorf("offered is %v", offered)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
