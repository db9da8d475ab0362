// Package clock tells the time. Timers come from package time, which testing/synctest
// drives in tests; the wall clock's jumps, which no timer shows, come through this
// package.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the time in two ways, since neither alone can be trusted: the
// wall clock may jump, the monotonic one may stand still while the machine
// sleeps.
type Clock interface {
	// Now is the wall clock's time, without a monotonic reading.
	Now() time.Time
	// Elapsed is monotonic: the time since some fixed moment of this process.
	Elapsed() time.Duration
	// Both is Now and Elapsed from one reading, which costs half as much.
	Both() (now time.Time, elapsed time.Duration)
}

// System is the computer's clock.
func System() Clock { return system{time.Now()} }

type system struct{ start time.Time }

func (system) Now() time.Time           { return time.Now().Round(0) }
func (s system) Elapsed() time.Duration { return time.Since(s.start) }

func (s system) Both() (time.Time, time.Duration) {
	now := time.Now()
	return now.Round(0), now.Sub(s.start)
}

// Tick is how often an idle agent looks around.
const Tick = 15 * time.Second

// NextTick returns the time until c has run for another whole number of Ticks. Parts of
// the agent that wait for it look around at the same moment, so that they wake an idle
// computer once.
func NextTick(c Clock) time.Duration { return Tick - c.Elapsed()%Tick }

// Pause waits for d, or until ctx ends, whose error it returns.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Jumping is a System clock whose wall time a test can move, as a suspended
// laptop or a corrected clock would.
type Jumping struct {
	start time.Time
	mu    sync.Mutex // protects jump
	jump  time.Duration
}

// NewJumping makes a clock that has not jumped yet.
func NewJumping() *Jumping { return &Jumping{start: time.Now()} }

// Jump moves the wall clock by d.
func (j *Jumping) Jump(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.jump += d
}

// Now implements Clock.
func (j *Jumping) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Now().Round(0).Add(j.jump)
}

// Elapsed implements Clock.
func (j *Jumping) Elapsed() time.Duration { return time.Since(j.start) }

// Both implements Clock.
func (j *Jumping) Both() (time.Time, time.Duration) { return j.Now(), j.Elapsed() }
