package localapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

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

func TestClients(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.newClient("ci", "read", "token")
	if status, _, body := r.ask(token, "GET", "/v1/profiles/prod/token", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	r.refused(client.TypeForbidden, token, "GET", "/v1/profiles/prod/api-key", "")
	r.refused(client.TypeForbidden, token, "GET", "/v1/clients", "")
	r.refused(client.TypeConflict, "owner", "POST", "/v1/clients", `{"name":"ci","scopes":["read"],"profiles":["prod"]}`)
	if body := r.must(200, "GET", "/v1/clients", ""); !strings.Contains(body, `"name":"ci","scopes":["read","token"],"profiles":["prod"],"created_at"`) || strings.Contains(body, "lk_") {
		t.Error(body)
	}
	r.must(204, "DELETE", "/v1/clients/ci", "")
	r.refused(client.TypeUnauthorized, token, "GET", "/v1/status", "")
	r.refused(client.TypeNotFound, "owner", "DELETE", "/v1/clients/ci", "")

	self := r.newClient("self", "run")
	if status, _, body := r.ask(self, "DELETE", "/v1/client", ""); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	r.refused(client.TypeUnauthorized, self, "DELETE", "/v1/client", "")
	r.refused(client.TypeBadRequest, "owner", "DELETE", "/v1/client", "")

	// A crash at a removal, or a file deleted by hand, leaves those who were let in
	// to the profile of that name.
	left := r.newClient("left", "token")
	if _, err := r.agent.Remove(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	r.signIn() // another profile of its name
	if status, _, _ := r.ask(left, "GET", "/v1/profiles/prod/token", ""); status == 200 {
		t.Error("a client of an earlier profile has a token of the new one")
	}

	gone := r.newClient("gone", "token")
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	r.signIn() // another profile of its name
	r.refused(client.TypeUnauthorized, gone, "GET", "/v1/profiles/prod/token", "")
}

func TestClientsThatAreNotAdded(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for body, kind := range map[string]string{
		`{"name":"a b","scopes":["read"],"profiles":["prod"]}`:                      client.TypeBadRequest,
		`{"name":"a","scopes":[],"profiles":["prod"]}`:                              client.TypeBadRequest,
		`{"name":"a","scopes":["read"],"profiles":[]}`:                              client.TypeBadRequest,
		`{"name":"a","scopes":["owner"],"profiles":["prod"]}`:                       client.TypeBadRequest,
		`{"name":"a","scopes":["read"],"profiles":["nosuch"]}`:                      client.TypeNotFound,
		`{"name":"a","scopes":["read"],"profiles":["prod"],"expires_in":0}`:         client.TypeBadRequest,
		`{"name":"a","scopes":["read"],"profiles":["prod"],"expires_in":999999999}`: client.TypeBadRequest,
	} {
		r.refused(kind, "owner", "POST", "/v1/clients", body)
	}
	// The page has neither of these rights, so it can't give them.
	page := r.page(t)
	for _, scope := range []string{"token", "api-key", "run", "proxy"} {
		status, _, body := r.ask(page, "POST", "/v1/clients", fmt.Sprintf(`{"name":"a","scopes":[%q],"profiles":["prod"]}`, scope), "Origin", r.url)
		if status != http.StatusForbidden {
			t.Errorf("the page gives %s: %d %s", scope, status, body)
		}
	}
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

func TestLease(t *testing.T) {
	r := newRig(t)
	r.signIn()
	lease, _, end := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read","proxy"],"for":"exec"}`)
	token := lease.Token.Reveal()
	if status, _, body := r.ask(token, "GET", "/v1/status", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	// Through the proxy, with a key that the client never sees.
	res, err := http.DefaultClient.Do(r.request(lease.ProxyURL+"/api/v1/users/whoami", token))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("through the proxy: %d", res.StatusCode)
	}
	// A lease of a lease has no more than it.
	r.refused(client.TypeForbidden, token, "POST", "/v1/leases", `{"profile":"prod","scopes":["token"],"for":"exec"}`)
	inner, _, endInner := r.takeLease(token, "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"exec"}`)
	endInner()
	r.goneWithin(inner.Token.Reveal(), time.Second)
	inner, _, _ = r.takeLease(token, "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"exec"}`)
	r.refused(client.TypeConflict, token, "POST", "/v1/lease", "")
	end()
	r.goneWithin(inner.Token.Reveal(), time.Second)
	r.goneWithin(token, time.Second)
	if all := r.clients.All(); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
	r.refused(client.TypeBadRequest, "owner", "POST", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"fun"}`)
	r.refused(client.TypeForbidden, "read", "POST", "/v1/leases", `{"profile":"prod","scopes":["proxy"],"for":"exec"}`)
}

// A client's lease neither opens a proxy nor has it opened for good.
func TestLeaseOpensNoProxy(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.newClient("tool", "read")
	body := `{"profile":"prod","scopes":["read"],"for":"exec"}`
	r.refused(client.TypeForbidden, token, "POST", "/v1/leases", body)
	if p, err := r.agent.Profile("prod"); err != nil || p.Proxy || p.ProxyOpen {
		t.Errorf("the proxy: %v %v, %v", p.Proxy, p.ProxyOpen, err)
	}
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)
	_, _, end := r.takeLease(token, "/v1/leases", body)
	end()
}

// Many at once open one proxy, and all of them get it.
func TestLeasesAtOnce(t *testing.T) {
	for range 5 {
		r := newRig(t)
		r.signIn()
		var asking sync.WaitGroup
		for range 8 {
			asking.Go(func() {
				lease, _, end := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"mcp"}`)
				if lease.ProxyURL == "" {
					t.Error("without a proxy")
				}
				end()
			})
		}
		asking.Wait()
		for start := time.Now(); len(r.clients.All()) > 0; time.Sleep(time.Millisecond) {
			if time.Since(start) > time.Second {
				t.Fatalf("left: %+v", r.clients.All())
			}
		}
	}
}

// What a handler refuses is a refusal in the audit log, and no use.
func TestRefusalsOfHandlersAreAudited(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.refused(client.TypeForbidden, "read", "POST", "/v1/leases", `{"profile":"prod","scopes":["proxy"],"for":"exec"}`)
	_, _, end := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"exec"}`)
	defer end()
	want := map[string]string{"read": "forbidden", "owner": ""}
	got := map[string]string{}
	for start := time.Now(); len(got) < len(want); {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%v", got)
		}
		for _, e := range r.server.Audit.Entries(0) {
			if e.What == "POST /v1/leases" {
				got[string(e.Client)] = string(e.Refused)
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A lease that is revoked ends, and so does one whose agent stops: but that one
// can be taken up again.
func TestLeaseEndsFromOurSide(t *testing.T) {
	r := newRig(t)
	r.signIn()
	revoked, lines, _ := r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"mcp"}`)
	r.must(204, "DELETE", "/v1/clients/"+revoked.Name, "")
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("it goes on with %q", line)
	}
	_, lines, _ = r.takeLease("owner", "/v1/leases", `{"profile":"prod","scopes":["read"],"for":"mcp"}`)
	r.cancel()
	if line, err := lines.ReadString('\n'); err == nil {
		t.Errorf("it goes on with %q", line)
	}
	if all := r.clients.All(); len(all) != 1 || !all[0].Lease {
		t.Errorf("kept for the next agent: %+v", all)
	}
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
	r.refused(client.TypeBadRequest, "owner", "PATCH", "/v1/profiles/prod", `{"proxy_allow_origins":["not an origin"]}`)
	r.cancel()
	for start := time.Now(); get("/api/v1/version", token) != 0; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatal("it outlives the agent")
		}
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

// Nobody can fill the audit log with what they make up.
func TestAuditNamesOnlyWhatIsKnown(t *testing.T) {
	r := newRig(t)
	r.signIn()
	for i := range 20 {
		r.ask("nobody", "GET", fmt.Sprintf("/v1/profiles/made-up-%d/token", i), "")
		r.ask("nobody", "GET", fmt.Sprintf("/v1/made-up-%d", i), "")
		r.ask("nobody", fmt.Sprintf("MADE%d", i), "/v1/status", "")
		r.ask("owner", "GET", fmt.Sprintf("/v1/profiles/made-up-%d", i), "")
	}
	r.ask("poor", "GET", "/v1/profiles/prod/token", "")
	var log client.Audit
	for start := time.Now(); len(log.Entries) < 6; {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("%+v", log.Entries)
		}
		if err := json.Unmarshal([]byte(r.must(200, "GET", "/v1/audit", "")), &log); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range log.Entries {
		if text := fmt.Sprint(e); strings.Contains(strings.ToLower(text), "made") {
			t.Errorf("%+v", e)
		}
	}
	// Each with its program and, once its connection has closed, without.
	if len(log.Entries) > 16 {
		t.Errorf("%d entries: %+v", len(log.Entries), log.Entries)
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
