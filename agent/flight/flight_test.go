package flight

import (
	"context"
	"errors"
	"testing"
)

// Callers share the flight under way; the next one after its end begins another.
func TestJoin(t *testing.T) {
	var s Slot
	begin := func(work func()) bool { go work(); return true }
	ends, failed, began := make(chan struct{}), errors.New("failed"), 0
	work := func() error {
		<-ends
		return failed
	}
	var flights []*Flight
	for range 3 {
		f, first := s.Join(begin, nil, work)
		flights = append(flights, f)
		if first {
			began++
		}
	}
	if began != 1 || flights[0] != flights[2] || !s.Busy() {
		t.Errorf("%d flights began", began)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if err := flights[0].Wait(left); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who leaves gets %v", err)
	}
	close(ends)
	for _, f := range flights {
		if err := f.Wait(t.Context()); !errors.Is(err, failed) {
			t.Errorf("it ends with %v", err)
		}
	}
	if f, first := s.Join(begin, nil, work); !first || f == flights[0] {
		t.Error("what comes after a flight joins it")
	}
}

// Where nothing begins any more a flight ends at once.
func TestJoinWhereNothingBegins(t *testing.T) {
	var s Slot
	stopped := errors.New("stopped")
	f, began := s.Join(func(func()) bool { return false }, stopped, func() error { return nil })
	if err := f.Wait(t.Context()); began || !errors.Is(err, stopped) || s.Busy() {
		t.Errorf("began: %t, %v", began, err)
	}
}
