package guard

import (
	"net/http"
	"sync"
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

// finding bounds what is spent on looking for programs to one processor.
var finding sync.Mutex

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
		if c.inode == 0 {
			c.process = c.peer.process
			close(c.processFound)
			return
		}
		go func() {
			defer close(c.processFound)
			finding.Lock()
			defer finding.Unlock()
			c.process = processWith(c.inode)
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
