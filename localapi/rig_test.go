package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/agent/audit/auditlog"
	"langkeep/agent/chromium"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/connect"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
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
	// proxySocket is the path of the proxies' socket.
	proxySocket string
	url         string
	home        string // the user's, with the files of tools
	stopped     chan struct{}
	window      *fakeWindow // in which a person signs in; nil: there is no desktop
	wrong       error       // what is wrong with the files
	cancel      func()
}

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, langflow: langflowtest.New(langflowtest.Options{Version: "1.13"}), stopped: make(chan struct{}, 1)}
	log := slog.New(slog.DiscardHandler)
	r.agent = agent.New(agent.Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: log, ProfilesDir: t.TempDir(), UserAgent: "test",
		OpenWindow: func(context.Context, string) (agent.Window, error) {
			if r.window == nil {
				return nil, chromium.ErrNoDisplay
			}
			return r.window, nil
		},
	})
	listeners, err := guard.ListenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + listeners[0].Addr().String()
	r.pages = guard.NewPages(clock.System())
	r.clients = clients.Open(filepath.Join(t.TempDir(), "clients.json"), clock.System(), log)
	r.proxySocket = filepath.Join(shortDir(t), "proxy.sock")
	r.config = filepath.Join(t.TempDir(), "config.toml")
	r.home = t.TempDir()
	files := paths.Paths{State: t.TempDir(), Home: filepath.Join(r.home, "langkeep")}
	r.server = New(Config{
		Agent: r.agent, Log: log,
		Guard: guard.New(guard.Config{Authority: guard.Authorities{allCallers(), r.pages, ClientTokens(r.clients)}, Log: log}),
		// Not where other tests' agents look for one.
		FirstProxyPort: 19000 + rand.IntN(10000),
		Asks:           asks.New(asks.Config{Clock: clock.System(), Log: log, Alive: guard.SessionAlive}),
		Clients:        r.clients, Audit: auditlog.Open("", clock.System(), log),
		Version: "1.2.3", Started: time.Now(), Store: "memory", Settings: settingsFile(r.config),
		ListenProxy: func(profile string) (net.Listener, error) { return guard.ListenSocket(r.proxySocket) },
		Pages:       r.pages, URL: r.url, PageFile: filepath.Join(t.TempDir(), "open.html"),
		Tools:       connect.OpenDesk(files, r.getenv),
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

// getenv is the environment of a user at home, without any programs.
func (r *rig) getenv(name string) string {
	switch name {
	case "HOME", "USERPROFILE":
		return r.home
	case "APPDATA", "XDG_CONFIG_HOME":
		return filepath.Join(r.home, ".config")
	}
	return ""
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

// newClient adds a client and returns its token.
func (r *rig) newClient(name string, scopes ...string) string {
	r.t.Helper()
	list, err := json.Marshal(scopes)
	if err != nil {
		r.t.Fatal(err)
	}
	body := r.must(201, "POST", "/v1/clients", fmt.Sprintf(`{"name":%q,"scopes":%s,"profiles":["prod"]}`, name, list))
	var added client.ClientToken
	if err := json.Unmarshal([]byte(body), &added); err != nil || len(added.Token.Reveal()) != 46 {
		r.t.Fatalf("%s: %v", body, err)
	}
	return added.Token.Reveal()
}

// page is a page's token.
func (r *rig) page(t *testing.T) string {
	t.Helper()
	token, ok := r.pages.Exchange(proof.Of(r.pages.NewCode(false)), true)
	if !ok {
		t.Fatal("the code is refused")
	}
	return token.Reveal()
}

// takeLease makes a lease, whose end is the end of the returned function.
func (r *rig) takeLease(token, route, body string) (client.Lease, *bufio.Reader, func()) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.url+route, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	line, err := lines.ReadBytes('\n')
	if err != nil || res.StatusCode != 201 {
		r.t.Fatalf("%d %s %v", res.StatusCode, line, err)
	}
	var l client.Lease
	if err := json.Unmarshal(line, &l); err != nil {
		r.t.Fatal(err)
	}
	return l, lines, func() { _ = res.Body.Close() }
}

func (r *rig) request(url, token string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", url, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	return req
}

// goneWithin wants a token to be refused by then.
func (r *rig) goneWithin(token string, limit time.Duration) {
	r.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if status, _, _ := r.ask(token, "GET", "/v1/status", ""); status == http.StatusUnauthorized {
			return
		}
		if time.Since(start) > limit {
			r.t.Fatalf("the token still works after %v", limit)
		}
	}
}

// pageToken is a new page's, exchanged over the API.
func (r *rig) pageToken() string {
	r.t.Helper()
	status, _, body := r.ask("", "POST", "/v1/page/token", fmt.Sprintf(`{"code":%q}`, r.pages.NewCode(true).Reveal()), "Origin", r.url)
	var answered struct {
		Token     string
		ExpiresIn int64 `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(body), &answered); err != nil || status != 200 || answered.ExpiresIn != 12*3600 {
		r.t.Fatalf("no token for the page: %d %s", status, body)
	}
	return answered.Token
}
