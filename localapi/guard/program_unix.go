//go:build linux || darwin

package guard

import (
	"strconv"
	"strings"
)

// SessionAlive tells whether the session of a Program goes on: its first process runs.
func SessionAlive(session string) bool {
	id, _, _ := strings.Cut(session, "-")
	pid, err := strconv.Atoi(id)
	return err == nil && sessionKey(pid) == session
}
