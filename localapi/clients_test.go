package localapi

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/localapi/client"
)

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
	if body := r.must(201, "POST", "/v1/clients", `{"name":"twice","scopes":["token","read","token"],"profiles":["prod","prod"]}`); !strings.Contains(body, `"scopes":["token","read"],"profiles":["prod"]`) {
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
