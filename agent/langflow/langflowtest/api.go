package langflowtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// features are what tells one version from another.
type features struct {
	full          string // what /version says
	autoLoginOff  int    // the status of "auto login is disabled"
	longAutoLogin bool   // auto login gives 365 days and no refresh token
	secureRefresh bool   // the refresh cookie is Secure; SameSite=None, even over plain HTTP
	ownCookieName bool   // a root path is part of it
	rateLimit     bool
	session       bool
	keyExpiry     bool // an API key can be given an end
	oldWords      bool // of /users/whoami
	tellsInput    bool // what was sent, in the list of what is missing
	takesEmpty    bool // an empty field of a form is not one that is missing
	laxTokens     bool // a refresh takes any token of an account, a deactivated one too, and /users/whoami a refresh token
}

// versions by Options.Version. 1.10 is 1.10.0, the last with the long token.
var versions = map[string]features{
	"1.4":  {full: "1.4.3", autoLoginOff: 400, longAutoLogin: true, secureRefresh: true, oldWords: true, tellsInput: true, takesEmpty: true, laxTokens: true},
	"1.10": {full: "1.10.0", autoLoginOff: 403, longAutoLogin: true, secureRefresh: true, rateLimit: true, session: true, keyExpiry: true, tellsInput: true},
	"1.13": {full: "1.13.0", autoLoginOff: 403, ownCookieName: true, rateLimit: true, session: true, keyExpiry: true},
	"":     {full: "1.13.0", autoLoginOff: 403, ownCookieName: true, rateLimit: true, session: true, keyExpiry: true},
}

// route is a path below /api/v1.
type route struct {
	method string
	serve  func(*Server, *http.Request) reply
}

func (s *Server) routes() map[string]route {
	r := map[string]route{
		"/version":      {"GET", (*Server).getVersion},
		"/login":        {"POST", (*Server).login},
		"/auto_login":   {"GET", (*Server).autoLogin},
		"/refresh":      {"POST", (*Server).refresh},
		"/logout":       {"POST", (*Server).logout},
		"/users/whoami": {"GET", (*Server).whoAmI},
		"/process/none": {"POST", (*Server).process},
	}
	if s.version.session {
		r["/session"] = route{"GET", (*Server).session}
	}
	return r
}

// reply is an answer before a fault has touched it.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func answer(status int, body any) reply {
	b, err := json.Marshal(body)
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	return reply{status, http.Header{"Content-Type": {"application/json"}}, b}
}

func refuse(status int, detail any) reply { return answer(status, map[string]any{"detail": detail}) }

func (r reply) with(key, value string) reply {
	r.header.Add(key, value)
	return r
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Read at once: only then does net/http notice a client that went away.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	path := strings.TrimPrefix(r.URL.Path, s.o.RootPath)
	short, isAPI := strings.CutPrefix(path, "/api/v1")
	if !isAPI {
		short = path
	}
	line := s.record(r.Method, short)
	f := s.takeFault(short)
	f.before(r.Context(), s.stopping())
	re := s.answer(r, path, short, isAPI)
	f.change(&re)
	if _, ok := re.header["Date"]; !ok {
		re.header.Set("Date", s.o.Now().UTC().Format(http.TimeFormat))
	}
	s.answered(line, re.status) // before the caller can know
	f.write(w, re)
}

func (s *Server) stopping() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// record adds a line to the log and returns its number.
func (s *Server) record(method, path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{s.o.Now(), method, path, 0})
	return len(s.requests) - 1
}

func (s *Server) answered(line, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[line].Status = status
}

func (s *Server) answer(r *http.Request, path, short string, isAPI bool) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path {
	case "/health":
		return answer(200, map[string]string{"status": "ok"})
	case "/health_check":
		return answer(200, map[string]string{"status": "ok", "chat": "ok", "db": "ok"})
	}
	if rest, ok := strings.CutPrefix(short, "/api_key/"); ok && isAPI {
		return s.apiKeys(r, rest)
	}
	routes := s.routes()
	if _, ok := routes[strings.TrimSuffix(short, "/")]; ok && isAPI && strings.HasSuffix(short, "/") {
		re := reply{status: http.StatusTemporaryRedirect, header: http.Header{}}
		return re.with("Location", "http://"+r.Host+strings.TrimSuffix(r.URL.Path, "/"))
	}
	to, ok := routes[short]
	if !ok || !isAPI {
		return refuse(404, "Not Found")
	}
	if r.Method != to.method {
		return refuse(405, "Method Not Allowed").with("Allow", to.method)
	}
	return to.serve(s, r)
}

func (s *Server) getVersion(*http.Request) reply {
	return answer(200, map[string]string{"version": s.version.full, "main_version": s.version.full, "package": "Langflow"})
}

func (s *Server) login(r *http.Request) reply {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, _ := io.ReadAll(r.Body)
	form := url.Values{}
	if media == "application/x-www-form-urlencoded" {
		form, _ = url.ParseQuery(string(body))
	}
	var missing []any
	for _, name := range []string{"username", "password"} {
		if !form.Has(name) || form.Get(name) == "" && !s.version.takesEmpty {
			field := map[string]any{"type": "missing", "loc": []string{"body", name}, "msg": "Field required"}
			if s.version.tellsInput {
				field["input"] = nil
			}
			missing = append(missing, field)
		}
	}
	if missing != nil {
		return refuse(422, missing)
	}
	if !s.allowSignIn() {
		return answer(429, map[string]string{"detail": "Too many requests. Please try again later.", "retry_after": "60"}).with("Retry-After", "60")
	}
	a := s.byName(form.Get("username"))
	switch {
	case a != nil && a.Waiting:
		return refuse(400, "Waiting for approval")
	case a != nil && a.Inactive:
		return refuse(401, "Inactive user")
	case a == nil || a.Password != form.Get("password"):
		return refuse(401, "Incorrect username or password").with("Www-Authenticate", "Bearer")
	}
	return s.pair(a).with("Set-Cookie", s.cookie("apikey_tkn_lflw", "None", 0))
}

// allowSignIn counts by the minute that the first sign-in begins, successes
// too, as slowapi's fixed window does.
func (s *Server) allowSignIn() bool {
	if !s.version.rateLimit || s.o.RateLimit == 0 {
		return true
	}
	if now := s.o.Now(); now.Sub(s.window) >= time.Minute {
		s.window, s.signIns = now, 0
	}
	s.signIns++
	return s.signIns <= s.o.RateLimit
}

func (s *Server) autoLogin(*http.Request) reply {
	if !s.autoLoginOn || len(s.accounts) == 0 {
		return refuse(s.version.autoLoginOff, map[string]any{
			"message": s.words("Auto login is disabled.", "Auto login is disabled. Please enable it in the settings"), "auto_login": false,
		})
	}
	a := s.accounts[0]
	if !s.version.longAutoLogin {
		return s.pair(a).with("Set-Cookie", s.cookie("apikey_tkn_lflw", "", 0))
	}
	access := s.mint(a.id, "access", 365*24*time.Hour)
	return answer(200, map[string]any{"access_token": access, "refresh_token": nil, "token_type": "bearer"}).
		with("Set-Cookie", s.cookie("access_token_lf", access, 0)).
		with("Set-Cookie", s.cookie("apikey_tkn_lflw", "", 0))
}

func (s *Server) refresh(r *http.Request) reply {
	const ended = "Invalid refresh token"
	c, err := r.Cookie(s.cookieName("refresh_token_lf"))
	if err != nil || c.Value == "" {
		return refuse(401, ended).with("Www-Authenticate", "Bearer")
	}
	id, kind, err := s.claims(c.Value)
	if err != nil || kind != "refresh" && !s.version.laxTokens {
		return refuse(401, ended)
	}
	switch a := s.byID(id); {
	case a == nil:
		return refuse(401, ended)
	case (a.Inactive || a.Waiting) && !s.version.laxTokens:
		return refuse(401, "User account is inactive")
	default:
		return s.pair(a)
	}
}

// pair is a success: two tokens, in the body and as cookies.
func (s *Server) pair(a *account) reply {
	access := s.mint(a.id, "access", s.accessLifetime)
	refresh := s.mint(a.id, "refresh", s.refreshLifetime)
	return answer(200, map[string]string{"access_token": access, "refresh_token": refresh, "token_type": "bearer"}).
		with("Set-Cookie", s.cookie("refresh_token_lf", refresh, s.refreshLifetime)).
		with("Set-Cookie", s.cookie("access_token_lf", access, s.accessLifetime))
}

func (s *Server) logout(*http.Request) reply {
	re := answer(200, map[string]string{"message": "Logout successful"})
	for _, name := range []string{"refresh_token_lf", "access_token_lf", "apikey_tkn_lflw"} {
		re = re.with("Set-Cookie", s.cookie(name, `""; Max-Age=0`, 0))
	}
	return re
}

func (s *Server) cookieName(name string) string {
	if s.version.ownCookieName && s.o.RootPath != "" {
		return name + "_" + url.QueryEscape(s.o.RootPath)
	}
	return name
}

// cookie is a Set-Cookie line; without a lifetime it is for the session.
func (s *Server) cookie(name, value string, lifetime time.Duration) string {
	path, security := "/", "SameSite=lax"
	if s.version.ownCookieName {
		path = s.o.RootPath + "/"
	}
	if s.version.secureRefresh && name == "refresh_token_lf" {
		security = "SameSite=none; Secure"
	}
	expires := ""
	if lifetime > 0 {
		expires = "; expires=" + s.o.Now().Add(lifetime).UTC().Format(http.TimeFormat)
	}
	return s.cookieName(name) + "=" + value + expires + "; HttpOnly; Path=" + path + "; " + security
}

func (s *Server) whoAmI(r *http.Request) reply {
	a, refused := s.byCredential(r)
	if a == nil {
		return refused
	}
	return answer(200, userJSON(a))
}

// byCredential returns the account of a request's access token or API key, or what
// to answer instead.
func (s *Server) byCredential(r *http.Request) (*account, reply) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token != "" {
		return s.byToken(token)
	}
	if c, err := r.Cookie(s.cookieName("access_token_lf")); err == nil {
		return s.byToken(c.Value)
	}
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		return nil, refuse(403, s.words("No authentication credentials provided", "An API key must be passed as query or header"))
	}
	if a := s.byKey(key); a != nil {
		return a, reply{}
	}
	return nil, refuse(403, s.words("Invalid API key", "Invalid or missing API key"))
}

// process is a route for an API key alone, which no token opens.
func (s *Server) process(r *http.Request) reply {
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		return refuse(403, "An API key must be passed as query or header")
	}
	if s.byKey(key) == nil {
		return refuse(403, "Invalid or missing API key")
	}
	return refuse(400, "The /process endpoint is deprecated and will be removed in a future version. Please use /run instead.")
}

// byToken returns an access token's account, or what to answer instead.
func (s *Server) byToken(token string) (*account, reply) {
	id, kind, err := s.claims(token)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, refuse(401, s.words("Token has expired", "Could not validate credentials"))
	case err != nil:
		return nil, refuse(401, s.words("Invalid token", "Could not validate credentials"))
	case kind != "access" && !s.version.laxTokens:
		return nil, refuse(401, "Invalid token type")
	}
	a := s.byID(id)
	switch {
	case a == nil && s.version.oldWords, a != nil && a.Inactive && s.version.oldWords:
		return nil, refuse(401, "User not found or is inactive.")
	case a == nil:
		return nil, refuse(403, "User not found")
	case a.Inactive:
		return nil, refuse(401, "User account is inactive")
	}
	return a, reply{}
}

func (s *Server) words(today, old string) string {
	if s.version.oldWords {
		return old
	}
	return today
}

func userJSON(a *account) map[string]any {
	return map[string]any{
		"id": a.id, "username": a.Name, "profile_image": nil, "store_api_key": nil,
		"is_active": !a.Inactive, "is_superuser": a.Superuser,
	}
}

func (s *Server) session(r *http.Request) reply {
	body := map[string]any{"authenticated": false, "user": nil, "store_api_key": nil}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if a, _ := s.byToken(token); a != nil {
		body["authenticated"], body["user"] = true, userJSON(a)
	}
	return answer(200, body)
}
