// Package langflow speaks the part of a Langflow server's API that keeps
// people signed in. It decides by what the server answers and never by its
// version number; facts about Langflow were seen on 1.0 to 1.13.
package langflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
)

// Options are a Client's. The zero value will do.
type Options struct {
	Transport http.RoundTripper // nil: NewTransport(nil)
	AllowHTTP bool              // http:// to other computers too
	Clock     clock.Clock       // nil: the system's
	UserAgent string            // "": langkeep
	// TryAgain hears of a request, as it was sent, that a gateway refused, and tells
	// whether sending it again can help. Nil is never.
	TryAgain func(sent *http.Request) bool
}

// Client calls one server. It keeps no credential and is safe for concurrent
// use. Each call ends within 30 s.
type Client struct {
	url       *url.URL // normalised, with the root path
	allowHTTP bool
	transport http.RoundTripper
	clock     clock.Clock
	userAgent string
	tryAgain  func(*http.Request) bool

	measured atomic.Pointer[measured] // nil before the first Date
}

// New makes a client of the server at serverURL, which need not be normalised.
// It fails with an *Error of kind PlainHTTP where Options forbid the address.
func New(serverURL string, o Options) (*Client, error) {
	u, err := parseURL(serverURL)
	if err != nil {
		return nil, err
	}
	c := &Client{url: u, allowHTTP: o.AllowHTTP, transport: o.Transport, clock: cmp.Or(o.Clock, clock.System()), userAgent: cmp.Or(o.UserAgent, "langkeep"), tryAgain: o.TryAgain}
	if c.forbids(u) {
		return nil, &Error{Op: "connect to " + u.String(), Kind: PlainHTTP}
	}
	if c.transport == nil {
		if c.transport, err = NewTransport(nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// forbids tells whether requests to an address would be unencrypted although the
// options don't allow that.
func (c *Client) forbids(u *url.URL) bool {
	return u.Scheme == "http" && !c.allowHTTP && !loopback(u.Hostname())
}

// URL is the server's address, normalised.
func (c *Client) URL() string { return c.url.String() }

// Version asks for the server's version, without a credential. The error has the kind
// NotLangflow if something else answers.
func (c *Client) Version(ctx context.Context) (string, error) {
	const op = "ask for the version"
	a, err := c.call(ctx, call{op: op, method: http.MethodGet, path: "/version"})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == BadRequest {
			e.Kind = NotLangflow
		}
		return "", err
	}
	if version := a.version(); version != "" {
		return version, nil
	}
	return "", a.notLangflow("the answer has no version")
}

// Login signs in with a password. Every call counts against the server's rate
// limit (from 1.10, 5 a minute and address), a success too.
func (c *Client) Login(ctx context.Context, username string, password secret.Text) (*Tokens, error) {
	return c.tokens(ctx, call{
		op: "sign in", method: http.MethodPost, path: "/login",
		form:    url.Values{"username": {username}, "password": {password.Reveal()}},
		secrets: []secret.Text{password},
	}, "")
}

// AutoLogin signs in on a server that admits everybody. Up to 1.10.0 the access token
// lives 365 days and there is no refresh token.
func (c *Client) AutoLogin(ctx context.Context) (*Tokens, error) {
	return c.tokens(ctx, call{op: "auto login", method: http.MethodGet, path: "/auto_login"}, "")
}

// Refresh gets a new pair for a refresh token. cookieName is the one learned at
// sign-in, "" for a token from a browser. The token is sent under every name that the
// server's cookie may have: under a root path an upgrade or a downgrade changes the
// name, and the server ignores a token under another one.
func (c *Client) Refresh(ctx context.Context, refresh secret.Text, cookieName string) (*Tokens, error) {
	const op = "refresh"
	names := refreshCookies(c.url)
	if cookieName != "" && !slices.Contains(names, cookieName) {
		names = append(names, cookieName)
	}
	var cookies []string
	for _, name := range names {
		if !validCookieName(name) || !validCookieValue(refresh.Reveal()) {
			return nil, &Error{Op: op, Kind: BadRequest, Detail: "this can't be a refresh token: it is empty or has characters no cookie can carry"}
		}
		cookies = append(cookies, name+"="+refresh.Reveal())
	}
	// Set by hand: up to 1.11.0 the cookie is Secure even over plain HTTP, and
	// an RFC-abiding jar would not send it there.
	return c.tokens(ctx, call{
		op: op, method: http.MethodPost, path: "/refresh",
		header:     http.Header{"Cookie": {strings.Join(cookies, "; ")}},
		repeatable: true,
		secrets:    []secret.Text{refresh},
	}, cookieName)
}

// Logout tells the server that the user has signed out. It revokes nothing (up to
// 1.13): both tokens stay valid until their own end.
func (c *Client) Logout(ctx context.Context, access secret.Text) error {
	cred := Bearer(access)
	_, err := c.call(ctx, call{
		op: "sign out", method: http.MethodPost, path: "/logout",
		header: cred.header(), repeatable: true, secrets: []secret.Text{access},
	})
	return err
}

// Credential is an access token, an API key, or what the gateway in front of the server
// tells of who it let in. The zero value is none.
type Credential struct {
	text    secret.Text
	key     bool
	gateway bool
}

// ByGateway is the credential of a session that the gateway's cookies identify: the
// gateway tells the server, so a request needs nothing more.
func ByGateway() Credential { return Credential{gateway: true} }

// Empty tells whether there is no credential.
func (c Credential) Empty() bool { return c.text.Empty() && !c.gateway }

// Token is the access token; empty if the credential is none.
func (c Credential) Token() secret.Text {
	if c.key {
		return secret.Text{}
	}
	return c.text
}

// Bearer makes a credential of an access token.
func Bearer(access secret.Text) Credential { return Credential{text: access} }

// Key makes a credential of an API key.
func Key(key secret.Text) Credential { return Credential{text: key, key: true} }

func (c Credential) header() http.Header {
	switch {
	case c.gateway:
		return http.Header{}
	case c.key:
		return http.Header{"X-Api-Key": {c.text.Reveal()}}
	}
	return http.Header{"Authorization": {"Bearer " + c.text.Reveal()}}
}

func (c Credential) refused(detail string) Kind {
	switch {
	case c.key && keyRefused(detail):
		return KeyRefused
	case !c.key && tokenRefused(detail):
		return TokenRefused
	}
	return ""
}

// on is a call with the credential, whose refusals it knows.
func (c Credential) on(req call) call {
	req.header, req.secrets, req.refused = c.header(), []secret.Text{c.text}, c.refused
	return req
}

// User is an account of the server.
type User struct {
	ID, Username string
	Superuser    bool // may do everything on the server
}

// WhoAmI proves a credential. A refused one is of kind TokenRefused or
// KeyRefused.
func (c *Client) WhoAmI(ctx context.Context, cred Credential) (User, error) {
	const op = "check the credential"
	if !cred.gateway && !visible(cred.text.Reveal()) {
		return User{}, &Error{Op: op, Kind: BadRequest, Detail: "it is empty or has characters no header can carry"}
	}
	a, err := c.call(ctx, cred.on(call{op: op, method: http.MethodGet, path: "/users/whoami"}))
	if err != nil {
		return User{}, err
	}
	var u struct {
		ID, Username string
		Superuser    bool `json:"is_superuser"`
	}
	if json.Unmarshal(a.body, &u) != nil || clean(u.ID) == "" || clean(u.Username) == "" {
		return User{}, a.notLangflow("the answer is not a user")
	}
	return User{ID: clean(u.ID), Username: clean(u.Username), Superuser: u.Superuser}, nil
}

// tokens makes a call that answers with a token pair.
func (c *Client) tokens(ctx context.Context, req call, cookieName string) (*Tokens, error) {
	req.givesTokens = true
	a, err := c.call(ctx, req)
	if err != nil {
		return nil, err
	}
	var body struct {
		AccessToken  secret.Text `json:"access_token"`
		RefreshToken secret.Text `json:"refresh_token"`
	}
	if json.Unmarshal(a.body, &body) != nil || !visible(body.AccessToken.Reveal()) {
		c.observe(a)
		return nil, a.notLangflow("the answer has no access token")
	}
	t := &Tokens{Access: body.AccessToken, CookieName: cookieName}
	// Python's None has been seen as text where there is no value.
	if r := body.RefreshToken.Reveal(); r != "" && r != "None" {
		if !validCookieValue(r) {
			c.observe(a)
			return nil, a.notLangflow("the refresh token has characters no cookie can carry")
		}
		t.Refresh = body.RefreshToken
	}
	for _, cookie := range a.cookies() {
		if learned := cookie.Name; learned == plainCookie || strings.HasPrefix(learned, plainCookie+"_") {
			t.CookieName = learned
		}
	}
	exp, ok := expClaim(t.Access)
	now := c.issuedAt(a, exp, ok)
	t.AccessExpiry, t.AccessLifetime = lifeOf(exp, ok, now)
	t.RefreshExpiry, t.RefreshLifetime = Inspect(t.Refresh, now)
	return t, nil
}

// plainCookie is the refresh cookie's name on a server without a root path,
// and on every server before 1.12.7.
const plainCookie = "refresh_token_lf"

// cookieNames are all names that a server may give one of its cookies.
func cookieNames(server *url.URL, plain string) []string {
	names := []string{plain}
	if server.Path != "" {
		// As Python's quote with nothing safe does it.
		names = append(names, plain+"_"+strings.ReplaceAll(url.QueryEscape(server.Path), "+", "%20"))
	}
	return names
}

// refreshCookies are all names that a server may give the cookie of its refresh token.
func refreshCookies(server *url.URL) []string { return cookieNames(server, plainCookie) }

// AccessCookies are all names of the cookie in which a server takes an access token where
// there is no Authorization (seen on 1.13.0).
func AccessCookies(server *url.URL) []string { return cookieNames(server, "access_token_lf") }

// validCookieName and validCookieValue keep text from a person or a file from ending
// the cookie or the header (RFC 6265, section 4.1.1).
func validCookieName(s string) bool {
	return visible(s) && !strings.ContainsAny(s, `()<>@,;:\"/[]?={}`)
}

func validCookieValue(s string) bool { return visible(s) && !strings.ContainsAny(s, `",;\`) }

// visible tells whether s is not empty and has only printable ASCII without
// spaces, as a token in a header must.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
