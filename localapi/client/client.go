package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// ErrNoAgent means that no agent answers, or that it ended before it answered.
var ErrNoAgent = errors.New("no agent answers")

const (
	// maxBody bounds an answer: a thousand profiles are under 1 MB.
	maxBody = 8 << 20
	// dialTimeout is for this computer only, so it can be short.
	dialTimeout = 3 * time.Second
	// answerTimeout bounds a call without a deadline of its own: longer than the agent
	// waits for a server, and for a person at the keychain's prompt and in the browser.
	answerTimeout = vocabulary.WindowTime + 4*time.Minute
)

// Options are the agent's address and the caller's token.
type Options struct {
	Socket string      // the Unix socket's path; then URL is not used
	URL    string      // http://127.0.0.1:17860, or another loopback address
	Token  secret.Text // the owner's or a client's token, sent only to an agent that proves to know it; over the socket it may be empty
}

// Client speaks to one agent. It is safe for use by several goroutines. An
// agent that was started again may have another address, and its owner another
// token: after ErrNoAgent or a Problem of TypeUnauthorized use Find again.
type Client struct {
	base    string // the URL before the route
	token   secret.Text
	http    *http.Client
	close   func()
	process func() string // names the agent's process, as Holder does; or nothing
}

// New makes a Client. It opens no connection. The error is for an URL that is
// not a loopback address.
func New(o Options) (*Client, error) {
	transport := ProvingTransport(o.Token)
	transport.ResponseHeaderTimeout = answerTimeout
	transport.MaxResponseHeaderBytes = 64 << 10
	base := "http://langkeep"
	if o.Socket != "" {
		dialer := net.Dialer{Timeout: dialTimeout}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.Socket)
		}
	} else {
		u, err := loopback(o.URL)
		if err != nil {
			return nil, err
		}
		base = u
	}
	return &Client{
		base:  base,
		token: o.Token,
		http: &http.Client{
			Transport: transport,
			// The agent never redirects, so a redirect comes from another program.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		close:   transport.CloseIdleConnections,
		process: func() string { return "" },
	}, nil
}

// Close closes the connections that no call uses.
func (c *Client) Close() { c.close() }

// loopback checks an agent's URL and returns it without a slash at the end.
func loopback(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("the agent's URL %q must be like http://127.0.0.1:17860", raw)
	}
	if host := u.Hostname(); host != "localhost" {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.IsLoopback() {
			return "", fmt.Errorf("the agent's URL %q must be of this computer: 127.0.0.1, [::1] or localhost", raw)
		}
	}
	return "http://" + u.Host, nil
}

// onlyLoopback refuses to connect to any other computer, whatever the name
// localhost resolves to.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || !addr.Addr().IsLoopback() {
		return fmt.Errorf("%s is not an address of this computer", address)
	}
	return nil
}

// Status returns the agent's status, with all profiles.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return decode[Status](c.StatusJSON(ctx))
}

// StatusJSON is the body of GET /v1/status, byte for byte.
func (c *Client) StatusJSON(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "/v1/status", nil)
}

// Profiles are all profiles that this client may see.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	p, err := decode[Profiles](c.call(ctx, http.MethodGet, "/v1/profiles", nil))
	return p.Profiles, err
}

// Profile is one profile.
func (c *Client) Profile(ctx context.Context, name string) (Profile, error) {
	return decode[Profile](c.ProfileJSON(ctx, name))
}

// ProfileJSON is the body of GET /v1/profiles/{name}, byte for byte.
func (c *Client) ProfileJSON(ctx context.Context, name string) ([]byte, error) {
	return c.ofProfile(ctx, http.MethodGet, name, "", nil)
}

// AddProfile makes a profile, which is signed out. Only the owner may.
func (c *Client) AddProfile(ctx context.Context, p NewProfile) (Profile, error) {
	return decode[Profile](c.call(ctx, http.MethodPost, "/v1/profiles", p))
}

// ChangeProfile changes a profile's settings. A ServerURL of another origin
// signs out first. Only the owner may.
func (c *Client) ChangeProfile(ctx context.Context, name string, change ProfileChange) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodPatch, name, "", struct {
		ProfileChange
		GatewayHeaders map[string]string `json:"gateway_headers,omitempty"`
	}{change, change.revealed()}))
}

// RemoveProfile removes a profile with all its secrets, and returns its last state.
// Only the owner may.
func (c *Client) RemoveProfile(ctx context.Context, name string) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodDelete, name, "", nil))
}

// Login signs a profile in. A refusal is a Problem of TypeSignInRequired with
// its Reason.
func (c *Client) Login(ctx context.Context, name string, l Login) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodPost, name, "/login", l.revealed()))
}

// revealed is the body that Login sends: the one place where these secrets
// become JSON.
func (l Login) revealed() map[string]any {
	body := map[string]any{}
	if l.Method != "" {
		body["method"] = l.Method
	}
	if l.Browser {
		body["browser"] = true
	}
	if l.Username != "" {
		body["username"] = l.Username
	}
	if l.RememberPassword {
		body["remember_password"] = true
	}
	for key, s := range map[string]secret.Text{"password": l.Password, "refresh_token": l.RefreshToken, "api_key": l.APIKey} {
		if !s.Empty() {
			body[key] = s.Reveal()
		}
	}
	if l.Headers != nil {
		body["headers"] = revealed(l.Headers)
	}
	if l.Change != nil {
		body["change"] = struct {
			ServerChange
			GatewayHeaders map[string]string `json:"gateway_headers,omitempty"`
		}{*l.Change, l.Change.revealed()}
	}
	return body
}

// revealed are the gateway's headers as a request sends them; nil for none.
func (c ServerChange) revealed() map[string]string {
	if c.GatewayHeaders == nil {
		return nil
	}
	return revealed(*c.GatewayHeaders)
}

func revealed(headers map[string]secret.Text) map[string]string {
	plain := map[string]string{}
	for name, value := range headers {
		plain[name] = value.Reveal()
	}
	return plain
}

// CancelLogin closes the window of a sign-in in the browser.
func (c *Client) CancelLogin(ctx context.Context, name string) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodPost, name, "/login/cancel", nil))
}

// Logout forgets a profile's session and its secrets; the profile stays.
func (c *Client) Logout(ctx context.Context, name string) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodPost, name, "/logout", nil))
}

// Refresh renews a profile's token now, at most every 5 s.
func (c *Client) Refresh(ctx context.Context, name string) (Profile, error) {
	return decode[Profile](c.ofProfile(ctx, http.MethodPost, name, "/refresh", nil))
}

// AnyLifetime is the minValid that leaves the choice to the agent: the smaller of 60 s
// and a tenth of the token's lifetime, if such a token can be had.
const AnyLifetime time.Duration = -1

// Token is an access token that lives for at least minValid. The Problem's
// types are TypeSignInRequired, TypeServerUnreachable (with HeldValid and
// RetryAfter), TypeLifetimeTooShort (with MaxValid), TypeKeychainLocked and,
// for profiles with an API key, TypeNotSupported.
func (c *Client) Token(ctx context.Context, name string, minValid time.Duration) (Token, error) {
	return decode[Token](c.credential(ctx, name, "/token", minValid))
}

// TokenJSON is the body of GET /v1/profiles/{name}/token, byte for byte.
func (c *Client) TokenJSON(ctx context.Context, name string, minValid time.Duration) (secret.Text, error) {
	body, err := c.credential(ctx, name, "/token", minValid)
	return secret.New(string(body)), err
}

// credential asks a route that answers with a secret.
func (c *Client) credential(ctx context.Context, name, action string, minValid time.Duration) ([]byte, error) {
	if minValid >= 0 {
		action += "?min_valid=" + url.QueryEscape(minValid.String())
	}
	return c.ofProfile(ctx, http.MethodGet, name, action, nil)
}

// PageCode returns a URL that opens the control page in a browser, within 30 s. Only
// the owner may.
func (c *Client) PageCode(ctx context.Context) (PageCode, error) {
	return decode[PageCode](c.call(ctx, http.MethodPost, "/v1/page/code", nil))
}

// Settings are those of config.toml, and facts about the agent.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	return decode[Settings](c.call(ctx, http.MethodGet, "/v1/settings", nil))
}

// ChangeSettings changes some of them.
func (c *Client) ChangeSettings(ctx context.Context, change SettingsChange) (Settings, error) {
	return decode[Settings](c.call(ctx, http.MethodPatch, "/v1/settings", change))
}

// Stop asks the agent to end; it ends a little later. Only the owner may.
func (c *Client) Stop(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/v1/stop", nil)
	return err
}

// Asks are the questions that wait for a person, and the answers that still count.
func (c *Client) Asks(ctx context.Context) (Asks, error) {
	return decode[Asks](c.AsksJSON(ctx))
}

// AsksJSON is the body of GET /v1/asks, byte for byte.
func (c *Client) AsksJSON(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "/v1/asks", nil)
}

// AnswerAsk answers a question: once, session, always, deny or deny-always. It waits until
// the person has confirmed all but a no. The Problem's type is TypeNotAllowedYet if nobody
// has, and TypeNotFound if the question is over.
func (c *Client) AnswerAsk(ctx context.Context, id, answer string) error {
	_, err := c.call(ctx, http.MethodPost, "/v1/asks/"+url.PathEscape(id), AskAnswer{answer})
	return err
}

// ForgetAnswers takes back what was answered about a program's file; about everything
// with "".
func (c *Client) ForgetAnswers(ctx context.Context, program string) error {
	_, err := c.call(ctx, http.MethodDelete, "/v1/asks?program="+url.QueryEscape(program), nil)
	return err
}

// Lock has the agent hand nothing out.
func (c *Client) Lock(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/v1/lock", nil)
	return err
}

// Unlock ends Lock.
func (c *Client) Unlock(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "/v1/unlock", nil)
	return err
}

// ofProfile calls a route of one profile. It refuses a name that can't be one: with dots or
// a slash it would be another route.
func (c *Client) ofProfile(ctx context.Context, method, name, action string, body any) ([]byte, error) {
	if err := vocabulary.ValidName(name); err != nil {
		return nil, NewProblem(TypeBadRequest, err.Error())
	}
	return c.call(ctx, method, "/v1/profiles/"+url.PathEscape(name)+action, body)
}

// decode parses an answer of call. Its error quotes nothing of the answer, which may
// hold a token.
func decode[T any](answer []byte, err error) (v T, _ error) {
	if err == nil && json.Unmarshal(answer, &v) != nil {
		err = errors.New("the agent's answer is not the JSON expected; is it another version? restart it with langkeep restart")
	}
	return v, err
}

// call sends a request and returns the whole answer, a Problem, or an error
// that wraps ErrNoAgent, ErrStuck or ctx's.
func (c *Client) call(ctx context.Context, method, route string, body any) ([]byte, error) {
	p := c.watch(ctx)
	defer p.end(nil)
	ctx = p.ctx
	res, err := c.send(ctx, method, route, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, c.failure(ctx, brokenOff{err})
	}
	if len(answer) > maxBody {
		return nil, fmt.Errorf("the agent's answer is over %d MB", maxBody>>20)
	}
	if res.StatusCode/100 != 2 {
		return nil, c.problem(res, answer)
	}
	return answer, nil
}

// send sends a request and returns the answer with its body still to be read.
func (c *Client) send(ctx context.Context, method, route string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+route, content)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	res, err := c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	switch {
	case err == nil:
		return res, nil
	case connected:
		return nil, c.failure(ctx, brokenOff{err})
	}
	return nil, c.failure(ctx, err)
}

// open sends a request whose answer is a stream; a status other than 2xx is a Problem.
// The pulse watches the stream until the caller calls its rest or closes the body.
func (c *Client) open(ctx context.Context, method, route string, body any) (*http.Response, *pulse, error) {
	p := c.watch(ctx)
	res, err := c.send(p.ctx, method, route, body)
	if err == nil && res.StatusCode/100 == 2 {
		res.Body = pulseBody{res.Body, p}
		return res, p, nil
	}
	defer p.end(nil)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return nil, nil, c.failure(p.ctx, brokenOff{err})
	}
	return nil, nil, c.problem(res, answer)
}

// failure is the error of a request that got no whole answer.
func (c *Client) failure(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrStuck) {
		return cause
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *Problem // an agent that does not know the token refused it
	if errors.As(err, &refused) {
		return refused
	}
	if isFull(err) || errors.Is(err, os.ErrDeadlineExceeded) { // the agent accepts no connections, or proves nothing in time
		return c.stuck()
	}
	if broken, ok := errors.AsType[brokenOff](err); ok {
		return broken
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: nothing listens at %s", ErrNoAgent, c.base)
	}
	return fmt.Errorf("%w: %w", ErrNoAgent, withoutURL(err))
}

// withoutURL removes net/http's wrapper from an error: its URL helps nobody.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// brokenOff is the error of a request that an agent took and did not answer in full. It
// is ErrNoAgent too.
type brokenOff struct{ error }

// Error implements error.
func (b brokenOff) Error() string {
	return fmt.Sprintf("the agent ended the connection before its answer was whole (%v): it was stopped, or had no room for one more; try again", withoutURL(b.error))
}

// Is is for errors.Is.
func (b brokenOff) Is(target error) bool { return target == ErrNoAgent }

// Unwrap is for errors.As.
func (b brokenOff) Unwrap() error { return b.error }

// problem is the error in an answer other than 2xx.
func (c *Client) problem(res *http.Response, answer []byte) error {
	p := problemIn(res, answer)
	if p == nil {
		return fmt.Errorf("%w: another program does at %s (HTTP %d)", ErrNoAgent, c.base, res.StatusCode)
	}
	p.Status = res.StatusCode
	if seconds, err := strconv.ParseInt(res.Header.Get("Retry-After"), 10, 64); err == nil && p.RetryAfter == nil && seconds >= 0 {
		p.RetryAfter = &seconds
	}
	return p
}

// problemIn is the Problem that an answer holds, nil if it holds none.
func problemIn(res *http.Response, answer []byte) *Problem {
	var p Problem
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(answer, &p) != nil || !strings.HasPrefix(p.Type, ProblemBase) {
		return nil
	}
	return &p
}
