package autostart

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// maxRunValue is the longest command line of a Run key, in UTF-16 units, by
// Microsoft's page "Run and RunOnce Registry Keys".
const maxRunValue = 260

// runValue is the command line for the Run key: start, since run would keep a
// console window open.
func runValue(e *Entry) (string, error) {
	if err := e.check(); err != nil {
		return "", err
	}
	line := e.line(windowsQuote, "start")
	if n := len(utf16.Encode([]rune(line))); n > maxRunValue {
		return "", fmt.Errorf("the command line to start %s has %d characters, and Windows takes %d: move it to a shorter path", e.program, n, maxRunValue)
	}
	return line, nil
}

// windowsQuote quotes a word as CommandLineToArgvW takes it apart. A path has
// no double quote in it there.
func windowsQuote(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t:\\") {
		return word
	}
	// Backslashes are only special before a double quote.
	trailing := len(word) - len(strings.TrimRight(word, `\`))
	return `"` + word + strings.Repeat(`\`, trailing) + `"`
}
