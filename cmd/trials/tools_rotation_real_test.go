//go:build real && linux

package trials

import (
	"os"
	"slices"
	"strings"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/secret"
)

// keysLive is how long a managed key lives in these tests.
const keysLive = 20 * time.Second

// keysOn are the keys that this computer has on a server.
func (p *person) keysOn(server *real.Server) []langflow.APIKey {
	p.t.Helper()
	return p.keyLister(server)()
}

// keyLister is keysOn for several times, with one sign-in.
func (p *person) keyLister(server *real.Server) func() []langflow.APIKey {
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
	return func() []langflow.APIKey {
		p.t.Helper()
		keys, err := direct.Keys(p.t.Context(), langflow.Bearer(tokens.Access))
		if err != nil {
			p.t.Fatal(err)
		}
		return slices.DeleteFunc(keys, func(k langflow.APIKey) bool { return !strings.HasPrefix(k.Name, "langkeep ") })
	}
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
	keys := p.keyLister(s.server)
	p.eventually(keysLive+16*time.Second, "every key that has ended is deleted", func() bool {
		now, over := current(keys())
		return now == 0 && over == 0
	})
	p.must(0, "key", "prod")
	if now, over := current(keys()); now != 1 || over != 0 {
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
