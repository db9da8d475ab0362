package agent

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"
)

const (
	defaultLifetime = time.Hour        // of an access token that does not say (LANGFLOW_ACCESS_TOKEN_EXPIRE_SECONDS)
	tick            = 15 * time.Second // a sleep or a jump of the clock shows after this at the latest
	lockedTick      = 3 * time.Second  // while a session waits for the keychain
	proofAge        = time.Hour        // what was not accepted for this long is tried before it is trusted
	signInRetry     = time.Hour        // how often a session that was refused for good is tried all the same
	refusedTwice    = 30 * time.Second // between two refusals in words we don't know, before they count
	maxBackoff      = 2 * time.Minute
	forcedInterval  = 5 * time.Second // between two refreshes that readers force
	wakeSpread      = 3 * time.Second // over which everything is looked at after a wake
	minRenewal      = time.Second
	silentInterval  = 30 * time.Second // between two silent sign-ins at one server: two a minute
	parallel        = 8                // sessions worked on at once at one server
	handPatience    = 30 * time.Second // to be one of them
)

// renewal is when a pair that was received now should be renewed: at 80 % of
// the access token's life, half of it if that is short, and at half of the
// refresh token's, whichever comes first, and up to a tenth sooner so that
// many sessions do not move in step.
func renewal(now time.Time, access, refresh time.Duration) time.Time {
	if access <= 0 {
		access = defaultLifetime
	}
	wait := access * 8 / 10
	if access < 5*time.Minute {
		wait = access / 2
	}
	if refresh > 0 {
		wait = min(wait, refresh/2)
	}
	wait -= jitter(wait / 10)
	return now.Add(max(wait, minRenewal))
}

// backoff is how long to wait after the n-th failure in a row: full jitter up
// to a ceiling that doubles from one second to maxBackoff.
func backoff(n int) time.Duration {
	ceiling := maxBackoff
	if n < 8 {
		ceiling = min(time.Second<<n, maxBackoff)
	}
	return time.Second/2 + jitter(ceiling)
}

// jitter is a random time below d.
func jitter(d time.Duration) time.Duration {
	return rand.N(max(d, 1))
}

// queue is a heap of sessions by the time of their next attempt.
type queue []*session

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *queue) Push(x any) {
	s := x.(*session)
	s.index = len(*q)
	*q = append(*q, s)
}
func (q *queue) Pop() any {
	old := *q
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	s.index = -1
	return s
}

// plan sets when the session is looked at again; the zero time means not by
// itself. The caller holds a.mu.
func (a *Agent) plan(s *session, at time.Time) {
	s.next = at
	switch {
	case at.IsZero() || s.removed:
		s.next = time.Time{}
		if s.index >= 0 {
			heap.Remove(&a.queue, s.index)
		}
		return
	case s.index >= 0:
		heap.Fix(&a.queue, s.index)
	default:
		heap.Push(&a.queue, s)
	}
	if s.index == 0 {
		select {
		case a.kick <- struct{}{}:
		default:
		}
	}
}

// planHeld plans for a session that is well: its renewal, or a proof if what
// it holds was not tried for long. What can't be refreshed is looked at again
// when it ends, and where the server takes it for longer than it says, when the
// next proof is due. The caller holds a.mu.
func (a *Agent) planHeld(s *session) {
	now := a.clock.Now()
	at := now.Add(proofAge)
	if !s.pair.Refresh.Empty() {
		if s.renewAt.Before(at) {
			at = s.renewAt
		}
	} else if left := a.left(s); left > 0 && left < proofAge {
		at = now.Add(max(left, minRenewal))
	}
	a.plan(s, at)
}

// loop starts the work that is due, and notices sleeps and jumps of the clock.
func (a *Agent) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	wall, elapsed, addresses := a.clock.Now(), a.clock.Elapsed(), a.network()
	ticked := elapsed
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
		case <-timer.C:
		}
		w, e := a.clock.Now(), a.clock.Elapsed()
		// Timers stand still in a sleep, so the wall clock runs ahead of them;
		// where they don't, the timer itself is late.
		jump := w.Sub(wall) - (e - elapsed)
		jumped := jump.Abs() > 2*time.Second || e-elapsed > 2*tick
		wall, elapsed = w, e
		if jumped {
			a.log.Info("the clock jumped: the computer slept, or its time was set")
			if jump < 0 {
				a.setBack(jump)
			}
			a.renewWays()
			a.allDue(true)
		}
		if e-ticked >= lockedTick {
			ticked = e
			if now := a.network(); now != addresses {
				addresses = now
				a.log.Info("the network changed")
				a.renewWays()
				a.allDue(false)
			}
			a.lookAround()
		}
		timer.Reset(a.startDue())
	}
}

// startDue starts the work that is due, and returns how long to wait for more.
func (a *Agent) startDue() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	for len(a.queue) > 0 && !a.queue[0].next.After(now) {
		if s := a.queue[0]; s.flight != nil {
			// It may be about to end, with its plans made: taken from the queue
			// now, nobody would put the session back.
			a.plan(s, now.Add(minRenewal))
			continue
		}
		s := heap.Pop(&a.queue).(*session)
		a.start(s, false) // the session itself notes what goes wrong
	}
	wait := tick
	if a.storeBlocked() {
		wait = lockedTick
	}
	if len(a.queue) > 0 {
		wait = min(wait, a.queue[0].next.Sub(now))
	}
	return wait
}

// setBack moves what was planned by a wall clock that has been put back by
// -jump since. A sleep only ever puts it forward.
func (a *Agent) setBack(jump time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if !s.renewAt.IsZero() {
			s.renewAt = s.renewAt.Add(jump)
		}
	}
}

// allDue makes every session that is alive due within wakeSpread. After a
// sleep nothing counts as proven, and what waits for a time of day that may be
// far off by now is looked at too.
func (a *Agent) allDue(slept bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		if slept {
			s.needsProof = s.holds()
			s.notBefore = time.Time{} // by a clock that no longer counts
		}
		if s.ended == "" || slept {
			s.failures = 0
			a.planSoon(s, wakeSpread)
		}
	}
}

// planSoon brings the next attempt forward to within d, but not into a
// server's Retry-After. The caller holds a.mu.
func (a *Agent) planSoon(s *session, d time.Duration) {
	at := a.clock.Now().Add(jitter(d))
	if at.Before(s.notBefore) {
		at = s.notBefore
	}
	if s.index >= 0 && at.Before(s.next) { // not in the queue: it is being worked on
		a.plan(s, at)
	}
}

// lookAround does what the passing of time asks for: it tells subscribers of
// tokens that ended meanwhile, and looks whether a CA file was replaced and
// whether the store can be read again.
func (a *Agent) lookAround() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions {
		a.changed(s)
	}
	a.lookAtCAs()
	if a.storeBlocked() && !a.watchingStore {
		a.watchingStore = true
		a.background(a.lookAtStore)
	}
}

// storeBlocked tells whether a session waits for the store. The caller holds
// a.mu.
func (a *Agent) storeBlocked() bool {
	for _, s := range a.sessions {
		if !s.loaded && s.storeErr != nil {
			return true
		}
	}
	return false
}

// lookAtStore loads the sessions that wait for the store once it can be read
// without asking anyone.
func (a *Agent) lookAtStore(ctx context.Context) {
	err := a.store.Ready(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchingStore = false
	for _, s := range a.sessions {
		if s.loaded || s.storeErr == nil || s.removed {
			continue
		}
		if err == nil {
			a.plan(s, a.clock.Now())
		} else {
			s.storeErr = err
			a.changed(s)
		}
	}
}
