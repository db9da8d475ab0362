package langflow

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// controlSocket bounds how long what was sent may go unacknowledged (tcp(7)).
// Without it the connection still works, only longer than it should.
func controlSocket(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedTimeout.Milliseconds()))
	})
}
