package langflow

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
)

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// asUpstream makes connections for requests that the proxy passes on.
func asUpstream(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &upstreamConn{Conn: c}, nil
	}
}

// upstreamConn is a connection to a server, or to a forward proxy on the way.
//
// It is for servers that answer before they have read a whole request, and then close, as
// with "413 Content Too Large". net/http gives up such a connection at the first failed
// write, even if the answer has already come (golang/go#11745).
//
// It also tells whether the server has closed a connection that was kept for the next
// request without having got anything of that, see tookNothing.
type upstreamConn struct {
	net.Conn

	mu      sync.Mutex // protects the following
	acked   uint64     // bytes, when the current request began
	known   bool       // acked is
	ended   bool       // the other side has sent its end
	nothing bool       // it had got nothing of the current request then
}

// Write implements net.Conn. It hides a failed write: the reader finds the answer or the
// connection's end, one of which has come once a write fails.
func (c *upstreamConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	return len(b), nil
}

// Read implements net.Conn.
func (c *upstreamConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 && err == io.EOF { // and not a reset, which says nothing about what the server got
		c.mu.Lock()
		defer c.mu.Unlock()
		acked, ok := acknowledged(c.Conn)
		c.ended, c.nothing = true, ok && c.known && acked == c.acked
	}
	return n, err
}

// begin notes that a request has got the connection, which an earlier one has used.
func (c *upstreamConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nothing = c.ended
	if !c.ended {
		c.acked, c.known = acknowledged(c.Conn)
	}
}

// tookNothing tells whether the other side has ended the connection without a byte of the
// current request. Servers close a connection that nobody uses for a while (uvicorn after
// 5 s, gunicorn after 2 s), and a request may be on its way just then. The end that came
// then acknowledges all bytes that the other side's kernel had: if there is none of the
// request among them, the server can't have read it, and will not, since it has closed. A
// server that dies over a request has got it, and so has one that resets the connection,
// perhaps.
func (c *upstreamConn) tookNothing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nothing
}

// CloseWrite ends one direction of a WebSocket, where the connection can do so.
func (c *upstreamConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// sendings is how often a request is sent at most: there may be several connections that
// the server is about to close.
const sendings = 4

// sendAgain sends a request, and again on another connection where the server took
// nothing of it. net/http does so itself with requests that may be executed twice. It also
// does so with HTTP/2, where a server tells which requests it has taken, and where requests
// share a connection.
func sendAgain(t http.RoundTripper, r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return t.RoundTrip(r)
	}
	for n := 1; ; n++ {
		var kept *upstreamConn
		attempt := r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
			if kept = nil; !i.Reused {
				return
			}
			inner := i.Conn
			if secure, ok := inner.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol != "h2" {
				inner = secure.NetConn()
			}
			if c, ok := inner.(*upstreamConn); ok {
				kept = c
				c.begin()
			}
		}}))
		if n > 1 && r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			attempt.Body = body
		}
		res, err := t.RoundTrip(attempt)
		if err == nil || kept == nil || n == sendings || r.Context().Err() != nil || !kept.tookNothing() {
			return res, err
		}
	}
}
