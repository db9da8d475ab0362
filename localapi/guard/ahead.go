package guard

import (
	"errors"
	"net/http"
	"os"
	"sync"
)

// mostAhead is how many bytes of a client are kept ahead of their turn: some requests
// in a row (RFC 9112, 9.3.2). Behind more than that a client's end goes unseen again: it
// may be the next upload, sent while the handler of the last request still ends.
const mostAhead = 64 << 10

// ahead notices that a client leaves after it has sent bytes too early. While a handler
// runs, net/http waits for one byte only (connReader.backgroundRead of Go 1.26). Once
// an early byte has come, net/http does not see the end of the connection, and the
// handler's context lives on. So ahead reads the bytes behind that one, keeps them for
// the next Read, and reports the end.
type ahead struct {
	mu      sync.Mutex // protects the following
	moved   *sync.Cond // something below has changed; nil before the first run
	serving bool       // a handler runs
	early   bool       // a byte has come that net/http looks no further than
	running bool       // lookOnLocked's goroutine reads the connection; no other goroutine may
	wanted  bool       // a Read waits: that goroutine must read once more, and end
	kept    []byte     // bytes that no Read has taken yet
	err     error      // the connection's error behind those bytes
}

// take returns the bytes that were read ahead, and waits for them while a goroutine reads on. ok
// is false if the caller must read the connection itself.
func (a *ahead) take(p []byte) (n int, err error, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted, a.early = a.running, false
	for a.running && len(a.kept) == 0 && a.err == nil {
		a.moved.Wait()
	}
	switch {
	case len(a.kept) > 0:
		n = copy(p, a.kept)
		a.kept = a.kept[n:]
		return n, nil, true
	case a.err != nil:
		err, a.err = a.err, nil // the connection returns it again
		return 0, err, true
	}
	return 0, nil, false
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err, ok := c.ahead.take(p)
	if !ok {
		n, err = c.rawConn.Read(p)
	}
	if len(p) == 1 && n == 1 { // net/http looks no further
		a := &c.ahead
		a.mu.Lock()
		defer a.mu.Unlock()
		a.early = true
		c.lookOnLocked()
	}
	return n, err
}

// attended tells the connection of each request when its handler runs. A byte that comes
// between two handlers belongs to the next request, whose client waits for no answer
// yet.
func attended(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := connOf(r); c != nil {
			c.serve(true)
			defer c.serve(false)
		}
		h.ServeHTTP(w, r)
	})
}

func (c *conn) serve(now bool) {
	a := &c.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serving = now
	c.lookOnLocked()
}

// lookOnLocked reads the connection on behind an early byte of a client that waits for
// its handler, until a Read wants the bytes, or until the client has left.
func (c *conn) lookOnLocked() {
	a := &c.ahead
	if !a.serving || !a.early || a.running {
		return
	}
	a.wanted, a.early = false, false
	a.running, a.moved = true, sync.NewCond(&a.mu)
	go func() {
		var piece [1 << 10]byte
		for {
			n, err := c.rawConn.Read(piece[:])
			if c.keep(piece[:n], err) {
				return
			}
		}
	}()
}

// keep takes what lookOnLocked has read, and tells whether that was the last.
func (c *conn) keep(piece []byte, err error) (last bool) {
	a := &c.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, piece...)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// net/http ends its own background read by a deadline of the past. The next
		// reader finds out whether that deadline is still set.
		a.running = false
		a.moved.Broadcast()
		return true
	}
	a.err = err
	last = a.wanted || err != nil || len(a.kept) > mostAhead
	a.running = !last
	a.moved.Broadcast()
	if err != nil && !a.wanted {
		c.leave()
	}
	return last
}
