//go:build real && linux

package trials

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

// mcpClient is a program that langkeep connect configures, and how it is led.
type mcpClient struct {
	tool    string // to connect, and its folder in .cache/clients
	program string
	file    string // that connect writes to, below the home
	before  string // what is in it before; "" for no file
	// rewrites tells that the program writes to the file too, with each start.
	rewrites bool
	files    map[string]string // others that it needs; MODEL is the model's URL, in before and env too
	env      []string
	list     []string // the arguments that list its MCP servers
	listed   string   // what that says of one that is connected
	setUp    []string // arguments of a run that must come first
	ask      []string // arguments that give it a prompt
}

// mcpClients are those that .ci/setup installs. Each has its reports and updates turned
// off, though it could reach nobody.
var mcpClients = []mcpClient{
	{
		tool: "claude-code", program: "claude", file: ".claude.json", before: `{"theme": "dark"}`, rewrites: true,
		env:  []string{"ANTHROPIC_BASE_URL=MODEL", "ANTHROPIC_API_KEY=none", "ENABLE_TOOL_SEARCH=false", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"},
		list: []string{"mcp", "list"}, listed: "✔ Connected",
		ask: []string{"--allowedTools", "mcp__langflow-prod__mirror", "-p", "go on"},
	},
}

// clients are what the parts of TestClients share.
type clients struct {
	*home
	model *model
}

// mirrored is what the flow makes of what the model tells it.
const toMirror, mirrored = "wolfgnal yb edam", "made by langflow"

// TestClients has MCP clients that others have made call a flow of the real Langflow.
// langkeep connect configures each in a home of its own, and a stand-in leads it.
func TestClients(t *testing.T) {
	mustBeAlone(t)
	server := real.Start(t, real.Options{})
	h := newHome(t, buildProgram(t), shortDir(t))
	h.start()
	h.typing(server.Password+"\n", "login", "prod", server.URL, "--username", server.Username, "--password-stdin", "--remember-password")
	h.must(exitDone, "proxy", "prod", "on")
	token := strings.TrimSpace(h.must(exitDone, "client", "add", "maker", "--profile", "prod", "--scope", "proxy").stdout)
	s := &scoped{T: t, version: "1.13.0", server: server, proxy: *h.profile().ProxyURL, tokens: map[string]string{"proxy": token}}
	s.decode(s.must(200, "proxy", "GET", "/api/v1/all", ""), &s.all)
	flow := s.echo()
	template(flow["nodes"].([]object)[0])["code"].(object)["value"] = s.saying("self.input_value[::-1]")
	s.create("proxy", "Mirror", flow)

	for _, m := range mcpClients {
		t.Run(m.tool, func(t *testing.T) {
			c := &clients{home: h, model: newModel(t, "mirror", object{"input_value": toMirror})}
			c.testClient(t, m)
		})
	}
}

// mustBeAlone fails the test unless loopback is all of its network: the programs would
// call their makers.
func mustBeAlone(t *testing.T) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			t.Fatal("MCP clients must not reach the internet: run them with .ci/test clients")
		}
	}
}

func (c *clients) testClient(t *testing.T, m mcpClient) {
	program := c.installed(t, m.tool, m.program)
	dir := filepath.Join(c.dir, "clients", m.tool)
	path := filepath.Join(dir, m.file)
	c.put(t, path, m.before)
	for name, content := range m.files {
		c.put(t, filepath.Join(dir, name), content)
	}
	before := contentOf(t, path)
	run := func(args ...string) string {
		t.Helper()
		begin := time.Now()
		cmd := c.client(t, dir, program, args...)
		cmd.Env = append(cmd.Env, c.modelled(m.env)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", m.program, args, err, out)
		}
		t.Logf("%s %s: %.1f s", m.program, strings.Join(args, " "), time.Since(begin).Seconds())
		return string(out)
	}
	langkeep := func(args ...string) {
		t.Helper()
		cmd := c.command(args...)
		cmd.Env = append(cmd.Env, "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("langkeep %q: %v\n%s", args, err, out)
		}
	}

	langkeep("connect", m.tool, "prod", "--yes")
	langkeep("disconnect", m.tool, "prod")
	if now := contentOf(t, path); !bytes.Equal(now, before) {
		t.Errorf("disconnect leaves\n%s\nof\n%s", now, before)
	}
	langkeep("connect", m.tool, "prod", "--yes")
	connected := contentOf(t, path)
	if m.list != nil {
		if said := run(m.list...); !strings.Contains(said, "langflow-prod") || !strings.Contains(said, m.listed) {
			t.Errorf("%s %q says\n%s", m.program, m.list, said)
		}
	}
	if m.setUp != nil {
		run(m.setUp...)
	}
	said := run(m.ask...)
	if heard := c.model.heard(); len(heard) != 1 || !strings.Contains(heard[0], mirrored) || strings.Contains(heard[0], toMirror) {
		t.Errorf("the model heard %q, after %q; the program says\n%s", heard, c.model.requests(), said)
	}
	if !strings.Contains(said, mirrored) {
		t.Errorf("the program says\n%s", said)
	}

	held := contentOf(t, path)
	if rewritten := !bytes.Equal(held, connected); rewritten != m.rewrites {
		t.Errorf("the program has written to its file: %v, and not: %v\n%s", rewritten, m.rewrites, held)
	}
	langkeep("disconnect", m.tool, "prod")
	switch left := contentOf(t, path); {
	case !m.rewrites && !bytes.Equal(left, before):
		t.Errorf("disconnect leaves\n%s\nof\n%s", left, before)
	case m.rewrites && !reflect.DeepEqual(withoutEntry(t, held), withoutEntry(t, left)):
		t.Errorf("disconnect leaves\n%s\nof\n%s", left, held)
	case bytes.Contains(left, []byte("langflow-prod")):
		t.Errorf("the entry is there still:\n%s", left)
	}
}

// installed is a client's program. The test is skipped where .ci/setup could not install
// it.
func (c *clients) installed(t *testing.T, tool, program string) string {
	t.Helper()
	dir := filepath.Join(workingFolder(t), "..", "..", ".cache", "clients", tool)
	path := filepath.Join(dir, "node_modules", ".bin", program)
	if _, err := os.Stat(path); err != nil {
		reason, _ := os.ReadFile(filepath.Join(dir, ".failed")) // none: it was not tried
		t.Skipf("%s is not installed: %s", tool, bytes.TrimSpace(reason))
	}
	return path
}

// client prepares a program to run in a home of its own, as a desktop would: without
// what leads to the agent.
func (c *clients) client(t *testing.T, dir, program string, args ...string) *exec.Cmd {
	node := filepath.Dir(c.installed(t, "node", "node"))
	work := filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = work
	cmd.Env = []string{"HOME=" + dir, "PATH=" + node + ":" + os.Getenv("PATH"), "TMPDIR=" + c.dir, "DO_NOT_TRACK=1"}
	return cmd
}

// modelled puts the model's URL into texts.
func (c *clients) modelled(texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, strings.ReplaceAll(text, "MODEL", c.model.URL))
	}
	return all
}

// put writes a file, if there is anything to write, with its folder.
func (c *clients) put(t *testing.T, path, content string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil && content != "" {
		err = os.WriteFile(path, []byte(c.modelled([]string{content})[0]), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// contentOf is a file's content; nil if there is no file.
func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return content
}

// withoutEntry is a file of JSON without connect's entry, and without the section if
// nothing else is in it.
func withoutEntry(t *testing.T, content []byte) object {
	t.Helper()
	var tree object
	if err := json.Unmarshal(content, &tree); err != nil {
		t.Fatalf("%v: %s", err, content)
	}
	servers, _ := tree["mcpServers"].(object)
	delete(servers, "langflow-prod")
	if len(servers) == 0 {
		delete(tree, "mcpServers")
	}
	return tree
}
