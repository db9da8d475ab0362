package langflow

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// lateConn delays the end of a connection until the next request is written, as a network
// does on which both meet.
type lateConn struct {
	*net.TCPConn
	write sync.Once
	begun chan struct{}
	n     atomic.Int32 // requests written
}

func (c *lateConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err == io.EOF {
		<-c.begun
	}
	return n, err
}

func (c *lateConn) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	if c.n.Add(1) == 2 {
		c.write.Do(func() { close(c.begun) })
	}
	return n, err
}

// closing is a server that answers the first request of each connection, and then ends the
// connection: at once, or when it has read another request.
type closing struct {
	net.Listener
	reads bool
	got   atomic.Int32 // requests
	ended chan struct{}
}

func newClosing(t *testing.T, reads bool) *closing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &closing{Listener: l, reads: reads, ended: make(chan struct{}, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *closing) serve(c net.Conn) {
	in := bufio.NewReader(c)
	take := func() bool {
		req, err := http.ReadRequest(in)
		if err == nil {
			_, err = io.Copy(io.Discard, req.Body)
		}
		if err == nil {
			s.got.Add(1)
		}
		return err == nil
	}
	if take() {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // read by the test
	}
	if s.reads {
		take()
	}
	_ = c.Close()
	s.ended <- struct{}{}
}

// A POST on a connection that the server had closed is sent again, if the server can't
// have taken a byte of it, and only then.
func TestSentAgainWhereNothingWasTaken(t *testing.T) {
	for name, test := range map[string]struct {
		reads bool // the server takes the request and dies over it
		body  func() io.Reader
		got   int32
		fails bool
	}{
		"it had closed":                 {false, func() io.Reader { return strings.NewReader("{}") }, 2, false},
		"a large body":                  {false, func() io.Reader { return strings.NewReader(strings.Repeat("a", 60<<10)) }, 2, false},
		"no body":                       {false, func() io.Reader { return nil }, 2, false},
		"it has taken it":               {true, func() io.Reader { return strings.NewReader("{}") }, 2, true},
		"it had closed, no second body": {false, func() io.Reader { return io.MultiReader(strings.NewReader("{}")) }, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := newClosing(t, test.reads)
			base, err := NewTransport(nil)
			if err != nil {
				t.Fatal(err)
			}
			base.Proxy = nil
			base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &lateConn{TCPConn: c.(*net.TCPConn), begun: make(chan struct{})}, nil
			}
			way := NewRenewable(Streaming(base))
			post := func(body io.Reader) error {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.Addr().String(), body)
				if err != nil {
					t.Fatal(err)
				}
				res, err := way.RoundTrip(req)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close() // it was read
				return err
			}
			if err := post(strings.NewReader("{}")); err != nil {
				t.Fatal(err)
			}
			if !test.reads {
				<-server.ended
			}
			if err := post(test.body()); (err != nil) != test.fails {
				t.Errorf("%v", err)
			}
			if got := server.got.Load(); got != test.got {
				t.Errorf("the server got %d requests, want %d", got, test.got)
			}
		})
	}
}
