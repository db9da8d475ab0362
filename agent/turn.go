package agent

import (
	"context"
	"errors"
	"sync"
)

// errInterrupted ends work on a session that somebody has seized: to sign it in or
// out, to change it or to remove it.
var errInterrupted = errors.New("interrupted")

// turn decides who works on a session: talks to its server or its store for it, or
// replaces what it holds. One goroutine at a time does.
type turn struct {
	life   context.Context // of all turns
	worker chan struct{}   // capacity 1: full while somebody works

	mu     sync.Mutex      // protects the following; held for a few instructions only
	ctx    context.Context // of work that may be interrupted; ends when somebody seizes the session
	stop   context.CancelFunc
	flight *flight // under way or waiting for its turn; nil if none
}

// flight is work that any number of callers wait for. It belongs to none of them,
// and goes on when they leave.
type flight struct {
	renews bool          // whether what is due or not
	done   chan struct{} // closed at its end
	err    error         // once done
}

// wait waits for the flight's end.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
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

// interruptible is the context of work that a seizure ends.
func (t *turn) interruptible() context.Context {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ctx
}

// interrupt ends the work that is under way, and what begins before somebody has
// seized the session or given that up.
func (t *turn) interrupt() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
}

// seize interrupts the work that is under way and takes the turn in its place. An
// error is the end of ctx, and leaves the turn to whoever has it.
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
func (t *turn) busy() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flight != nil
}

// join returns the flight that is under way, or begins one: work runs in a goroutine
// of the crew, and takes the turn itself.
func (t *turn) join(c *crew, renews bool, work func(ctx context.Context) error) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flight != nil {
		return t.flight
	}
	f := &flight{renews: renews, done: make(chan struct{}), err: errStopping}
	ctx := t.ctx
	if !c.begin(func() {
		err := work(ctx)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flight, f.err = nil, err
		close(f.done)
	}) {
		close(f.done)
		return f
	}
	t.flight = f
	return f
}

// crew is the goroutines of an agent.
type crew struct {
	mu      sync.Mutex // protects stopped
	stopped bool
	running sync.WaitGroup
}

// begin runs work in a goroutine, and tells whether it does: not once stop was
// called.
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
