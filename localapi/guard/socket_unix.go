//go:build linux || darwin

package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// maxSocketPath is the contract's 104 bytes, or what the system takes if that
// is less: 103 on macOS.
const maxSocketPath = min(104, len(syscall.RawSockaddrUnix{}.Path)-1)

// ListenSocket listens on a Unix socket for our own user alone. The caller
// holds the agent's lock, so a socket that nobody answers was left by an agent
// that died, and is removed. Anything else at that path is left alone, and an
// error.
func ListenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%w: the path %q is longer than %d bytes", ErrNoSocket, path, maxSocketPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o077) // of the whole process, which makes nothing for others anyway
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return guarded(l, maxConns), nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket: move it away", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("another program answers on %s: end it", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// socketPeer returns the peer of a connection.
func socketPeer(c syscall.Conn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	if controlErr := raw.Control(func(fd uintptr) { p, err = peerOf(int(fd)) }); controlErr != nil {
		return peer{}, controlErr
	}
	return p, err
}
