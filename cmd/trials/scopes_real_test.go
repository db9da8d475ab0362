//go:build real

package trials

import (
	"os"
	"testing"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// TestScopes has clients of the scopes run, tweak and edit attack real servers of
// each version by what they put into bodies. Each attack first works with the scope
// proxy, so that it is known to be one. The scopes' honest uses work too.
func TestScopes(t *testing.T) {
	for _, version := range append(real.Versions(), "") {
		t.Run("langflow "+version, func(t *testing.T) { testScopes(t, version) })
	}
}

func testScopes(t *testing.T, version string) {
	server := real.Start(t, real.Options{Version: version})
	l := launch(t, homeFor(t))
	if l.url == "" {
		t.Fatalf("the agent does not start: %s", l.said)
	}
	token, err := os.ReadFile(l.paths.Token())
	if err != nil {
		t.Fatal(err)
	}
	owner, err := client.New(client.Options{URL: l.url, Token: secret.New(string(token))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(owner.Close)
	if _, err := owner.AddProfile(t.Context(), client.NewProfile{Name: "prod", ServerURL: server.URL}); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.Login(t.Context(), "prod", client.Login{Method: client.Password, Username: server.Username, Password: secret.New(server.Password)}); err != nil {
		t.Fatal(err)
	}
	p, err := owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
	if err != nil || p.ProxyURL == nil {
		t.Fatalf("there is no proxy: %v", err)
	}
	s := &scoped{T: t, version: version, server: server, proxy: *p.ProxyURL, tokens: map[string]string{}}
	if s.version == "" {
		s.version = "1.13.0"
	}
	for _, scope := range []string{"run", "tweak", "edit", "proxy"} {
		added, _, err := owner.AddClient(t.Context(), client.NewClient{Name: scope, Scopes: []string{scope}, Profiles: []string{"prod"}})
		if err != nil {
			t.Fatal(err)
		}
		s.tokens[scope] = added.Token.Reveal()
	}
	s.decode(s.must(200, "proxy", "GET", "/api/v1/all", ""), &s.all)
	s.flow = s.create("proxy", "Echo", s.echo())
	kind := "Credential"
	if s.at(10) {
		kind = "Generic"
	}
	s.must(201, "proxy", "POST", "/api/v1/variables/", encode(object{"name": "STOLEN", "value": stolen, "type": kind, "default_fields": []string{"Stolen"}}))
	t.Run("routes", func(t *testing.T) { s.in(t).testRoutes() })
	t.Run("bodies", func(t *testing.T) { s.in(t).testBodies() })
	t.Run("files by MCP", func(t *testing.T) { s.in(t).testResources() })
	t.Run("arguments of tools", func(t *testing.T) { s.in(t).testArguments() })
	t.Run("flows", func(t *testing.T) { s.in(t).testFlows() })
	t.Run("results of components", func(t *testing.T) { s.in(t).testResults() })
	t.Run("tools of projects", func(t *testing.T) { s.in(t).testProjects() })
	t.Run("jobs", func(t *testing.T) { s.in(t).testJobs() })
	t.Run("honest", func(t *testing.T) { s.in(t).testHonest() })
	t.Run("what run still does", func(t *testing.T) { s.in(t).testLimits() })
}
