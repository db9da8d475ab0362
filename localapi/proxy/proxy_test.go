package proxy

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// rig is a proxy between a client and a recorded server.
type rig struct {
	lookup      func(string) (*guard.Caller, *client.Problem)
	t           *testing.T
	url         string
	upstream    *url.URL
	upstreamErr error
	gateway     bool                     // one stands in front of the server
	again       func(*http.Request) bool // whether a gateway's refusal is worth another try; nil is never
	noKeys      bool
	token       string

	mu       sync.Mutex // protects the following
	key      string
	keyErr   error
	refusals int
	locked   chan struct{}
	seen     []*http.Request // bodies read
	bodies   []string
}

func (r *rig) Upstream(string) (*url.URL, http.RoundTripper, error) {
	return r.upstream, &http.Transport{DisableCompression: true, DisableKeepAlives: true}, r.upstreamErr
}

func (r *rig) Key(context.Context, string) (secret.Text, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return secret.New(r.key), r.keyErr
}

func (r *rig) Token(context.Context, string) (secret.Text, error) {
	return secret.New(r.token), nil
}

func (r *rig) KeyRefused(_ string, key secret.Text) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals++
	if key.Reveal() == r.key {
		r.key = "sk-second"
	}
}

func (r *rig) TokenRefused(string, secret.Text) {}

func (r *rig) GatewayRefused(_ string, sent *http.Request) bool {
	return r.again != nil && r.again(sent)
}

var callers = map[string]*guard.Caller{
	"lk_whole": {Name: "whole", Scopes: []guard.Scope{guard.Proxy}, Profiles: []string{"prod"}},
	"lk_run":   {Name: "run", Scopes: []guard.Scope{guard.Run}, Profiles: []string{"prod"}},
	"lk_read":  {Name: "read", Scopes: []guard.Scope{guard.Read, guard.Token}, Profiles: []string{"prod"}},
	"lk_other": {Name: "other", Scopes: []guard.Scope{guard.Proxy}, Profiles: []string{"other"}},
}

func lookup(token string) (*guard.Caller, *client.Problem) {
	if c, ok := callers[token]; ok {
		return c, nil
	}
	return nil, client.NewProblem(client.TypeUnauthorized, "who are you")
}

// start makes a rig whose server answers with serve, below root.
func start(t *testing.T, root string, serve http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, key: "sk-first", token: "the-token", lookup: lookup}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Unread") == "" {
			body, _ := io.ReadAll(req.Body)
			req.Body = io.NopCloser(bytes.NewReader(body))
			r.mu.Lock()
			r.seen, r.bodies = append(r.seen, req), append(r.bodies, string(body))
			r.mu.Unlock()
		}
		serve(w, req)
	}))
	t.Cleanup(server.Close)
	r.upstream, _ = url.Parse(server.URL + root)
	proxy := httptest.NewServer(New(Config{
		Profile: "prod", Source: r, Lookup: func(_ *http.Request, token string) (*guard.Caller, *client.Problem) { return r.lookup(token) }, Log: slog.New(slog.DiscardHandler),
		Needs: func() Needs {
			return Needs{Locked: r.locked, Origins: []string{"http://localhost:3000"}, Version: "1.13.0", Gateway: r.gateway, NoKeys: r.noKeys}
		},
		Note:    func(*http.Request, *guard.Caller, string, *client.Problem) {},
		Problem: func(err error) *client.Problem { return client.NewProblem(client.TypeSignInRequired, err.Error()) },
	}))
	t.Cleanup(proxy.Close)
	r.url = proxy.URL
	return r
}

// ask sends a request, following nothing.
func (r *rig) ask(method, target, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+target, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range header {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			continue
		}
		req.Header[name] = append(req.Header[name], value)
	}
	res, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(answer)
}

const whole1 = "X-Api-Key: lk_whole"

func TestWhoMayDoWhat(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	for _, tt := range []struct {
		method, path, header string
		want                 int
	}{
		{"POST", "/api/v1/run/x", "X-Api-Key: lk_run", 200},
		{"POST", "/api/v1/run/x", "Authorization: Bearer lk_run", 200},
		{"POST", "/api/v1/run/x", "authorization: bearer lk_run", 200},
		{"POST", "/api/v1/run/x?x-api-key=lk_run", "", 200},
		{"GET", "/api/v1/flows/", "X-Api-Key: lk_run", 403},
		{"GET", "/api/v1/flows/", whole1, 200},
		{"GET", "/api/v1/flows/", "X-Api-Key: lk_read", 403},
		{"GET", "/api/v1/flows/", "X-Api-Key: lk_other", 403},
		{"GET", "/api/v1/flows/", "X-Api-Key: sk-stale", 401},
		{"GET", "/api/v1/flows/", "", 401},
		{"POST", "/api/v1/login", whole1, 403},
		{"GET", "/api/v1/%61uto_login", whole1, 403},
		{"GET", "/api/v1%2fflows", whole1, 400},
	} {
		before := len(r.seen)
		res, body := r.ask(tt.method, tt.path, "", tt.header)
		if res.StatusCode != tt.want || (len(r.seen) > before) != (tt.want == 200) {
			t.Errorf("%s %s with %q: %d %s; the server was asked: %v", tt.method, tt.path, tt.header, res.StatusCode, body, len(r.seen) > before)
		}
	}
}

// Nothing that a client sends as a credential reaches the server, and nothing
// of the server's reaches the client but the answer.
func TestNothingLeaks(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Set-Cookie", "access_token_lf=x")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Mcp-Session-Id", "s")
		fmt.Fprint(w, "fine")
	})
	res, body := r.ask("POST", "/api/v1/run/a%20b?x=1&x-api-key=sk-q&a=%2F&api_key=sk-q&X%2dapi-key=sk-q&token=kept&x=2", "body", whole1,
		"X-Api-Key: sk-stale", "Authorization: Bearer stale", "Cookie: access_token_lf=stale", "Cookie: b=stale", "api_key: stale",
		"X-Langflow-Mcp-Composer-Token: stale", "X-Forwarded-For: stale", "Forwarded: for=stale",
		"X-LANGFLOW-GLOBAL-VAR-A: v", "X-Langflow-Client: c", "Mcp-Session-Id: s", "Connection: X-Api-Key")
	if res.StatusCode != 200 || body != "fine" || res.Header.Get("Mcp-Session-Id") != "s" {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	for name := range res.Header {
		if name == "Set-Cookie" || strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("the client got %s", name)
		}
	}
	got := r.seen[0]
	if got.RequestURI != "/api/v1/run/a%20b?x=1&a=%2F&token=kept&x=2" || got.Host != r.upstream.Host || r.bodies[0] != "body" {
		t.Errorf("sent: %s to %s, %q", got.RequestURI, got.Host, r.bodies[0])
	}
	if keys := got.Header.Values("X-Api-Key"); len(keys) != 1 || keys[0] != "sk-first" {
		t.Errorf("keys sent: %q", keys)
	}
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), "stale") || strings.Contains(strings.Join(values, " "), "lk_") {
			t.Errorf("the server got %s: %q", name, values)
		}
	}
	for _, name := range []string{"X-Langflow-Global-Var-A", "X-Langflow-Client", "Mcp-Session-Id"} {
		if got.Header.Get(name) == "" {
			t.Errorf("%s did not pass", name)
		}
	}
	r.ask("GET", "/api/v1/session", "", whole1)
	if last := r.seen[1].Header; last.Get("Authorization") != "Bearer the-token" || last.Get("X-Api-Key") != "" {
		t.Errorf("to /session: %v", last)
	}
}

func TestRefusedKeyIsReplaced(t *testing.T) {
	var status int
	var words string
	r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Api-Key") == "sk-second" {
			fmt.Fprint(w, "done")
			return
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"detail":%q}`, words)
	})
	big := strings.Repeat("x", repeatable+1)
	for _, tt := range []struct {
		status      int
		words, body string
		want        int
		refusals    int
	}{
		{401, "anything", "small", 200, 1},
		{403, "Invalid API key", "small", 200, 1},
		{403, "Invalid or missing API key", "", 200, 1},
		{403, "API key authentication failed", "small", 200, 1},
		{403, "You may not", "small", 403, 0},
		{404, "Invalid API key", "small", 404, 0},
		{401, "anything", big, 401, 1}, // it can't be sent twice
	} {
		r.key, r.refusals, r.bodies, r.seen = "sk-first", 0, nil, nil
		status, words = tt.status, tt.words
		res, body := r.ask("POST", "/api/v1/run/x", tt.body, whole1)
		if res.StatusCode != tt.want || r.refusals != tt.refusals {
			t.Errorf("%d %q: %d %s after %d refusals", tt.status, tt.words, res.StatusCode, body, r.refusals)
		}
		if tt.want != 200 && !strings.Contains(body, tt.words) {
			t.Errorf("%d %q: the answer became %q", tt.status, tt.words, body)
		}
		for _, sent := range r.bodies {
			if sent != tt.body {
				t.Errorf("%d %q: a body of %d bytes became one of %d", tt.status, tt.words, len(tt.body), len(sent))
			}
		}
	}
}

// A refusal is understood also where something before the server compresses it.
func TestCompressedRefusal(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Api-Key") == "sk-second" {
			fmt.Fprint(w, "done")
			return
		}
		if got := req.Header.Get("Accept-Encoding"); got != "gzip" {
			t.Errorf("the server is asked for %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusForbidden)
		z := gzip.NewWriter(w)
		fmt.Fprint(z, `{"detail":"Invalid API key"}`)
		_ = z.Close()
	})
	if res, body := r.ask("POST", "/api/v1/run/x", "", whole1, "Accept-Encoding: gzip, br"); res.StatusCode != 200 || body != "done" {
		t.Errorf("%d %q", res.StatusCode, body)
	}
}

func TestAway(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	r.keyErr = errors.New("signed out")
	if res, body := r.ask("GET", "/api/v1/flows/", "", whole1); res.StatusCode != 403 || !strings.Contains(body, "sign-in-required") {
		t.Errorf("signed out: %d %s", res.StatusCode, body)
	}
	r.keyErr = nil
	r.upstream, _ = url.Parse("http://127.0.0.1:1")
	res, body := r.ask("GET", "/api/v1/flows/", "", whole1)
	if res.StatusCode != 502 || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(body, client.TypeServerUnreachable) {
		t.Errorf("away: %d %s", res.StatusCode, body)
	}
}

func TestLocation(t *testing.T) {
	location := ""
	r := start(t, "/team/a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(307)
	})
	for from, want := range map[string]string{
		"http://" + r.upstream.Host + "/team/a/api/v1/flows/?a=b": r.url + "/team/a/api/v1/flows/?a=b",
		"http://ann:pw@" + r.upstream.Host + "/team/a/x":          r.url + "/team/a/x",
		"/team/a/api/v1/flows/":                                   "/team/a/api/v1/flows/",
		"https://elsewhere.example/x":                             "https://elsewhere.example/x",
	} {
		location = from
		if res, _ := r.ask("GET", "/team/a/api/v1/flows", "", whole1); res.Header.Get("Location") != want {
			t.Errorf("%s became %s, want %s", from, res.Header.Get("Location"), want)
		}
	}
	if res, _ := r.ask("GET", "/api/v1/flows", "", whole1); res.StatusCode != 404 {
		t.Errorf("outside the root path: %d", res.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Access-Control-Allow-Origin", "*") })
	res, _ := r.ask("OPTIONS", "/api/v1/run/x", "", "Origin: http://localhost:3000", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-api-key")
	if h := res.Header; res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "http://localhost:3000" || h.Get("Access-Control-Allow-Headers") != "x-api-key" || len(r.seen) != 0 {
		t.Errorf("preflight: %d %v, %d requests", res.StatusCode, h, len(r.seen))
	}
	res, _ = r.ask("POST", "/api/v1/run/x", "", "Origin: http://localhost:3000", whole1)
	if got := res.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 || got[0] != "http://localhost:3000" || r.seen[0].Header.Get("Origin") != "" {
		t.Errorf("an allowed page: %v", res.Header)
	}
	if res, _ := r.ask("OPTIONS", "/api/v1/run/x", "", "Origin: http://localhost:3000"); res.StatusCode != 401 {
		t.Errorf("what is no preflight needs a token: %d", res.StatusCode)
	}
}

// Each event of a stream comes at once, and 200 streams at a time do.
func TestStreams(t *testing.T) {
	next := make(chan struct{})
	var started sync.WaitGroup
	const streams = 200
	started.Add(streams)
	r := start(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: first\n\n")
		http.NewResponseController(w).Flush()
		started.Done()
		<-next
		fmt.Fprint(w, "data: second\n\n")
	})
	var open []*http.Response
	for range streams {
		req, _ := http.NewRequest("GET", r.url+"/api/v1/mcp/sse", nil)
		req.Header.Set("X-Api-Key", "lk_run")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, res)
		if line, err := bufio.NewReader(io.LimitReader(res.Body, 13)).ReadString('\n'); line != "data: first\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	started.Wait()
	r.mu.Lock()
	r.key = "sk-second" // a rotation breaks none of them
	r.mu.Unlock()
	close(next)
	for _, res := range open {
		if rest, err := io.ReadAll(res.Body); !strings.HasSuffix(string(rest), "data: second\n\n") || err != nil {
			t.Fatalf("%q, %v", rest, err)
		}
		_ = res.Body.Close()
	}
}

func TestWebSocket(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.RawQuery != "a=b" || req.Header.Get("X-Api-Key") != "sk-first" {
			t.Errorf("sent: %s %v", req.URL.RawQuery, req.Header)
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := buf.ReadString('\n')
		fmt.Fprint(conn, "echo "+line)
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "GET /api/v1/voice/ws/flow_tts/x?token=stale&a=b&api_key=stale HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Api-Key: lk_whole\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

// streaming starts a rig whose server begins a stream and goes on with it; gone is closed
// when it is told to end.
func streaming(t *testing.T) (r *rig, gone chan struct{}) {
	gone = make(chan struct{})
	return start(t, "", func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintln(w, "one")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		close(gone)
	}), gone
}

// endsWith wants a stream to end, here and on the server, when end is closed.
func (r *rig) endsWith(url string, end, gone chan struct{}) {
	r.t.Helper()
	res, err := http.Get(r.url + url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "one\n" || err != nil {
		r.t.Fatalf("%q, %v", line, err)
	}
	close(end)
	if _, err := lines.ReadString('\n'); err == nil {
		r.t.Error("it goes on")
	}
	<-gone
}

// A stream ends when the token does that it was asked for with.
func TestStreamEndsWithItsClient(t *testing.T) {
	r, gone := streaming(t)
	ended := make(chan struct{})
	r.lookup = func(string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: "c", Scopes: []guard.Scope{guard.Run}, Profiles: []string{"prod"}, Ended: ended}, nil
	}
	r.endsWith("/api/v1/mcp/sse", ended, gone)
}

// The agent's lock ends what is under way, and refuses what comes.
func TestLock(t *testing.T) {
	const url = "/api/v1/mcp/sse?x-api-key=lk_run"
	r, gone := streaming(t)
	r.locked = make(chan struct{})
	r.endsWith(url, r.locked, gone)
	refused, err := http.Get(r.url + url)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Body.Close()
	var problem client.Problem
	if err := json.NewDecoder(refused.Body).Decode(&problem); err != nil || refused.StatusCode != 403 || problem.Kind() != client.TypeLocked {
		t.Errorf("%d %+v, %v", refused.StatusCode, problem, err)
	}
	if len(r.seen) != 1 {
		t.Errorf("the server has seen %d requests", len(r.seen))
	}
}

// A client of MCP gets a refusal that a person can end as an answer to its request, in a
// status that it does not take for the wish that it signs in.
func TestRefusalsOfMCP(t *testing.T) {
	const path, call = "/api/v1/mcp/streamable", `{"jsonrpc":"2.0","id":"7","method":"tools/list"}`
	for name, test := range map[string]struct {
		path, body string
		token      string
		set        func(*rig)
		status     int
		want       string // a part of the answer
	}{
		"signed out":                   {path, call, "lk_run", func(r *rig) { r.keyErr = errors.New("signed out: run langkeep login prod") }, 200, `{"error":{"code":-32000,"message":"signed out: run langkeep login prod"},"id":"7","jsonrpc":"2.0"}`},
		"signed out, and proxy asks":   {path, call, "lk_whole", func(r *rig) { r.keyErr = errors.New("signed out") }, 200, `"message":"signed out"},"id":"7"`},
		"locked":                       {path, call, "lk_run", func(r *rig) { r.locked = make(chan struct{}); close(r.locked) }, 200, `"message":"the agent is locked and passes nothing on: run langkeep unlock"},"id":"7"`},
		"the server refuses":           {path, call, "lk_run", func(*rig) {}, 200, `"message":"profile \"prod\": the server answers 403: its MCP is not for this account, or wants another key than Langkeep's"},"id":"7"`},
		"a notification has no answer": {path, `{"jsonrpc":"2.0","method":"notifications/x"}`, "lk_run", func(r *rig) { r.keyErr = errors.New("signed out") }, 403, "sign-in-required"},
		"nor the older transport":      {"/api/v1/mcp?session_id=1", call, "lk_run", func(r *rig) { r.keyErr = errors.New("signed out") }, 403, "sign-in-required"},
		"another route":                {"/api/v1/run/x", `{"input_value":""}`, "lk_run", func(r *rig) { r.keyErr = errors.New("signed out") }, 403, "sign-in-required"},
		"an unknown token":             {path, call, "lk_none", func(*rig) {}, 200, `{"error":{"code":-32000,"message":"who are you: run langkeep connect for the tool again, or give it a token of langkeep client add"},"id":"7","jsonrpc":"2.0"}`},
		"one, and no request":          {path, `{"jsonrpc":"2.0","method":"notifications/x"}`, "lk_none", func(*rig) {}, 401, "unauthorized"},
		"one, and no JSON":             {path, strings.Repeat("x", 100000), "lk_none", func(*rig) {}, 401, "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"detail":"no such project"}`)
			})
			test.set(r)
			res, answer := r.ask("POST", test.path, test.body, "X-Api-Key: "+test.token, "Content-Type: application/json")
			if res.StatusCode != test.status || !strings.Contains(answer, test.want) || res.Header.Get("Www-Authenticate") != "" {
				t.Errorf("%d %s, challenge %q, want %d %s", res.StatusCode, answer, res.Header.Get("Www-Authenticate"), test.status, test.want)
			}
		})
	}
	r := start(t, "", nil)
	if res, _ := r.ask("POST", "/api/v1/run/x", "{}", "X-Api-Key: lk_none"); res.Header.Get("Www-Authenticate") != "Bearer" {
		t.Errorf("another route has the challenge %q", res.Header.Get("Www-Authenticate"))
	}
}

// raw sends text to an address and returns all that comes back within a moment
// of its end.
func raw(t *testing.T, address, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // fails only on a closed connection
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("%v after %q", err, answer)
	}
	return string(answer)
}

// The proxy does not look at early hints and trailers, so it does not pass them on.
func TestOnlyTheAnswerIsPassedOn(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, strings.ReplaceAll("HTTP/1.1 103 Early Hints\nSet-Cookie: early=1\nAccess-Control-Allow-Origin: *\n\n"+
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: Set-Cookie, X-Late\nConnection: close\n\n"+
			"4\nfine\n0\nSet-Cookie: late=1\nX-Late: 1\nAccess-Control-Allow-Origin: *\n\n", "\n", "\r\n"))
	})
	got := raw(t, r.url, "GET /api/v1/version HTTP/1.1\nHost: x\nOrigin: http://localhost:3000\nX-Api-Key: lk_whole\nConnection: close\n\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(got, "fine") {
		t.Errorf("the answer is %s", got)
	}
	if lower := strings.ToLower(got); strings.Contains(lower, "cookie") || strings.Contains(lower, "late") || strings.Count(lower, "allow-origin: http://localhost:3000") != 1 || strings.Contains(lower, "origin: *") {
		t.Errorf("the answer is %s", got)
	}
}

// A trailer could name a credential, and a connection that is no longer
// HTTP/1.1 would be judged by nobody: WebSockets alone are let through.
func TestNoTrailersAndNoOtherProtocols(t *testing.T) {
	for name, text := range map[string]string{
		"a trailer": "POST /api/v1/run/x HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: close\nTransfer-Encoding: chunked\nTrailer: X-Api-Key, Authorization\n\n" +
			"4\nbody\n0\nX-Api-Key: sk-trailing\nAuthorization: Bearer trailing\n\n",
		"h2c":         "GET /api/v1/flows HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: Upgrade, HTTP2-Settings, close\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n\n",
		"one of two":  "GET /api/v1/flows HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: Upgrade, close\nUpgrade: websocket, h2c\n\n",
		"two headers": "GET /api/v1/voice/ws/flow_tts/x HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: Upgrade, close\nUpgrade: websocket\nUpgrade: h2c\n\n",
		"without one": "GET /api/v1/flows HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: close\nUpgrade: h2c\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, "", func(w http.ResponseWriter, req *http.Request) {
				if req.Header.Get("Upgrade") == "h2c" {
					w.WriteHeader(http.StatusSwitchingProtocols)
				}
			})
			got := raw(t, r.url, text)
			if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || len(r.seen) != 1 {
				t.Fatalf("%d requests, and the answer %s", len(r.seen), got)
			}
			sent := r.seen[0]
			if len(sent.Trailer) != 0 || strings.Contains(strings.Join(sent.Header["Upgrade"], ","), "h2c") || sent.Header.Get("Http2-Settings") != "" {
				t.Errorf("the server is sent %v and the trailers %v", sent.Header, sent.Trailer)
			}
		})
	}
}

// A client is told what is wrong with the way to the server where that is a
// certificate or a forward proxy: to try again would not help.
func TestTheWayInWords(t *testing.T) {
	r := start(t, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
	res, body := r.ask("GET", "/api/v1/flows/", "", whole1)
	if res.StatusCode != http.StatusBadGateway || res.Header.Get("Proxy-Authenticate") != "" || !strings.Contains(body, "wants a user name and password (407)") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	secured := httptest.NewUnstartedServer(http.NotFoundHandler())
	secured.Config.ErrorLog = log.New(io.Discard, "", 0)
	secured.StartTLS()
	defer secured.Close()
	r.upstream, _ = url.Parse(secured.URL)
	res, body = r.ask("GET", "/api/v1/flows/", "", whole1)
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "issued by O=Acme Co") || !strings.Contains(body, "--ca-file") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// A request is noted also where there is no way to the server to be had.
func TestNoUpstreamIsNoted(t *testing.T) {
	var noted []string
	h := New(Config{
		Profile: "prod", Source: &rig{upstreamErr: errors.New("no profile")}, Lookup: func(_ *http.Request, token string) (*guard.Caller, *client.Problem) { return lookup(token) }, Log: slog.New(slog.DiscardHandler), Needs: func() Needs { return Needs{} },
		Note: func(_ *http.Request, caller *guard.Caller, what string, problem *client.Problem) {
			noted = append(noted, caller.Name+" "+what+" "+problem.Kind())
		},
		Problem: func(err error) *client.Problem { return client.NewProblem(client.TypeNotFound, err.Error()) },
	})
	r := httptest.NewRequest(http.MethodGet, "/api/v1/flows/", nil)
	r.Header.Set("X-Api-Key", "lk_whole")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if want := []string{"whole proxy GET /api/v1/flows not-found"}; w.Code != http.StatusNotFound || !slices.Equal(noted, want) {
		t.Errorf("%d, noted %q, want %q", w.Code, noted, want)
	}
}

func TestWhatIsInTheAuditLog(t *testing.T) {
	for target, want := range map[string]string{
		"GET /api/v1/flows":                       "proxy GET /api/v1/flows",
		"POST /api/v1/run/my-flow":                "proxy POST /api/v1/run/{flow}",
		"GET /team/a/api/v2/files/":               "proxy GET /api/v2/files",
		"GET /api/v1/api/v1/version":              "proxy GET /api/v1/version",
		"GET /team/a/api/v1/auto_login":           "proxy GET /api/v1/auto_login/**",
		"PATCH /api/v1/users/lk_secret":           "proxy PATCH /api/v1/users/**",
		"GET /api/v1/made-up":                     "proxy GET",
		"GET /api/v3/flows":                       "proxy GET",
		"GET /api/v12/flows":                      "proxy GET",
		"GET /api/v1/flowsandmore":                "proxy GET",
		"GET /api/v1/":                            "proxy GET",
		"GET /":                                   "proxy GET /",
		"GET /health":                             "proxy GET /health",
		"GET /team/health":                        "proxy GET",
		"BREW /api/v1/flows":                      "proxy other",
		"GET /api/v1/lk_secret/api/v1/flows/lk_x": "proxy GET /api/v1/flows/{flow_id}",
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := what(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s is %q, want %q", target, got, want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A body that is kept can be sent again on another connection, but not where net/http would
// take a header for the leave to have a request executed twice.
func TestKeptBodyCanBeSentAgain(t *testing.T) {
	for header, want := range map[string]bool{"X-Request-Id": true, "Idempotency-Key": false, "X-Idempotency-Key": false} {
		again := ""
		upstream := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.GetBody != nil {
				body, _ := r.GetBody() // never fails
				text, _ := io.ReadAll(body)
				again = string(text)
			}
			return answerer{}.RoundTrip(r)
		})
		h := New(Config{
			Profile: "prod", Source: source{&url.URL{Scheme: "http", Host: "flows.test"}, upstream}, Log: slog.New(slog.DiscardHandler),
			Lookup: func(_ *http.Request, token string) (*guard.Caller, *client.Problem) { return lookup(token) }, Needs: func() Needs { return Needs{} },
			Note: func(*http.Request, *guard.Caller, string, *client.Problem) {}, Problem: func(error) *client.Problem { return nil },
		})
		r := httptest.NewRequest("POST", "/api/v1/run/x", strings.NewReader(`{"input_value":"hi"}`))
		r.Header.Set("X-Api-Key", "lk_whole")
		r.Header.Set(header, "")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if (again == `{"input_value":"hi"}`) != want {
			t.Errorf("%s: it can be sent again as %q", header, again)
		}
	}
}
