package autostart

import (
	"fmt"
	"strings"
)

// desktopEntry is an autostart entry (Desktop Application Autostart
// Specification 0.5, Desktop Entry Specification 1.5).
func desktopEntry(e *Entry) (string, error) {
	if err := e.plain(); err != nil {
		return "", err
	}
	return `[Desktop Entry]
Type=Application
Name=Langkeep
Comment=Keeps you signed in to Langflow
Exec=` + e.line(desktopQuote, "run") + `
Icon=langkeep
Terminal=false
NoDisplay=true
`, nil
}

// plain refuses paths that some desktops can't start. The specification forbids = in
// the program's path. GLib 2.74 looks for the program with both signs of %%. systemd
// 252, which starts desktops' entries too, takes no quote or backslash in the path,
// and has escapes of its own for the rest (all tried).
func (e *Entry) plain() error {
	for path, odd := range map[string]string{e.home: "\"'\\$`", e.program: "\"'\\$`=%"} {
		if i := strings.IndexAny(path, odd); i >= 0 {
			return fmt.Errorf("the path %q has a %c in it, which not every desktop can start: move it", path, path[i])
		}
	}
	return e.check()
}

// desktopQuote quotes an argument of Exec if need be; a % begins a field code.
func desktopQuote(arg string) string {
	arg = strings.ReplaceAll(arg, "%", "%%")
	if strings.ContainsAny(arg, " \t><~|&;*?#()") {
		return `"` + arg + `"`
	}
	return arg
}

// switchedOff tells whether a desktop's settings turned an entry off in place.
func switchedOff(desktopEntry string) bool {
	for line := range strings.Lines(desktopEntry) {
		key, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(key) + "=" + strings.TrimSpace(value) {
		case "Hidden=true", "X-GNOME-Autostart-enabled=false":
			return true
		}
	}
	return false
}
