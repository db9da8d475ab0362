package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent"
	"langkeep/agent/audit/auditlog"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proof"
)

// callers is an authority with one client for each scope, whose token is the
// scope, and an owner.
type callers map[string]*guard.Caller

func (c callers) Lookup(token string) (*guard.Caller, bool) {
	caller, ok := c[token]
	return caller, ok
}

// Secret implements guard.Authority: nobody here asks for a proof.
func (c callers) Secret(string) (proof.Secret, bool) { return proof.Secret{}, false }

func allCallers() callers {
	c := callers{"owner": {Name: "owner", Owner: true}}
	for _, s := range []guard.Scope{guard.Read, guard.Token, guard.APIKey, guard.Run, guard.Proxy, guard.Manage} {
		c[string(s)] = &guard.Caller{Name: string(s), Scopes: []guard.Scope{s}, Profiles: []string{"prod", "absent"}}
	}
	return c
}

// settingsFile is a config.toml.
type settingsFile string

func (f settingsFile) Get() config.Config {
	c, _ := config.LoadConfig(string(f))
	return c
}

func (f settingsFile) Change(c config.Change) (config.Config, error) {
	return config.ChangeConfig(string(f), c)
}

// rig is the API over a real connection, with a stand-in for Langflow.
type rig struct {
	t        testing.TB
	langflow *langflowtest.Server
	agent    *agent.Agent
	server   *Server
	pages    *guard.Pages
	clients  *clients.List
	config   string // config.toml
	url      string
	stopped  chan struct{}
	wrong    error // what is wrong with the files
	cancel   func()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, langflow: langflowtest.New(langflowtest.Options{Version: "1.13"}), stopped: make(chan struct{}, 1)}
	log := slog.New(slog.DiscardHandler)
	r.agent = agent.New(agent.Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: log, ProfilesDir: t.TempDir(), UserAgent: "test",
	})
	listeners, err := guard.ListenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + listeners[0].Addr().String()
	r.pages = guard.NewPages(clock.System())
	r.clients = clients.Open(filepath.Join(t.TempDir(), "clients.json"), clock.System(), log)
	r.config = filepath.Join(t.TempDir(), "config.toml")
	r.server = New(Config{
		Agent: r.agent, Log: log,
		Guard: guard.New(guard.Config{Authority: guard.Authorities{allCallers(), r.pages, ClientTokens(r.clients)}, Log: log}),
		// Not where other tests' agents look for one.
		FirstProxyPort: 19000 + rand.IntN(10000),
		Clients:        r.clients, Audit: auditlog.Open("", clock.System(), log),
		Version: "1.2.3", Started: time.Now(), Store: "memory", Settings: settingsFile(r.config),
		Pages: r.pages, URL: r.url, PageFile: filepath.Join(t.TempDir(), "open.html"),
		ConfigError: func() error { return r.wrong }, Stop: func() { r.stopped <- struct{}{} },
	})
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	served, ran := make(chan error, 1), make(chan struct{})
	go func() { served <- r.server.Serve(ctx, listeners...) }()
	go func() {
		r.agent.Run(ctx)
		close(ran)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		<-ran
		r.langflow.Close()
	})
	return r
}

// ask sends a request and returns its answer's status, header and body.
func (r *rig) ask(token, method, path, body string, header ...string) (int, http.Header, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	answered, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		r.t.Errorf("%s %s: Cache-Control is %q", method, path, got)
	}
	return res.StatusCode, res.Header, string(answered)
}

// must asks as the owner and wants that status.
func (r *rig) must(status int, method, path, body string) string {
	r.t.Helper()
	got, _, answered := r.ask("owner", method, path, body)
	if got != status {
		r.t.Fatalf("%s %s: %d %s, want %d", method, path, got, answered, status)
	}
	return answered
}

// refused asks and wants a problem of that kind.
func (r *rig) refused(kind, token, method, path, body string) client.Problem {
	r.t.Helper()
	status, header, answered := r.ask(token, method, path, body)
	var p client.Problem
	if err := json.Unmarshal([]byte(answered), &p); err != nil {
		r.t.Fatalf("%s %s: %s: %v", method, path, answered, err)
	}
	if p.Kind() != kind || p.Status != status || header.Get("Content-Type") != "application/problem+json" {
		r.t.Fatalf("%s %s as %s: %d %s, want %s", method, path, token, status, answered, kind)
	}
	return p
}

func (r *rig) signIn() {
	r.t.Helper()
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"password","username":"admin","password":%q}`, langflowtest.Admin().Password))
}

func TestMainRoutes(t *testing.T) {
	r := newRig(t)
	r.signIn()
	var status client.Status
	body := r.must(200, "GET", "/v1/status", "")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Version != "1.2.3" || status.Store != "memory" || len(status.Profiles) != 1 || status.Profiles[0].State != client.Fresh {
		t.Errorf("status: %s", body)
	}
	if !strings.Contains(body, `"config_error":null`) {
		t.Error("what is unknown is left out")
	}
	r.wrong = errors.New("prod.toml:3: no")
	if body := r.must(200, "GET", "/v1/status", ""); !strings.Contains(body, `"config_error":"prod.toml:3: no"`) {
		t.Errorf("status does not tell what is wrong: %s", body)
	}
	// It may name a profile that a client does not see.
	if _, _, body := r.ask("read", "GET", "/v1/status", ""); !strings.Contains(body, `"config_error":null`) {
		t.Errorf("a client of some profiles is told of others: %s", body)
	}
	if body := r.must(200, "GET", "/v1/profiles", ""); !strings.HasPrefix(body, `{"profiles":[{"name":"prod"`) {
		t.Errorf("profiles: %s", body)
	}
	r.must(200, "POST", "/v1/profiles/prod/refresh", "")
	r.must(200, "PATCH", "/v1/profiles/prod", `{"allow_http":true}`)
	if body := r.must(200, "POST", "/v1/profiles/prod/logout", ""); !strings.Contains(body, `"state":"signed-out"`) {
		t.Errorf("logout: %s", body)
	}
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	if body := r.must(200, "GET", "/v1/profiles", ""); strings.TrimSpace(body) != `{"profiles":[]}` {
		t.Errorf("after removal: %s", body)
	}
	r.must(202, "POST", "/v1/stop", "")
	<-r.stopped
}

// Every field of a profile is there, even when nothing is known.
func TestUnknownIsNull(t *testing.T) {
	body, err := json.Marshal(Present(agent.Snapshot{Name: "x", State: agent.SignedOut}))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	if n := reflect.TypeFor[client.Profile]().NumField(); len(fields) != n {
		t.Errorf("%d fields of %d: %s", len(fields), n, body)
	}
	for _, name := range []string{"username", "method", "reason", "access_expires_at", "refresh_expires_at", "last_refresh_at",
		"next_attempt_at", "server_version", "clock_offset_seconds", "proxy_url"} {
		if v, ok := fields[name]; !ok || v != nil {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestToken(t *testing.T) {
	r := newRig(t)
	r.signIn()
	var token map[string]any
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/profiles/prod/token", "")), &token); err != nil {
		t.Fatal(err)
	}
	access, _ := token["access_token"].(string)
	if token["profile"] != "prod" || token["server_url"] != r.langflow.URL || token["token_type"] != "Bearer" || len(strings.Split(access, ".")) != 3 {
		t.Errorf("token: %v", token)
	}
	if in, _ := token["expires_in"].(float64); in < 3500 || in > 3600 || in != float64(int(in)) {
		t.Errorf("expires_in is %v", token["expires_in"])
	}
	if at, _ := token["expires_at"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(at) {
		t.Errorf("expires_at is %q", at)
	}
	status, header, plain := r.ask("token", "GET", "/v1/profiles/prod/token", "", "Accept", "text/plain")
	if status != 200 || plain != access || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("as text: %d %q %v", status, plain, header)
	}
	r.must(200, "GET", "/v1/profiles/prod/token?min_valid=30m", "")
	for _, bad := range []string{"", "soon", "-5s", "10", "%zz", "1s&min_valid=2s", "1s&min_valid=1s", "1s&min%5Fvalid=1s", "1s;x"} {
		r.refused(client.TypeBadRequest, "owner", "GET", "/v1/profiles/prod/token?min_valid="+bad, "")
	}
	p := r.refused(client.TypeLifetimeTooShort, "owner", "GET", "/v1/profiles/prod/token?min_valid=3h", "")
	if p.MaxValid == nil || *p.MaxValid < 3500 || *p.MaxValid > 3600 {
		t.Errorf("max_valid is %v", p.MaxValid)
	}
}

// Some HTTP libraries name JSON and text in one Accept, and expect JSON.
func TestTokenAsText(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for accept, want := range map[string]string{
		"text/plain": "text/plain; charset=utf-8", "text/plain, */*;q=0.1": "text/plain; charset=utf-8",
		"application/json, text/plain, */*": "application/json", "*/*": "application/json", "": "application/json",
	} {
		if _, header, _ := r.ask("owner", "GET", "/v1/profiles/prod/token", "", "Accept", accept); header.Get("Content-Type") != want {
			t.Errorf("Accept: %s is answered with %s", accept, header.Get("Content-Type"))
		}
	}
}

// Whoever waits for the same refresh is told of the same error.
func TestManyAreToldOfOneFailure(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.langflow.SetLifetimes(time.Millisecond, time.Hour)
	r.langflow.Fault("/refresh", langflowtest.Fault{Delay: 100 * time.Millisecond})
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if p := r.refused(client.TypeServerUnreachable, "owner", "POST", "/v1/profiles/prod/refresh", ""); p.RetryAfter == nil {
				t.Error("without a time to come back")
			}
		})
	}
	callers.Wait()
}

// A program that ends its half of the connection while it waits must not take
// the end of that for a success.
func TestHalfClosedConnection(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.langflow.Fault("/refresh", langflowtest.Fault{Hang: true})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/profiles/prod/refresh", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer owner")
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	for r.langflow.Count("/refresh") == 0 {
		runtime.Gosched()
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return // cut off: that is no success either
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError {
		t.Errorf("the answer is %s", res.Status)
	}
}

func TestTokenProblems(t *testing.T) {
	r := newRig(t)
	r.refused(client.TypeNotFound, "owner", "GET", "/v1/profiles/absent/token", "")
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	if p := r.refused(client.TypeSignInRequired, "owner", "GET", "/v1/profiles/prod/token", ""); !strings.Contains(p.Detail, `"prod"`) || !strings.Contains(p.Detail, "langkeep login prod") {
		t.Errorf("the detail is %q", p.Detail)
	}
	key := r.langflow.AddAPIKey("admin")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"api-key","api_key":%q}`, key.Reveal()))
	r.refused(client.TypeNotSupported, "owner", "GET", "/v1/profiles/prod/token", "")
	r.must(200, "POST", "/v1/profiles/prod/login", fmt.Sprintf(`{"method":"password","username":"admin","password":%q}`, langflowtest.Admin().Password))
	r.langflow.Stop()
	status, header, body := r.ask("owner", "GET", "/v1/profiles/prod/token?min_valid=59m59s", "")
	var p client.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	if status != 200 { // the token of this very second may just do
		if p.Kind() != client.TypeServerUnreachable || header.Get("Retry-After") == "" || p.HeldValid == nil || *p.HeldValid < 3000 {
			t.Errorf("%d %s", status, body)
		}
	}
}

func TestLoginProblems(t *testing.T) {
	r := newRig(t)
	r.must(201, "POST", "/v1/profiles", fmt.Sprintf(`{"name":"prod","server_url":%q}`, r.langflow.URL))
	const path = "/v1/profiles/prod/login"
	p := r.refused(client.TypeSignInRequired, "owner", "POST", path, `{"method":"password","username":"admin","password":"hunter2hunter2"}`)
	if p.Reason != "wrong-password" || strings.Contains(p.Detail, "hunter2") {
		t.Errorf("problem: %+v", p)
	}
	for _, body := range []string{``, `[]`, `{"method":"magic"}`, `{"method":"password"}`, `{"method":"password","pasword":"hunter2hunter2"}`,
		`{"method":"password","username":"a","password":["hunter2hunter2"]}`, `{"method":"auto-login"}{}`, `{"method":1}`} {
		if p := r.refused(client.TypeBadRequest, "owner", "POST", path, body); strings.Contains(p.Detail, "hunter2") {
			t.Errorf("the answer to %s has the password: %s", body, p.Detail)
		}
	}
	p = r.refused(client.TypeSignInRequired, "owner", "POST", path, `{"method":"auto-login"}`)
	if p.Reason != "auto-login-off" {
		t.Errorf("the reason is %q", p.Reason)
	}
	r.langflow.Fault("/login", langflowtest.Busy(429, "42"))
	status, header, _ := r.ask("owner", "POST", path, `{"method":"password","username":"a","password":"b"}`)
	if status != 429 || header.Get("Retry-After") != "42" {
		t.Errorf("Langflow's own limit is passed on as %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	r.refused(client.TypeTooLarge, "owner", "POST", path, `{"method":"`+strings.Repeat("x", 1<<20)+`"}`)
	r.langflow.Stop()
	r.refused(client.TypeServerUnreachable, "owner", "POST", path, `{"method":"auto-login"}`)
}

func TestProfileProblems(t *testing.T) {
	r := newRig(t)
	for _, body := range []string{
		`{"name":"Prod","server_url":"https://x.test"}`, `{"name":"con","server_url":"https://x.test"}`, `{"name":"","server_url":"https://x.test"}`,
		`{"name":"a","server_url":"x.test"}`, `{"name":"a","server_url":"ftp://x.test"}`, `{"name":"a","server_url":"https://u:p@x.test"}`,
		`{"name":"a","server_url":"http://x.test"}`, `{"name":"a","server_url":"https://x.test","ca_file":"/nonexistent"}`,
		`{"name":"../a","server_url":"https://x.test"}`, `{"name":"a","server_url":"https://x.test","ca_file":"/dev/zero"}`,
	} {
		r.refused(client.TypeBadRequest, "owner", "POST", "/v1/profiles", body)
	}
	r.must(201, "POST", "/v1/profiles", `{"name":"a","server_url":"http://x.test","allow_http":true}`)
	r.refused(client.TypeConflict, "owner", "POST", "/v1/profiles", `{"name":"a","server_url":"https://x.test"}`)
	r.refused(client.TypeNotFound, "owner", "PATCH", "/v1/profiles/b", `{}`)
	// It is what GET answers for the default, and would be no change here.
	for _, body := range []string{`null`, `{"key_lifetime":null}`, `{"key_lifetime":"1h","proxy_allow_origins":[null]}`} {
		r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/a", body)
	}
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/profiles/b", ``)
	r.refused(client.TypeNotFound, "owner", "POST", "/v1/profiles/b/logout", ``)
}

// A parameter or field that is there twice is refused, whatever the route: one of
// the two would count in silence.
func TestTwice(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for _, to := range []string{
		"GET /v1/audit?after=1&after=2", "DELETE /v1/profiles/prod/keys?id=a&id=b", "GET /v1/profiles/prod/api-key?min_valid=1s&min_valid=2s",
		"GET /v1/status?x=&x=", "GET /?x&x", "GET /metrics?x=1&%78=1", "GET /v1/events?x=1&y=2&x=3", "GET /v1/status?x=%zz", "GET /v1/status?a;b",
	} {
		method, path, _ := strings.Cut(to, " ")
		r.refused(client.TypeBadRequest, "owner", method, path, "")
	}
	r.must(200, "GET", "/v1/audit?after=1&x=2", "")
	for _, body := range []string{
		`{"name":"a","server_url":"https://x.test","name":"b"}`, `{"name":"a","server_url":"https://x.test","Name":"b"}`,
		`{"name":"a","server_url":"https://x.test","n\u0061me":"a"}`,
	} {
		r.refused(client.TypeBadRequest, "owner", "POST", "/v1/profiles", body)
	}
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/settings", `{"notify":{"offline":true,"offline":false}}`)
	r.must(200, "PATCH", "/v1/settings", `{"log_level":"info","notify":{"offline":true,"back_to_normal":true}}`)
	r.must(201, "POST", "/v1/clients", `{"name":"two","scopes":["read","run"],"profiles":["prod"]}`)
}

func TestScopes(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	for _, route := range r.server.routes {
		if route.path == "/v1/stop" || strings.HasSuffix(route.path, "/events") {
			continue // their own tests
		}
		path := strings.Replace(route.path, "{name}", "prod", 1)
		for token := range allCallers() {
			allowed := token == string(route.scope) || token == "owner" || route.scope == guard.Anyone
			status, _, body := r.ask(token, route.method, path, "")
			if forbidden := status == http.StatusForbidden && strings.Contains(body, client.ProblemBase+client.TypeForbidden+`"`); forbidden == allowed {
				t.Errorf("%s %s with scope %s: %d %s", route.method, path, token, status, body)
			}
		}
		if strings.Contains(route.path, "{name}") {
			for _, name := range []string{"other", "nosuch"} {
				if token := string(route.scope); token != "owner" { // every route with a name needs a scope
					r.refused(client.TypeForbidden, token, route.method, strings.Replace(route.path, "{name}", name, 1), "")
				}
			}
		}
		if route.method == "DELETE" && route.path == "/v1/profiles/{name}" {
			r.signIn()
		}
	}
	if _, _, body := r.ask("read", "GET", "/v1/profiles", ""); strings.Contains(body, "other") {
		t.Errorf("a client sees a profile that is not its own: %s", body)
	}
	r.refused(client.TypeUnauthorized, "nobody", "GET", "/v1/nothing", "")
}

func TestNoSuchRoute(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/ui", "/ui/", "/ui/page.go", "/ui/../page.go", "/index.html", "/v1", "/v1/", "/v2/status", "/v1/status/", "/v1/profiles/", "/v1/profiles//token", "/v1/profiles/a/b", "/v1/profiles/a/token/", "/v1/profiles/a%2Fb", "/v1/../v1/status", "//v1/status"} {
		r.refused(client.TypeNotFound, "owner", "GET", path, "")
	}
	for path, allow := range map[string]string{"/v1/profiles": "GET, POST", "/v1/profiles/a": "DELETE, GET, PATCH", "/v1/profiles/a/token": "GET", "/v1/stop": "POST"} {
		status, header, _ := r.ask("owner", "PUT", path, "")
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow %q, want %q", path, status, header.Get("Allow"), allow)
		}
	}
}

// The document and the table of routes say the same.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	var documented, routes []string
	path := ""
	for line := range strings.Lines(string(openAPI)) {
		line = strings.TrimRight(line, "\n")
		if p, ok := strings.CutPrefix(line, "  /"); ok {
			path = "/" + strings.TrimSuffix(p, ":")
		} else if m := strings.TrimPrefix(line, "    "); path != "" && slices.Contains([]string{"get:", "post:", "patch:", "delete:", "put:"}, m) {
			documented = append(documented, strings.ToUpper(strings.TrimSuffix(m, ":"))+" "+path)
		}
	}
	for _, route := range (&Server{}).table() {
		routes = append(routes, route.method+" "+route.path)
	}
	slices.Sort(documented)
	slices.Sort(routes)
	if !slices.Equal(documented, routes) {
		t.Errorf("openapi.yaml has %v,\nthe server %v", documented, routes)
	}
	r := newRig(t)
	if body := r.must(200, "GET", "/v1/openapi.yaml", ""); body != string(openAPI) {
		t.Error("it is not served as it is")
	}
}

// stream reads a body's events one by one, as "event data"; "" at its end.
func stream(body io.Reader) (next func() string) {
	lines := bufio.NewScanner(body)
	kind := ""
	return func() string {
		for lines.Scan() {
			if k, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kind = k
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return kind + " " + data
			}
		}
		return ""
	}
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer read")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("header: %v", res.Header)
	}
	next := stream(res.Body)
	if first := next(); !strings.HasPrefix(first, `state {"name":"prod"`) {
		t.Fatalf("it begins with %q", first)
	}
	r.must(200, "DELETE", "/v1/profiles/other", "") // which this client may not see
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	for {
		switch e := next(); {
		case e == `removed {"name":"prod"}`:
			return
		case e == "", strings.Contains(e, "other"):
			t.Fatalf("a client hears of %q", e)
		}
	}
}

// A quiet stream has a comment every 15 s.
func TestEventsKeepAlive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := agent.New(agent.Config{Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: dir})
		s := New(Config{Agent: a, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		if err := s.events(w, httptest.NewRequestWithContext(ctx, "GET", "/v1/events", nil), &guard.Caller{Owner: true}, ""); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(w.Body.String(), ": "); n != 4 {
			t.Errorf("%d comments in a minute: %q", n, w.Body.String())
		}
	})
}

// A stream must not hold up the end of the agent.
func TestServeEndsStreams(t *testing.T) {
	r := newRig(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer owner")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r.cancel()
	// A stream that is cut off, rather than ended, is an error here.
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream did not end: %v", err)
	}
}

// No answer of the API prints a secret by accident: only the routes of a token,
// of a key, of a client's token and of the page's code have types that do.
func TestOnlyTokenRoutesReveal(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !slices.Contains([]string{"token.go", "key.go", "clients.go", "pagecode.go"}, name) {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(source), ".Reveal()") {
				t.Errorf("%s reveals a secret", name)
			}
		}
	}
}

// A request that is under way when the agent ends is answered, and noted.
func TestLastRequestIsAudited(t *testing.T) {
	r := newRig(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = "{}"
	fmt.Fprintf(conn, "POST /v1/profiles HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer owner\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", strings.TrimPrefix(r.url, "http://"), len(body))
	answers := bufio.NewReader(conn)
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // the handler reads
	}
	r.cancel()
	for { // until nobody else gets in
		other, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			break
		}
		_ = other.Close()
		time.Sleep(time.Millisecond)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(answers); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(10 * time.Second)
	for len(r.server.Audit.Entries(0)) == 0 {
		if time.Now().After(limit) {
			t.Fatal("it is not in the audit log")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
