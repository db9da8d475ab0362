// Package guard is what every request to Langkeep goes through before any
// route is looked at: how connections are accepted and bounded, from which
// page, host and user a request may come, who asks, and what they may do.
//
// A listener made by ListenTCP or ListenSocket is served by a server made by
// NewServer, whose handler begins with Guard.Check and answers its problem
// with WriteProblem. A request that came in any other way is refused, since
// nothing is known of its connection.
package guard

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

// Scope is a right that a caller can be given.
type Scope string

// The scopes. Owner stands for the routes that are the owner's alone.
const (
	Read   Scope = "read"
	Token  Scope = "token"
	APIKey Scope = "api-key"
	Run    Scope = "run"   // through the proxy: runs flows with inputs
	Tweak  Scope = "tweak" // run, with tweaks and uploads: before Langflow 1.13 that is code
	Edit   Scope = "edit"  // through the proxy: the account, without what takes code
	Proxy  Scope = "proxy" // the whole account: code, and with code its credentials
	Manage Scope = "manage"
	Owner  Scope = "owner"
	// Anyone stands for what needs no right: the control page's own files, and
	// the exchange of a code.
	Anyone Scope = ""
)

// included are the scopes that another one has in it.
var included = map[Scope][]Scope{
	Tweak: {Run},
	Edit:  {Run},
	Proxy: {Run, Tweak, Edit},
}

// Caller is who asks, once the guard has let a request through. It is shared
// between requests: do not change it.
type Caller struct {
	Name     string          // "owner", "page" or a client's name
	Owner    bool            // every scope and every profile
	Page     bool            // the control page's token, which changes nothing without an Origin
	Scopes   []Scope         // unused for the owner
	Profiles []string        // nil means all
	Expires  time.Time       // zero: with what gave it the token
	Root     string          // the client that a lease comes from in the end; "" is Name
	Ended    <-chan struct{} // closed when the token is good no more; may be nil
}

// Has tells whether the caller was given the scope, or one that includes it.
func (c *Caller) Has(s Scope) bool {
	return c.Owner || s == Anyone || slices.ContainsFunc(c.Scopes, func(given Scope) bool {
		return given == s || slices.Contains(included[given], s)
	})
}

// Sees tells whether the profile is one of the caller's. Lists leave out what
// the caller does not see.
func (c *Caller) Sees(profile string) bool {
	return c.Owner || c.Profiles == nil || slices.Contains(c.Profiles, profile)
}

// Authority knows the callers by their tokens. Lookup must take as long for a
// token that is nearly right as for any other. If the token's time is over it
// may still tell whose it was, with false.
type Authority interface {
	Lookup(token string) (*Caller, bool)
	// Secret is that of the token with the ID, one whose time is over included.
	Secret(id string) (proof.Secret, bool)
}

// Authorities are asked one after the other.
type Authorities []Authority

// Lookup implements Authority.
func (all Authorities) Lookup(token string) (*Caller, bool) {
	var over *Caller
	for _, a := range all {
		caller, ok := a.Lookup(token)
		if ok {
			return caller, true
		}
		if caller != nil {
			over = caller
		}
	}
	return over, false
}

// Secret implements Authority.
func (all Authorities) Secret(id string) (proof.Secret, bool) {
	for _, a := range all {
		if s, ok := a.Secret(id); ok {
			return s, true
		}
	}
	return proof.Secret{}, false
}

// Way is a way in: one row of the contract's table.
type Way int

const (
	// TCP is a loopback connection: an exact Host, an Origin of our own or
	// none, a bearer.
	TCP Way = iota
	// Socket is the Unix socket: any Host, no Origin, and our own user on the
	// other end is the owner.
	Socket
	// Page is TCP for the control page's own paths (/ and /ui/*), which hold
	// nothing secret: they can be navigated to from anywhere, and reading them
	// takes no token.
	Page
	// Exchange is TCP for the requests of the control page that carry no bearer:
	// a connection of our own user and an Origin of our own stand in for it, and
	// the handler asks for the code, or opens what was sealed with the code or
	// the token.
	Exchange
	// Proof is TCP for the question that the agent answers before it is sent a
	// bearer.
	Proof
)

// WayIn is the way of the request's connection, TCP or Socket.
func WayIn(r *http.Request) Way {
	if c := connOf(r); c != nil && c.socket {
		return Socket
	}
	return TCP
}

// Config is what a Guard is made from.
type Config struct {
	Authority Authority
	// AllowUIDs returns the users beside our own whose TCP connections are
	// heard. It is asked at each request of such a user; nil means nobody.
	AllowUIDs func() []uint32
	Log       *slog.Logger
}

// Guard decides which requests are heard.
type Guard struct {
	authority Authority
	allowUIDs func() []uint32
	log       *slog.Logger
	self      uint32 // root is another user, unless we are root
	owner     *Caller
	page      *Caller // who has no right yet

	// lookUp finds who owns the remote end of a TCP connection. Its error is
	// errNobody if there is no such owner, and anything else if this cannot be
	// told.
	lookUp func(remote, local netip.AddrPort) (peer, error)

	lookUpFailed sync.Once // told in the log

	telling rate.Sometimes // of refusals in the log
	untold  atomic.Int64   // refusals since the last one told
}

// New makes a guard.
func New(c Config) *Guard {
	users := new(tcpUsers)
	return &Guard{
		authority: c.Authority,
		allowUIDs: c.AllowUIDs,
		log:       c.Log,
		self:      uint32(os.Getuid()),
		owner:     &Caller{Name: "owner", Owner: true},
		page:      &Caller{Name: "page", Page: true, Profiles: []string{}},
		lookUp:    users.lookUp,
		telling:   rate.Sometimes{First: 5, Interval: 10 * time.Second},
	}
}

// PeerLookup tells why the user behind a TCP connection cannot be looked up
// now, so that the bearer alone decides; nil if it can.
func (g *Guard) PeerLookup() error {
	none := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if _, err := g.lookUp(none, none); err != errNobody {
		return err
	}
	return nil
}

// Check decides whether a request is heard, and who asks. It looks at nothing
// that depends on the route, so a stranger learns nothing of the profiles; and
// of two reasons to refuse, the one that needs no proof is given.
func (g *Guard) Check(r *http.Request, way Way) (*Caller, *client.Problem) {
	conn := connOf(r)
	if conn == nil || conn.socket != (way == Socket) {
		return nil, client.NewProblem(client.TypeInternal, "the request did not come through a guarded listener")
	}
	caller, p := g.check(conn, r, way)
	if p == nil {
		p = g.admit(conn, caller)
	}
	if p != nil {
		g.tell(conn, r, p)
	}
	return caller, p
}

// Admit keeps the connection for a caller who is known only by what is in the
// request's body.
func (g *Guard) Admit(r *http.Request, caller *Caller) *client.Problem {
	return g.admit(connOf(r), caller)
}

// admit keeps the connection for the caller's request. One that anybody may send,
// such as for the page's own files, keeps none.
func (g *Guard) admit(conn *conn, caller *Caller) *client.Problem {
	if caller == g.page && conn.alive() || caller != g.page && conn.admit(caller) {
		return nil
	}
	return client.NewProblem(client.TypeInternal, "too many connections: this one was closed")
}

func (g *Guard) check(conn *conn, r *http.Request, way Way) (*Caller, *client.Problem) {
	origin, p := conn.addressed(r)
	if p != nil {
		return nil, p
	}
	if p := checkSource(r, way, origin); p != nil {
		return nil, p
	}
	if p := g.checkPeer(conn); p != nil {
		return nil, p
	}
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead
	if way == Page && safe {
		return g.page, nil
	}
	switch way {
	case Exchange:
		return g.exchange(conn, r)
	case Proof:
		return g.page, nil
	}
	caller, p := g.prove(conn, r.Header["Authorization"])
	if p != nil {
		return caller, p
	}
	if caller.Page && !safe && len(r.Header["Origin"]) == 0 {
		return caller, client.NewProblem(client.TypeForbiddenOrigin, "the control page's token changes nothing without an Origin")
	}
	return caller, nil
}

// addressed tells whether a request is one that was meant for us, and the
// Origin that a page of ours would send with it; "" on the socket.
func (c *conn) addressed(r *http.Request) (origin string, p *client.Problem) {
	// net/http takes the Host from an absolute target and answers CONNECT and
	// the preface of HTTP/2 as if they were ordinary requests.
	if r.ProtoMajor != 1 || r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/") {
		return "", client.NewProblem(client.TypeBadRequest, "send an HTTP/1.1 request whose target is a path that begins with /")
	}
	if c.socket {
		return "", nil
	}
	i := slices.Index(c.hosts, r.Host)
	if i < 0 {
		return "", client.NewProblem(client.TypeForbiddenHost, "the Host must be one of "+strings.Join(c.hosts, ", "))
	}
	return c.origins[i], nil
}

// exchange lets in a page of our own, in a browser of our own user.
func (g *Guard) exchange(conn *conn, r *http.Request) (*Caller, *client.Problem) {
	if len(r.Header["Origin"]) == 0 {
		return nil, client.NewProblem(client.TypeForbiddenOrigin, "only the control page exchanges a code: run langkeep open")
	}
	if conn.peerErr == nil && conn.uid != g.self { // one of those whom config.toml allows
		return nil, client.NewProblem(client.TypeForbidden, "the control page is for the user who runs the agent")
	}
	return g.page, nil
}

// PeerKnown tells whether the user behind a request that Check has let through
// was looked up, rather than taken to be ours because nobody could tell.
func PeerKnown(r *http.Request) bool {
	conn := connOf(r)
	return conn != nil && conn.peerErr == nil
}

// checkSource refuses what a page of another origin or a reverse proxy sends.
// own is the only Origin allowed, empty for none. The contract names no type
// for a forwarded request; it is of a foreign origin as well.
func checkSource(r *http.Request, way Way, own string) *client.Problem {
	if p := checkForwarded(r); p != nil {
		return p
	}
	if o := r.Header["Origin"]; len(o) > 1 || len(o) == 1 && (own == "" || o[0] != own) {
		return client.NewProblem(client.TypeForbiddenOrigin, "requests of web pages are refused: ask from a program")
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if (site == "cross-site" || site == "same-site") && !navigation(r, way) {
			return client.NewProblem(client.TypeForbiddenOrigin, "requests of web pages are refused: ask from a program")
		}
	}
	return nil
}

func checkForwarded(r *http.Request) *client.Problem {
	for name := range r.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			return client.NewProblem(client.TypeForbiddenOrigin, "forwarded requests are refused: ask without a reverse proxy in between")
		}
	}
	return nil
}

// navigation tells whether a person follows a link to the control page, which
// a browser says in headers that no page can set.
func navigation(r *http.Request, way Way) bool {
	return way == Page && r.Method == http.MethodGet &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// checkPeer refuses the connections of other users. Only where a TCP
// connection's user cannot be told does the bearer alone decide.
func (g *Guard) checkPeer(conn *conn) *client.Problem {
	conn.peerOnce.Do(func() {
		conn.looked = true
		if conn.socket {
			conn.peer, conn.peerErr = socketPeer(conn.rawConn)
			return
		}
		conn.peer, conn.peerErr = g.lookUp(conn.remote, conn.local)
		if conn.peerErr != nil && conn.peerErr != errNobody {
			g.lookUpFailed.Do(func() {
				g.log.Warn("the users behind TCP connections cannot be told: the bearer alone decides", "error", conn.peerErr)
			})
		}
	})
	switch {
	case conn.peerErr == nil:
		if conn.uid == g.self || g.allowUIDs != nil && slices.Contains(g.allowUIDs(), conn.uid) {
			return nil
		}
		return client.NewProblem(client.TypeForbidden, fmt.Sprintf("connections of user %d are refused: ask as the user who runs the agent", conn.uid))
	case conn.socket || conn.peerErr == errNobody:
		return client.NewProblem(client.TypeForbidden, "the user behind this connection cannot be told: connect again, and keep the connection open")
	default:
		return nil
	}
}

// prove finds out who asks. A bearer decides wherever one is sent.
func (g *Guard) prove(conn *conn, authorization []string) (*Caller, *client.Problem) {
	switch len(authorization) {
	case 0:
		if conn.socket && conn.uid == g.self {
			return g.owner, nil
		}
		return nil, client.NewProblem(client.TypeUnauthorized, "send the header Authorization: Bearer with the owner's or a client's token")
	case 1:
		if token, ok := bearer(authorization[0]); ok {
			caller, ok := g.authority.Lookup(token)
			if ok {
				return caller, nil
			}
			if caller != nil {
				return caller, expired(caller)
			}
		}
		return nil, client.NewProblem(client.TypeUnauthorized, "the token is not valid: it was revoked, has expired, or belongs to an earlier start of the agent")
	default:
		return nil, client.NewProblem(client.TypeUnauthorized, "send one Authorization header, not several")
	}
}

// expired is what the holder of a token hears whose time is over.
func expired(c *Caller) *client.Problem {
	return client.NewProblem(client.TypeUnauthorized, "the token of the client "+c.Name+" has expired: langkeep client add makes another")
}

// bearer is the token of an Authorization header (RFC 6750), whose scheme's
// case does not matter (RFC 9110, 11.1).
func bearer(authorization string) (string, bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	return strings.TrimLeft(token, " "), ok && strings.EqualFold(scheme, "Bearer")
}

// Prove answers a nonce as only the agent can, for the token with the ID, on a
// connection whose end on this side has the address at.
func (g *Guard) Prove(id string, nonce []byte, at string) ([]byte, bool) {
	secret, ok := g.authority.Secret(id)
	if !ok {
		return nil, false
	}
	return secret.OfAgent(nonce, at), true
}

// Require tells what a caller lacks for a route: the scope, or the profile
// that the route names (empty for none). A profile that the caller does not
// see is forbidden whether it exists or not, so the answer reveals nothing.
func (g *Guard) Require(c *Caller, s Scope, profile string) *client.Problem {
	if !c.Has(s) {
		if s == Owner {
			return client.NewProblem(client.TypeForbidden, "only the owner may do this: use the owner's token")
		}
		return client.NewProblem(client.TypeForbidden, "this client lacks the scope "+string(s)+": add a client that has it")
	}
	if profile != "" && !c.Sees(profile) {
		return client.NewProblem(client.TypeForbidden, "this client may not use that profile: add a client that may")
	}
	return nil
}

// tell logs a refusal, now and then, so that a flood does not fill the log.
// The path and the credentials stay out of it.
func (g *Guard) tell(conn *conn, r *http.Request, p *client.Problem) {
	g.untold.Add(1)
	g.telling.Do(func() {
		g.log.Info("refused a request", "problem", p.Kind(), "detail", p.Detail, "refusals", g.untold.Swap(0),
			"from", conn.RemoteAddr().String(), "method", loggable(r.Method),
			"host", loggable(r.Host), "origin", loggable(strings.Join(r.Header["Origin"], ", ")))
	})
}

// loggable makes a stranger's text safe for a terminal and for a log: short,
// printable ASCII, and nothing from where a token of ours begins.
func loggable(s string) string {
	s, _, _ = strings.Cut(s, tokenPrefix)
	const longest = 64 // bytes
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
}
