package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// All that wait for the next tick wake at the same moment, whenever they began to wait.
func TestNextTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := System()
		woken := make(chan time.Duration)
		for _, begun := range []time.Duration{0, time.Nanosecond, 4 * time.Second, Tick - 1} {
			go func() {
				time.Sleep(begun)
				time.Sleep(NextTick(c))
				woken <- c.Elapsed()
			}()
		}
		for range 4 {
			if at := <-woken; at != Tick {
				t.Errorf("one wakes after %v", at)
			}
		}
		if got := NextTick(c); got != Tick {
			t.Errorf("at a tick, the next is in %v", got)
		}
	})
}
