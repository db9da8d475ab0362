package connect

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/diff"
)

// secrets matches texts in a file that look like a secret.
var secrets = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\b(lk_|sk-|eyJ)[A-Za-z0-9_.-]{8,}`)
})

// named matches a setting in a file whose name says that it is a secret.
var named = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)("?[\w-]*(?:token|key|secret|passw|auth|cookie|credential)[\w-]*"?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s{\[][^,}\]#]*)`)
})

// maxShown is how many bytes of a line are shown: a file without line feeds may
// have 12 MB in its only one.
const (
	maxShown  = 2000
	maxPrefix = 64 // of a secret, in bytes: more than the pattern needs
)

// Diff is the change as lines for people, without the secrets around it. The caller
// makes control characters safe.
func (e *Edit) Diff() []string {
	var lines []string
	for line := range strings.Lines(string(diff.Diff(e.Path, e.Before, e.Path, e.After))) {
		line = strings.TrimRight(line, "\r\n")
		rest := max(0, len(line)-maxShown)
		line = line[:len(line)-max(0, rest-maxPrefix)] // so that a secret at the cut is still recognised
		line = secrets().ReplaceAllString(strings.ReplaceAll(line, "\t", "    "), "$1...")
		line = named().ReplaceAllStringFunc(line, func(setting string) string {
			name := named().FindStringSubmatch(setting)[1]
			if strings.Contains(name, "_env") { // of a variable's name
				return setting
			}
			return name + `"..."`
		})
		if rest > 0 {
			line = line[:min(len(line), maxShown)] + fmt.Sprintf("... and %d bytes more", rest)
		}
		lines = append(lines, line)
	}
	return lines
}
