package notify

import (
	"strings"
	"unicode"

	"github.com/gen2brain/beeep"
)

// Desktop shows notifications on the desktop. The icon is a PNG, or the path of
// one: Windows reads it after the call.
func Desktop(icon any) func(title, text string) error {
	beeep.AppName = "Langkeep"
	return func(title, text string) error {
		if err := reachable(); err != nil {
			return err
		}
		return beeep.Notify(plain(title), plain(text), icon)
	}
}

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
