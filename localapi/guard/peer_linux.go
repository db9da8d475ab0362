package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// errNobody means that nobody owns the remote end of a connection: the client
// is gone, or the kernel's answer is about another connection.
var errNobody = errors.New("nobody owns the other end of the connection")

// peerOf returns the peer of the Unix socket fd, see unix(7).
func peerOf(fd int) (peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return peer{}, err
	}
	// Look up the process at once: a command ends as soon as it has its answer.
	return peer{uid: cred.Uid, process: running(int(cred.Pid))}, nil
}

// tcpUsers asks the kernel who owns a TCP socket, see sock_diag(7). The zero
// tcpUsers is ready; it opens its netlink socket when it is first asked, and
// keeps it.
type tcpUsers struct {
	mu   sync.Mutex // protects the following
	open bool
	fd   int
	seq  uint32
	buf  [8 << 10]byte
}

// Sizes in sock_diag(7): struct nlmsghdr begins each message; struct
// inet_diag_req_v2 or struct inet_diag_msg follows.
const (
	headerLen  = unix.SizeofNlMsghdr
	requestLen = headerLen + 56
	answerLen  = headerLen + 72
)

// lookUp finds the owner of the TCP socket whose own end is remote and whose other end
// is local. The error is errNobody if there is none, and another one if the kernel
// can't be asked.
func (t *tcpUsers) lookUp(remote, local netip.AddrPort) (peer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.ask(remote, local)
	if err != nil && err != errNobody {
		p, err = t.ask(remote, local) // over a new netlink socket
	}
	return p, err
}

func (t *tcpUsers) ask(remote, local netip.AddrPort) (p peer, err error) {
	defer func() {
		if t.open && err != nil && err != errNobody {
			_ = unix.Close(t.fd)
			t.open = false
		}
	}()
	if !t.open {
		if t.fd, err = dialDiag(); err != nil {
			return peer{}, err
		}
		t.open = true
		// A kernel without the TCP module answers ENOENT to everything, which is no
		// missing connection. Any other kernel answers an empty dump to a request for
		// connections in no state.
		if _, err := t.exchange(diagRequest(remote, local, 0, unix.NLM_F_DUMP)); err != nil {
			return peer{}, fmt.Errorf("asking the kernel for TCP connections: %w", err)
		}
	}
	answer, err := t.exchange(diagRequest(remote, local, ^uint32(0), 0))
	if errors.Is(err, unix.ENOENT) {
		return peer{}, errNobody
	}
	if err != nil {
		return peer{}, fmt.Errorf("asking the kernel for a TCP connection: %w", err)
	}
	return owner(answer, remote, local)
}

func dialDiag() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return 0, fmt.Errorf("opening a netlink socket: %w", err)
	}
	// The kernel answers before sendto returns; the limit is for a kernel that does
	// not.
	wait := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return fd, nil
}

// diagRequest is a request without its sequence number.
func diagRequest(remote, local netip.AddrPort, states uint32, flags uint16) []byte {
	family, src, dst := byte(unix.AF_INET), remote.Addr(), local.Addr()
	if !src.Is4() || !dst.Is4() {
		family = unix.AF_INET6
	}
	b := make([]byte, requestLen)
	binary.NativeEndian.PutUint32(b[0:], requestLen)
	binary.NativeEndian.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	r := b[headerLen:]
	r[0], r[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(r[4:], states)
	id := r[8:]
	binary.BigEndian.PutUint16(id[0:], remote.Port())
	binary.BigEndian.PutUint16(id[2:], local.Port())
	copy(id[4:20], src.AsSlice())
	copy(id[20:36], dst.AsSlice())
	binary.NativeEndian.PutUint32(id[40:], ^uint32(0)) // any cookie
	binary.NativeEndian.PutUint32(id[44:], ^uint32(0))
	return b
}

// exchange sends a request and returns the message that answers it, which is
// valid until the next exchange.
func (t *tcpUsers) exchange(request []byte) ([]byte, error) {
	t.seq++
	binary.NativeEndian.PutUint32(request[8:], t.seq)
	if err := retried(func() error {
		return unix.Sendto(t.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}); err != nil {
		return nil, err
	}
	for {
		var n int
		var from unix.Sockaddr
		if err := retried(func() (err error) {
			n, from, err = unix.Recvfrom(t.fd, t.buf[:], 0)
			return err
		}); err != nil {
			return nil, err
		}
		kernel, ok := from.(*unix.SockaddrNetlink)
		if !ok || kernel.Pid != 0 || n < headerLen+4 {
			continue
		}
		m := t.buf[:n]
		if binary.NativeEndian.Uint32(m[8:]) != t.seq {
			continue // the answer to an earlier request
		}
		switch binary.NativeEndian.Uint16(m[4:]) {
		case unix.NLMSG_ERROR, unix.NLMSG_DONE: // a failed dump is done with an error
			if errno := int32(binary.NativeEndian.Uint32(m[headerLen:])); errno != 0 {
				return nil, unix.Errno(-errno)
			}
		}
		return m, nil
	}
}

// retried repeats a system call that a signal interrupted: Go's runtime sends itself
// many.
func retried(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// owner reads the owner from an answer about exactly the connection asked for. A closed
// client has inode 0 and soon user 0, which means nothing. If the kernel finds no
// connection it answers with a listener, whose other end is empty.
func owner(m []byte, remote, local netip.AddrPort) (peer, error) {
	if len(m) < answerLen || binary.NativeEndian.Uint16(m[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return peer{}, errNobody
	}
	a := m[headerLen:]
	var src, dst netip.Addr
	switch a[0] {
	case unix.AF_INET:
		src, dst = netip.AddrFrom4([4]byte(a[8:])), netip.AddrFrom4([4]byte(a[24:]))
	case unix.AF_INET6: // a client may reach 127.0.0.1 as ::ffff:127.0.0.1
		src, dst = netip.AddrFrom16([16]byte(a[8:])).Unmap(), netip.AddrFrom16([16]byte(a[24:])).Unmap()
	}
	if netip.AddrPortFrom(src, binary.BigEndian.Uint16(a[4:])) != remote ||
		netip.AddrPortFrom(dst, binary.BigEndian.Uint16(a[6:])) != local ||
		binary.NativeEndian.Uint32(a[68:]) == 0 {
		return peer{}, errNobody
	}
	return peer{uid: binary.NativeEndian.Uint32(a[64:]), inode: binary.NativeEndian.Uint32(a[68:])}, nil
}
