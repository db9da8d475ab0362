//go:build !linux && !darwin

package guard

import (
	"net"
	"syscall"
)

// ListenSocket has no socket to offer: Windows' Unix sockets do not name the
// user on the other end.
func ListenSocket(string) (net.Listener, error) { return nil, ErrNoSocket }

func socketPeer(syscall.Conn) (peer, error) { return peer{}, ErrNoSocket }
