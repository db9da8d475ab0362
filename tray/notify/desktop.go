package notify

import (
	"errors"
	"strings"
	"unicode"

	"github.com/gen2brain/beeep"
)

// plainly shows messages by beeep, which has neither buttons nor a way to take one back.
// The icon is a PNG, or the path of one: Windows reads it after the call.
func plainly(icon any) func(Message) error {
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
	}
}

// errInArguments means that a message would be among a program's arguments, which every
// program of the person's can read (osascript, notify-send).
var errInArguments = errors.New("this desktop's notifications are no place for a code")

// asks tells whether a message is of no use without its buttons.
func (m Message) asks() bool { return m.Subject == Asking }

// errNoButtons means that a question can't be asked.
var errNoButtons = errors.New("this desktop's notifications have no buttons")

// plain makes a text safe to show, since it may have a server's words. It drops
// characters that macOS' AppleScript could take for more than text, markup that daemons
// on Linux would render, and characters that PowerShell would run: beeep (v0.11.3) uses
// PowerShell if Windows' own way fails.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '$', r == '`':
			return -1
		case r == '<':
			return '‹'
		case r == '>':
			return '›'
		case r == '&':
			return '+'
		}
		return r
	}, s)
}
