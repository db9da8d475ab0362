package localapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
)

func TestProxyOpensAndCloses(t *testing.T) {
	r := newRig(t)
	r.signIn()
	on := r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true,"proxy_allow_origins":["https://app.example.org"]}`)
	var p client.Profile
	if err := json.Unmarshal([]byte(on), &p); err != nil || p.ProxyURL == nil || len(p.ProxyAllowOrigins) != 1 {
		t.Fatalf("%s: %v", on, err)
	}
	token := r.newClient("tool", "run")
	get := func(path, token string) int {
		res, err := http.DefaultClient.Do(r.request(*p.ProxyURL+path, token))
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	for token, want := range map[string]int{token: 200, "owner": 403, "": 401, "lk_": 401} {
		if got := get("/api/v1/version", token); got != want {
			t.Errorf("with %.5q: %d, want %d", token, got, want)
		}
	}
	if got := get("/api/v1/users/whoami", token); got != 403 {
		t.Errorf("beyond its scope: %d", got)
	}
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":false}`)
	if got := get("/api/v1/version", token); got != 0 {
		t.Errorf("closed, and it answers %d", got)
	}
	if again := r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`); !strings.Contains(again, *p.ProxyURL) {
		t.Errorf("it does not keep its port: %s", again)
	}
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/prod", `{"proxy_allow_origins":["nonsense"]}`)
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/prod", `{"proxy_allow_origins":["http://a.example http://b.example"]}`)
	r.cancel()
	for start := time.Now(); get("/api/v1/version", token) != 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatal("it outlives the agent")
		}
	}
}

// Programs in containers reach the proxy by a name of their own, or by its socket.
func TestProxyOfContainers(t *testing.T) {
	r := newRig(t)
	r.signIn()
	var p client.Profile
	change := func(text string) {
		t.Helper()
		p = client.Profile{}
		if err := json.Unmarshal([]byte(r.must(200, "PATCH", "/v1/profiles/prod", text)), &p); err != nil {
			t.Fatal(err)
		}
	}
	token := r.newClient("tool", "run")
	change(`{"proxy":true}`)
	address := *p.ProxyURL + "/api/v1/version"
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(web *http.Client, host string) int {
		t.Helper()
		req := r.request(address, token)
		req.Host = host
		res, err := web.Do(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	named := "host.docker.internal:" + u.Port()
	if got := ask(http.DefaultClient, named); got != 421 {
		t.Errorf("by a name that nobody gave: %d", got)
	}
	change(`{"proxy_allow_hosts":["host.docker.internal"]}`)
	if got := ask(http.DefaultClient, named); got != 200 || len(p.ProxyAllowHosts) != 1 {
		t.Errorf("by a given name: %d, %v", got, p.ProxyAllowHosts)
	}
	change(`{"proxy_allow_hosts":[]}`)
	if got := ask(http.DefaultClient, named); got != 421 {
		t.Errorf("by a name that was taken back: %d", got)
	}
	for _, bad := range []string{"a:80", "http://a", "*.a", "a b", "", "a/", "-a", "a..b", "[::1]"} {
		r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/prod", `{"proxy_allow_hosts":["`+bad+`"]}`)
	}

	if runtime.GOOS == "windows" {
		r.refused(client.TypeNotSupported, "owner", "PATCH", "/v1/profiles/prod", `{"proxy_socket":true}`)
		if snapshot, err := r.agent.Profile("prod"); err != nil || snapshot.ProxySocket {
			t.Error("a socket that can't be had stays in the profile", err)
		}
		return
	}
	change(`{"proxy_socket":true}`)
	if p.ProxySocket == nil || *p.ProxySocket != r.proxySocket {
		t.Fatalf("the socket: %v", p.ProxySocket)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.proxySocket)
	}, DisableKeepAlives: true}
	web := &http.Client{Transport: transport}
	if got := ask(web, "anything"); got != 200 {
		t.Errorf("on the socket: %d", got)
	}
	for bearer, want := range map[string]int{"": 401, "owner": 403} {
		if res, err := web.Do(r.request(address, bearer)); err != nil || res.StatusCode != want {
			t.Errorf("on the socket with the token %q: %v, %v; want %d", bearer, res, err, want)
		}
	}
	change(`{"proxy":false}`)
	if p.ProxySocket != nil || ask(web, "anything") != 0 {
		t.Error("it outlives the proxy")
	}
	change(`{"proxy":true}`)
	if p.ProxySocket == nil || ask(web, "anything") != 200 {
		t.Error("it does not come back with the proxy")
	}
	change(`{"proxy_socket":false}`)
	if p.ProxySocket != nil || p.ProxyURL == nil || ask(web, "anything") != 0 {
		t.Error("it can't be taken away")
	}
}

// A port that a program of ours holds is waited for; asked for again, the proxy
// takes another.
func TestProxyWhosePortIsTaken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells whose program holds a port")
	}
	r := newRig(t)
	r.signIn()
	var p client.Profile
	decode := func(body string) {
		t.Helper()
		p = client.Profile{}
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
	}
	decode(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`))
	u, err := url.Parse(*p.ProxyURL)
	if err != nil {
		t.Fatal(err)
	}
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":false}`)
	other, err := net.Listen("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	token := r.newClient("tool", "run")
	decode(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`))
	if p.ProxyURL != nil || p.ProxyReason == nil || *p.ProxyReason != "port-taken" {
		t.Errorf("taken: %v, %v", p.ProxyURL, p.ProxyReason)
	}
	if _, _, ok := r.server.Clients.Lookup(token); !ok {
		t.Error("our own program's port costs a token")
	}
	decode(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`))
	if p.ProxyURL == nil || *p.ProxyURL == "http://"+u.Host {
		t.Errorf("asked for again: %v", p.ProxyURL)
	}
}

// A proxy's port is written down when the profile's sign-in, which may hang, is
// over; the other profiles' proxies open and close meanwhile, and the agent stops.
func TestProxyBehindASlowSignIn(t *testing.T) {
	r := newRig(t)
	r.signIn()
	p := r.server.proxies
	p.mu.Lock() // so that the sign-in comes first
	if _, err := r.agent.Add(config.Profile{Name: "slow", ServerURL: r.langflow.URL, Proxy: true}); err != nil {
		t.Fatal(err)
	}
	before := r.langflow.Count("/login")
	r.langflow.Fault("/login", langflowtest.Fault{Hang: true, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = r.agent.Login(ctx, "slow", agent.Credentials{Method: "password", Username: "admin", Password: secret.New("x")})
	}()
	for r.langflow.Count("/login") == before {
		runtime.Gosched()
	}
	p.mu.Unlock()
	for _, on := range []string{"true", "false", "true"} {
		if body := r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":`+on+`}`); strings.Contains(body, `"proxy_url":null`) != (on == "false") {
			t.Errorf("proxy %s: %s", on, body)
		}
	}
	cancel()
	<-ended
	for {
		if snapshot, err := r.agent.Profile("slow"); err != nil || snapshot.ProxyOpen {
			break // it opens when the sign-in is over
		}
		runtime.Gosched()
	}
}

// What keeps a proxy from its server is told in words, with the profile's name.
func TestProxyProblem(t *testing.T) {
	for want, err := range map[string]*langflow.Error{
		`profile "prod": the server's certificate isn't trusted (it expired): renew it`: {Op: "pass it on", Kind: langflow.Certificate, Detail: "it expired: renew it"},
		`profile "prod": the command mint ended: run it in a terminal to see why`:       {Op: "pass it on", Kind: langflow.CommandFailed, Detail: "the command mint ended"},
		`profile "prod": Cloudflare Access in front of the server wants you to sign in`: {Op: "pass it on", Kind: langflow.Gateway, Gateway: vocabulary.CloudflareAccess},
	} {
		got := proxyProblem("prod", err)
		if got.Kind() != client.TypeServerUnreachable || !strings.HasPrefix(got.Detail, want) {
			t.Errorf("%s: %s, want %s", got.Kind(), got.Detail, want)
		}
	}
}
