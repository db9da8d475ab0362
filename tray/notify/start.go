package notify

import (
	"context"
	"slices"
	"time"

	"langkeep/agent"
)

// Starting is the subject of the message that offers the start at login; no profile has such
// a name.
const Starting = "the start at login"

// The buttons of that message.
var (
	StartAtLogin = Button{"start-at-login", "Start at login"}
	NotNow       = Button{"not-now", "Not now"}
)

// offerPatience leaves time to the page or the command with which a person signs in: they
// offer the start at login themselves.
const offerPatience = time.Minute

// LoginStart is the start of the agent at login.
type LoginStart interface {
	Enabled() bool
	// IsOffered tells whether a person was asked; Offered notes that.
	IsOffered() bool
	Offered() error
}

// OfferStart waits for a session that is fresh, and then offers the start at login, unless
// it is on or was offered before. Without isPlace, asked at that time, nothing is shown, and
// the next start of the agent offers it. An error is show's, or that of start.Offered.
func OfferStart(ctx context.Context, changes Changes, start LoginStart, isPlace func() bool, show func(Message) error) error {
	isFresh := func(e agent.Event) bool { return !e.Removed && e.Snapshot.State == agent.Fresh }
	for !slices.ContainsFunc(changes.Take(), isFresh) {
		select {
		case <-changes.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-time.After(offerPatience):
	case <-ctx.Done():
		return nil
	}
	if start.Enabled() || start.IsOffered() || !isPlace() {
		return nil
	}
	err := show(Message{
		Subject: Starting, Title: "Start at login?",
		Text:    "Langkeep keeps you signed in while it runs. The tray's menu has “Start at login” at any time.",
		Buttons: []Button{StartAtLogin, NotNow},
	})
	if err != nil {
		return err
	}
	return start.Offered()
}
