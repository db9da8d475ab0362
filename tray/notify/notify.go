package notify

import (
	"context"
	"log/slog"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/config"
)

// waiting is the most notifications that wait for a slow desktop; more are dropped. A
// server that changes its secret key can end many sessions at once.
const waiting = 100

// Changes are an agent.Subscription.
type Changes interface {
	Ready() <-chan struct{}
	Take() []agent.Event
}

// Config is what Run needs.
type Config struct {
	Changes Changes
	Wanted  func() config.Notify        // the current settings
	SignIn  func(profile string) string // a sentence on how to sign in, for people
	Show    func(Message) error
	Clock   clock.Clock
	Log     *slog.Logger
}

// Run notifies until ctx ends. It does not wait for a desktop that hangs.
func Run(ctx context.Context, c Config) {
	queue := make(chan Message, waiting)
	defer close(queue)
	go deliver(queue, c)
	o := newPolicy(c.Wanted, c.SignIn)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.Changes.Ready():
		case <-timer.C:
		}
		for _, e := range c.Changes.Take() {
			o.take(e)
		}
		now := c.Clock.Now()
		tell, again := o.due(now)
		for _, n := range tell {
			select {
			case queue <- n:
			default:
				c.Log.Warn("a notification was dropped: the desktop takes none", "of", n.Subject)
			}
		}
		timer.Stop()
		if !again.IsZero() {
			timer.Reset(again.Sub(now))
		}
	}
}

func deliver(queue <-chan Message, c Config) {
	for m := range queue {
		if err := c.Show(m); err != nil {
			c.Log.Info("a notification was not shown", "of", m.Subject, "error", err)
		}
	}
}
