package proxy

import (
	"context"
	"sync"
	"time"
)

const (
	// largeBodies are how many larger than repeatable are held at once.
	largeBodies = 16
	// largeBodiesEach are how many of them one client and its leases have.
	largeBodiesEach = 4
	// largeBodyWait is how long a body waits for its slot.
	largeBodyWait = 5 * time.Second
)

// slots are for large bodies, which take memory while they are looked at.
type slots struct {
	mu    sync.Mutex // protects the following
	taken map[string]int
	all   int
	freed chan struct{} // closed when a slot is given back; nil if nobody waits
}

// take takes a slot for a client, and waits for one if there is none. It tells
// whether there was one; release gives it back.
func (s *slots) take(ctx context.Context, client string) bool {
	ctx, cancel := context.WithTimeout(ctx, largeBodyWait)
	defer cancel()
	for {
		freed := s.try(client)
		if freed == nil {
			return true
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// try takes a slot, or returns what is closed when another try may be better.
func (s *slots) try(client string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all < largeBodies && s.taken[client] < largeBodiesEach {
		if s.taken == nil {
			s.taken = map[string]int{}
		}
		s.taken[client]++
		s.all++
		return nil
	}
	if s.freed == nil {
		s.freed = make(chan struct{})
	}
	return s.freed
}

func (s *slots) release(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.taken[client]--; s.taken[client] == 0 {
		delete(s.taken, client)
	}
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}
