package autostart

import (
	"encoding/xml"
	"strings"
)

// plist is a LaunchAgent, see launchd.plist(5). launchd reads it at the next
// login.
func plist(e *Entry) (string, error) {
	if err := e.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	text := func(s string) error {
		b.WriteString("<string>")
		err := xml.EscapeText(&b, []byte(s))
		b.WriteString("</string>\n")
		return err
	}
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
<key>Label</key>
`)
	if err := text(e.name); err != nil {
		return "", err
	}
	b.WriteString("<key>ProgramArguments</key>\n<array>\n")
	for _, word := range e.words("run") {
		if err := text(word); err != nil {
			return "", err
		}
	}
	b.WriteString("</array>\n<key>RunAtLoad</key>\n<true/>\n</dict>\n</plist>\n")
	return b.String(), nil
}
