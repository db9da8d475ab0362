package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"langkeep/localapi/words"
)

// showAfter is how long a wait is before it shows.
const showAfter = time.Second

// waiting shows on a terminal that a wait goes on, from its second second until done is
// called, which leaves nothing of it. Nothing else may be written meanwhile.
func (a *app) waiting(what string) (done func()) {
	fd, ok := terminal(a.stderr)
	if !ok || a.getenv("TERM") == "dumb" || !understandsEscapes(fd) {
		return func() {}
	}
	return progress(a.stderr, words.Safe(what))
}

// sayLater says something once a wait has lasted for a second, which what fails at once does
// not. Nothing else may be written until done is called.
func (a *app) sayLater(s string) (done func()) {
	return meanwhile(func(stop <-chan struct{}) {
		select {
		case <-time.After(showAfter):
			a.say(s)
		case <-stop:
		}
	})
}

func progress(w io.Writer, what string) (done func()) {
	return meanwhile(func(stop <-chan struct{}) {
		begin, tick := time.Now(), time.NewTicker(showAfter)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-tick.C:
				shown = true
				fmt.Fprintf(w, "\r%s… %d s\x1b[K", what, int(time.Since(begin).Seconds()))
			case <-stop:
				if shown {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			}
		}
	})
}

// meanwhile runs show in the background. done has it stop, and waits for its end.
func meanwhile(show func(stop <-chan struct{})) (done func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		show(stop)
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-ended
	})
}
