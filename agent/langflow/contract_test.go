package langflow_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"langkeep/agent/clock"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

// target is a server that the contract suite runs against, and what it should
// be like.
type target struct {
	url                string
	username, password string
	access, refresh    time.Duration // lifetimes
	algorithm          string
	cookie             string // the refresh cookie's name
	cookiePath         string
	secure             bool // the refresh cookie; the others never are
	autoLogin          bool
	longAutoLogin      bool
	autoLoginOff       int    // status
	version, packaged  string // as /version has them
	session            bool
	oldWords           bool
	tellsInput         bool // what was sent, in the list of what is missing
	takesEmpty         bool // an empty field of a form is not one that is missing
	laxTokens          bool // one kind of token passes for the other, and a refresh asks nothing of the account
	rateLimit          int  // sign-ins a minute; 0: none

	// These functions change the server. The suite skips the tests that need a nil one.
	wait       func(time.Duration) // moves the server's clock
	addUser    func(name, password string, active bool)
	deactivate func(name string)
	deleteUser func(name string)
	addKey     func() (key secret.Text, revoke func())
	newSecret  func()
}

// wire is one request as it is sent, and the answer it must get.
type wire struct {
	name, method, path string
	header             http.Header
	body               string
	status             int
	want               string            // JSON; "" is not compared
	wantHeader         map[string]string // "" must be missing
}

// ask sends a request by hand, following nothing.
func (tg target) ask(t *testing.T, method, path string, header http.Header, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, tg.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, data
}

func (tg target) client(t *testing.T) *langflow.Client {
	t.Helper()
	c, err := langflow.New(tg.url, langflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (tg target) login(t *testing.T, name, password string) *langflow.Tokens {
	t.Helper()
	tokens, err := tg.client(t).Login(t.Context(), name, secret.New(password))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func form(username, password string) string {
	return url.Values{"username": {username}, "password": {password}}.Encode()
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

var formType = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// words are what a version says to a refused credential.
func (tg target) words(today, old string) string {
	if tg.oldWords {
		return old
	}
	return today
}

// contract is everything that Langkeep relies on, true of the real Langflow
// and of the stand-in alike.
func contract(t *testing.T, tg target) {
	if tg.rateLimit != 0 {
		t.Run("rate limit", tg.testRateLimit)
		return
	}
	tokens := tg.login(t, tg.username, tg.password)
	detail := func(s string) string { return `{"detail":"` + s + `"}` }
	input := ""
	if tg.tellsInput {
		input = `,"input":null`
	}
	missing := `{"detail":[{"type":"missing","loc":["body","username"],"msg":"Field required"` + input +
		`},{"type":"missing","loc":["body","password"],"msg":"Field required"` + input + `}]}`
	ended := detail("Invalid refresh token")
	cookie := func(value string) http.Header { return http.Header{"Cookie": {tg.cookie + "=" + value}} }
	v := `{"version":"` + tg.version + `","main_version":"` + tg.version + `","package":"` + tg.packaged + `"}`
	host := strings.TrimPrefix(tg.url, "http://")
	wires := []wire{
		{name: "version", method: "GET", path: "/api/v1/version", status: 200, want: v},
		{name: "health", method: "GET", path: "/health", status: 200, want: `{"status":"ok"}`},
		{name: "health check", method: "GET", path: "/health_check", status: 200, want: `{"status":"ok","chat":"ok","db":"ok"}`},
		{name: "unknown path", method: "GET", path: "/api/v1/nothing-here", status: 404, want: detail("Not Found")},
		{name: "wrong method", method: "GET", path: "/api/v1/refresh", status: 405, want: detail("Method Not Allowed"), wantHeader: map[string]string{"Allow": "POST"}},
		{name: "slash too many", method: "GET", path: "/api/v1/users/whoami/", status: 307, wantHeader: map[string]string{"Location": "http://" + host + "/api/v1/users/whoami"}},
		{name: "slash too many in a post", method: "POST", path: "/api/v1/login/", header: formType, body: form("a", "b"), status: 307, wantHeader: map[string]string{"Location": "http://" + host + "/api/v1/login"}},

		{name: "login as json", method: "POST", path: "/api/v1/login", header: http.Header{"Content-Type": {"application/json"}}, body: `{"username":"a","password":"b"}`, status: 422, want: missing},
		{name: "login with nothing", method: "POST", path: "/api/v1/login", status: 422, want: missing},
		{name: "wrong password", method: "POST", path: "/api/v1/login", header: formType, body: form(tg.username, "x"), status: 401, want: detail("Incorrect username or password"), wantHeader: map[string]string{"Www-Authenticate": "Bearer"}},
		{name: "unknown user", method: "POST", path: "/api/v1/login", header: formType, body: form("nobody", tg.password), status: 401, want: detail("Incorrect username or password")},

		{name: "refresh without cookie", method: "POST", path: "/api/v1/refresh", status: 401, want: ended, wantHeader: map[string]string{"Www-Authenticate": "Bearer"}},
		{name: "refresh with garbage", method: "POST", path: "/api/v1/refresh", header: cookie("garbage"), status: 401, want: ended, wantHeader: map[string]string{"Www-Authenticate": ""}},
		{name: "refresh with a bearer", method: "POST", path: "/api/v1/refresh", header: bearer(tokens.Refresh.Reveal()), status: 401, want: ended},
		{name: "refresh under a foreign name", method: "POST", path: "/api/v1/refresh", header: http.Header{"Cookie": {"refresh_token=" + tokens.Refresh.Reveal()}}, status: 401, want: ended},
		{name: "refresh beside a garbage cookie", method: "POST", path: "/api/v1/refresh", header: http.Header{"Cookie": {tg.cookie + "=" + tokens.Refresh.Reveal() + "; other=x"}}, status: 200},

		{name: "whoami", method: "GET", path: "/api/v1/users/whoami", header: bearer(tokens.Access.Reveal()), status: 200},
		{name: "whoami with a bearer and a bad key", method: "GET", path: "/api/v1/users/whoami", header: http.Header{"Authorization": {"Bearer " + tokens.Access.Reveal()}, "X-Api-Key": {"bad"}}, status: 200},
		{name: "whoami with nothing", method: "GET", path: "/api/v1/users/whoami", status: 403, want: detail(tg.words("No authentication credentials provided", "An API key must be passed as query or header"))},
		{name: "whoami with garbage", method: "GET", path: "/api/v1/users/whoami", header: bearer("garbage"), status: 401, want: detail(tg.words("Invalid token", "Could not validate credentials"))},
		{name: "whoami with a bad key", method: "GET", path: "/api/v1/users/whoami", header: http.Header{"X-Api-Key": {"sk-bad"}}, status: 403, want: detail(tg.words("Invalid API key", "Invalid or missing API key"))},
		{name: "whoami with None as the key", method: "GET", path: "/api/v1/users/whoami", header: http.Header{"X-Api-Key": {"None"}}, status: 403, want: detail(tg.words("Invalid API key", "Invalid or missing API key"))},

		{name: "logout of nobody", method: "POST", path: "/api/v1/logout", status: 200, want: `{"message":"Logout successful"}`},
	}
	if tg.session {
		out := `{"authenticated":false,"user":null,"store_api_key":null}`
		wires = append(wires,
			wire{name: "session of nobody", method: "GET", path: "/api/v1/session", status: 200, want: out},
			wire{name: "session of garbage", method: "GET", path: "/api/v1/session", header: bearer("garbage"), status: 200, want: out},
			wire{name: "session of a refresh token", method: "GET", path: "/api/v1/session", header: bearer(tokens.Refresh.Reveal()), status: 200, want: out},
		)
	} else {
		wires = append(wires, wire{name: "no session yet", method: "GET", path: "/api/v1/session", status: 404, want: detail("Not Found")})
	}
	refreshWithAccess := wire{name: "refresh with an access token", method: "POST", path: "/api/v1/refresh", header: cookie(tokens.Access.Reveal()), status: 401, want: ended}
	whoamiWithRefresh := wire{name: "whoami with a refresh token", method: "GET", path: "/api/v1/users/whoami", header: bearer(tokens.Refresh.Reveal()), status: 401, want: detail("Invalid token type")}
	if tg.laxTokens {
		refreshWithAccess.status, refreshWithAccess.want = 200, ""
		whoamiWithRefresh.status, whoamiWithRefresh.want = 200, ""
	}
	loginWithEmpty := wire{name: "login with empty fields", method: "POST", path: "/api/v1/login", header: formType, body: form("", ""), status: 422, want: missing}
	if tg.takesEmpty {
		loginWithEmpty.status, loginWithEmpty.want = 401, detail("Incorrect username or password")
	}
	wires = append(wires, refreshWithAccess, whoamiWithRefresh, loginWithEmpty)
	if !tg.autoLogin {
		wires = append(wires, wire{name: "auto login off", method: "GET", path: "/api/v1/auto_login", status: tg.autoLoginOff, want: `{"detail":{"message":"` +
			tg.words("Auto login is disabled.", "Auto login is disabled. Please enable it in the settings") + `","auto_login":false}}`})
	}
	if tg.cookie != "refresh_token_lf" {
		wires = append(wires, wire{name: "refresh under the plain name", method: "POST", path: "/api/v1/refresh", header: http.Header{"Cookie": {"refresh_token_lf=" + tokens.Refresh.Reveal()}}, status: 401, want: ended})
	}
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			resp, body := tg.ask(t, w.method, w.path, w.header, w.body)
			if resp.StatusCode != w.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, w.status, body)
			}
			var got, want any
			if w.want != "" && (json.Unmarshal(body, &got) != nil || json.Unmarshal([]byte(w.want), &want) != nil || !reflect.DeepEqual(got, want)) {
				t.Errorf("body %s, want %s", body, w.want)
			}
			for name, value := range w.wantHeader {
				if got := resp.Header.Get(name); got != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
		})
	}
	t.Run("sign-in", tg.testSignIn)
	t.Run("refresh", tg.testRefresh)
	t.Run("errors", tg.testErrors)
	t.Run("auto login", tg.testAutoLogin)
	t.Run("accounts", tg.testAccounts)
	t.Run("keys", tg.testKeys)
	t.Run("made keys", tg.testMadeKeys)
	t.Run("ends", tg.testEnds)
	t.Run("new secret", tg.testNewSecret)
}

// near allows for a Date that lags, by many seconds on a busy machine.
func near(got, want time.Duration) bool {
	return got >= want-2*time.Second && got <= want+20*time.Second
}

func (tg target) testSignIn(t *testing.T) {
	resp, body := tg.ask(t, "POST", "/api/v1/login", formType, form(tg.username, tg.password))
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	var pair map[string]any
	if err := json.Unmarshal(body, &pair); err != nil || len(pair) != 3 || pair["token_type"] != "bearer" {
		t.Errorf("the body is not three fields of a bearer: %v, %v", len(pair), err)
	}
	sub := ""
	for kind, lifetime := range map[string]time.Duration{"access": tg.access, "refresh": tg.refresh} {
		text, _ := pair[kind+"_token"].(string)
		claims := jwt.MapClaims{}
		token, _, err := jwt.NewParser().ParseUnverified(text, claims)
		if err != nil {
			t.Fatal(err)
		}
		if alg := token.Header["alg"]; alg != tg.algorithm {
			t.Errorf("%s token: algorithm %v, want %s", kind, alg, tg.algorithm)
		}
		id, _ := claims["sub"].(string)
		if len(claims) != 3 || claims["type"] != kind || id == "" || sub != "" && id != sub {
			t.Errorf("%s token has the claims %v", kind, claims)
		}
		sub = id
		date, err := http.ParseTime(resp.Header.Get("Date"))
		exp, _ := claims["exp"].(float64)
		if left := time.Unix(int64(exp), 0).Sub(date); err != nil || !near(left, lifetime) {
			t.Errorf("%s token lives %v, want %v (%v)", kind, left, lifetime, err)
		}
	}
	cookies := map[string]*http.Cookie{}
	for _, c := range resp.Cookies() {
		cookies[c.Name] = c
	}
	suffix := strings.TrimPrefix(tg.cookie, "refresh_token_lf")
	for name, value := range map[string]any{
		"refresh_token_lf": pair["refresh_token"], "access_token_lf": pair["access_token"], "apikey_tkn_lflw": "None",
	} {
		c := cookies[name+suffix]
		if c == nil {
			t.Errorf("no cookie %s", name+suffix)
			continue
		}
		secure := tg.secure && name == "refresh_token_lf"
		if c.Value != value || c.Secure != secure || c.Path != tg.cookiePath {
			t.Errorf("cookie %s: right value %v, secure %v, path %s", c.Name, c.Value == value, c.Secure, c.Path)
		}
	}

	c := tg.client(t)
	tokens, err := c.Login(t.Context(), tg.username, secret.New(tg.password))
	if err != nil {
		t.Fatal(err)
	}
	tg.check(t, c, tokens)
	if tokens.CookieName != tg.cookie {
		t.Errorf("learned the cookie name %q, want %q", tokens.CookieName, tg.cookie)
	}
	if offset, known := c.Offset(); !known || offset.Abs() > 3*time.Second {
		t.Errorf("offset %v, known %v", offset, known)
	}
	if v, err := c.Version(t.Context()); v != tg.version || err != nil {
		t.Errorf("version %q, %v", v, err)
	}
	if tg.session {
		_, body := tg.ask(t, "GET", "/api/v1/session", bearer(tokens.Access.Reveal()), "")
		var s struct {
			Authenticated bool
			User          struct{ Username string }
		}
		if err := json.Unmarshal(body, &s); err != nil || !s.Authenticated || s.User.Username != tg.username {
			t.Errorf("session: %s, %v", body, err)
		}
	}
}

// check tells whether a pair is what a server with tg's lifetimes should give.
func (tg target) check(t *testing.T, c *langflow.Client, tokens *langflow.Tokens) {
	t.Helper()
	if !near(tokens.AccessLifetime, tg.access) || !near(tokens.RefreshLifetime, tg.refresh) {
		t.Errorf("lifetimes %v and %v, want %v and %v", tokens.AccessLifetime, tokens.RefreshLifetime, tg.access, tg.refresh)
	}
	if got := tokens.RefreshExpiry.Sub(tokens.AccessExpiry); !near(got, tg.refresh-tg.access) {
		t.Errorf("the refresh token ends %v after the access token", got)
	}
	u, err := c.WhoAmI(t.Context(), langflow.Bearer(tokens.Access))
	if err != nil || u.ID == "" || u.Username != tg.username {
		t.Errorf("whoami: %v, %v", u, err)
	}
}

func (tg target) testRefresh(t *testing.T) {
	c := tg.client(t)
	first := tg.login(t, tg.username, tg.password)
	for _, name := range []string{first.CookieName, ""} {
		tokens, err := c.Refresh(t.Context(), first.Refresh, name)
		if err != nil {
			t.Fatalf("with the cookie name %q: %v", name, err)
		}
		tg.check(t, c, tokens)
		if tokens.Refresh.Empty() || tokens.CookieName != tg.cookie {
			t.Errorf("cookie name %q, want %q", tokens.CookieName, tg.cookie)
		}
	}
	// Logout revokes neither token, and the old pair outlives a refresh.
	if err := c.Logout(t.Context(), first.Access); err != nil {
		t.Error(err)
	}
	if _, err := c.Refresh(t.Context(), first.Refresh, first.CookieName); err != nil {
		t.Errorf("after logout: %v", err)
	}
	if _, err := c.WhoAmI(t.Context(), langflow.Bearer(first.Access)); err != nil {
		t.Errorf("after logout: %v", err)
	}
}

// wantKind fails unless err is an *Error of that kind.
func wantKind(t *testing.T, err error, kind langflow.Kind) *langflow.Error {
	t.Helper()
	var e *langflow.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("error %v, want one of kind %s", err, kind)
		return &langflow.Error{}
	}
	return e
}

func (tg target) testErrors(t *testing.T) {
	c := tg.client(t)
	_, err := c.Login(t.Context(), tg.username, secret.New("wrong"))
	wantKind(t, err, langflow.WrongPassword)
	_, err = c.Login(t.Context(), "", secret.New("swordfish"))
	if tg.takesEmpty {
		wantKind(t, err, langflow.WrongPassword)
	} else {
		wantKind(t, err, langflow.BadRequest)
	}
	_, err = c.Refresh(t.Context(), secret.New("garbage"), tg.cookie)
	wantKind(t, err, langflow.SessionEnded)
	_, err = c.Refresh(t.Context(), secret.New("garbage"), "")
	wantKind(t, err, langflow.SessionEnded)
	_, err = c.WhoAmI(t.Context(), langflow.Bearer(secret.New("garbage")))
	wantKind(t, err, langflow.TokenRefused)
	_, err = c.WhoAmI(t.Context(), langflow.Key(secret.New("None")))
	wantKind(t, err, langflow.KeyRefused)
}

func (tg target) testAutoLogin(t *testing.T) {
	c := tg.client(t)
	tokens, err := c.AutoLogin(t.Context())
	if !tg.autoLogin {
		e := wantKind(t, err, langflow.AutoLoginOff)
		if e.Final() || e.Status != tg.autoLoginOff {
			t.Errorf("final %v, status %d", e.Final(), e.Status)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if tg.longAutoLogin {
		if !tokens.Refresh.Empty() || !near(tokens.AccessLifetime, 365*24*time.Hour) {
			t.Errorf("refresh token given: %v, lifetime %v", !tokens.Refresh.Empty(), tokens.AccessLifetime)
		}
		if _, err := c.WhoAmI(t.Context(), langflow.Bearer(tokens.Access)); err != nil {
			t.Error(err)
		}
		return
	}
	tg.check(t, c, tokens)
	if tokens.CookieName != tg.cookie {
		t.Errorf("cookie name %q, want %q", tokens.CookieName, tg.cookie)
	}
}

func (tg target) testAccounts(t *testing.T) {
	if tg.addUser == nil {
		t.Skip("needs a hand on the accounts")
	}
	const password = "contract-Password1"
	c := tg.client(t)
	tg.addUser("waiting", password, false)
	_, err := c.Login(t.Context(), "waiting", secret.New(password))
	wantKind(t, err, langflow.WaitingForApproval)

	tg.addUser("leaver", password, true)
	leaver := tg.login(t, "leaver", password)
	tg.deactivate("leaver")
	_, err = c.Login(t.Context(), "leaver", secret.New(password))
	wantKind(t, err, langflow.Inactive)
	_, err = c.Refresh(t.Context(), leaver.Refresh, leaver.CookieName)
	if !tg.laxTokens {
		wantKind(t, err, langflow.Inactive)
	} else if err != nil {
		t.Errorf("a refresh asks something of the account: %v", err)
	}
	_, err = c.WhoAmI(t.Context(), langflow.Bearer(leaver.Access))
	if tg.oldWords {
		wantKind(t, err, langflow.TokenRefused)
	} else {
		wantKind(t, err, langflow.Inactive)
	}
	tg.deleteUser("leaver")
	soon(func() bool { _, err = c.WhoAmI(t.Context(), langflow.Bearer(leaver.Access)); return err != nil })
	wantKind(t, err, langflow.TokenRefused)
	_, err = c.Refresh(t.Context(), leaver.Refresh, leaver.CookieName)
	wantKind(t, err, langflow.SessionEnded)
}

func (tg target) testKeys(t *testing.T) {
	if tg.addKey == nil {
		t.Skip("needs a hand on the keys")
	}
	c := tg.client(t)
	key, revoke := tg.addKey()
	if u, err := c.WhoAmI(t.Context(), langflow.Key(key)); err != nil || u.Username != tg.username {
		t.Errorf("whoami: %v, %v", u, err)
	}
	for class, want := range map[langflow.Class]struct{ token, key bool }{
		langflow.AnyCredential: {true, true}, langflow.TokenOnly: {true, false}, langflow.KeyOnly: {false, true},
	} {
		if class == langflow.TokenOnly && !tg.session {
			_, err := c.Opens(t.Context(), langflow.Key(key), class)
			if !errors.Is(err, langflow.ErrNoRoute) {
				t.Errorf("a server without /session: %v", err)
			}
			continue
		}
		if class == langflow.KeyOnly && tg.autoLogin {
			continue // such a server may let everybody in
		}
		token := tg.login(t, tg.username, tg.password).Access
		if got, err := c.Opens(t.Context(), langflow.Bearer(token), class); got != want.token || err != nil {
			t.Errorf("class %s with a token: %v, %v", class, got, err)
		}
		if got, err := c.Opens(t.Context(), langflow.Key(key), class); got != want.key || err != nil {
			t.Errorf("class %s with a key: %v, %v", class, got, err)
		}
	}
	// A stale bearer beats a good key.
	resp, body := tg.ask(t, "GET", "/api/v1/users/whoami", http.Header{"Authorization": {"Bearer stale"}, "X-Api-Key": {key.Reveal()}}, "")
	if resp.StatusCode != 401 {
		t.Errorf("a stale bearer beside a good key: %d %s", resp.StatusCode, body)
	}
	revoke()
	var err error
	soon(func() bool { _, err = c.WhoAmI(t.Context(), langflow.Key(key)); return err != nil })
	wantKind(t, err, langflow.KeyRefused)
}

// testEnds waits for an access token's end, so it needs a short one or a clock
// that can be moved.
func (tg target) testEnds(t *testing.T) {
	if tg.wait == nil {
		t.Skip("needs a hand on the clock")
	}
	c := tg.client(t)
	tokens := tg.login(t, tg.username, tg.password)
	tg.wait(tg.access + time.Second)
	_, err := c.WhoAmI(t.Context(), langflow.Bearer(tokens.Access))
	wantKind(t, err, langflow.TokenRefused)
	resp, body := tg.ask(t, "GET", "/api/v1/users/whoami", bearer(tokens.Access.Reveal()), "")
	want := `{"detail":"` + tg.words("Token has expired", "Could not validate credentials") + `"}`
	if resp.StatusCode != 401 || string(body) != want {
		t.Errorf("%d %s, want 401 %s", resp.StatusCode, body, want)
	}
	if _, err := c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName); err != nil {
		t.Error(err)
	}
	tg.wait(tg.refresh)
	_, err = c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName)
	wantKind(t, err, langflow.SessionEnded)
}

func (tg target) testNewSecret(t *testing.T) {
	if tg.newSecret == nil {
		t.Skip("needs a hand on the secret key")
	}
	tokens := tg.login(t, tg.username, tg.password)
	tg.newSecret()
	c := tg.client(t)
	_, err := c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName)
	wantKind(t, err, langflow.SessionEnded)
	_, err = c.WhoAmI(t.Context(), langflow.Bearer(tokens.Access))
	wantKind(t, err, langflow.TokenRefused)
}

func (tg target) testRateLimit(t *testing.T) {
	// A sign-in that is no form does not count.
	if resp, body := tg.ask(t, "POST", "/api/v1/login", http.Header{"Content-Type": {"application/json"}}, `{}`); resp.StatusCode != 422 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	c := tg.client(t)
	var tokens *langflow.Tokens
	for i := range tg.rateLimit {
		var err error
		if i%2 == 1 {
			_, err = c.Login(t.Context(), tg.username, secret.New("wrong"))
			wantKind(t, err, langflow.WrongPassword)
		} else if tokens, err = c.Login(t.Context(), tg.username, secret.New(tg.password)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Login(t.Context(), tg.username, secret.New(tg.password))
	if e := wantKind(t, err, langflow.RateLimited); e.RetryAfter != time.Minute || e.Final() {
		t.Errorf("retry after %v", e.RetryAfter)
	}
	resp, body := tg.ask(t, "POST", "/api/v1/login", formType, form(tg.username, tg.password))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "60" ||
		string(body) != `{"detail":"Too many requests. Please try again later.","retry_after":"60"}` {
		t.Errorf("%d, %q, %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
	for range tg.rateLimit + 1 {
		if _, err := c.Refresh(t.Context(), tokens.Refresh, tokens.CookieName); err != nil {
			t.Fatalf("a refresh is limited: %v", err)
		}
	}
}

// standIn makes a target of the stand-in, with a clock of its own.
func standIn(t *testing.T, o langflowtest.Options) target {
	now := clock.NewJumping()
	o.Now = now.Now
	o.AccessLifetime, o.RefreshLifetime = 10*time.Minute, time.Hour
	s := langflowtest.New(o)
	t.Cleanup(s.Close)
	tg := target{
		url: s.URL, username: langflowtest.Admin().Name, password: langflowtest.Admin().Password,
		access: o.AccessLifetime, refresh: o.RefreshLifetime, algorithm: "HS256",
		cookie: "refresh_token_lf", cookiePath: "/",
		autoLogin: o.AutoLogin, autoLoginOff: 403, version: "1.13.0", packaged: "Langflow", session: true, rateLimit: o.RateLimit,
		wait: now.Jump,
		addUser: func(name, password string, active bool) {
			s.SetUser(langflowtest.User{Name: name, Password: password, Waiting: !active})
		},
		deactivate: s.Deactivate, deleteUser: s.DeleteUser, newSecret: s.RotateSecret,
		addKey: func() (secret.Text, func()) {
			key := s.AddAPIKey(langflowtest.Admin().Name)
			return key, func() { s.RevokeAPIKey(key) }
		},
	}
	if o.Algorithm != "" {
		tg.algorithm = o.Algorithm
	}
	return tg
}

func newKey() crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // it never fails
	}
	return key
}

func TestContractOfStandIn(t *testing.T) {
	t.Run("1.13", func(t *testing.T) { contract(t, standIn(t, langflowtest.Options{Version: "1.13"})) })
	t.Run("1.10", func(t *testing.T) {
		tg := standIn(t, langflowtest.Options{Version: "1.10"})
		tg.version, tg.secure, tg.tellsInput = "1.10.0", true, true
		contract(t, tg)
	})
	t.Run("1.4", func(t *testing.T) {
		tg := standIn(t, langflowtest.Options{Version: "1.4"})
		tg.version, tg.session, tg.autoLoginOff = "1.4.3", false, 400
		tg.secure, tg.tellsInput, tg.takesEmpty, tg.oldWords, tg.laxTokens = true, true, true, true, true
		contract(t, tg)
	})
	t.Run("root path, RS256, auto login", func(t *testing.T) {
		tg := standIn(t, langflowtest.Options{RootPath: "/team/a", Algorithm: "RS256", NewKey: newKey, AutoLogin: true})
		tg.cookie, tg.cookiePath = "refresh_token_lf_%2Fteam%2Fa", "/team/a/"
		contract(t, tg)
	})
	t.Run("root path before 1.12.7, RS512, auto login", func(t *testing.T) {
		tg := standIn(t, langflowtest.Options{Version: "1.10", RootPath: "/team/a", Algorithm: "RS512", NewKey: newKey, AutoLogin: true})
		tg.version, tg.secure, tg.tellsInput, tg.longAutoLogin = "1.10.0", true, true, true
		contract(t, tg)
	})
	t.Run("rate limit", func(t *testing.T) { contract(t, standIn(t, langflowtest.Options{RateLimit: 5})) })
}

// soon waits up to 10 s until it is so. A busy Langflow answers a removal before its
// database has it: 1.10.3 let in two keys right after.
func soon(so func() bool) {
	for limit := time.Now().Add(10 * time.Second); !so() && time.Now().Before(limit); {
		time.Sleep(50 * time.Millisecond)
	}
}

// testMadeKeys is about API keys that are made with a token.
func (tg target) testMadeKeys(t *testing.T) {
	c := tg.client(t)
	token := langflow.Bearer(tg.login(t, tg.username, tg.password).Access)
	expires := time.Now().Add(time.Hour).Truncate(time.Second)
	made, err := c.CreateKey(t.Context(), token, "langkeep here prod 0123456789abcdef", expires)
	if err != nil {
		t.Fatal(err)
	}
	echoed := expires.UTC()
	if tg.oldWords { // up to 1.9 a key's end is dropped in silence
		echoed = time.Time{}
	}
	if made.Key.Empty() || made.ID == "" || made.Name != "langkeep here prod 0123456789abcdef" || !made.Expires.Equal(echoed) || !made.Active {
		t.Errorf("made: %+v, want the end %v", made, echoed)
	}
	if u, err := c.WhoAmI(t.Context(), langflow.Key(made.Key)); err != nil || u.Username != tg.username {
		t.Errorf("the new key: %v, %v", u, err)
	}
	find := func() (langflow.APIKey, bool) {
		t.Helper()
		all, err := c.Keys(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range all {
			if k.ID == made.ID {
				return k, true
			}
		}
		return langflow.APIKey{}, false
	}
	listed, ok := find()
	if !ok || listed.Name != made.Name || !listed.Key.Empty() || !listed.Expires.Equal(echoed) || listed.Created.IsZero() || !listed.Active {
		t.Errorf("listed: %+v, %v", listed, ok)
	}
	if listed.Masked == "" || strings.Contains(listed.Masked, made.Key.Reveal()) {
		t.Errorf("masked: %q", listed.Masked)
	}
	if _, err := c.CreateKey(t.Context(), langflow.Bearer(secret.New("garbage")), "x", expires); kindOf(err) != langflow.TokenRefused {
		t.Errorf("made with garbage: %v", err)
	}
	if err := c.DeleteKey(t.Context(), token, "00000000-0000-4000-8000-00000000dead"); !langflow.NoSuchKey(err) {
		t.Errorf("deleting a key that is not there: %v", err)
	}
	for _, id := range []string{"..", "../users/me", "..%2fusers%2fme", "a?b", ""} {
		if err := c.DeleteKey(t.Context(), token, id); err == nil || !strings.Contains(err.Error(), "no key's id") {
			t.Errorf("deleting what is no key: %q: %v", id, err)
		}
	}
	if err := c.DeleteKey(t.Context(), token, made.ID); err != nil {
		t.Error(err)
	}
	soon(func() bool { _, ok = find(); return !ok })
	if ok {
		t.Error("it is still there")
	}
	if _, err := c.WhoAmI(t.Context(), langflow.Key(made.Key)); kindOf(err) != langflow.KeyRefused {
		t.Errorf("the deleted key: %v", err)
	}
	if made.Expires.IsZero() {
		return
	}
	past, err := c.CreateKey(t.Context(), token, "past", time.Now().Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WhoAmI(t.Context(), langflow.Key(past.Key)); kindOf(err) != langflow.KeyRefused {
		t.Errorf("a key that has ended: %v", err)
	}
	if err := c.DeleteKey(t.Context(), token, past.ID); err != nil {
		t.Error(err)
	}
}

// kindOf is an error's kind, "" for any other error.
func kindOf(err error) langflow.Kind {
	var e *langflow.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}
