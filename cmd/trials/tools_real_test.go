//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// keysLive is how long a managed key lives in these tests.
const keysLive = 20 * time.Second

// TestTools is what programs get, on the real Langflow and with clients that
// were made elsewhere: langflow-sdk, lfx, the SDKs of OpenAI and MCP, curl.
func TestTools(t *testing.T) {
	c := newComputer(t)
	server := real.Start(t, real.Options{AccessLifetime: 2 * time.Minute})
	front := newFront(t, c, server.URL)
	p := c.person(t, "t")
	p.runAgent()
	p.signIn("prod", front.URL, server)
	p.setKeyLifetime("prod", keysLive) // through all that follows
	p.must(0, "proxy", "prod", "on")
	tools := &tools{server: server, front: front, forward: newForward(t)}

	t.Run("a flow", func(t *testing.T) { tools.testFlow(p.in(t)) })
	t.Run("mcp", func(t *testing.T) { tools.testMCP(p.in(t)) })
	t.Run("environments", func(t *testing.T) { tools.testEnvironments(p.in(t)) })
	t.Run("exec", func(t *testing.T) { tools.testExec(p.in(t)) })
	t.Run("who is refused", func(t *testing.T) { tools.testRefused(p.in(t)) })
	t.Run("credentials stay", func(t *testing.T) { tools.testCredentials(p.in(t)) })
	t.Run("keys change under load", func(t *testing.T) { tools.testRotation(p.in(t)) })
	t.Run("large bodies", func(t *testing.T) { testLarge(p.in(t)) })
	t.Run("the documents", func(t *testing.T) { tools.testDocuments(p.in(t)) })
	t.Run("no secret shows", func(t *testing.T) {
		if n := tools.forward.seen.Load(); n != 0 {
			t.Errorf("the forward proxy of the environment saw %d connections", n)
		}
		testTraces(t, c)
	})
}

// tools is what the parts of TestTools share.
type tools struct {
	server  *real.Server
	front   *front
	forward *forward
	flow    string // the id of the flow that echoes
	project string
}

// front stands before the real server and records what comes and goes.
type front struct {
	*httptest.Server
	down     atomic.Bool // it breaks every connection
	mu       sync.Mutex  // protects the following
	requests []recorded
}

type recorded struct {
	method, path, query string
	header              http.Header
}

func newFront(t *testing.T, c *computer, upstream string) *front {
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	pass := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		ErrorLog: nil,
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() {
			panic(http.ErrAbortHandler)
		}
		f.mu.Lock()
		f.requests = append(f.requests, recorded{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone()})
		f.mu.Unlock()
		// What Langkeep sends is what must be found nowhere else.
		c.secret("a managed key", r.Header.Get("X-Api-Key"))
		if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
			c.secret("an access token", token)
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// since are the requests after the first n, and how many there are now.
func (f *front) since(n int) ([]recorded, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests[n:]), len(f.requests)
}

// forward is a forward proxy that HTTP_PROXY names, and nobody must use.
type forward struct {
	url  string
	seen atomic.Int64
}

func newForward(t *testing.T) *forward {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &forward{url: "http://" + l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.seen.Add(1)
			conn.Close()
		}
	}()
	return f
}

// under runs a program under exec, in dir, with a forward proxy in its
// environment.
func (s *tools) under(p *person, dir string, args ...string) done {
	p.t.Helper()
	cmd := p.command(append([]string{"exec", "prod", "--"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "DO_NOT_TRACK=true", "HOME="+p.tmp, "HTTP_PROXY="+s.forward.url, "http_proxy="+s.forward.url, "ALL_PROXY="+s.forward.url)
	d := p.run(cmd, "")
	if d.code != 0 {
		p.t.Fatalf("exec %s: exit code %d: %s%s", strings.Join(args, " "), d.code, d.stdout, d.stderr)
	}
	return d
}

func (s *tools) script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "tools", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *tools) testFlow(p *person) {
	python := s.server.Program("python")
	lines := strings.Fields(s.under(p, "/", python, s.script(p.t, "flow.py")).stdout)
	if len(lines) != 3 || lines[2] != "plain" {
		p.t.Fatalf("the sdk says %q", lines)
	}
	s.flow, s.project = lines[0], lines[1]
	if said := s.under(p, "/", python, s.script(p.t, "responses.py"), "echo").stdout; said != "from openai\n" {
		p.t.Errorf("/responses says %q", said)
	}
	const curl = `printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sSfN -H @- -H 'content-type: application/json' `
	said := s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/run/echo" -d '{"input_value":"by curl"}'`).stdout
	if !strings.Contains(said, `"text":"by curl"`) {
		p.t.Errorf("/run says %.300s", said)
	}
	said = s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/run/echo?stream=true" -d '{"input_value":"in parts"}'`).stdout
	if n := strings.Count(said, `{"event": "`); n < 3 || !strings.Contains(said, `{"event": "end"`) || !strings.Contains(said, "in parts") {
		p.t.Errorf("the stream says %.300s", said)
	}

	dir := p.t.TempDir()
	lfx := s.server.Program("lfx")
	s.under(p, dir, lfx, "pull")
	path := filepath.Join(dir, "flows", "Echo.json")
	pulled, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := bytes.Replace(pulled, []byte("Says what it is told"), []byte("Says it again"), 1)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		p.t.Fatal(err)
	}
	s.under(p, dir, lfx, "push", path)
	said = s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/flows/`+s.flow+`"`).stdout
	if !strings.Contains(said, "Says it again") {
		p.t.Errorf("after lfx push the flow is %.300s", said)
	}
	p.say(p.t, "langflow-sdk, lfx, openai and curl made, ran, pulled and pushed a flow")
}

func (s *tools) testMCP(p *person) {
	python, script := s.server.Program("python"), s.script(p.t, "mcp_client.py")
	file := filepath.Join(p.tmp, "claude_desktop_config.json")
	p.must(0, "connect", "claude-desktop", "prod", "--project", s.project, "--file", file, "--yes")
	entry, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(entry), "lk_") || strings.Contains(string(entry), "sk-") {
		p.t.Errorf("the entry is %s, %v", entry, err)
	}
	ask := func(kind string, args ...string) {
		p.t.Helper()
		cmd := p.program(python, append([]string{script, kind}, args...)...)
		// As a desktop's client has it: without what leads to the agent.
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.tmp, "DO_NOT_TRACK=true"}
		if d := p.run(cmd, ""); d.code != 0 || d.stdout != "echo\nfine by "+kind+"\n" {
			p.t.Errorf("%s: %d: %q %s", kind, d.code, d.stdout, d.stderr)
		}
	}
	ask("stdio", file, "langflow-prod")

	// Its token is in its arguments, which is the SDK's way and not ours.
	token := strings.TrimSpace(p.must(0, "client", "add", "mcp-client", "--profile", "prod", "--scope", "run").stdout)
	base := *p.profile("prod").ProxyURL + "/api/v1/mcp/project/" + s.project
	ask("http", base+"/streamable", token)
	ask("sse", base+"/sse", token)
	p.must(0, "client", "revoke", "mcp-client")
	p.must(0, "disconnect", "claude-desktop", "prod")
	if _, err := os.Stat(file); err == nil {
		p.t.Error("disconnect leaves the file")
	}
	p.eventually(5*time.Second, "the clients have gone", func() bool { return p.do("client", "list").stdout == "" })
	p.say(p.t, "the MCP SDK listed and called a tool over stdio, streamable HTTP and SSE")
}

// testEnvironments leads lfx and langflow-sdk by their own files.
func (s *tools) testEnvironments(p *person) {
	connect := func(args ...string) {
		p.t.Helper()
		cmd := p.command(args...)
		cmd.Env = append(cmd.Env, "HOME="+p.tmp)
		if d := p.run(cmd, ""); d.code != 0 {
			p.t.Fatalf("%v: %s", args, d.stderr)
		}
	}
	connect("connect", "lfx", "prod", "--yes")
	connect("connect", "langflow-sdk", "prod", "--yes")
	dir := p.t.TempDir()
	s.under(p, dir, s.server.Program("lfx"), "pull", "--env", "prod")
	if _, err := os.Stat(filepath.Join(dir, "flows", "Echo.json")); err != nil {
		p.t.Error(err)
	}
	said := s.under(p, dir, s.server.Program("python"), "-c", `from langflow_sdk import get_client
print(get_client("prod").run("echo", input_value="by its file").first_text_output())`).stdout
	if said != "by its file\n" {
		p.t.Errorf("langflow-sdk says %q", said)
	}
	connect("disconnect", "lfx", "prod")
	connect("disconnect", "langflow-sdk", "prod")
}

func (s *tools) testExec(p *person) {
	for code, script := range map[int]string{0: "exit 0", 3: "exit 3", 137: "kill -9 $$", 143: "kill $$"} {
		p.must(code, "exec", "prod", "--", "sh", "-c", script)
	}
	p.must(127, "exec", "prod", "--", "no-such-program")
	p.must(126, "exec", "prod", "--", "/etc/passwd")

	// The agent is killed and comes again in the middle: the program's token goes
	// on, and ends with it.
	cmd := p.command("exec", "prod", "--", "sh", "-c", `echo "$LANGFLOW_API_KEY"
while [ ! -e "$0" ]; do
	printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sS -m 5 -o /dev/null -w '%{http_code}\n' -H @- "$LANGFLOW_URL/api/v1/users/whoami" 2>/dev/null
	sleep 0.1
done
exit 5`, filepath.Join(p.tmp, "end"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	token := lines.Text()
	p.secret("a client token", token)
	await := func(what string, limit time.Duration) {
		p.t.Helper()
		for begin := time.Now(); lines.Scan(); {
			if lines.Text() == what {
				p.say(p.t, "%s after %v", what, time.Since(begin).Round(time.Millisecond))
				return
			}
			if time.Since(begin) > limit {
				p.t.Fatalf("still %s after %v", lines.Text(), limit)
			}
		}
	}
	await("200", 30*time.Second)
	p.killAgent()
	await("000", 10*time.Second)
	p.runAgent()
	await("200", 30*time.Second)
	// It is held, not just remembered for 30 s.
	time.Sleep(35 * time.Second)
	for range 50 {
		lines.Scan()
	}
	await("200", time.Second)
	if err := os.WriteFile(filepath.Join(p.tmp, "end"), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = cmd.Wait() // with 5
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		p.t.Errorf("it ended with %d", code)
	}
	proxied := *p.profile("prod").ProxyURL + "/api/v1/version"
	took := p.eventually(time.Second, "its token is refused", func() bool {
		return p.curl("header = \"x-api-key: "+token+"\"\n", proxied).status == http.StatusUnauthorized
	})
	p.say(p.t, "revoked %v after its program's end", took.Round(time.Millisecond))
}

func (s *tools) testRefused(p *person) {
	p.signIn("other", s.front.URL, s.server)
	add := func(name string, args ...string) string {
		token := strings.TrimSpace(p.must(0, append([]string{"client", "add", name}, args...)...).stdout)
		p.secret("a client token", token)
		return token
	}
	tokens := map[string]struct {
		token, kind string
		proxyStatus int
	}{
		"revoked": {add("revoked", "--profile", "prod", "--scope", "token", "--scope", "proxy"), client.TypeUnauthorized, 401},
		"poor":    {add("poor", "--profile", "prod", "--scope", "read"), client.TypeForbidden, 403},
		"foreign": {add("foreign", "--profile", "other", "--scope", "token", "--scope", "proxy"), client.TypeForbidden, 403},
		"expired": {add("expired", "--profile", "prod", "--scope", "token", "--scope", "proxy", "--expires", "1s"), client.TypeUnauthorized, 401},
	}
	p.must(0, "client", "revoke", "revoked")
	time.Sleep(1100 * time.Millisecond)
	api := p.must(0, "status", "--json").stdout
	var status client.Status
	p.fromJSON(api, &status)
	proxied := *p.profile("prod").ProxyURL
	_, before := s.front.since(0)
	for name, want := range tokens {
		bearer := "header = \"Authorization: Bearer " + want.token + "\"\n"
		for _, route := range []string{"/v1/profiles/prod/token", "/v1/profiles/prod/api-key", "/v1/clients"} {
			if got := p.curl(bearer, status.URL+route); got.kind != want.kind {
				p.t.Errorf("%s on %s: %d %s, want %s", name, route, got.status, got.kind, want.kind)
			}
		}
		for _, way := range []string{bearer, "header = \"x-api-key: " + want.token + "\"\n"} {
			for _, path := range []string{"/api/v1/run/echo", "/api/v1/flows/", "/api/v1/users/whoami", "/api/v1/mcp/streamable"} {
				if got := p.curl(way, proxied+path); got.status != want.proxyStatus {
					p.t.Errorf("%s on %s: %d, want %d", name, path, got.status, want.proxyStatus)
				}
			}
		}
	}
	if sent, _ := s.front.since(before); len(sent) != 0 {
		p.t.Errorf("the server was sent %d requests: %+v", len(sent), sent[0])
	}
	audited := func(client, refused, what string) bool {
		for line := range strings.Lines(p.must(0, "audit", "--json").stdout) {
			if strings.Contains(line, `"client":`+client) && strings.Contains(line, `"refused":"`+refused+`"`) && strings.Contains(line, what) {
				return true
			}
		}
		return false
	}
	for client, refused := range map[string]string{`"poor"`: "forbidden", `"foreign"`: "forbidden", `"expired"`: "unauthorized", `null`: "unauthorized"} {
		for _, what := range []string{"GET /v1/profiles/{name}/token", "proxy GET /api/v1/flows"} {
			p.eventually(5*time.Second, client+" is in the audit log for "+what, func() bool { return audited(client, refused, what) })
		}
	}
	p.must(0, "remove", "other")
	for _, name := range []string{"poor", "expired"} {
		p.must(0, "client", "revoke", name)
	}
}

// minted is what a key or a token of Langflow looks like.
var minted = regexp.MustCompile(`\bsk-[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`)

func (s *tools) testCredentials(p *person) {
	token := strings.TrimSpace(p.must(0, "client", "add", "whole", "--profile", "prod", "--scope", "proxy").stdout)
	p.secret("a client token", token)
	defer p.must(0, "client", "revoke", "whole")
	proxied := *p.profile("prod").ProxyURL
	send := func(method, path, body string, header ...string) (int, http.Header, string) {
		p.t.Helper()
		req, err := http.NewRequest(method, proxied, strings.NewReader(body))
		if err != nil {
			p.t.Fatal(err)
		}
		req.URL.Opaque = path // as it is
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		res, err := (&http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
		if err != nil {
			return 0, nil, ""
		}
		defer res.Body.Close()
		answered, _ := io.ReadAll(io.LimitReader(res.Body, 64<<20)) // what there is in time
		return res.StatusCode, res.Header, string(answered)
	}
	ours := []string{"X-Api-Key", token}
	leaks := func(what string, header http.Header, body string) {
		p.t.Helper()
		if header.Get("Set-Cookie") != "" {
			p.t.Errorf("%s sets a cookie", what)
		}
		for _, found := range p.found([]byte(body)) {
			p.t.Errorf("%s shows %s", what, found)
		}
		if found := minted.FindString(body); found != "" {
			p.t.Errorf("%s shows what looks like a credential: %.8s...", what, found)
		}
	}

	// Stale credentials of every kind go nowhere.
	const stale = "stale-0123456789"
	_, before := s.front.since(0)
	for _, header := range [][]string{
		{"Authorization", "Bearer " + stale}, {"Authorization", "Basic " + stale}, {"Cookie", "access_token_lf=" + stale}, {"Cookie", "refresh_token_lf=" + stale + "; apikey_tkn_lflw=" + stale},
		{"X-Api-Key", "sk-" + stale}, {"api_key", stale}, {"X-Langflow-Mcp-Composer-Token", stale}, {"x-Forwarded-user", stale},
	} {
		for _, path := range []string{"/api/v1/users/whoami", "/api/v1/session", "/api/v1/run/echo?stream=false&x-api-key=sk-" + stale + "&api_key=" + stale} {
			method := http.MethodGet
			if strings.Contains(path, "/run/") {
				method = http.MethodPost
			}
			status, answered, body := send(method, path, `{"input_value":"x"}`, append(slices.Clone(ours), header...)...)
			if status != 200 && !(status == 403 && strings.HasPrefix(strings.ToLower(header[0]), "x-forwarded")) {
				p.t.Errorf("%s with a stale %s: %d %.200s", path, header[0], status, body)
			}
			leaks(path, answered, strings.ReplaceAll(body, stale, ""))
		}
	}
	sent, _ := s.front.since(before)
	if len(sent) == 0 {
		p.t.Error("nothing was recorded")
	}
	for _, r := range sent {
		if text := fmt.Sprint(r); strings.Contains(text, stale) || strings.Contains(text, token) || r.header.Get("Cookie") != "" {
			p.t.Errorf("%s %s reaches the server with a client's credential", r.method, r.path)
		}
		if (r.header.Get("Authorization") != "") == (r.header.Get("X-Api-Key") != "") {
			p.t.Errorf("%s %s reaches the server with none or both of ours", r.method, r.path)
		}
	}

	// What gives a credential or makes one does not get there, however it is
	// written.
	_, before = s.front.since(0)
	for _, line := range []string{
		"POST /api/v1/login", "GET /api/v1/auto_login", "GET /api/v1/%61uto_login", "GET /api/v1/auto_login/", "POST /api/v1/refresh", "POST /api/v1/logout",
		"POST /api/v1/api_key/", "POST /api/v1/api_key", "POST /api/v1/api%5fkey/", "POST /api/v1/api_key/store", "DELETE /api/v1/api_key/x",
		"POST /api/v1/mcp/project/" + s.project + "/install", "POST /api/v1/users/", "PATCH /api/v1/users/x", "PATCH /api/v1/users/x/reset-password",
		"GET /api/v1/users/me/x", "GET /api/v1/api_key/%0a", "GET /api/v1//auto_login", "GET /api/v1/x/../auto_login", "GET /api/v1/x%2f..%2fauto_login", "GET /api/v1/./auto_login", "GET /api%2fv1%2fauto_login", `GET /api/v1\auto_login`, "GET /api/v1/auto_login%00",
	} {
		method, path, _ := strings.Cut(line, " ")
		status, header, body := send(method, path, "{}", ours...)
		if status != 403 && status != 400 {
			p.t.Errorf("%s: %d", line, status)
		}
		leaks(line, header, body)
	}
	if sent, _ := s.front.since(before); len(sent) != 0 {
		p.t.Errorf("the server was asked for %s %s", sent[0].method, sent[0].path)
	}

	// Whatever else can be read is read, and what makes things is tried.
	_, _, document := send(http.MethodGet, "/openapi.json", "", ours...)
	var api struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &api); err != nil || len(api.Paths) < 100 {
		p.t.Fatalf("the server's document has %d paths: %v", len(api.Paths), err)
	}
	fill := strings.NewReplacer("{flow_id}", s.flow, "{flow_id_or_name}", s.flow, "{project_id}", s.project, "{folder_id}", s.project)
	read := 0
	for path, methods := range api.Paths {
		if _, ok := methods["get"]; !ok {
			continue
		}
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(fill.Replace(path), "x")
		if strings.HasSuffix(path, "/sse") || strings.Contains(path, "streamable") || strings.Contains(path, "events") || strings.Contains(path, "logs-stream") {
			continue // they go on; testMCP reads those that matter
		}
		_, header, body := send(http.MethodGet, path, "", ours...)
		leaks("GET "+path, header, body)
		read++
	}
	for _, path := range []string{"/api/v1/projects/", "/api/v1/variables/"} {
		status, header, body := send(http.MethodPost, path, `{"name":"made here","value":"v","type":"Generic","default_fields":[],"flows_list":[],"components_list":[]}`, ours...)
		if status != http.StatusCreated {
			p.t.Errorf("POST %s: %d %.200s", path, status, body)
		}
		leaks("POST "+path, header, body)
	}
	// Langflow has made a key of its own for that project, which it shows nobody.
	for _, path := range []string{"/api/v1/api_key/", "/api/v1/projects/", "/api/v2/mcp/servers", "/api/v2/mcp/servers/lf-made_here", "/api/v1/mcp/project/" + s.project, "/api/v1/mcp/project/" + s.project + "/installed"} {
		status, header, body := send(http.MethodGet, path, "", ours...)
		leaks("GET "+path, header, body)
		p.say(p.t, "GET %s: %d, %d bytes", path, status, len(body))
	}
	p.say(p.t, "%d routes were read through the proxy, and none shows a credential", read)
}

// keysOn are the keys that this computer has on a server.
func (p *person) keysOn(server *real.Server) []langflow.APIKey {
	p.t.Helper()
	transport, err := langflow.NewTransport(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	direct, err := langflow.New(server.URL, langflow.Options{Transport: transport})
	if err != nil {
		p.t.Fatal(err)
	}
	tokens, err := direct.Login(p.t.Context(), server.Username, secret.New(server.Password))
	if err != nil {
		p.t.Fatal(err)
	}
	keys, err := direct.Keys(p.t.Context(), langflow.Bearer(tokens.Access))
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k langflow.APIKey) bool { return !strings.HasPrefix(k.Name, "langkeep ") })
}

func (s *tools) testRotation(p *person) {
	const load = 75 * time.Second
	token := strings.TrimSpace(p.must(0, "client", "add", "load", "--profile", "prod", "--scope", "run").stdout)
	p.secret("a client token", token)
	_, before := s.front.since(0)
	proxied := *p.profile("prod").ProxyURL + "/api/v1/run/echo"
	failed, asked := 0, 0
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < load; <-tick.C {
		asked++
		if got := p.curl("header = \"x-api-key: "+token+"\"\nheader = \"Content-Type: application/json\"\ndata = \"{\\\"input_value\\\":\\\"x\\\"}\"\n", proxied); got.status != 200 {
			failed++
			p.t.Errorf("request %d: %d %.200s", asked, got.status, got.body)
		}
	}
	used := map[string]bool{}
	sent, _ := s.front.since(before)
	for _, r := range sent {
		if r.path == "/api/v1/run/echo" {
			used[r.header.Get("X-Api-Key")] = true
		}
	}
	if len(used) < 4 {
		p.t.Errorf("%d keys were used in %v", len(used), load)
	}
	// An old one is deleted within the sweep's 15 s after its end.
	current := func(keys []langflow.APIKey) (now, over int) {
		for _, k := range keys {
			if k.Expires.After(time.Now()) {
				now++
			} else {
				over++
			}
		}
		return now, over
	}
	time.Sleep(keysLive + 16*time.Second)
	p.must(0, "key", "prod")
	if now, over := current(p.keysOn(s.server)); now != 1 || over != 0 {
		p.t.Errorf("the server has %d keys of this computer that live, and %d that are over", now, over)
	}
	p.say(p.t, "%d requests with %d keys, %d failed", asked, len(used), failed)
	p.must(0, "client", "revoke", "load")
	p.must(0, "logout", "prod")
	if left := p.keysOn(s.server); len(left) != 0 {
		p.t.Errorf("after the sign-out the server still has %d keys of this computer", len(left))
	}
}

// setKeyLifetime changes a profile's file, as a person would.
func (p *person) setKeyLifetime(profile string, d time.Duration) {
	p.t.Helper()
	path := p.paths.ProfileFile(profile)
	content, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, "key_lifetime = \""+d.String()+"\"\n"...), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.eventually(10*time.Second, "the agent has read that", func() bool {
		l := p.profile(profile).KeyLifetime
		return l != nil && *l == d.String()
	})
}

// testLarge sends 500 MB through the proxy and back: the agent must not grow
// with them.
func testLarge(p *person) {
	const size = 500 << 20
	var got atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.Contains(r.URL.Path, "upload"):
			n, _ := io.Copy(io.Discard, r.Body)
			got.Store(n)
		case strings.Contains(r.URL.Path, "download"):
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = io.CopyN(w, zeros{}, size)
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"version":"1.13.0","main_version":"1.13.0","package":"Langflow"}`)
		default:
			fmt.Fprint(w, `{"id":"1","username":"admin"}`)
		}
	}))
	defer server.Close()
	p.mustTyping("sk-of-this-server-0123456789\n", 0, "login", "large", server.URL, "--method", "api-key", "--token-stdin")
	p.must(0, "proxy", "large", "on")
	token := strings.TrimSpace(p.must(0, "client", "add", "large", "--profile", "large", "--scope", "proxy").stdout)
	p.secret("a client token", token)
	proxied := *p.profile("large").ProxyURL
	before := p.memory()
	req, err := http.NewRequest(http.MethodPost, proxied+"/api/v1/files/upload/x", io.LimitReader(zeros{}, size))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 || got.Load() != size {
		p.t.Fatalf("upload: %v, %+v, %d bytes", err, res, got.Load())
	}
	_ = res.Body.Close()
	if req, err = http.NewRequest(http.MethodGet, proxied+"/api/v1/files/download/x/zeros", nil); err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	if res, err = http.DefaultClient.Do(req); err != nil {
		p.t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil || n != size {
		p.t.Fatalf("download: %v, %s, %d bytes", err, res.Status, n)
	}
	grown := p.memory() - before
	p.say(p.t, "500 MB up and 500 MB down; the agent's peak grew by %d MB", grown>>20)
	if grown > 32<<20 {
		p.t.Errorf("the agent's peak grew by %d MB", grown>>20)
	}
	p.must(0, "remove", "large")
}

// memory is the agent's peak, in bytes.
func (p *person) memory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.running()))
	if err != nil {
		p.t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(text), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "kB")
	n, err := strconv.ParseInt(strings.TrimSpace(peak), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n << 10
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
