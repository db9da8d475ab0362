package langflow

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// controlSocket bounds how long what was sent may go unacknowledged (TCP_MAXRT, in
// seconds). Without it the connection still works, only longer than it should.
func controlSocket(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_TCP, windows.TCP_MAXRT, int(unackedTimeout.Seconds()))
	})
}
