//go:build windows || darwin

package notify

import (
	"errors"

	"github.com/gen2brain/beeep"
)

// Desktop shows messages on the desktop by beeep, which has neither buttons nor a way to take
// one back. The icon is a PNG, or the path of one: Windows reads it after the call.
func Desktop(icon any, _ func(subject, do string)) (show func(Message) error, close func()) {
	beeep.AppName = "Langkeep"
	return func(m Message) error {
		if m.Over {
			return nil
		}
		switch {
		case m.asks():
			return errNoButtons
		case m.Passing:
			return errInArguments
		}
		return beeep.Notify(plain(m.Title), plain(m.Text), icon)
	}, func() {}
}

// errInArguments means that a message would be among a program's arguments, which every
// program of the person's can read (osascript).
var errInArguments = errors.New("this desktop's notifications are no place for a code")
