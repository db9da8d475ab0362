package guard

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"langkeep/localapi/client"
)

// Allowed are those who may ask a profile's proxy beside this computer's own programs,
// as the profile says.
type Allowed struct {
	Origins []string // of web pages
	Hosts   []string // by which programs in containers know this computer, without a port
}

// CheckProxy decides whether a request to a profile's proxy is admitted. The proxy
// identifies the caller itself, with Client, since tools send a client token in places of
// their own, and a preflight has none. So its socket makes nobody the owner.
func (g *Guard) CheckProxy(r *http.Request, allowed Allowed) *client.Problem {
	conn := connOf(r)
	if conn == nil {
		return client.NewProblem(client.TypeInternal, "the request did not come through a guarded listener")
	}
	p := g.checkProxy(conn, r, allowed)
	if p != nil {
		g.tell(conn, r, p)
	}
	return p
}

func (g *Guard) checkProxy(conn *conn, r *http.Request, allowed Allowed) *client.Problem {
	p := plain(r)
	if p == nil && conn.named(r.Host, allowed.Hosts) {
		p = checkProgram(r)
	} else if p == nil {
		p = conn.checkPageOf(r, allowed.Origins)
	}
	if p != nil {
		return p
	}
	return g.checkPeer(conn)
}

// checkPageOf admits programs, the proxy's own pages and those of the given origins.
func (c *conn) checkPageOf(r *http.Request, origins []string) *client.Problem {
	own, p := c.addressed(r)
	if p != nil {
		return p
	}
	// The user has named this origin, so ignore the browser's Sec-Fetch-Site: the page
	// is of another site than the proxy.
	if o := r.Header["Origin"]; !c.socket && len(o) == 1 && slices.Contains(origins, o[0]) {
		return checkForwarded(r)
	}
	return checkSource(r, TCP, own)
}

// named tells whether a Host is one of the names, with the connection's port.
func (c *conn) named(host string, names []string) bool {
	name, port, _ := strings.Cut(host, ":")
	return !c.socket && cmp.Or(port, "80") == strconv.Itoa(int(c.local.Port())) && name != "" &&
		slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// checkProgram refuses all that a browser sends: DNS may lead a name from the profile's
// file here, and a page of that name would be of the same origin as the proxy.
func checkProgram(r *http.Request) *client.Problem {
	if len(r.Header["Origin"])+len(r.Header["Sec-Fetch-Site"]) > 0 {
		return client.NewProblem(client.TypeForbiddenOrigin, "under this name only programs may use the proxy, and no web page")
	}
	return checkForwarded(r)
}

// Client finds the client of a request's token, and keeps the connection from then on.
// The owner's and the page's tokens are not for the proxy: a tool with one of them
// would have every right. As with Check, a problem may come with the caller.
func (g *Guard) Client(r *http.Request, token string) (*Caller, *client.Problem) {
	caller, ok := g.authority.Lookup(token)
	switch {
	case !ok && caller != nil:
		return caller, expired(caller)
	case !ok:
		return nil, client.NewProblem(client.TypeUnauthorized, "the token is not valid: it was revoked or has expired")
	case caller.Owner || caller.Page:
		return caller, client.NewProblem(client.TypeForbidden, "the proxy takes a client's token: langkeep client add makes one")
	}
	return caller, g.admit(connOf(r), caller)
}
