package guard

import (
	"errors"
	"os"
	"sync"
)

// mostAhead is how many bytes a client may send ahead of an answer: some requests
// in a row (RFC 9112, 9.3.2). One that sends more is cut off.
const mostAhead = 64 << 10

// ahead notices a client that leaves behind bytes that it sent too early. While a
// handler runs, net/http waits for one byte and no more (connReader.backgroundRead
// of Go 1.26): the end of a connection on which a byte came too early goes unseen,
// and the handler's context, with all that hangs on it, lives on. So what comes
// behind that byte is read here, kept for whoever reads next, and its end told.
type ahead struct {
	mu      sync.Mutex // protects the following
	moved   *sync.Cond // something below has changed; nil before the first run
	running bool       // a goroutine reads the connection, and nobody else may
	wanted  bool       // somebody waits for what it reads: it is to read once, and end
	kept    []byte     // read, and not taken yet
	err     error      // why there is no more behind that
}

// take hands out what was read ahead, and waits for it while that goes on; ok is
// false where the connection itself is to be read.
func (a *ahead) take(p []byte) (n int, err error, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.running && len(a.kept) == 0 && a.err == nil {
		a.wanted = true
		a.moved.Wait()
	}
	switch {
	case len(a.kept) > 0:
		n = copy(p, a.kept)
		a.kept = a.kept[n:]
		return n, nil, true
	case a.err != nil:
		err, a.err = a.err, nil // the connection says it again
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
		c.lookOn()
	}
	return n, err
}

// lookOn reads the connection until somebody wants what comes, or until the client
// has left.
func (c *conn) lookOn() {
	a := &c.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted = false
	if a.running {
		return
	}
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

// keep takes what lookOn has read, and tells whether that was the last.
func (c *conn) keep(piece []byte, err error) (last bool) {
	a := &c.ahead
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept = append(a.kept, piece...)
	late := errors.Is(err, os.ErrDeadlineExceeded) // as net/http ends its own look, which is no end of the client
	if !late || a.wanted {
		a.err = err
	}
	flood := len(a.kept) > mostAhead
	last = a.wanted || err != nil || flood
	a.running = !last
	a.moved.Broadcast()
	switch {
	case flood:
		_ = c.Close() // which is the end of what it asked for, too
	case err != nil && !late && !a.wanted:
		c.leave()
	}
	return last
}
