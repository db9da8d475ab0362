//go:build real && linux

package localapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// program builds the program, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "langkeep-page")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "langkeep")
	out, err := exec.Command("go", "build", "-o", exe, "../cmd/langkeep").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %v\n%s", err, out)
	}
	return exe, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if exe, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(exe))
	}
	os.Exit(code)
}

// running is an agent in the background with nothing in it.
type running struct {
	t    *testing.T
	exe  string
	home string
	url  string
	env  []string // beside the test's own
}

func startAgent(t *testing.T) *running {
	t.Helper()
	return startAgentWith(t, "")
}

// startAgentWith starts one with a config.toml and variables.
func startAgentWith(t *testing.T, config string, env ...string) *running {
	t.Helper()
	a := startAgentToKill(t, config, env...)
	t.Cleanup(func() { a.command("stop") })
	return a
}

// startAgentOn starts one on a desktop.
func startAgentOn(t *testing.T, config string, env ...string) *running {
	t.Helper()
	a := startAgentAs(t, config, nil, env...)
	t.Cleanup(func() { a.command("stop") })
	return a
}

// startAgentToKill starts one that its test ends.
func startAgentToKill(t *testing.T, config string, env ...string) *running {
	t.Helper()
	return startAgentAs(t, config, []string{"--headless"}, env...)
}

func startAgentAs(t *testing.T, config string, flags []string, env ...string) *running {
	t.Helper()
	exe, err := program()
	if err != nil {
		t.Fatal(err)
	}
	a := &running{t: t, exe: exe, home: t.TempDir(), env: env}
	a.writeHistory()
	if config != "" {
		at := paths.Paths{Config: filepath.Join(a.home, "config")}
		if err := os.MkdirAll(at.Config, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at.ConfigFile(), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.command(append([]string{"start", "--store", "memory", "--listen", "127.0.0.1:0"}, flags...)...)
	found, err := client.ReadRunning(paths.Paths{State: filepath.Join(a.home, "state")})
	if err != nil {
		t.Fatal(err)
	}
	a.url = found.URL
	return a
}

// writeHistory gives prod a week before this test, in which its server was away, it needed a
// person, and the agent did not run.
func (a *running) writeHistory() {
	a.t.Helper()
	var text strings.Builder
	for _, e := range []struct {
		hours          float64 // ago
		profile, state string
		off            bool
	}{
		{160, "prod", "fresh", false}, {110, "prod", "stale", false}, {107, "prod", "fresh", false}, {76, "", "", true}, {66, "", "", false},
		{66, "prod", "fresh", false}, {40, "prod", "sign-in-required", false}, {36, "prod", "fresh", false}, {20, "prod", "retrying", false}, {17, "prod", "fresh", false},
	} {
		at := time.Now().UTC().Add(-time.Duration(e.hours * float64(time.Hour))).Format(time.RFC3339)
		fmt.Fprintf(&text, `{"schema":1,"at":%q,"profile":%q,"state":%q,"off":%v}`+"\n", at, e.profile, e.state, e.off)
	}
	at := paths.Paths{State: filepath.Join(a.home, "state")}
	if err := os.MkdirAll(at.State, 0o700); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(at.History(), []byte(text.String()), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// command runs the program and returns its stdout.
func (a *running) command(args ...string) string {
	a.t.Helper()
	cmd := exec.Command(a.exe, args...)
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+a.home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=", "LANGKEEP_PROFILE=")
	cmd.Env = append(cmd.Env, a.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		a.t.Fatalf("langkeep %v: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// link opens the page once.
func (a *running) link() string {
	a.t.Helper()
	return a.command("open", "--print")
}

// client asks the agent as its owner.
func (a *running) client() *client.Client {
	a.t.Helper()
	c, err := client.New(client.Options{Socket: paths.Paths{Run: filepath.Join(a.home, "run")}.Socket()})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// profile asks the agent for one.
func (a *running) profile(name string) (client.Profile, error) {
	c := a.client()
	defer c.Close()
	return c.Profile(a.t.Context(), name)
}

// add makes a profile, signed in to a stand-in's user.
func (a *running) add(name string, s *langflowtest.Server) {
	a.t.Helper()
	c := a.client()
	defer c.Close()
	if _, err := c.AddProfile(a.t.Context(), client.NewProfile{Name: name, ServerURL: s.URL}); err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command(a.exe, "login", name, "--username", langflowtest.Admin().Name, "--password-stdin")
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+a.home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=")
	cmd.Stdin = strings.NewReader(langflowtest.Admin().Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("sign in: %v: %s", err, out)
	}
}

// opens tells whether a code is good, and uses it.
func (a *running) opens(code string) bool {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+"/v1/page/token", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Origin", a.url)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// logLevel is the agent's, asked for with the owner's token.
func (a *running) logLevel() string {
	a.t.Helper()
	token, err := os.ReadFile(filepath.Join(a.home, "run", "token"))
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.url+"/v1/settings", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	var settings client.Settings
	if err := json.NewDecoder(res.Body).Decode(&settings); err != nil {
		a.t.Fatal(err)
	}
	return settings.LogLevel
}

// kill ends the agent as a crash does.
func (a *running) kill() { a.signal(os.Kill) }

// signal sends the agent one.
func (a *running) signal(what os.Signal) {
	a.t.Helper()
	found, err := client.ReadRunning(paths.Paths{State: filepath.Join(a.home, "state")})
	if err != nil {
		a.t.Fatal(err)
	}
	agent, err := os.FindProcess(found.PID)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := agent.Signal(what); err != nil {
		a.t.Fatal(err)
	}
}
