package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A caller that joins waits for the flight under way; after its end the next caller
// begins another.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn, crew, began := newTurn(t.Context()), &crew{}, 0
		ends, failed := make(chan struct{}), errors.New("failed")
		work := func(context.Context) error {
			began++
			<-ends
			return failed
		}
		first, _ := turn.join(crew, true, work)
		synctest.Wait()
		second, renewing := turn.join(crew, false, work)
		if first != second || !renewing || !turn.busy() || began != 1 {
			t.Errorf("%d flights began", began)
		}
		left, cancel := context.WithCancel(t.Context())
		cancel()
		if err := first.Wait(left); !errors.Is(err, context.Canceled) {
			t.Errorf("a reader who leaves gets %v", err)
		}
		close(ends)
		if err := second.Wait(t.Context()); !errors.Is(err, failed) || turn.busy() {
			t.Errorf("the flight ends with %v", err)
		}
		if third, _ := turn.join(crew, false, work); third == first || third.Wait(t.Context()) == nil || began != 2 {
			t.Error("what comes after a flight joins it")
		}
	})
}

// A seizure ends the work that is under way, and waits until it has let go. It interrupts
// work that begins meanwhile at once, and none that begins afterwards.
func TestSeize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn, crew := newTurn(t.Context()), &crew{}
		letGo := make(chan struct{})
		work := func(ctx context.Context) error {
			if err := turn.acquire(ctx); err != nil {
				return errInterrupted
			}
			defer turn.release()
			<-ctx.Done()
			<-letGo
			return errInterrupted
		}
		flight, _ := turn.join(crew, false, work)
		synctest.Wait()
		seized := make(chan error)
		go func() { seized <- turn.seize(t.Context()) }()
		synctest.Wait()
		if turn.interruptible().Err() == nil || turn.tryAcquire() {
			t.Error("work may begin beside a seizure")
		}
		close(letGo)
		if err := errors.Join(<-seized); err != nil || !errors.Is(flight.Wait(t.Context()), errInterrupted) {
			t.Errorf("seized with %v", err)
		}
		if turn.interruptible().Err() != nil || turn.tryAcquire() {
			t.Error("the turn is not the one's who has seized it")
		}
		turn.release()
	})
}

// A seizure that is given up leaves the turn to its owner, and lets work begin again.
func TestSeizeGivenUp(t *testing.T) {
	turn := newTurn(t.Context())
	if err := turn.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turn.seize(left); !errors.Is(err, context.Canceled) {
		t.Errorf("seized with %v", err)
	}
	if turn.interruptible().Err() != nil || turn.tryAcquire() {
		t.Error("the turn was taken, or work can't begin")
	}
}

// Once a crew is stopped no work begins, and a goroutine that waits for it hears that.
func TestCrewStops(t *testing.T) {
	turn, crew := newTurn(t.Context()), &crew{}
	crew.stop()
	flight, _ := turn.join(crew, false, func(context.Context) error { t.Error("it began"); return nil })
	if err := flight.Wait(t.Context()); !errors.Is(err, errStopping) || turn.busy() {
		t.Errorf("it ends with %v", err)
	}
	crew.running.Wait()
}
