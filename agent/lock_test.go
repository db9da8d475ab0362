package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// A locked agent hands nothing out, goes on with its sessions, and stays locked over a
// restart.
func TestLock(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		r.mustToken("prod")
		nothing := func(when string) {
			r.t.Helper()
			ctx := r.t.Context()
			_, token := r.Token(ctx, "prod", AnyLifetime)
			_, key := r.Key(ctx, "prod", AnyLifetime)
			_, access := r.Access(ctx, "prod")
			for what, err := range map[string]error{"a token": token, "a key": key, "the proxy's token": access} {
				if err == nil {
					r.t.Fatalf("%s it hands out %s", when, what)
				}
				r.fails(err, Locked)
			}
			if s := r.is("prod", Fresh); !s.Locked {
				r.t.Errorf("%s a snapshot does not say so", when)
			}
			select {
			case <-r.Locked():
			default:
				r.t.Errorf("%s its channel is open", when)
			}
		}
		changes := r.Subscribe()
		defer r.Unsubscribe(changes)
		changes.Take()
		set := func(by Keyholder, on bool) {
			r.t.Helper()
			if err := r.SetLocked(by, on); err != nil {
				r.t.Error(err)
			}
		}
		set(Person, true)
		if told := changes.Take(); len(told) != 1 || !told[0].Locked {
			r.t.Errorf("its subscribers are told %v", told)
		}
		nothing("locked")
		time.Sleep(3 * time.Hour)
		nothing("after hours")
		r.restart()
		synctest.Wait()
		nothing("after a restart")
		set(Person, true) // again
		set(Screen, true)
		set(Screen, false)
		nothing("when the screen is unlocked")
		set(Person, false)
		r.mustToken("prod")
		r.restart()
		r.mustToken("prod")

		set(Screen, true)
		nothing("with the screen")
		set(Screen, false)
		r.mustToken("prod")
		set(Screen, true)
		set(Person, false)
		r.mustToken("prod")
		set(Screen, false)
		r.mustToken("prod")
	})
}

// A reader who waits while the agent is locked gets nothing either.
func TestLockOfAWaitingReader(t *testing.T) {
	bubble(t, langflowtest.Options{}, func(r *rig) {
		r.signIn("prod", false)
		time.Sleep(30 * time.Minute)
		r.server.Fault("/refresh", langflowtest.Fault{Delay: 2 * time.Second})
		got := make(chan error, 1)
		go func() {
			_, err := r.Token(r.t.Context(), "prod", 50*time.Minute)
			got <- err
		}()
		time.Sleep(time.Second)
		if err := r.SetLocked(Person, true); err != nil {
			r.t.Error(err)
		}
		r.fails(<-got, Locked)
	})
}
