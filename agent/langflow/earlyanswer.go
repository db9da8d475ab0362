package langflow

import (
	"context"
	"errors"
	"net"
	"os"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// withEarlyAnswers makes connections on which a server is heard that answers
// before it has read all of a request, and closes: "413 Content Too Large", for
// one. net/http gives up such a connection at the first write that fails, even if
// the answer is already there to be read (golang/go#11745).
func withEarlyAnswers(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return answeringConn{c}, nil
	}
}

// answeringConn hides that a write failed, and leaves it to the reader to find the
// answer or the connection's end: both are there as soon as a write fails.
type answeringConn struct{ net.Conn }

// Write implements net.Conn.
func (c answeringConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	return len(b), nil
}

// CloseWrite ends one direction of a WebSocket, where the connection can do so.
func (c answeringConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
