package guard

import (
	"net/http"
	"os"
	"sync"
	"time"
)

// patience is how long a request's answer waits for the search for its program. A
// command such as curl ends as soon as it has its answer, and is found in a tenth of
// that time; a longer-lived program can be found later.
const patience = 5 * time.Millisecond

// Process is the program at the other end of a connection; with PID 0 it is not
// known.
type Process struct {
	PID int
	Exe string // the path of its file; "" if that is not known
}

// peer is the other end of a connection: its user and program.
type peer struct {
	uid     uint32
	inode   uint32  // of its TCP socket, 0 if unknown
	process Process // of a Unix socket
}

// finders is the number of searches that one listener runs at a time, so most programs
// of a flood stay unknown.
const finders = 2

// Search looks for the program at the other end of a connection. It is safe for use by
// several goroutines; the nil Search finds nothing.
type Search struct {
	once    sync.Once
	over    chan struct{} // closed when the search has ended
	process Process
}

// Known returns the program, or false while the search goes on.
func (s *Search) Known() (Process, bool) {
	if s == nil {
		return Process{}, true
	}
	select {
	case <-s.over:
		return s.process, true
	default:
		return Process{}, false
	}
}

// Wait waits for the end of the search.
func (s *Search) Wait() Process {
	if s == nil {
		return Process{}
	}
	<-s.over
	return s.process
}

// FindProcess looks for the program that sent a request, once a connection. It
// waits for a few milliseconds at most; the search may go on after that.
func FindProcess(r *http.Request) *Search {
	c := connOf(r)
	if c == nil || !c.looked || c.peerErr != nil {
		return nil
	}
	s := &c.search
	s.once.Do(func() {
		s.over = make(chan struct{})
		s.process = c.peer.process
		// The files of another user's processes can't be looked into.
		if c.inode == 0 || c.listener == nil || c.uid != uint32(os.Getuid()) {
			close(s.over)
			return
		}
		select {
		case c.listener.finding <- struct{}{}:
		default:
			close(s.over)
			return
		}
		go func() {
			defer close(s.over)
			s.process = processWith(c.inode)
			<-c.listener.finding
		}()
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case <-s.over:
		case <-limit.C:
		}
	})
	return s
}
