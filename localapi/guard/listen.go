package guard

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"langkeep/agent/asks"
)

// ErrNoSocket means that no Unix socket can be made: the system's sockets don't name
// the user on the other end, or the path is too long.
var ErrNoSocket = errors.New("no unix socket can be had here")

// maxConns is how many connections a listener keeps at once.
const maxConns = 1024

// ListenTCP listens on a loopback address (127.0.0.1, [::1] or localhost, and a port;
// port 0 takes a free one) and on the same port of the other family's loopback address,
// where the computer has one: otherwise another user could listen there, and clients
// that use localhost could take that listener for the agent. The given address comes
// first.
func ListenTCP(addr string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w: give an address as 127.0.0.1:17860", addr, err)
	}
	first, second := "127.0.0.1", "::1"
	switch host {
	case "127.0.0.1", "localhost":
	case "::1":
		first, second = second, first
	default:
		return nil, fmt.Errorf("cannot listen on %q: only this computer may reach the agent: give 127.0.0.1, [::1] or localhost, and a port", addr)
	}
	// A port that is free on one address may be taken on the other.
	for try := 0; ; try++ {
		listeners, err := listenBoth(first, second, port)
		if err == nil {
			return listeners, nil
		}
		if port != "0" || try == 20 {
			if at, ok := errors.AsType[*net.OpError](err); ok && errors.Is(err, syscall.EADDRINUSE) {
				err = fmt.Errorf("another program listens at %s", at.Addr)
			}
			return nil, fmt.Errorf("%w: end it, or choose another port: langkeep start --listen 127.0.0.1:0", err)
		}
	}
}

func listenBoth(first, second, port string) ([]net.Listener, error) {
	a, err := listen(first, port)
	if err != nil {
		return nil, err
	}
	port = strconv.Itoa(a.Addr().(*net.TCPAddr).Port)
	b, err := listen(second, port)
	if err == nil {
		return []net.Listener{guarded(a, maxConns), guarded(b, maxConns)}, nil
	}
	// If not even a free port can be had there, the computer has no such
	// address. Systems differ in how they say so.
	probe, probeErr := listen(second, "0")
	if probeErr != nil {
		return []net.Listener{guarded(a, maxConns)}, nil
	}
	_ = probe.Close()
	_ = a.Close()
	return nil, err
}

// listen asks for plain TCP: the user behind a multipath connection cannot be
// looked up.
func listen(host, port string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, port))
}

// rawConn is what TCP and Unix connections have in common.
type rawConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// The states of a connection. Only a request of an identified caller makes it busy: a
// stranger can keep no connection open.
const (
	fresh  = iota // no request was admitted yet
	idle          // between requests
	busy          // in the middle of an admitted request
	doomed        // being closed to make room
)

// conn is a connection with the guard's data about it.
type conn struct {
	rawConn
	listener *listener
	place    *list.Element // in listener.conns

	// listener.mu protects the following.
	state  int
	holder string // the client whose request makes it busy; "" for none or the owner

	socket        bool
	local, remote netip.AddrPort // unused on a socket
	hosts         []string       // the allowed values of Host
	origins       []string       // the Origin that goes with each

	peerOnce sync.Once
	peer     // the program at the other end
	peerErr  error
	looked   bool // peerOnce is done

	search  Search       // for that program
	program asks.Program // as FindProgram has found it; only requests use it, one at a time

	leave context.CancelFunc // ends the context of its requests: the client has left
	ahead ahead
}

func newConn(raw rawConn) *conn {
	c := &conn{rawConn: raw, leave: func() {}}
	local, ok := raw.LocalAddr().(*net.TCPAddr)
	if !ok {
		c.socket = true
		return c
	}
	c.local = unmapped(local)
	c.remote = unmapped(raw.RemoteAddr().(*net.TCPAddr))
	for _, name := range [...]string{"127.0.0.1", "localhost", "[::1]"} {
		c.hosts = append(c.hosts, name+":"+strconv.Itoa(local.Port))
		if local.Port == 80 {
			c.hosts = append(c.hosts, name) // clients leave out HTTP's own port
		}
	}
	for _, host := range c.hosts {
		c.origins = append(c.origins, "http://"+host)
	}
	return c
}

func unmapped(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// admit marks the connection as busy with a caller's request; false means that it is
// being closed. A client and its leases can keep at most half of the listener's
// connections busy, and all clients leave a sixteenth to the owner. Further connections
// are served too, but are closed first when there is no room.
func (c *conn) admit(caller *Caller) bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.state == doomed:
		return false
	case c.state == busy:
		return true
	}
	if !caller.Owner {
		root := cmp.Or(caller.Root, caller.Name)
		if l.held[root] >= max(l.limit/2, 1) || l.clients >= l.limit-max(l.limit/16, 1) {
			return true
		}
		c.holder = root
		l.held[root]++
		l.clients++
	}
	c.state = busy
	return true
}

// rest marks a busy connection as idle.
func (c *conn) rest() {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.state == busy {
		c.state = idle
		l.release(c)
	}
}

// alive tells whether the connection may go on; false: it is being closed to make room.
func (c *conn) alive() bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.state != doomed
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	c.listener.forget(c)
	return c.rawConn.Close()
}

type connKey struct{}

func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// listener keeps at most limit connections: it closes the oldest waiting one for a new
// one.
type listener struct {
	net.Listener
	limit   int
	finding chan struct{} // one element for each search for a program

	mu    sync.Mutex // protects the following, and the state and holder of each conn
	conns list.List  // of *conn, the oldest first
	// The numbers of busy connections: of each client, its leases included, and of all
	// clients together.
	held    map[string]int
	clients int
}

func guarded(l net.Listener, limit int) *listener {
	return &listener{Listener: l, limit: limit, finding: make(chan struct{}, finders), held: map[string]int{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := newConn(raw.(rawConn))
		c.listener = l
		victim := l.remember(c)
		if victim != nil {
			_ = victim.Close()
		}
		if victim != c {
			return c, nil
		}
	}
}

// remember returns the connection that must be closed to make room for c: the oldest
// fresh one, else the oldest idle one, else c itself.
func (l *listener) remember(c *conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.place = l.conns.PushBack(c)
	if l.conns.Len() <= l.limit {
		return nil
	}
	for _, state := range [...]int{fresh, idle} {
		for e := l.conns.Front(); e != c.place; e = e.Next() {
			if old := e.Value.(*conn); old.state == state {
				old.state = doomed
				return old
			}
		}
	}
	return c
}

// release subtracts a connection from its holder's busy ones. The caller holds l.mu.
func (l *listener) release(c *conn) {
	if c.holder == "" {
		return
	}
	l.clients--
	if l.held[c.holder]--; l.held[c.holder] == 0 {
		delete(l.held, c.holder)
	}
	c.holder = ""
}

func (l *listener) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns.Remove(c.place)
	l.release(c)
}
