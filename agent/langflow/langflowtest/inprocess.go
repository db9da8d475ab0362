package langflowtest

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

// RoundTripper reaches a server made by NewInProcess, whatever host a request
// names. It speaks HTTP over pipes in memory, so that a synctest bubble is idle
// while a call waits, and breaks as sockets do.
func (s *Server) RoundTripper() http.RoundTripper { return s.transport }

// dial connects to the server, without TLS for https, too.
func (s *Server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	s.mu.Lock()
	l, ok := s.listener.(*pipeListener)
	s.mu.Unlock()
	if !ok {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.stopped:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipeListener is a net.Listener of pipes.
type pipeListener struct {
	conns   chan net.Conn
	stopped <-chan struct{}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.stopped:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; Server.Stop has closed stopped by then.
func (l *pipeListener) Close() error { return nil }

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "in process", Net: "unix"} }
