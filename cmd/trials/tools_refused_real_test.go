//go:build real && linux

package trials

import (
	"net/http"
	"strings"
	"time"

	"langkeep/localapi/client"
)

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
	p.eventually(10*time.Second, "a client's time is over", func() bool {
		asked := p.curl("header = \"Authorization: Bearer "+tokens["expired"].token+"\"\n", *p.profile("prod").ProxyURL+"/health")
		return asked.status == http.StatusUnauthorized
	})
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
