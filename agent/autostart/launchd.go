package autostart

import (
	"html"
	"strings"
)

// plist is a LaunchAgent, see launchd.plist(5). launchd reads it at the next
// login.
func plist(e *Entry) (string, error) {
	if err := e.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	text := func(s string) { b.WriteString("<string>" + html.EscapeString(s) + "</string>\n") }
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
<key>Label</key>
`)
	text(e.name)
	b.WriteString("<key>ProgramArguments</key>\n<array>\n")
	for _, word := range e.words("run") {
		text(word)
	}
	b.WriteString("</array>\n<key>RunAtLoad</key>\n<true/>\n</dict>\n</plist>\n")
	return b.String(), nil
}
