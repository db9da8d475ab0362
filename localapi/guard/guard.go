// Package guard checks every request to Langkeep before its route is looked at. It
// accepts and bounds connections, decides from which page, host and user a request may
// come, identifies the caller, and checks the caller's rights.
//
// A server made by NewServer serves a listener made by ListenTCP or ListenSocket. Its
// handler begins with Guard.Check and answers a problem with WriteProblem. A request
// that came any other way is refused, since the guard does not know its connection.
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
	// Anyone stands for routes that need no right: the control page's own files, and
	// the exchange of a code.
	Anyone Scope = ""
)

// included are the scopes that a scope includes.
var included = map[Scope][]Scope{
	Tweak: {Run},
	Edit:  {Run},
	Proxy: {Run, Tweak, Edit},
}

// Caller is the caller of an admitted request. Requests share it: do not change it.
type Caller struct {
	Name      string          // "owner", "page" or a client's name
	Owner     bool            // every scope and every profile
	Page      bool            // the caller has a token of the control page, which changes nothing without an Origin
	Confirmed bool            // the page speaks for the person, see Pages.Confirm
	Scopes    []Scope         // unused for the owner
	Profiles  []string        // nil means all
	Expires   time.Time       // zero: with the page, lease or agent that gave the token
	Root      string          // the first client in a lease's chain; "" means Name
	Ended     <-chan struct{} // closed when the token ends; may be nil
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

// Authority finds callers by their tokens. Lookup must take as long for a nearly right
// token as for any other. For an expired token it may return the caller, with false.
type Authority interface {
	Lookup(token string) (*Caller, bool)
	// Secret returns the secret of the token with the ID, even if the token has
	// expired.
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

// Way is a way in: one row of the contract's table of ways.
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
	// AllowUIDs returns the other users whose TCP connections are admitted. The guard
	// asks it at each request of such a user; nil means none.
	AllowUIDs func() []uint32
	Log       *slog.Logger
}

// Guard decides which requests are admitted.
type Guard struct {
	authority Authority
	allowUIDs func() []uint32
	log       *slog.Logger
	self      uint32 // root is another user, unless we are root
	owner     *Caller
	page      *Caller // the page before it has a token; it has no right

	// lookUp finds the owner of the remote end of a TCP connection. Its error is
	// errNobody if there is no owner, and another one if the system can't tell.
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

// Check decides whether a request is admitted, and returns its caller. It does not look
// at the route, so a stranger learns nothing of the profiles. Of two reasons to refuse
// it gives the one that needs no proof.
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

// Admit keeps the connection for a caller that only the request's body identifies.
func (g *Guard) Admit(r *http.Request, caller *Caller) *client.Problem {
	return g.admit(connOf(r), caller)
}

// admit keeps the connection for the caller's request. A request that anybody may send,
// such as for the page's own files, keeps no connection.
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

// addressed checks that a request was meant for the agent, and returns the Origin that
// the control page would send with it; "" on the socket.
func (c *conn) addressed(r *http.Request) (origin string, p *client.Problem) {
	if p := plain(r); p != nil {
		return "", p
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

// plain refuses what net/http answers as if it were an ordinary request: an absolute
// target, whose host it takes for the Host, CONNECT, and the preface of HTTP/2.
func plain(r *http.Request) *client.Problem {
	if r.ProtoMajor != 1 || r.Method == http.MethodConnect || !strings.HasPrefix(r.RequestURI, "/") {
		return client.NewProblem(client.TypeBadRequest, "send an HTTP/1.1 request whose target is a path that begins with /")
	}
	return nil
}

// exchange admits the control page in a browser of our own user.
func (g *Guard) exchange(conn *conn, r *http.Request) (*Caller, *client.Problem) {
	if len(r.Header["Origin"]) == 0 {
		return nil, client.NewProblem(client.TypeForbiddenOrigin, "only the control page exchanges a code: run langkeep open")
	}
	if conn.peerErr == nil && conn.uid != g.self { // a user that config.toml allows
		return nil, client.NewProblem(client.TypeForbidden, "the control page is for the user who runs the agent")
	}
	return g.page, nil
}

// PeerKnown tells whether Check has looked up the user behind an admitted request. If
// the system can't tell the user, Check assumes our own, and PeerKnown is false.
func PeerKnown(r *http.Request) bool {
	conn := connOf(r)
	return conn != nil && conn.peerErr == nil
}

// checkSource refuses requests of pages of another origin and of reverse proxies. own
// is the only allowed Origin, empty for none. The contract names no type for a
// forwarded request, so it counts as one of a foreign origin.
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

// navigation tells whether a person follows a link to the control page: browsers say so
// in headers that no page can set.
func navigation(r *http.Request, way Way) bool {
	return way == Page && r.Method == http.MethodGet &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// checkPeer refuses the connections of other users. If the system can't tell a TCP
// connection's user, the bearer alone decides.
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

// prove identifies the caller. A bearer decides wherever one is sent.
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

// expired is the problem for the holder of an expired token.
func expired(c *Caller) *client.Problem {
	return client.NewProblem(client.TypeUnauthorized, "the token of the client "+c.Name+" has expired: langkeep client add makes another")
}

// bearer is the token of an Authorization header (RFC 6750), whose scheme's
// case does not matter (RFC 9110, 11.1).
func bearer(authorization string) (string, bool) {
	scheme, token, ok := strings.Cut(authorization, " ")
	return strings.TrimLeft(token, " "), ok && strings.EqualFold(scheme, "Bearer")
}

// Prove returns the agent's proof for a nonce and the token with the ID. at is the
// address of the agent's end of the connection.
func (g *Guard) Prove(id string, nonce []byte, at string) ([]byte, bool) {
	secret, ok := g.authority.Secret(id)
	if !ok {
		return nil, false
	}
	return secret.OfAgent(nonce, at), true
}

// Require checks that a caller has the scope of a route and sees the profile that the
// route names (empty for none). A profile that the caller does not see is forbidden
// whether it exists or not, so the answer reveals nothing.
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

// loggable makes a stranger's text safe for a terminal and a log: short, printable
// ASCII, cut off where a token of ours begins.
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
