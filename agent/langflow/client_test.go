package langflow_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// inProcess makes a stand-in without sockets and a client of it.
func inProcess(t *testing.T, o langflowtest.Options) (*langflowtest.Server, *langflow.Client) {
	t.Helper()
	s := langflowtest.NewInProcess(o)
	t.Cleanup(s.Close)
	c, err := langflow.New(s.URL, langflow.Options{Transport: s.RoundTripper()})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

var password = secret.New(langflowtest.Admin().Password)

// calls are one of each, made with the secrets that they send.
func calls(ctx context.Context, c *langflow.Client) map[string]func() error {
	hidden := secret.New(hiddenSecret)
	return map[string]func() error{
		"/version":      func() error { _, err := c.Version(ctx); return err },
		"/login":        func() error { _, err := c.Login(ctx, "admin", hidden); return err },
		"/auto_login":   func() error { _, err := c.AutoLogin(ctx); return err },
		"/refresh":      func() error { _, err := c.Refresh(ctx, hidden, ""); return err },
		"/logout":       func() error { return c.Logout(ctx, hidden) },
		"/users/whoami": func() error { _, err := c.WhoAmI(ctx, langflow.Bearer(hidden)); return err },
	}
}

const hiddenSecret = "swordfish+of/the=sea"

// The client tells faults on the way to Langflow from Langflow's own words, and none of
// them ends a session.
func TestWhatIsNotLangflow(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	faults := map[string]struct {
		fault langflowtest.Fault
		kind  langflow.Kind
	}{
		"empty":                {langflowtest.Fault{Status: 200}, langflow.NotLangflow},
		"empty 401":            {langflowtest.Fault{Status: 401}, langflow.Gateway},
		"no content":           {langflowtest.Fault{Status: 204}, langflow.NotLangflow},
		"half a json":          {langflowtest.JSON(200, `{"access_token":"a.b`), langflow.NotLangflow},
		"half a 401":           {langflowtest.JSON(401, `{"detail":"Invalid refresh tok`), langflow.NotLangflow},
		"json and more":        {langflowtest.JSON(401, `{"detail":"Invalid refresh token"}<script>`), langflow.NotLangflow},
		"a json list":          {langflowtest.JSON(401, `["Invalid refresh token"]`), langflow.NotLangflow},
		"a json string":        {langflowtest.JSON(401, `"Invalid refresh token"`), langflow.NotLangflow},
		"null":                 {langflowtest.JSON(200, `null`), langflow.NotLangflow},
		"broken off":           {langflowtest.Fault{Truncate: true}, langflow.Unreachable},
		"broken off 502":       {langflowtest.Fault{Status: 502, Body: "<html>", Truncate: true}, langflow.ServerError},
		"reset":                {langflowtest.Fault{Reset: true}, langflow.Unreachable},
		"gateway's 401":        {langflowtest.JSON(401, `{"detail":"please authenticate"}`), langflow.Refused},
		"gateway's 403":        {langflowtest.JSON(403, `{"error":"denied"}`), langflow.Gateway},
		"server without a key": {langflowtest.JSON(401, `{"detail":"Server configuration error: Public key not configured."}`), langflow.Refused},
		"odd detail":           {langflowtest.JSON(401, `{"detail":{"message":["Invalid refresh token"]}}`), langflow.Refused},
		"final words in a 418": {langflowtest.JSON(418, `{"detail":"Invalid refresh token"}`), langflow.BadRequest},
		"final words in a 500": {langflowtest.JSON(500, `{"detail":"Invalid refresh token"}`), langflow.ServerError},
		"final words in a 429": {langflowtest.JSON(429, `{"detail":"Invalid refresh token"}`), langflow.RateLimited},
	}
	for status := 200; status < 600; status++ {
		if http.StatusText(status) == "" || status == 204 || status == 304 {
			continue
		}
		kind := langflow.NotLangflow
		switch {
		case status >= 500:
			kind = langflow.ServerError
		case status == 429:
			kind = langflow.RateLimited
		case status == 407:
			kind = langflow.ForwardProxy
		case status == 401, status == 403:
			kind = langflow.Gateway
		}
		f := langflowtest.HTML(status)
		faults[fmt.Sprintf("html with %d", status)] = struct {
			fault langflowtest.Fault
			kind  langflow.Kind
		}{f, kind}
		// Gateways call their pages JSON, too.
		f.Header = http.Header{"Content-Type": {"application/json"}}
		faults[fmt.Sprintf("html as json with %d", status)] = struct {
			fault langflowtest.Fault
			kind  langflow.Kind
		}{f, kind}
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			for path, call := range calls(t.Context(), c) {
				s.ClearFaults()
				s.Fault(path, f.fault)
				want := f.kind
				if path == "/version" && want == langflow.BadRequest {
					want = langflow.NotLangflow
				}
				err := call()
				if e := wantKind(t, err, want); e.Final() {
					t.Errorf("%s: %v is final", path, err)
				}
				if strings.Contains(err.Error(), hiddenSecret) {
					t.Errorf("%s: %v has the secret", path, err)
				}
			}
		})
	}
}

func TestFinalWords(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	for _, tt := range []struct {
		path   string
		status int
		detail string
		kind   langflow.Kind
		final  bool
	}{
		{"/refresh", 401, `"Invalid refresh token"`, langflow.SessionEnded, true},
		{"/refresh", 401, `"Invalid refresh token."`, langflow.SessionEnded, true},
		{"/refresh", 401, `{"message":"Invalid refresh token"}`, langflow.SessionEnded, true},
		{"/refresh", 401, `"User account is inactive"`, langflow.Inactive, true},
		{"/login", 401, `"Incorrect username or password"`, langflow.WrongPassword, true},
		{"/login", 400, `"Inactive user"`, langflow.Inactive, true},
		{"/login", 401, `"Inactive user"`, langflow.Inactive, true},
		{"/login", 400, `"Waiting for approval"`, langflow.WaitingForApproval, true},
		{"/auto_login", 400, `{"message":"Auto login is disabled.","auto_login":false}`, langflow.AutoLoginOff, false},
		{"/auto_login", 403, `{"message":"Auto login is disabled.","auto_login":false}`, langflow.AutoLoginOff, false},
		{"/auto_login", 400, `"Super user hasn't been created"`, langflow.BadRequest, false},
		{"/users/whoami", 401, `"Token has expired."`, langflow.TokenRefused, false},
		{"/users/whoami", 401, `"Could not validate credentials"`, langflow.TokenRefused, false},
		{"/users/whoami", 403, `"Invalid API key"`, langflow.Refused, false}, // a bearer was sent
		{"/users/whoami", 403, `"User account is inactive"`, langflow.Inactive, true},
	} {
		s.ClearFaults()
		s.Fault(tt.path, langflowtest.JSON(tt.status, `{"detail":`+tt.detail+`}`))
		e := wantKind(t, calls(t.Context(), c)[tt.path](), tt.kind)
		if e.Final() != tt.final || e.Status != tt.status || e.Detail == "" {
			t.Errorf("%s with %d %s: final %v, status %d, detail %q", tt.path, tt.status, tt.detail, e.Final(), e.Status, e.Detail)
		}
	}
	for _, detail := range []string{"Invalid API key", "Invalid or missing API key", "API key authentication failed"} {
		for _, status := range []int{401, 403} {
			s.ClearFaults()
			s.Fault("/users/whoami", langflowtest.JSON(status, `{"detail":"`+detail+`"}`))
			_, err := c.WhoAmI(t.Context(), langflow.Key(secret.New("sk-1")))
			wantKind(t, err, langflow.KeyRefused)
		}
	}
}

// Scrubbing a secret from an answer must not hide what the answer says.
func TestSecretsLikeTheServersWords(t *testing.T) {
	_, c := inProcess(t, langflowtest.Options{})
	for _, s := range []string{"password", "e", "Incorrect username or password", "Invalid", "API key", "token"} {
		_, err := c.Login(t.Context(), "admin", secret.New(s))
		wantKind(t, err, langflow.WrongPassword)
		s = strings.ReplaceAll(s, " ", "-")
		_, err = c.Refresh(t.Context(), secret.New(s), "")
		wantKind(t, err, langflow.SessionEnded)
		_, err = c.WhoAmI(t.Context(), langflow.Bearer(secret.New(s)))
		wantKind(t, err, langflow.TokenRefused)
		_, err = c.WhoAmI(t.Context(), langflow.Key(secret.New(s)))
		wantKind(t, err, langflow.KeyRefused)
	}
}

func TestOddSuccesses(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	for path, bodies := range map[string][]string{
		"/version":      {`{}`, `{"version":"1"}`, `{"version":"","package":"Langflow"}`, `{"version":1,"package":"Langflow"}`, `{"status":"ok"}`},
		"/login":        {`{}`, `{"access_token":null}`, `{"access_token":""}`, `{"access_token":7}`, `{"access_token":"a\r\nb"}`, `{"access_token":"a b"}`, `{"access_token":"a","refresh_token":"b;c=d"}`},
		"/refresh":      {`{}`, `{"refresh_token":"a"}`, `{"access_token":"a","refresh_token":7}`},
		"/auto_login":   {`{}`, `{"access_token":{}}`},
		"/users/whoami": {`{}`, `{"id":"1"}`, `{"username":"a"}`, `{"id":1,"username":"a"}`},
	} {
		for _, body := range bodies {
			s.ClearFaults()
			s.Fault(path, langflowtest.JSON(200, body))
			if e := wantKind(t, calls(t.Context(), c)[path](), langflow.NotLangflow); e.Status != 200 {
				t.Errorf("%s with %s: status %d", path, body, e.Status)
			}
		}
	}
	for _, none := range []string{`null`, `""`, `"None"`} {
		s.ClearFaults()
		s.Fault("/refresh", langflowtest.JSON(200, `{"access_token":"opaque","refresh_token":`+none+`}`))
		tokens, err := c.Refresh(t.Context(), secret.New("r"), "refresh_token_lf")
		if err != nil || !tokens.Refresh.Empty() || tokens.RefreshLifetime != 0 || tokens.CookieName != "refresh_token_lf" ||
			tokens.Access.Reveal() != "opaque" || !tokens.AccessExpiry.IsZero() || tokens.AccessLifetime != 0 {
			t.Errorf("refresh token %s: %+v, %v", none, tokens, err)
		}
	}
	s.ClearFaults()
	s.Fault("/version", langflowtest.JSON(200, `{"version":"0.10.3\u001b[31m","main_version":"x","package":"Langflow Base"}`))
	if v, err := c.Version(t.Context()); v != "0.10.3[31m" || err != nil {
		t.Errorf("langflow-base: %q, %v", v, err)
	}
}

func TestDetailIsFitToPrint(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	quoted := func(detail string) langflowtest.Fault {
		return langflowtest.JSON(401, fmt.Sprintf(`{"detail":%q}`, detail))
	}
	for _, tt := range []struct {
		fault langflowtest.Fault
		want  string
	}{
		{quoted("no entry"), "no entry"},
		{langflowtest.JSON(401, `{"detail":"a\u001b[31mb\u0007\r\nc\u202ed\u009be"}`), "a[31mb  cde"},
		{quoted(strings.Repeat("é", 300)), strings.Repeat("é", 200)},
		{quoted("got " + hiddenSecret + " there"), "got [secret] there"},
		{quoted("got swordfish%2Bof%2Fthe%3Dsea there"), "got [secret] there"},
		{langflowtest.JSON(401, `{"detail":"got swordfish\u0007+of/the=sea there"}`), "got [secret] there"},
		{quoted(strings.Repeat("x", 195) + hiddenSecret), strings.Repeat("x", 195) + "[secr"},
		{langflowtest.JSON(422, `{"detail":[{"type":"missing","loc":["body"],"input":"`+hiddenSecret+`"}]}`), ""},
		{langflowtest.JSON(422, `{"detail":{"input":"`+hiddenSecret+`"}}`), ""},
		{langflowtest.JSON(400, `{"detail":{"message":"`+hiddenSecret+`"}}`), "[secret]"},
		{langflowtest.JSON(400, `{"error":"`+hiddenSecret+`"}`), ""},
	} {
		for _, path := range []string{"/login", "/refresh", "/logout", "/users/whoami"} {
			s.ClearFaults()
			s.Fault(path, tt.fault)
			err := calls(t.Context(), c)[path]()
			var e *langflow.Error
			if !errors.As(err, &e) || e.Detail != tt.want {
				t.Errorf("%s: detail %q, want %q", path, e.Detail, tt.want)
			}
		}
	}
}

func TestError(t *testing.T) {
	e := &langflow.Error{Op: "sign in", Kind: langflow.RateLimited, Status: 429, Detail: "slow", RetryAfter: time.Minute}
	if want := "sign in: rate-limited (429: slow), retry after 1m0s"; e.Error() != want {
		t.Errorf("%q, want %q", e.Error(), want)
	}
}

func TestRetryAfter(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	date := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	at := func(d time.Duration) string { return date.Add(d).Format(http.TimeFormat) }
	for value, want := range map[string]time.Duration{
		"60": time.Minute, "0": 0, "-5": 0, "soon": 0, "": 0, "1.5": 0, " 7 ": 7 * time.Second,
		"86400": time.Hour, "99999999999999999999999": time.Hour,
		at(90 * time.Second): 90 * time.Second, at(-time.Minute): 0, at(48 * time.Hour): time.Hour,
	} {
		for status, kind := range map[int]langflow.Kind{429: langflow.RateLimited, 503: langflow.ServerError} {
			f := langflowtest.Busy(status, value)
			f.Header.Set("Date", date.Format(http.TimeFormat))
			s.ClearFaults()
			s.Fault("/login", f)
			_, err := c.Login(t.Context(), "admin", password)
			if e := wantKind(t, err, kind); e.RetryAfter != want {
				t.Errorf("%d with %q: %v, want %v", status, value, e.RetryAfter, want)
			}
		}
	}
	// Without a Date our own clock counts.
	f := langflowtest.Busy(429, time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
	f.Header["Date"] = nil
	s.ClearFaults()
	s.Fault("/login", f)
	_, err := c.Login(t.Context(), "admin", password)
	if e := wantKind(t, err, langflow.RateLimited); e.RetryAfter < 9*time.Minute || e.RetryAfter > 10*time.Minute {
		t.Errorf("%v, want 10m", e.RetryAfter)
	}
	// Elsewhere the header means nothing.
	s.ClearFaults()
	s.Fault("/login", langflowtest.Busy(500, "60"))
	_, err = c.Login(t.Context(), "admin", password)
	if e := wantKind(t, err, langflow.ServerError); e.RetryAfter != 0 {
		t.Errorf("500: %v", e.RetryAfter)
	}
}

func TestRedirectsOnTheOrigin(t *testing.T) {
	s, c := inProcess(t, langflowtest.Options{})
	once := func(status int, location string) langflowtest.Fault {
		f := langflowtest.Redirect(status, location)
		f.Times = 1
		return f
	}
	for _, status := range []int{307, 308} {
		for _, location := range []string{"/api/v1/login", s.URL + "/api/v1/login", "//langflow.test:443/api/v1/login", "login"} {
			before := s.Count("/login")
			s.Fault("/login", once(status, location))
			if _, err := c.Login(t.Context(), "admin", password); err != nil || s.Count("/login") != before+2 {
				t.Errorf("%d to %s: %v", status, location, err)
			}
		}
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.Fault("/version", once(status, "/api/v1/version"))
		if _, err := c.Version(t.Context()); err != nil {
			t.Errorf("%d of a get: %v", status, err)
		}
	}
	for _, status := range []int{301, 302, 303} {
		s.Fault("/login", once(status, "/sign-in?next=/api/v1/login"))
		_, err := c.Login(t.Context(), "admin", password)
		if e := wantKind(t, err, langflow.NotLangflow); e.Detail != "it redirects to https://langflow.test/sign-in" {
			t.Errorf("%d of a post: %q", status, e.Detail)
		}
	}
	for _, f := range []langflowtest.Fault{{Status: 302}, {Status: 304}, langflowtest.Redirect(302, "http://[bad"), langflowtest.Redirect(300, "/api/v1/version")} {
		f.Times = 1
		s.Fault("/version", f)
		_, err := c.Version(t.Context())
		wantKind(t, err, langflow.NotLangflow)
	}
	before := s.Count("/refresh")
	s.Fault("/refresh", langflowtest.Redirect(307, "/api/v1/refresh"))
	_, err := c.Refresh(t.Context(), secret.New("r"), "")
	wantKind(t, err, langflow.NotLangflow)
	if n := s.Count("/refresh") - before; n != 6 {
		t.Errorf("%d requests in a circle, want 6", n)
	}
}

// A redirect to another origin is a move only where Langflow answers. The request that
// finds this out carries no secret.
func TestRedirectsElsewhere(t *testing.T) {
	var langflowThere atomic.Bool
	there := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		carried := fmt.Sprint(r.Header["Authorization"], r.Header["Cookie"], r.Header["X-Api-Key"], r.URL.RawQuery, string(body))
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/api/v1/version") || carried != "[] [] []" || strings.Contains(fmt.Sprint(r.Header), hiddenSecret) {
			t.Errorf("%s %s was sent elsewhere with %v, %s", r.Method, r.URL, r.Header, body)
		}
		switch {
		case langflowThere.Load():
			_, _ = io.WriteString(w, `{"version":"1.13.0","main_version":"1.13.0","package":"Langflow"}`)
		case strings.HasPrefix(r.URL.Path, "/circle"):
			http.Redirect(w, r, "/circle"+r.URL.Path, http.StatusFound)
		default:
			_, _ = io.WriteString(w, `<form action="/login">`)
		}
	})
	elsewhere := httptest.NewServer(there)
	defer elsewhere.Close()
	s := langflowtest.New(langflowtest.Options{})
	defer s.Close()
	c, err := langflow.New(s.URL, langflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(s.URL, "http://")
	localhost := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	for location, moved := range map[string]string{ // "": to no Langflow
		elsewhere.URL + "/a/b?token=x#y":                            elsewhere.URL,
		strings.Replace(elsewhere.URL, "://", "://u:p@", 1) + "/":   elsewhere.URL,
		elsewhere.URL + "/team/a/api/v1PATH":                        elsewhere.URL + "/team/a",
		localhost + "/x":                                            localhost,
		"https://" + host + "/api/v1/login":                         "",
		"https://[::1]:1/a%1b%5b31m/" + strings.Repeat("long", 100): "",
		"http://169.254.169.254/latest/meta-data":                   "", // not even asked: it would be in the clear
		"gopher://127.0.0.1/":                                       "",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for path, call := range calls(t.Context(), c) {
				for _, is := range []bool{true, false} {
					langflowThere.Store(is)
					s.ClearFaults()
					s.Fault(path, langflowtest.Redirect(status, strings.Replace(location, "PATH", path, 1)))
					want := langflow.Moved
					if moved == "" || !is && moved != localhost {
						want = langflow.Gateway
					} else if moved == localhost && path == "/version" {
						want = langflow.Gateway // it redirects there as well
					}
					if strings.HasPrefix(location, "gopher:") {
						want = langflow.NotLangflow
					}
					e := wantKind(t, call(), want)
					if e.Final() || (want == langflow.Moved) != (e.Detail == moved) {
						t.Errorf("%s with %d to %s: %q, want %q", path, status, location, e.Detail, moved)
					}
				}
			}
		}
	}
	// An address in the clear is no place for a server that has TLS.
	secured := httptest.NewTLSServer(http.RedirectHandler(elsewhere.URL+"/", http.StatusFound))
	defer secured.Close()
	langflowThere.Store(true)
	transport, err := langflow.NewTransport(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	if c, err = langflow.New(secured.URL, langflow.Options{Transport: transport}); err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	wantKind(t, err, langflow.Gateway)
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inProcess(t, langflowtest.Options{})
		defer s.Close()
		s.Fault("", langflowtest.Fault{Hang: true})
		for path, call := range calls(t.Context(), c) {
			start := time.Now()
			wantKind(t, call(), langflow.TimedOut)
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("%s: gave up after %v", path, took)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Version(ctx)
		wantKind(t, err, langflow.TimedOut)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v does not say whose deadline", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = c.Version(ctx)
		var e *langflow.Error
		if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestServerDown(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{})
	defer s.Close()
	c, err := langflow.New(s.URL, langflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := c.Login(t.Context(), "admin", password)
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	_, err = c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName)
	wantKind(t, err, langflow.Unreachable)
	s.Start()
	if _, err = c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName); err != nil {
		t.Error(err)
	}
	// The kept connection is dead, and a refresh does not suffer for it.
	s.Stop()
	s.Start()
	if _, err = c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName); err != nil {
		t.Error(err)
	}
}

// sent answers a refresh and keeps its Cookie header.
type sent struct{ cookie, agent string }

func (s *sent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.cookie, s.agent = r.Header.Get("Cookie"), r.Header.Get("User-Agent")
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"access_token":"a"}`))}, nil
}

func TestRefreshCookie(t *testing.T) {
	for _, tt := range []struct{ server, name, want string }{
		{"https://host", "", "refresh_token_lf=r"},
		{"https://host", "refresh_token_lf", "refresh_token_lf=r"},
		{"https://host", "refresh_token_lf_x", "refresh_token_lf=r; refresh_token_lf_x=r"},
		{"https://host/team/a", "", "refresh_token_lf=r; refresh_token_lf_%2Fteam%2Fa=r"},
		{"https://host/te am", "", "refresh_token_lf=r; refresh_token_lf_%2Fte%20am=r"},
		{"https://host/a+b", "", "refresh_token_lf=r; refresh_token_lf_%2Fa%2Bb=r"},
		{"https://host/team/a", "refresh_token_lf", "refresh_token_lf=r; refresh_token_lf_%2Fteam%2Fa=r"},
		{"https://host/team/a", "refresh_token_lf_%2Fteam%2Fa", "refresh_token_lf=r; refresh_token_lf_%2Fteam%2Fa=r"},
	} {
		transport := &sent{}
		c, err := langflow.New(tt.server, langflow.Options{Transport: transport, UserAgent: "langkeep/test"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Refresh(t.Context(), secret.New("r"), tt.name); err != nil || transport.cookie != tt.want || transport.agent != "langkeep/test" {
			t.Errorf("%s, %q: sent %q, want %q (%v)", tt.server, tt.name, transport.cookie, tt.want, err)
		}
		for _, bad := range [][2]string{
			{"", tt.name}, {"a;b=c", tt.name}, {"a\r\nX: y", tt.name}, {"a b", tt.name}, {"a,b", tt.name}, {"ä", tt.name},
			{"r", "a=b"}, {"r", "a;b"}, {"r", "a b"}, {"r", "a\n"},
		} {
			transport.cookie = "nothing"
			_, err := c.Refresh(t.Context(), secret.New(bad[0]), bad[1])
			if e := wantKind(t, err, langflow.BadRequest); transport.cookie != "nothing" || e.Final() {
				t.Errorf("token %q, name %q: sent %q", bad[0], bad[1], transport.cookie)
			}
		}
		for _, bad := range []string{"", "a b", "a\r\nX: y"} {
			_, err := c.WhoAmI(t.Context(), langflow.Key(secret.New(bad)))
			wantKind(t, err, langflow.BadRequest)
		}
	}
}

// token makes a JWT of claims as JSON, signed or not as alg says.
func token(alg, claims string) secret.Text {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return secret.New(part(`{"alg":"`+alg+`","typ":"JWT"}`) + "." + part(claims) + "." + part("signature"))
}

func TestInspect(t *testing.T) {
	now := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	const decade = 10 * 365 * 24 * time.Hour
	hour := fmt.Sprintf(`{"sub":"1","type":"access","exp":%d}`, now.Add(time.Hour).Unix())
	for _, tt := range []struct {
		name     string
		token    secret.Text
		left     time.Duration // until the expiry; ignored if unknown
		lifetime time.Duration
		unknown  bool
	}{
		{"HS256", token("HS256", hour), time.Hour, time.Hour, false},
		{"RS256", token("RS256", hour), time.Hour, time.Hour, false},
		{"RS512", token("RS512", hour), time.Hour, time.Hour, false},
		{"an unknown algorithm", token("XY999", hour), time.Hour, time.Hour, false},
		{"none", token("none", hour), time.Hour, time.Hour, false},
		{"odd other claims", token("HS256", strings.Replace(hour, `"sub":"1"`, `"sub":7,"aud":{"a":[1]},"iat":"x"`, 1)), time.Hour, time.Hour, false},
		{"365 days", token("HS256", fmt.Sprintf(`{"exp":%d}`, now.AddDate(1, 0, 0).Unix())), 365 * 24 * time.Hour, 365 * 24 * time.Hour, false},
		{"a fraction", token("HS256", fmt.Sprintf(`{"exp":%d.9}`, now.Add(time.Hour).Unix())), time.Hour, time.Hour, false},
		{"1e300", token("HS256", `{"exp":1e300}`), decade, decade, false},
		{"milliseconds", token("HS256", fmt.Sprintf(`{"exp":%d}`, now.Add(time.Hour).UnixMilli())), decade, decade, false},
		{"ended", token("HS256", fmt.Sprintf(`{"exp":%d}`, now.Add(-time.Hour).Unix())), -time.Hour, 0, false},
		{"no exp", token("HS256", `{"sub":"1"}`), 0, 0, true},
		{"0", token("HS256", `{"exp":0}`), 0, 0, true},
		{"negative", token("HS256", `{"exp":-1e300}`), 0, 0, true},
		{"a string", token("HS256", `{"exp":"tomorrow"}`), 0, 0, true},
		{"too big for a float", token("HS256", `{"exp":1e999}`), 0, 0, true},
		{"null", token("HS256", `{"exp":null}`), 0, 0, true},
		{"a list", token("HS256", `[]`), 0, 0, true},
		{"opaque", secret.New("3f2a"), 0, 0, true},
		{"an API key", secret.New("sk-abc.def.ghi"), 0, 0, true},
		{"empty", secret.Text{}, 0, 0, true},
	} {
		expiry, lifetime := langflow.Inspect(tt.token, now)
		want := now.Add(tt.left)
		if tt.unknown {
			want = time.Time{}
		}
		if !expiry.Equal(want) || lifetime != tt.lifetime {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, expiry, lifetime, want, tt.lifetime)
		}
	}
}

func TestOffset(t *testing.T) {
	for _, tt := range []struct {
		name        string
		skew, delay time.Duration
		want        time.Duration
	}{
		{"the same", 0, 0, 0},
		{"a little ahead", 2900 * time.Millisecond, 0, 0}, // a Date two seconds ahead
		{"a little behind", -3500 * time.Millisecond, 0, 0},
		{"ahead", 3 * time.Second, 0, 5 * time.Second},
		{"behind, or with an old Date", -5 * time.Second, 0, 0},
		{"an hour ahead", time.Hour, 0, time.Hour + 2*time.Second},
		{"an hour behind", -time.Hour, 0, -time.Hour + 2*time.Second},
		{"slow but right", 0, 10 * time.Second, 0},
		{"slow and ahead", 5 * time.Second, 10 * time.Second, 17 * time.Second},
		{"a year ahead", 365 * 24 * time.Hour, 0, 365*24*time.Hour + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := inProcess(t, langflowtest.Options{Now: func() time.Time { return time.Now().Add(tt.skew) }})
				defer s.Close()
				if offset, known := c.Offset(); known || offset != 0 {
					t.Errorf("%v before the first answer", offset)
				}
				s.Fault("", langflowtest.Fault{Delay: tt.delay})
				// An error's Date is as good as another's.
				if _, err := c.WhoAmI(t.Context(), langflow.Bearer(secret.New("garbage"))); err == nil {
					t.Error("garbage was accepted")
				}
				if offset, known := c.Offset(); !known || offset != tt.want {
					t.Errorf("after an error: %v, %v; want %v", offset, known, tt.want)
				}
				tokens, err := c.Login(t.Context(), "admin", password)
				if err != nil {
					t.Fatal(err)
				}
				if offset, _ := c.Offset(); offset != tt.want {
					t.Errorf("after a sign-in: %v, want %v", offset, tt.want)
				}
				if d := tokens.AccessLifetime - time.Hour; d < min(0, tt.skew-tt.want) || d > time.Second {
					t.Errorf("lifetime %v", tokens.AccessLifetime)
				}
			})
		})
	}
}

// A server whose event loop was blocked sends an old Date once. One that is behind does so
// each time.
func TestOffsetOfAnOldDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inProcess(t, langflowtest.Options{})
		defer s.Close()
		answers := func(behind, want time.Duration) {
			t.Helper()
			s.ClearFaults()
			s.Fault("/version", langflowtest.Date(time.Now().Add(-behind).UTC().Format(http.TimeFormat)))
			if _, err := c.Version(t.Context()); err != nil {
				t.Fatal(err)
			}
			if offset, known := c.Offset(); !known || offset != want {
				t.Errorf("after a Date of %v ago the offset is %v, %v; want %v", behind, offset, known, want)
			}
			time.Sleep(6 * time.Second)
		}
		answers(8*time.Second, 0)
		answers(0, 0)
		answers(8*time.Second, 0)
		answers(8*time.Second, 0)
		answers(8*time.Second, -6*time.Second) // 12 s after the first
		answers(0, 0)
		answers(time.Hour, 0)
		answers(time.Hour, 0)
		answers(time.Hour, -time.Hour+2*time.Second)
	})
}

// A token's lifetime is reckoned from the answer's Date, but from no old one: the token would
// be renewed late, and handed out after its end.
func TestLifetimeByAnOldDate(t *testing.T) {
	for _, tt := range []struct {
		name           string
		measured       bool          // an earlier answer has shown that the clocks are the same
		behind         time.Duration // the Date
		lifetime, most time.Duration // of the token: what it is, and what it may be taken for
	}{
		{"a busy server", true, 8 * time.Second, 20 * time.Second, 20 * time.Second},
		{"a busy server's first answer", false, 8 * time.Second, 20 * time.Second, 20 * time.Second},
		{"one that was blocked for long", true, time.Minute, 5 * time.Minute, 5 * time.Minute},
		{"a cache", true, time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"a cache's first answer", false, time.Hour, 2 * time.Hour, 2 * time.Hour},
		{"a right Date lags", true, 2 * time.Second, time.Hour, time.Hour + 2*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := inProcess(t, langflowtest.Options{AccessLifetime: tt.lifetime})
				defer s.Close()
				if tt.measured {
					if _, err := c.Version(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s.Fault("/login", langflowtest.Date(time.Now().Add(-tt.behind).UTC().Format(http.TimeFormat)))
				tokens, err := c.Login(t.Context(), "admin", password)
				if err != nil {
					t.Fatal(err)
				}
				if l := tokens.AccessLifetime; l > tt.most || l < tt.lifetime-time.Second {
					t.Errorf("lifetime %v, want %v", l, tt.lifetime)
				}
			})
		})
	}
	// A server whose clock was put back says so with a token that would have ended already.
	synctest.Test(t, func(t *testing.T) {
		lead := time.Duration(0)
		s, c := inProcess(t, langflowtest.Options{Now: func() time.Time { return time.Now().Add(lead) }})
		defer s.Close()
		if _, err := c.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
		lead = -2 * time.Hour
		tokens, err := c.Login(t.Context(), "admin", password)
		if err != nil {
			t.Fatal(err)
		}
		offset, _ := c.Offset()
		if l := tokens.AccessLifetime; l != time.Hour || offset != lead+2*time.Second {
			t.Errorf("lifetime %v, offset %v", l, offset)
		}
	})
}

func TestOffsetWhileOurClockIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := langflowtest.NewInProcess(langflowtest.Options{})
		defer s.Close()
		ours := clock.NewJumping()
		c, err := langflow.New(s.URL, langflow.Options{Transport: s.RoundTripper(), Clock: ours})
		if err != nil {
			t.Fatal(err)
		}
		s.Fault("", langflowtest.Fault{Delay: 10 * time.Second})
		time.AfterFunc(5*time.Second, func() { ours.Jump(-time.Hour) })
		if _, err := c.Version(t.Context()); err != nil {
			t.Fatal(err)
		}
		if offset, _ := c.Offset(); offset != time.Hour+12*time.Second {
			t.Errorf("offset %v", offset)
		}
	})
}

func TestOddDates(t *testing.T) {
	const decade = 10 * 365 * 24 * time.Hour
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		known    time.Duration // the server's lead that earlier answers showed
		date     any           // a header, or a lead over our clock
		exp      any           // a claim, or a lead over our clock
		lifetime time.Duration
		offset   time.Duration
	}{
		{"right", 0, 0 * day, time.Hour, time.Hour, 0},
		{"missing", 0, "", time.Hour, time.Hour, 0},
		{"garbage", 0, "yesterday", time.Hour, time.Hour, 0},
		{"missing, a server ahead", day, "", day + time.Hour, time.Hour - 2*time.Second, day + 2*time.Second},
		{"missing, a server put right", day, "", time.Hour, time.Hour, day + 2*time.Second},
		{"after the token's end", 0, 2 * time.Hour, time.Hour, time.Hour, 0},
		{"decades before", 0, -30 * 365 * day, time.Hour, time.Hour, 0},
		{"our clock decades behind", 0, 26 * 365 * day, 26*365*day + time.Hour, time.Hour, 26*365*day + 2*time.Second},
		{"millennia ahead", 0, "Fri, 31 Dec 9999 23:59:59 GMT", "253402300900", decade, 0},
		{"right, exp absurd", 0, 0 * day, "1e300", decade, 0},
		{"right, exp missing", 0, 0 * day, "null", 0, 0},
		{"ahead, exp missing", 0, time.Hour, "null", 0, time.Hour + 2*time.Second},
		{"right, token born dead", 0, 0 * day, -time.Hour, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lead := tt.known
				s, c := inProcess(t, langflowtest.Options{Now: func() time.Time { return time.Now().Add(lead) }})
				defer s.Close()
				if _, err := c.Version(t.Context()); err != nil {
					t.Fatal(err)
				}
				exp, ok := tt.exp.(string)
				if !ok {
					exp = fmt.Sprint(time.Now().Add(tt.exp.(time.Duration)).Unix())
				}
				date, ok := tt.date.(string)
				if !ok {
					date = time.Now().Add(tt.date.(time.Duration)).UTC().Format(http.TimeFormat)
				}
				f := langflowtest.JSON(200, `{"access_token":"`+token("HS256", `{"exp":`+exp+`}`).Reveal()+`"}`)
				f.Header["Date"] = langflowtest.Date(date).Header["Date"]
				s.Fault("/login", f)
				tokens, err := c.Login(t.Context(), "admin", password)
				if err != nil {
					t.Fatal(err)
				}
				if tokens.AccessLifetime != tt.lifetime {
					t.Errorf("lifetime %v, want %v", tokens.AccessLifetime, tt.lifetime)
				}
				if offset, known := c.Offset(); !known || offset != tt.offset {
					t.Errorf("offset %v, want %v", offset, tt.offset)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s, c := inProcess(t, langflowtest.Options{})
		defer s.Close()
		cached := langflowtest.Date(time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		cached.Header.Set("Age", "3600")
		for _, f := range []langflowtest.Fault{
			langflowtest.Date(""), langflowtest.Date("x"), langflowtest.Date("Thu, 01 Jan 1970 00:00:00 GMT"),
			langflowtest.Date("Fri, 31 Dec 9999 23:59:59 GMT"), cached,
		} {
			s.ClearFaults()
			s.Fault("/version", f)
			if _, err := c.Version(t.Context()); err != nil {
				t.Error(err)
			}
			if offset, known := c.Offset(); known {
				t.Errorf("took %v from the odd %v", offset, f.Header)
			}
		}
	})
}
