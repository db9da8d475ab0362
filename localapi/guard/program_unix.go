//go:build linux || darwin

package guard

import (
	"strconv"
	"strings"
)

// sessionKey names a session by its number and by when its first process began, since the
// number may be used again. A session goes on without its first process, as after a
// terminal that was closed; until its last process ends, its number stays its own.
func sessionKey(session int) string {
	return strconv.Itoa(session) + "-" + sessionBegin(session)
}

// SessionAlive tells whether the session of a Program goes on. Its first process still runs
// or, if that had gone when the Program was looked at, any other does.
func SessionAlive(key string) bool {
	number, begin, _ := strings.Cut(key, "-")
	session, err := strconv.Atoi(number)
	return err == nil && sessionKey(session) == key && (begin != "" || sessionHolds(session))
}
