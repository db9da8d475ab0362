//go:build real && linux

package trials

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// TestAPI has programs made elsewhere look at the API of the real program:
// schemathesis holds it to openapi.yaml, and Prometheus' own promtool reads the
// metrics.
func TestAPI(t *testing.T) {
	c := newComputer(t)
	p := c.person(t, "a")
	server := langflowtest.New(langflowtest.Options{AccessLifetime: 5 * time.Minute})
	t.Cleanup(server.Close)
	for _, variable := range p.session.Env() {
		if home, ok := strings.CutPrefix(variable, "HOME="); ok {
			if err := os.MkdirAll(filepath.Join(home, ".codex"), 0o700); err != nil { // so that there is a tool to connect
				t.Fatal(err)
			}
		}
	}
	p.runAgent("--store", "memory")
	user := langflowtest.Admin()
	p.secret("the password", user.Password)
	for _, profile := range []string{"prod", "spare"} {
		p.mustTyping(user.Password+"\n", 0, "login", profile, server.URL, "--username", user.Name, "--password-stdin", "--no-start")
	}
	p.must(0, "proxy", "prod", "on")
	token := strings.TrimSpace(p.must(0, "client", "add", "ci", "--profile", "prod", "--scope", "read").stdout)
	p.secret("a client token", token)
	p.accepted("prod", server.URL)
	running, err := client.ReadRunning(p.paths)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("openapi.yaml", func(t *testing.T) { testDocument(p.in(t), running.URL) })
	t.Run("metrics", func(t *testing.T) { testPromtool(p.in(t), running.URL, token) })
	t.Run("afterwards", func(t *testing.T) {
		p := p.in(t)
		p.accepted("prod", server.URL)
		if log, err := os.ReadFile(p.paths.Log()); err != nil || strings.Contains(string(log), "level=ERROR") {
			t.Errorf("the agent's log has errors (%v)", err)
		}
		p.must(0, "stop")
	})
}

// tried is how schemathesis ends.
var tried = regexp.MustCompile(`(?m)^ +(\d+) generated.*$`)

func testDocument(p *person, url string) {
	schemathesis := installed(p.t, "schemathesis/bin/schemathesis")
	document, err := filepath.Abs("../../localapi/openapi.yaml")
	if err != nil {
		p.t.Fatal(err)
	}
	config, err := filepath.Abs("testdata/api/schemathesis.toml")
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := p.program(schemathesis, "--no-color", "--config-file", config, "run", document, "--url", url)
	cmd.Dir = p.tmp // where it would leave things
	cmd.Env = append(cmd.Env, "LANGKEEP_BEARER="+p.owner(), "LANGKEEP_ORIGIN="+url, "HOME="+p.tmp, "NO_PROXY=127.0.0.1")
	begin := time.Now()
	d := p.run(cmd, "")
	counts := tried.FindStringSubmatch(d.stdout)
	if d.code != 0 || counts == nil {
		p.t.Fatalf("schemathesis ends with %d:\n%s%s", d.code, d.stdout, d.stderr)
	}
	p.say(p.t, "schemathesis: %s, in %v", strings.TrimSpace(counts[0]), time.Since(begin).Round(time.Second))
}

func testPromtool(p *person, url, token string) {
	promtool := installed(p.t, "promtool/usr/bin/promtool")
	for who, bearer := range map[string]string{"the owner": p.owner(), "a client of one profile": token} {
		a := p.curl("header = \"Authorization: Bearer "+bearer+"\"\n", url+"/metrics")
		if a.status != 200 || !strings.Contains(a.body, `{profile="prod"}`) {
			p.t.Errorf("%s gets %d: %s", who, a.status, a.body)
		}
		for _, secret := range p.found([]byte(a.body)) {
			p.t.Errorf("the metrics show %s", secret)
		}
		if d := p.run(p.program(promtool, "check", "metrics"), a.body+"\n"); d.code != 0 || d.stdout+d.stderr != "" {
			p.t.Errorf("promtool of what %s gets: %d: %s%s", who, d.code, d.stdout, d.stderr)
		}
		p.say(p.t, "promtool has nothing to say of the %d lines that %s gets", strings.Count(a.body, "\n"), who)
	}
	// It has something to say of what is wrong.
	if d := p.run(p.program(promtool, "check", "metrics"), "# TYPE langkeep_refreshes counter\nlangkeep_refreshes 1\n"); d.code == 0 {
		p.t.Errorf("promtool lets a bad name through: %s%s", d.stdout, d.stderr)
	}
}

// installed is the path of what .ci/setup has put into .cache.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.cache", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run .ci/setup api", err)
	}
	return path
}
