package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"langkeep/assets"
	"langkeep/localapi/words"
	"langkeep/tray/notify"
)

// pressLimit is how long a failed command waits for a click on its notification.
const pressLimit = time.Minute

// entryFailures are the titles of the failures of the desktop entry's commands.
var entryFailures = map[string]string{"token": "The token was not copied", "open": "The control page did not open", "stop": "Langkeep did not stop"}

// tellOnDesktop shows a failure as a notification, for a command that a desktop entry has
// started: nobody sees its stderr. Its button opens the control page.
func (a *app) tellOnDesktop(ctx context.Context, cmd *cobra.Command, failure error) {
	pressed := make(chan struct{}, 1)
	show, end := notify.Desktop(assets.AppIcon(), func(string, string) {
		select {
		case pressed <- struct{}{}:
		default:
		}
	})
	defer end()
	m := notify.Message{Subject: "the desktop entry", Title: entryFailures[cmd.Name()], Text: words.Sentence(wordsOf(failure))}
	if m.Title == "" {
		m.Title = cmd.CommandPath() + " failed"
	}
	if several, ok := errors.AsType[severalProfiles](failure); ok {
		m.Text = "There are several: " + string(several) + ". Copy it from the tray's menu, or choose on the control page, in the settings, which one commands use."
	}
	if cmd.Name() == "token" {
		m.Buttons = []notify.Button{{Do: notify.Open.Do, Label: "Control page"}}
	}
	if err := show(m); err != nil {
		a.say("can't say so in a notification: " + err.Error())
		return
	}
	if len(m.Buttons) == 0 {
		return
	}
	select {
	case <-pressed:
	case <-time.After(pressLimit):
		return
	case <-ctx.Done():
		return
	}
	c, err := a.dial(ctx)
	if err == nil {
		defer c.Close()
		err = a.open(ctx, c, false)
	}
	if err != nil {
		a.say(wordsOf(err))
	}
}
