// Package flight runs work once for any number of callers that wait for it.
package flight

import (
	"context"
	"sync"
)

// Flight is work that any number of callers wait for. It goes on when they leave.
type Flight struct {
	done chan struct{} // closed at its end
	err  error         // set before done is closed
}

// Wait waits for the flight's end, and returns the work's error or the end of ctx.
func (f *Flight) Wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Slot has at most one flight at a time. The zero value has none.
type Slot struct {
	mu      sync.Mutex // protects current; held for a few instructions only
	current *Flight
}

// Join returns the flight under way, or begins one; began tells which. begin runs the
// work in a goroutine, and returns false if it runs nothing any more: the flight then
// ends at once with stopped.
func (s *Slot) Join(begin func(work func()) bool, stopped error, work func() error) (f *Flight, began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return s.current, false
	}
	f = &Flight{done: make(chan struct{}), err: stopped}
	if !begin(func() {
		err := work()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.current, f.err = nil, err
		close(f.done)
	}) {
		close(f.done)
		return f, false
	}
	s.current = f
	return f, true
}

// Busy tells whether a flight is under way.
func (s *Slot) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}
