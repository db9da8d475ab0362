package localapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clients"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
	"langkeep/localapi/words"
)

const (
	clientLifetime    = 30 * 24 * time.Hour  // if the request names none
	maxClientLifetime = 366 * 24 * time.Hour // no token lives for ever
)

// grantable are the scopes that a client can be given.
var grantable = []guard.Scope{guard.Read, guard.Token, guard.APIKey, guard.Run, guard.Tweak, guard.Edit, guard.Proxy, guard.Manage}

// ClientTokens is the authority for the clients' tokens.
func ClientTokens(l *clients.List) guard.Authority { return clientTokens{l} }

type clientTokens struct{ list *clients.List }

// Lookup implements guard.Authority.
func (t clientTokens) Lookup(token string) (*guard.Caller, bool) {
	c, ended, ok := t.list.Lookup(token)
	if c == nil {
		return nil, false
	}
	scopes := make([]guard.Scope, len(c.Scopes))
	for i, s := range c.Scopes {
		scopes[i] = guard.Scope(s)
	}
	profiles := c.Profiles
	if profiles == nil {
		profiles = []string{} // nil would mean all
	}
	return &guard.Caller{Name: c.Name, Scopes: scopes, Profiles: profiles, Expires: c.Expires, Ended: ended, Root: c.Root}, ok
}

// Secret implements guard.Authority.
func (t clientTokens) Secret(id string) (proof.Secret, bool) {
	return t.list.Hash(func(hash [proof.Size]byte) bool { return proof.Secret(hash).Named(id) })
}

// clientAnswer and leaseAnswer are the wire's types as they are sent: the only
// places where a client's token leaves its redacting type.
type clientAnswer struct {
	client.LocalClient
	Token string `json:"token"`
}

type leaseAnswer struct {
	client.Lease
	Token string `json:"token"`
}

func (s *Server) listClients(w http.ResponseWriter, _ *http.Request, _ *guard.Caller, _ string) error {
	if err := s.Clients.Problem(); err != nil {
		return err
	}
	all := client.LocalClients{Clients: []client.LocalClient{}} // never null
	for _, c := range s.Clients.All() {
		all.Clients = append(all.Clients, presentClient(c))
	}
	return answer(w, http.StatusOK, all)
}

func presentClient(c clients.Client) client.LocalClient {
	return client.LocalClient{
		Name: c.Name, Scopes: c.Scopes, Profiles: c.Profiles,
		CreatedAt: *moment(c.Created), ExpiresAt: moment(c.Expires), Lease: c.Lease,
		May: words.May(c.Scopes), Narrowed: c.Narrowed,
	}
}

func (s *Server) addClient(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	var body client.NewClient
	if err := read(r, &body); err != nil {
		return err
	}
	lifetime := clientLifetime
	if body.ExpiresIn != nil {
		lifetime = time.Duration(*body.ExpiresIn) * time.Second
		if *body.ExpiresIn < 1 || *body.ExpiresIn > wholeSeconds(maxClientLifetime) {
			return client.NewProblem(client.TypeBadRequest, "expires_in must be 1 second to 366 days")
		}
	}
	if err := s.grants(caller, body.Scopes, body.Profiles); err != nil {
		return err
	}
	if err := s.Agent.LockedError(""); err != nil {
		return err
	}
	for _, profile := range body.Profiles {
		if err := s.mayHave(r, caller, profile, asks.Client); err != nil {
			return err
		}
	}
	token := guard.NewToken()
	c := clients.Client{Name: body.Name, Scopes: body.Scopes, Profiles: body.Profiles, Expires: time.Now().Add(lifetime).UTC().Truncate(time.Second)}
	if err := s.admit(c, token); err != nil {
		return err
	}
	for _, added := range s.Clients.All() {
		if added.Name == c.Name {
			profile := ""
			if len(c.Profiles) == 1 {
				profile = c.Profiles[0]
			}
			s.noteAbout(r, caller, profile, "POST "+clientsPath, c.Name)
			err := answer(w, http.StatusCreated, clientAnswer{presentClient(added), token.Reveal()})
			if http.NewResponseController(w).Flush() != nil {
				// The caller has left, so nobody has seen the token.
				return s.Clients.Revoke(c.Name)
			}
			if caller.Page {
				s.tellAdded(added)
			}
			return err
		}
	}
	return clientProblem(clients.ErrNone) // revoked already
}

// admit adds a client, unless one of its profiles was removed since the check of the
// request: that removal's Forget came too early for this client.
func (s *Server) admit(c clients.Client, token secret.Text) error {
	if err := s.Clients.Add(c, token); err != nil {
		return clientProblem(err)
	}
	for _, name := range c.Profiles {
		if _, gone := s.Agent.Profile(name); gone != nil {
			return errors.Join(gone, s.Clients.Forget(name))
		}
	}
	return nil
}

// tellAdded has Added tell the person of a client that a page has added.
func (s *Server) tellAdded(c clients.Client) {
	select {
	case s.added <- c:
	default: // nobody takes them
	}
}

// Added receives the clients that pages have added.
func (s *Server) Added() <-chan clients.Client { return s.added }

// grants checks that a caller has the rights that it wants to grant. A page that the person
// has confirmed grants what they can grant.
func (s *Server) grants(caller *guard.Caller, scopes, profiles []string) error {
	if len(scopes) == 0 || len(profiles) == 0 {
		return client.NewProblem(client.TypeBadRequest, "name at least one scope and one profile")
	}
	for _, name := range scopes {
		if !slices.Contains(grantable, guard.Scope(name)) {
			return client.NewProblem(client.TypeBadRequest, "there is no scope "+name+": there are read, token, api-key, run, tweak, edit, proxy and manage")
		}
		if !caller.Has(guard.Scope(name)) && !caller.Confirmed {
			return client.NewProblem(client.TypeForbidden, caller.Name+" lacks the scope "+name+" and can't give it")
		}
	}
	for _, name := range profiles {
		if !caller.Sees(name) {
			return client.NewProblem(client.TypeForbidden, "this client may not use that profile: add a client that may")
		}
		if _, err := s.Agent.Profile(name); err != nil {
			return err
		}
	}
	return nil
}

// seenClients notes that the owner has seen which clients are narrowed.
func (s *Server) seenClients(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	var body client.ClientsChange
	if err := read(r, &body); err != nil {
		return err
	}
	if !body.Seen {
		return client.NewProblem(client.TypeBadRequest, "seen must be true")
	}
	if err := s.Clients.Seen(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func clientProblem(err error) error {
	switch {
	case errors.Is(err, clients.ErrExists), errors.Is(err, clients.ErrMany), errors.Is(err, clients.ErrShare), errors.Is(err, clients.ErrFull):
		return client.NewProblem(client.TypeConflict, err.Error())
	case errors.Is(err, clients.ErrNone):
		return client.NewProblem(client.TypeNotFound, err.Error())
	case errors.Is(err, clients.ErrGrantor):
		return client.NewProblem(client.TypeUnauthorized, err.Error())
	case errors.Is(err, clients.ErrName):
		return client.NewProblem(client.TypeBadRequest, err.Error())
	}
	return err
}

func (s *Server) revokeClient(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error {
	if err := s.Clients.Revoke(name); err != nil {
		return clientProblem(err)
	}
	s.noteAbout(r, caller, "", "DELETE "+clientPath, name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// revokeSelf ends the client token that the request carries.
func (s *Server) revokeSelf(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	if caller.Owner || caller.Page {
		return client.NewProblem(client.TypeBadRequest, "this is not a client's token: send the one to be revoked")
	}
	if err := s.Clients.Revoke(caller.Name); err != nil {
		return clientProblem(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// lease makes a client that lives while the request is held open, and opens the proxy
// if the client's scopes need it.
func (s *Server) lease(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	var body client.NewLease
	if err := read(r, &body); err != nil {
		return err
	}
	if body.For != "exec" && body.For != "mcp" {
		return client.NewProblem(client.TypeBadRequest, "for must be exec or mcp")
	}
	if caller.Page {
		// The answer takes the connection over, and so would not be sealed.
		return client.NewProblem(client.TypeForbidden, "the control page runs no programs, so it gets no lease: use langkeep exec")
	}
	if err := s.grants(caller, body.Scopes, []string{body.Profile}); err != nil {
		return err
	}
	if err := s.Agent.LockedError(body.Profile); err != nil {
		return err
	}
	if err := s.mayHave(r, caller, body.Profile, asks.Lease); err != nil {
		return err
	}
	snapshot, err := s.Agent.Profile(body.Profile)
	switch {
	case err != nil:
		return err
	case snapshot.ProxyOpen:
	case !caller.Has(guard.Owner):
		// The proxy would stay open, and only the owner may change that setting.
		return client.NewProblem(client.TypeForbidden, "the proxy of "+body.Profile+" is closed, and this client can't open it: run langkeep proxy "+body.Profile+" on")
	default:
		if snapshot, err = s.openProxy(r.Context(), body.Profile); err != nil {
			return err
		}
	}
	url := proxyURL(snapshot)
	if url == nil {
		return client.NewProblem(client.TypeConflict, "the proxy of "+body.Profile+" was closed meanwhile: try again")
	}
	grantedBy := ""
	if !caller.Owner {
		grantedBy = caller.Name
	}
	token := guard.NewToken()
	c := clients.Client{
		Name: clients.LeaseName(body.For), Scopes: body.Scopes, Profiles: []string{body.Profile},
		Expires: caller.Expires, Lease: true, GrantedBy: grantedBy,
	}
	if err := s.admit(c, token); err != nil {
		return err
	}
	_, ended, ok := s.Clients.Lookup(token.Reveal())
	if !ok {
		return clientProblem(clients.ErrGrantor) // revoked already, most likely with its grantor
	}
	return s.hold(w, r, s.useOf(r, caller, body.Profile, "POST "+leasesPath), c.Name, ended, leaseAnswer{
		client.Lease{Name: c.Name, ProxyURL: *url, ServerURL: snapshot.ServerURL, URL: s.URL}, token.Reveal(),
	})
}

// resumeLease resumes the lease of the request's token, after a restart of the agent.
func (s *Server) resumeLease(w http.ResponseWriter, r *http.Request, caller *guard.Caller, _ string) error {
	ended, err := s.Clients.Hold(caller.Name)
	if err != nil {
		return client.NewProblem(client.TypeConflict, "another request holds this lease, or the token belongs to none: ask for a new lease")
	}
	return s.hold(w, r, s.useOf(r, caller, "", "POST "+leasePath), caller.Name, ended, struct {
		Name string `json:"name"`
	}{caller.Name})
}

// hold answers, then waits until the client leaves or the agent stops. If the client
// leaves, its token ends; if the agent stops, the client resumes the lease at the next
// one. hold takes the connection over, since net/http does not notice a client that
// sends a byte before it leaves.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, u use, name string, ended <-chan struct{}, first any) error {
	stopping := stopped(r.Context())
	line, err := json.Marshal(first)
	if err != nil {
		return err
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // a failure shows in what follows
	gone := make(chan struct{})
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 201 Created\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\n"+
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s\n", line); err == nil {
		s.note(u, nil) // note it now, not at the lease's end
		go func() {
			defer close(gone)
			_, _ = conn.Read(make([]byte, 1)) // the holder of a lease sends nothing more
		}()
		select {
		case <-gone:
		case <-ended:
			return nil
		case <-stopping:
			return nil
		}
	}
	if err := s.Clients.Revoke(name); err != nil && !errors.Is(err, clients.ErrNone) {
		s.Log.Warn("the clients can't be written down", "error", err)
	}
	return nil
}
