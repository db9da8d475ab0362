package langflow

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledged is how many bytes of a connection the other side's kernel has acknowledged
// (tcp(7), TCP_INFO), also after the connection's end; false where that is not known.
func acknowledged(c net.Conn) (bytes uint64, ok bool) {
	socket, isSocket := c.(syscall.Conn)
	if !isSocket {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	if err := raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes, ok = info.Bytes_acked, true
		}
	}); err != nil {
		return 0, false // it is closed
	}
	return bytes, ok
}
