package langflow

import (
	"context"
	"errors"
	"net"
	"os"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// withEarlyAnswers makes connections for servers that answer before they have read a
// whole request, and then close, as with "413 Content Too Large". net/http gives up
// such a connection at the first failed write, even if the answer has already come
// (golang/go#11745).
func withEarlyAnswers(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return answeringConn{c}, nil
	}
}

// answeringConn hides a failed write. The reader finds the answer or the connection's
// end: one of them has come once a write fails.
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
