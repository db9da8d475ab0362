package guard

import (
	"net/http"
	"os"
	"time"
)

// patience is how long a request's answer waits for its program to be found. A
// command such as curl is gone as soon as it has its answer, and is found in a
// tenth of that; a program that goes on can be found later.
const patience = 5 * time.Millisecond

// Process is the program at the other end of a connection; with PID 0 it is not
// known.
type Process struct {
	PID int
	Exe string // the path of its file; "" if that is not known
}

// peer is who is at the other end of a connection.
type peer struct {
	uid     uint32
	inode   uint32  // of its TCP socket, 0 if that is not known
	process Process // of a Unix socket
}

// finders is how many programs a listener's connections are looked for at a
// time: of a flood, most are not known.
const finders = 2

// FindProcess finds the program that sent a request, once a connection. It waits
// for a few milliseconds at most; the function that it returns waits for the
// end.
func FindProcess(r *http.Request) func() Process {
	c := connOf(r)
	if c == nil || !c.looked || c.peerErr != nil {
		return func() Process { return Process{} }
	}
	c.processOnce.Do(func() {
		c.processFound = make(chan struct{})
		c.process = c.peer.process
		// The files of another user's processes can't be looked into.
		if c.inode == 0 || c.listener == nil || c.uid != uint32(os.Getuid()) {
			close(c.processFound)
			return
		}
		select {
		case c.listener.finding <- struct{}{}:
		default:
			close(c.processFound)
			return
		}
		go func() {
			defer close(c.processFound)
			c.process = processWith(c.inode)
			<-c.listener.finding
		}()
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case <-c.processFound:
		case <-limit.C:
		}
	})
	return func() Process {
		<-c.processFound
		return c.process
	}
}
