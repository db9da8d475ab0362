package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// LocalClient is a local program that may ask the agent.
type LocalClient struct {
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes"` // read, token, api-key, run, tweak, edit, proxy, manage
	Profiles  []string   `json:"profiles"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at"` // null: with its lease
	Lease     bool       `json:"lease"`      // of one running program; it ends with the program
	May       string     `json:"may"`        // its scopes in words, behind "may"
	Narrowed  bool       `json:"narrowed"`   // it got the scope run when run allowed tweaks and uploads, and nobody has seen that
}

// LocalClients is the body of GET /v1/clients.
type LocalClients struct {
	Clients []LocalClient `json:"clients"`
}

// Apps is the body of GET /v1/apps.
type Apps struct {
	Apps   []App          `json:"apps"`
	Scopes []ScopeInWords `json:"scopes"` // that an app can be given, the least first
	Uses   []AppUse       `json:"uses"`   // of the audit log, newest first
}

// App is a LocalClient, and when it last asked.
type App struct {
	LocalClient
	LastAskedAt *time.Time `json:"last_asked_at"` // null: not lately
}

// ScopeInWords says what a scope lets an app do.
type ScopeInWords struct {
	Scope string `json:"scope"`
	May   string `json:"may"` // behind "may"
}

// AppUse is an entry of the audit log in words.
type AppUse struct {
	At      time.Time `json:"at"`
	Client  string    `json:"client"`  // "": unknown
	Profile string    `json:"profile"` // "": none
	Who     string    `json:"who"`
	Did     string    `json:"did"`     // behind who
	Program string    `json:"program"` // the name of the program's file; "": unknown
	Count   int       `json:"count"`
	OwnLook bool      `json:"own_look"` // the person themselves looked at how things are
}

// ClientsChange is the body of PATCH /v1/clients.
type ClientsChange struct {
	Seen bool `json:"seen"` // the owner has seen which clients are narrowed; must be true
}

// NewClient is the body of POST /v1/clients.
type NewClient struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes"`
	Profiles  []string `json:"profiles"`
	ExpiresIn *int64   `json:"expires_in,omitempty"` // seconds, at most 366 days; left out: 30 days
}

// ClientToken answers a NewClient, as read: marshalled, it redacts itself.
type ClientToken struct {
	LocalClient
	Token secret.Text `json:"token"` // shown this once
}

// NewLease is the body of POST /v1/leases.
type NewLease struct {
	Profile string   `json:"profile"`
	Scopes  []string `json:"scopes"`
	For     string   `json:"for"` // exec or mcp
}

// Lease answers a NewLease, as read: marshalled, it redacts itself. The token is
// good for as long as the request stays open.
type Lease struct {
	Name      string      `json:"name"`
	Token     secret.Text `json:"token"`
	ProxyURL  string      `json:"proxy_url"`
	ServerURL string      `json:"server_url"`
	URL       string      `json:"url"` // of the local API, for TCP
}

// Clients are all clients. Only the owner and the page may ask.
func (c *Client) Clients(ctx context.Context) ([]LocalClient, error) {
	all, err := decode[LocalClients](c.ClientsJSON(ctx))
	return all.Clients, err
}

// ClientsJSON is the body of GET /v1/clients, byte for byte.
func (c *Client) ClientsJSON(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "/v1/clients", nil)
}

// AddClient adds a client, and returns the answer's body too, byte for byte. A taken
// name is a Problem of TypeConflict.
func (c *Client) AddClient(ctx context.Context, n NewClient) (ClientToken, secret.Text, error) {
	body, err := c.call(ctx, http.MethodPost, "/v1/clients", n)
	added, err := decode[ClientToken](body, err)
	return added, secret.New(string(body)), err
}

// SeenClients notes that the owner has seen which clients are narrowed: see
// LocalClient.Narrowed.
func (c *Client) SeenClients(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPatch, "/v1/clients", ClientsChange{Seen: true})
	return err
}

// RevokeClient ends a client's token at once.
func (c *Client) RevokeClient(ctx context.Context, name string) error {
	if err := vocabulary.ValidName(name); err != nil {
		return NewProblem(TypeBadRequest, err.Error())
	}
	_, err := c.call(ctx, http.MethodDelete, "/v1/clients/"+url.PathEscape(name), nil)
	return err
}

// RevokeSelf ends the client's token that this Client uses.
func (c *Client) RevokeSelf(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodDelete, "/v1/client", nil)
	return err
}

// Lease makes a client for a program that runs as long as the caller: its token ends
// when held is closed, or this process ends. A Read from held returns when the agent
// has gone; ResumeLease then resumes the lease at the next agent.
func (c *Client) Lease(ctx context.Context, n NewLease) (l Lease, held io.ReadCloser, err error) {
	line, held, err := c.hold(ctx, "/v1/leases", n)
	l, err = decode[Lease](line, err)
	if err != nil && held != nil {
		_ = held.Close() // the lease is of no use
		held = nil
	}
	return l, held, err
}

// ResumeLease resumes the lease whose token this Client uses, within 30 s of the
// agent's end.
func (c *Client) ResumeLease(ctx context.Context) (held io.ReadCloser, err error) {
	_, held, err = c.hold(ctx, "/v1/lease", nil)
	return held, err
}

// hold sends a request and returns the first line of an answer that goes on.
func (c *Client) hold(ctx context.Context, route string, body any) (line []byte, held io.ReadCloser, err error) {
	res, p, err := c.open(ctx, http.MethodPost, route, body)
	if err != nil {
		return nil, nil, err
	}
	lines := bufio.NewReader(res.Body)
	line, err = lines.ReadSlice('\n')
	if err != nil || !json.Valid(line) {
		defer res.Body.Close()
		return nil, nil, c.failure(p.ctx, brokenOff{io.ErrUnexpectedEOF})
	}
	// Stop the pulse: the program goes on, even if the agent stops answering.
	p.rest()
	return bytes.Clone(line), struct {
		io.Reader
		io.Closer
	}{lines, res.Body}, nil
}
