package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client/clienttest"
)

// serve starts a server that answers every request with handler, and a Client
// of it.
func serve(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(clienttest.Agent("lk_owner", handler))
	t.Cleanup(server.Close)
	c, err := New(Options{URL: server.URL, Token: secret.New("lk_owner")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestRequests(t *testing.T) {
	ctx := t.Context()
	server, ca, allow := "https://flows.example.org", "", true
	headers := map[string]secret.Text{"X-Pass": secret.New("p")}
	for name, test := range map[string]struct {
		call  func(*Client) error
		want  string // method, path and body
		reply string
	}{
		"status":   {func(c *Client) error { _, err := c.Status(ctx); return err }, "GET /v1/status ", "{}"},
		"profiles": {func(c *Client) error { _, err := c.Profiles(ctx); return err }, "GET /v1/profiles ", "{}"},
		"profile":  {func(c *Client) error { _, err := c.Profile(ctx, "a.b"); return err }, "GET /v1/profiles/a.b ", "{}"},
		"add": {func(c *Client) error {
			_, err := c.AddProfile(ctx, NewProfile{Name: "prod", ServerURL: server, AllowHTTP: true})
			return err
		}, `POST /v1/profiles {"name":"prod","server_url":"https://flows.example.org","allow_http":true}`, "{}"},
		"change": {func(c *Client) error {
			_, err := c.ChangeProfile(ctx, "prod", ProfileChange{ServerChange: ServerChange{CAFile: &ca, AllowHTTP: &allow}})
			return err
		}, `PATCH /v1/profiles/prod {"ca_file":"","allow_http":true}`, "{}"},
		"change of a header": {func(c *Client) error {
			_, err := c.ChangeProfile(ctx, "prod", ProfileChange{ServerChange: ServerChange{GatewayHeaders: &headers}})
			return err
		}, `PATCH /v1/profiles/prod {"gateway_headers":{"X-Pass":"p"}}`, "{}"},
		"remove": {func(c *Client) error { _, err := c.RemoveProfile(ctx, "prod"); return err }, "DELETE /v1/profiles/prod ", "{}"},
		"password": {func(c *Client) error {
			_, err := c.Login(ctx, "prod", Login{Method: Password, Username: "ana", Password: secret.New(`pa"ss`), RememberPassword: true})
			return err
		}, `POST /v1/profiles/prod/login {"method":"password","password":"pa\"ss","remember_password":true,"username":"ana"}`, "{}"},
		"password with a change": {func(c *Client) error {
			_, err := c.Login(ctx, "prod", Login{Method: Password, Change: &ServerChange{CAFile: &ca, GatewayHeaders: &headers}})
			return err
		}, `POST /v1/profiles/prod/login {"change":{"ca_file":"","gateway_headers":{"X-Pass":"p"}},"method":"password"}`, "{}"},
		"refresh token": {func(c *Client) error {
			_, err := c.Login(ctx, "prod", Login{Method: RefreshToken, RefreshToken: secret.New("r")})
			return err
		}, `POST /v1/profiles/prod/login {"method":"refresh-token","refresh_token":"r"}`, "{}"},
		"api key": {func(c *Client) error {
			_, err := c.Login(ctx, "prod", Login{Method: APIKey, APIKey: secret.New("sk-1")})
			return err
		}, `POST /v1/profiles/prod/login {"api_key":"sk-1","method":"api-key"}`, "{}"},
		"logout":      {func(c *Client) error { _, err := c.Logout(ctx, "prod"); return err }, "POST /v1/profiles/prod/logout ", "{}"},
		"refresh":     {func(c *Client) error { _, err := c.Refresh(ctx, "prod"); return err }, "POST /v1/profiles/prod/refresh ", "{}"},
		"any token":   {func(c *Client) error { _, err := c.Token(ctx, "prod", AnyLifetime); return err }, "GET /v1/profiles/prod/token ", "{}"},
		"token":       {func(c *Client) error { _, err := c.Token(ctx, "prod", 90*time.Second); return err }, "GET /v1/profiles/prod/token?min_valid=1m30s ", "{}"},
		"stop":        {func(c *Client) error { return c.Stop(ctx) }, "POST /v1/stop ", ""},
		"page code":   {func(c *Client) error { _, err := c.PageCode(ctx); return err }, "POST /v1/page/code ", "{}"},
		"status json": {func(c *Client) error { _, err := c.StatusJSON(ctx); return err }, "GET /v1/status ", "{}"},
	} {
		t.Run(name, func(t *testing.T) { sends(t, test.call, test.want, test.reply) })
	}
}

// sends has a call send one request, of which method, path and body are in want,
// and get a reply.
func sends(t *testing.T, call func(*Client) error, want, reply string) {
	t.Helper()
	var got, bearer string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, bearer = fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body), r.Header.Get("Authorization")
		_, _ = io.WriteString(w, reply)
	})
	if err := call(c); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("sent %s\nwant %s", got, want)
	}
	if bearer != "Bearer lk_owner" {
		t.Errorf("Authorization is %q", bearer)
	}
}

// unasked is a Client of an agent that must not be asked.
func unasked(t *testing.T) *Client {
	t.Helper()
	return serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent %s", r.RequestURI) })
}

// refused tells of errors that are not a bad request, which the client says
// itself.
func refused(t *testing.T, name string, errs ...error) {
	t.Helper()
	for i, err := range errs {
		var p *Problem
		if !errors.As(err, &p) || p.Kind() != TypeBadRequest {
			t.Errorf("%q, call %d: %v", name, i+1, err)
		}
	}
}

func TestNamesThatWouldBeAnotherRouteAreRefused(t *testing.T) {
	c := unasked(t)
	for _, name := range []string{"", ".", "..", "a/../b", "prod/keys", "a?b"} {
		_, removeErr := c.RemoveProfile(t.Context(), name)
		_, tokenErr := c.TokenJSON(t.Context(), name, AnyLifetime)
		_, profileErr := c.ProfileJSON(t.Context(), name)
		refused(t, name, removeErr, tokenErr, profileErr, c.RevokeClient(t.Context(), name))
	}
}

func TestTokenIsTheBodyByteForByte(t *testing.T) {
	const body = `{"profile":"prod", "access_token":"eyJ.a.b","expires_at":null,"expires_in":59,"new":1}` + "\n"
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, body) })
	raw, err := c.TokenJSON(t.Context(), "prod", AnyLifetime)
	if err != nil || raw.Reveal() != body {
		t.Errorf("got %q, %v", raw.Reveal(), err)
	}
	token, err := c.Token(t.Context(), "prod", AnyLifetime)
	if err != nil || token.AccessToken.Reveal() != "eyJ.a.b" || *token.ExpiresIn != 59 || token.ExpiresAt != nil {
		t.Errorf("got %+v, %v", token, err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range maxBody>>20 + 1 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "over 8 MB") {
		t.Errorf("got %v", err)
	}
}

func TestABadAnswerIsNotQuoted(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"access_token":["eyJhbGci"]}`)
	})
	if _, err := c.Token(t.Context(), "prod", AnyLifetime); err == nil || strings.Contains(err.Error(), "eyJ") {
		t.Errorf("got %v", err)
	}
}

func TestNoAgent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	_ = listener.Close()
	for name, o := range map[string]Options{
		"tcp":    {URL: closed},
		"socket": {Socket: filepath.Join(t.TempDir(), "agent.sock")},
	} {
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoAgent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that ends in the middle of its answer.
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{")
	})
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "before its answer was whole") {
		t.Errorf("half an answer: %v", err)
	}
	// One that takes a request, a lease's too, and breaks off. It was there.
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
		_ = conn.Close()
	})
	_, statusErr := c.Status(t.Context())
	_, _, leaseErr := c.Lease(t.Context(), NewLease{Profile: "prod", Scopes: []string{"read"}, For: "exec"})
	for what, err := range map[string]error{"the status": statusErr, "a lease": leaseErr} {
		if !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "the agent ended the connection") || strings.Contains(err.Error(), "no agent answers") || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}

// net/http uses no proxy for 127.0.0.1 anyway, but it would for a socket's
// host, so the transport itself is looked at.
func TestNoProxyGetsTheToken(t *testing.T) {
	for _, o := range []Options{{URL: "http://127.0.0.1:17860"}, {Socket: "agent.sock"}} {
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if c.http.Transport.(*http.Transport).Proxy != nil {
			t.Errorf("%+v: the transport looks for a proxy", o)
		}
	}
}

func TestLoopbackOnly(t *testing.T) {
	for raw, ok := range map[string]bool{
		"http://127.0.0.1:17860":      true,
		"http://127.0.0.1:17860/":     true,
		"http://[::1]:17860":          true,
		"http://localhost:17860":      true,
		"http://127.8.8.8:1":          true,
		"https://127.0.0.1:17860":     false,
		"http://192.0.2.1:17860":      false,
		"http://0.0.0.0:17860":        false,
		"http://example.org":          false,
		"http://localhost.example":    false,
		"http://127.0.0.1:1/v1":       false,
		"http://me@127.0.0.1:1":       false,
		"http://127.0.0.1:1?a=b":      false,
		"127.0.0.1:17860":             false,
		"http://127.0.0.1.nip.io:1":   false,
		"http://[::ffff:192.0.2.1]:1": false,
		"":                            false,
		"unix:///tmp/agent.sock":      false,
		"http://2130706433:1":         false,
		"http://127.0.0.1:1\x1b[31m":  false,
		"http://127.0.0.1:17860#code": false,
	} {
		if _, err := New(Options{URL: raw}); (err == nil) != ok {
			t.Errorf("%q: %v", raw, err)
		}
	}
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "192.0.2.1:1": false, "[2001:db8::1]:1": false, "x": false} {
		if err := onlyLoopback("tcp", address, nil); (err == nil) != ok {
			t.Errorf("connect to %s: %v", address, err)
		}
	}
}
