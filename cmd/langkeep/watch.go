package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// watch is `status --watch`: a view of the agent's events.
type watch struct {
	*app
	only     string // a profile's name, or "" for all
	profiles map[string]client.Profile
}

func newWatch(a *app, args []string) *watch {
	w := &watch{app: a, profiles: map[string]client.Profile{}}
	if len(args) > 0 {
		w.only = args[0]
	}
	return w
}

// again is the time between two looks for a new agent after the last one has gone.
const again = 500 * time.Millisecond

// run follows the agent until ctx ends, which is no error. If the agent goes away it
// waits for the next one. It starts none: a person has stopped it.
func (w *watch) run(ctx context.Context, c *client.Client) error {
	if w.only != "" {
		if _, err := c.Profile(ctx, w.only); err != nil {
			return err
		}
	}
	for {
		err := w.follow(ctx, c)
		c.Close()
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, client.ErrNoAgent) {
			return err
		}
		w.say("the agent went away; waiting for it")
		if c = w.next(ctx); c == nil {
			return nil
		}
		clear(w.profiles)
	}
}

// next waits for an agent; nil if ctx ends.
func (w *watch) next(ctx context.Context) *client.Client {
	poll := time.NewTicker(again)
	defer poll.Stop()
	for {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil
		}
		p, err := paths.Resolve(w.getenv)
		if err != nil {
			continue // an agent was found before, so keep looking
		}
		if c := w.ready(ctx, p); c != nil {
			return c
		}
	}
}

// follow shows one agent's events until they end.
func (w *watch) follow(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	events, ended := make(chan client.Event), make(chan error, 1)
	stopped := make(chan struct{})
	defer func() { cancel(); <-stopped }()
	go func() {
		defer close(stopped)
		for e, err := range c.Events(ctx) {
			if err != nil {
				ended <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	_, _, onScreen := w.screen()
	var tick <-chan time.Time
	if onScreen {
		// The times left change without an event.
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case e := <-events:
			if w.only != "" && e.Profile.Name != w.only {
				continue
			}
			if e.Removed {
				delete(w.profiles, e.Profile.Name)
			} else {
				w.profiles[e.Profile.Name] = e.Profile
			}
			if onScreen {
				if err := w.draw(); err != nil {
					return err
				}
				continue
			}
			if err := w.line(e); err != nil {
				return err
			}
		case <-tick:
			if err := w.draw(); err != nil {
				return err
			}
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// line writes one change.
func (w *watch) line(e client.Event) error {
	now := w.clock.Now()
	what := words.Short(e.Profile, now)
	if e.Removed {
		what = "removed"
	}
	return w.result(fmt.Sprintf("%s  %s  %s\n", now.Format(time.TimeOnly), words.Safe(e.Profile.Name), what))
}

// draw fills the screen with the table.
func (w *watch) draw() error {
	width, colour, _ := w.screen()
	profiles := make([]client.Profile, 0, len(w.profiles))
	for _, name := range slices.Sorted(maps.Keys(w.profiles)) {
		profiles = append(profiles, w.profiles[name])
	}
	var b strings.Builder
	b.WriteString("\x1b[H\x1b[J") // go to the top and clear the screen
	if err := words.Table(&b, profiles, w.clock.Now(), width, colour); err != nil {
		return err
	}
	return w.result(b.String())
}
