package guard

import (
	"net/http"
	"slices"

	"langkeep/localapi/client"
)

// CheckProxy decides whether a request to a profile's proxy is admitted. Pages of the
// origins in allowed may ask too. The proxy identifies the caller itself, with Client,
// since tools send a client token in places of their own, and a preflight has none.
func (g *Guard) CheckProxy(r *http.Request, allowed []string) *client.Problem {
	conn := connOf(r)
	if conn == nil || conn.socket {
		return client.NewProblem(client.TypeInternal, "the request did not come through a guarded listener")
	}
	p := g.checkProxy(conn, r, allowed)
	if p != nil {
		g.tell(conn, r, p)
	}
	return p
}

func (g *Guard) checkProxy(conn *conn, r *http.Request, allowed []string) *client.Problem {
	own, p := conn.addressed(r)
	if p != nil {
		return p
	}
	// The user has named this origin, so ignore the browser's Sec-Fetch-Site: the page
	// is of another site than the proxy.
	check := checkForwarded
	if o := r.Header["Origin"]; len(o) != 1 || !slices.Contains(allowed, o[0]) {
		check = func(r *http.Request) *client.Problem { return checkSource(r, TCP, own) }
	}
	if p := check(r); p != nil {
		return p
	}
	return g.checkPeer(conn)
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
