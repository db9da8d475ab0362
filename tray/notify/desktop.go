package notify

import (
	"errors"
	"strings"
	"unicode"
)

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
