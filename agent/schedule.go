package agent

import (
	"context"
	"time"

	"langkeep/agent/clock"
)

const (
	defaultLifetime = time.Hour        // of an access token without an expiry (LANGFLOW_ACCESS_TOKEN_EXPIRE_SECONDS)
	tick            = clock.Tick       // a sleep or a jump of the clock is noticed within this time
	lockedTick      = 3 * time.Second  // while a session waits for the keychain
	proofAge        = time.Hour        // a credential that was not accepted for this long is tried before it is trusted
	signInRetry     = time.Hour        // between two trials of a session after a final refusal
	refusedTwice    = 30 * time.Second // between two refusals in unknown words, before they count
	maxBackoff      = 2 * time.Minute
	forcedInterval  = 5 * time.Second // between two refreshes that readers force
	wakeSpread      = 3 * time.Second // over which all sessions become due after a wake
	minRenewal      = time.Second
	silentInterval  = 30 * time.Second // between two silent sign-ins at one server: two a minute
	doubtInterval   = 10 * time.Second // between two trials of a credential that an answer refused
	parallel        = 8                // sessions worked on at once at one server
	parallelWait    = 30 * time.Second // for a place among them
)

// renewal is when to renew a pair that was received now: at 80 % of the access token's
// life (half, if it is short) or at half of the refresh token's, whichever comes first.
// A jitter makes it up to a tenth sooner, so that many sessions do not move in step.
func renewal(now moment, access, refresh time.Duration) time.Time {
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
	wait -= now.jitter(wait / 10)
	return now.wall.Add(max(wait, minRenewal))
}

// backoff is how long to wait after the n-th failure in a row: full jitter up
// to a ceiling that doubles from one second to maxBackoff.
func backoff(n int, now moment) time.Duration {
	ceiling := maxBackoff
	if n < 8 {
		ceiling = min(time.Second<<n, maxBackoff)
	}
	return time.Second/2 + now.jitter(ceiling)
}

// queue is a heap of sessions by the time at which they are due.
type queue []*session

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
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
		// Timers stand still in a sleep, so the wall clock runs ahead of them. On
		// systems whose timers go on, the timer itself is late.
		jump := w.Sub(wall) - (e - elapsed)
		jumped := jump.Abs() > 2*time.Second || e-elapsed > 2*tick
		wall, elapsed = w, e
		if jumped {
			a.log.Info("the clock jumped: the computer slept, or its time was set")
			if jump < 0 {
				a.updateAll(func(m *machine, _ moment) { m.setBack(jump) })
			}
			a.upstreams.renew()
			a.wake(true)
		}
		if e-ticked >= lockedTick {
			ticked = e
			if now := a.network(); now != addresses {
				addresses = now
				a.log.Info("the network changed")
				a.upstreams.renew()
				a.wake(false)
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
	for len(a.queue) > 0 && !a.queue[0].at.After(now) {
		s := a.queue[0]
		if s.turn.busy() {
			// The flight may be about to end with its plan made: a session taken from
			// the queue now would never come back.
			a.updateLocked(s, func(m *machine, _ moment) { m.plan(now.Add(minRenewal)) })
			continue
		}
		a.noteLocked(s, func(m *machine, _ moment) { m.planned = false })
		a.start(s, false) // the session itself notes a failure
	}
	wait := clock.NextTick(a.clock)
	if a.storeBlocked() {
		wait = lockedTick
	}
	if len(a.queue) > 0 {
		wait = min(wait, a.queue[0].at.Sub(now))
	}
	return wait
}

// wake makes every living session due soon, see machine.wake.
func (a *Agent) wake(slept bool) {
	a.updateAll(func(m *machine, now moment) { m.wake(slept, now) })
}

// updateAll changes all sessions.
func (a *Agent) updateAll(change func(m *machine, now moment)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.all() {
		a.updateLocked(s, change)
	}
}

// lookAround handles changes that only time brings: it publishes the end of tokens, and
// checks whether a CA file was replaced and whether the store can be read again.
func (a *Agent) lookAround() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.all() {
		a.publishLocked(s)
	}
	a.lookAtCAsLocked()
	if !a.watchingStore && a.storeBlocked() {
		a.watchingStore = a.crew.begin(a.lookAtStore)
	}
}

// storeBlocked tells whether a session waits for the store.
func (a *Agent) storeBlocked() bool {
	for _, s := range a.all() {
		if s.known.Load().blocked() {
			return true
		}
	}
	return false
}

// lookAtStore loads the sessions that wait for the store once it can be read
// without asking anyone.
func (a *Agent) lookAtStore() {
	err := a.store.Ready(a.life)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watchingStore = false
	for _, s := range a.all() {
		if !s.known.Load().blocked() {
			continue
		}
		a.updateLocked(s, func(m *machine, now moment) {
			if err == nil {
				m.plan(now.wall)
			} else {
				m.storeErr = err
			}
		})
	}
}
