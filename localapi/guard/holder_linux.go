package guard

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// HeldByOther tells whether another user listens on one of the loopback addresses at
// this port. It is also true if the system can't tell.
func (g *Guard) HeldByOther(port uint16) bool {
	const listening = 1 << 10 // TCP_LISTEN in include/net/tcp_states.h
	held := false
	for _, host := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		own := netip.AddrPortFrom(host, port)
		none := netip.AddrPortFrom(host, 0)
		users := new(tcpUsers)
		fd, err := dialDiag()
		if err != nil {
			return true
		}
		users.fd = fd
		answer, err := users.exchange(diagRequest(own, none, listening, 0))
		if err == nil {
			uid, known := listenerUser(answer, port)
			held = held || !known || uid != g.self
		} else if err != unix.ENOENT {
			held = true
		}
		_ = unix.Close(fd)
	}
	return held
}

// listenerUser reads the user from an answer about a listener on the port,
// whatever address it listens on.
func listenerUser(m []byte, port uint16) (uid uint32, known bool) {
	if len(m) < answerLen || binary.NativeEndian.Uint16(m[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, false
	}
	a := m[headerLen:]
	if binary.BigEndian.Uint16(a[4:]) != port || binary.NativeEndian.Uint32(a[68:]) == 0 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(a[64:]), true
}
