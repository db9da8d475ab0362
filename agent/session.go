package agent

import (
	"container/heap"
	"context"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// session is a profile in the agent's care: its machine, its turn, and its place in the
// queue.
type session struct {
	name string
	turn *turn

	// known is the current machine. Only Agent.update replaces it; readers need no
	// lock.
	known atomic.Pointer[machine]

	// Agent.mu protects the following.
	at        time.Time // when the session is due, while it is in the queue
	index     int       // in Agent.queue; -1 outside
	published Snapshot  // the last one that subscribers got
	takeUps   int       // goroutines that put the file's settings in force, or wait to do so; two at most
	unusable  error     // why the last of them could not; nil if it could
}

func (a *Agent) newSession(m machine) *session {
	s := &session{name: m.profile.Name, turn: newTurn(a.life), index: -1}
	s.known.Store(&m)
	return s
}

// session finds a profile's session.
func (a *Agent) session(name string) (*session, error) {
	if s := a.all()[name]; s != nil {
		return s, nil
	}
	return nil, noProfile(name)
}

// all returns the sessions by name. Callers must not change the map.
func (a *Agent) all() map[string]*session { return *a.sessions.Load() }

// editSessionsLocked adds or removes sessions.
func (a *Agent) editSessionsLocked(with func(all map[string]*session)) {
	all := maps.Clone(a.all())
	with(all)
	a.sessions.Store(&all)
}

// moment reads the clocks for a session.
func (a *Agent) moment(m *machine) moment {
	var now moment
	now.wall, now.elapsed = a.clock.Both()
	if m.client != nil {
		now.offset, now.offsetKnown = m.client.Offset()
	}
	return now
}

// look returns a session's machine, and the moment.
func (a *Agent) look(s *session) (*machine, moment) {
	m := s.known.Load()
	return m, a.moment(m)
}

// update changes a session's machine, and is the only way to do so. Readers see all of
// a change or nothing. update then moves the session in the queue and publishes its
// snapshot. The change must not lock Agent.mu, nor start work on the session, which
// would see the machine from before.
func (a *Agent) update(s *session, change func(m *machine, now moment)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updateLocked(s, change)
}

func (a *Agent) updateLocked(s *session, change func(m *machine, now moment)) {
	a.noteLocked(s, change)
	a.publishLocked(s)
}

// note is update without telling subscribers, for a step in between: the next update
// tells them.
func (a *Agent) note(s *session, change func(m *machine, now moment)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(s, change)
}

func (a *Agent) noteLocked(s *session, change func(m *machine, now moment)) {
	m := *s.known.Load()
	now := a.moment(&m)
	now.luck = rand.Float64()
	change(&m, now)
	s.known.Store(&m)
	a.queueLocked(s, &m)
}

// advance is update for work that may be interrupted. Once ctx has ended it changes
// nothing and returns errInterrupted.
func (a *Agent) advance(ctx context.Context, s *session, change func(m *machine, now moment)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return errInterrupted
	}
	a.updateLocked(s, change)
	return nil
}

// queueLocked moves a session in the queue to its planned time.
func (a *Agent) queueLocked(s *session, m *machine) {
	switch {
	case !m.planned && s.index >= 0:
		heap.Remove(&a.queue, s.index)
	case !m.planned:
	case s.index < 0:
		s.at = m.next
		heap.Push(&a.queue, s)
	case !s.at.Equal(m.next):
		s.at = m.next
		heap.Fix(&a.queue, s.index)
	default:
		return
	}
	if s.index == 0 {
		select {
		case a.kick <- struct{}{}:
		default:
		}
	}
}
