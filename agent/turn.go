package agent

import (
	"context"
	"errors"
	"sync"

	"langkeep/agent/flight"
)

// errInterrupted ends work on a session that another caller has seized: for a sign-in,
// a sign-out, a change or a removal.
var errInterrupted = errors.New("interrupted")

// turn lets one goroutine at a time work on a session: ask its server or the store for
// it, or replace its credential.
type turn struct {
	life   context.Context // of all turns
	worker chan struct{}   // capacity 1: full while a goroutine has the turn

	mu     sync.Mutex      // protects the following; held for a few instructions only
	ctx    context.Context // of interruptible work; ends when a caller seizes the session
	stop   context.CancelFunc
	renews bool        // the flight renews the session, due or not
	flight flight.Slot // of the work under way or waiting for its turn
}

func newTurn(life context.Context) *turn {
	t := &turn{life: life, worker: make(chan struct{}, 1)}
	t.ctx, t.stop = context.WithCancel(life)
	return t
}

// acquire waits for the turn.
func (t *turn) acquire(ctx context.Context) error {
	select {
	case t.worker <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryAcquire takes the turn if nobody has it.
func (t *turn) tryAcquire() bool {
	select {
	case t.worker <- struct{}{}:
		return true
	default:
		return false
	}
}

// release ends a turn.
func (t *turn) release() { <-t.worker }

// interruptible returns a context that ends with the next seizure.
func (t *turn) interruptible() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ctx
}

// interrupt ends the work under way, and all work that begins until the seizure
// succeeds or is given up.
func (t *turn) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
}

// seize interrupts the work under way and takes the turn. An error means that ctx ended
// first; the turn then stays with its owner.
func (t *turn) seize(ctx context.Context) error {
	t.interrupt()
	err := t.acquire(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		t.ctx, t.stop = context.WithCancel(t.life)
	}
	return err
}

// busy tells whether a flight is under way.
func (t *turn) busy() bool { return t.flight.Busy() }

// join returns the flight that is under way, or begins one: work runs in a goroutine
// of the crew, and takes the turn itself. renewing tells whether that flight renews the
// session, due or not.
func (t *turn) join(c *crew, renews bool, work func(ctx context.Context) error) (f *flight.Flight, renewing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx := t.ctx
	f, began := t.flight.Join(c.begin, errStopping, func() error { return work(ctx) })
	if began {
		t.renews = renews
	}
	return f, t.renews
}

// crew runs the goroutines of an agent.
type crew struct {
	mu      sync.Mutex // protects stopped
	stopped bool
	running sync.WaitGroup
}

// begin runs work in a goroutine. After stop it returns false and runs nothing.
func (c *crew) begin(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.running.Go(work)
	}
	return !c.stopped
}

// stop lets no more work begin.
func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}
