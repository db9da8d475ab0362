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
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

// mcpClient is a program that langkeep connect configures, and how it is led. In its
// texts $HOME is its home folder, and $MODEL the model's URL.
type mcpClient struct {
	name    string   // of its folder in .cache/clients
	binary  string   // the file in that
	connect []string // arguments; nil: its name
	file    string   // that connect writes to, below the home
	before  string   // its content until then; "" for none
	// rewrites tells that the program writes to the file too, each time it starts.
	rewrites  bool
	variables []string // of its environment
	list      []string // arguments that list its MCP servers; nil: it can't without a terminal
	listed    string   // what that says of one that is connected
	setUp     []string // arguments of a run that must come before the prompt
	ask       []string // arguments that give it a prompt, or have it call the tool
	alone     bool     // there is no model in it
}

// mcpClients are those that .ci/setup installs. Each has its reports and updates turned
// off, though it could reach nobody.
var mcpClients = []mcpClient{
	{
		name: "claude-code", binary: "claude", file: ".claude.json", before: `{"theme": "dark"}`, rewrites: true,
		// With -p it asks the model without the tools of a server that is slow to start, unless told to wait.
		variables: []string{"ANTHROPIC_BASE_URL=$MODEL", "ANTHROPIC_API_KEY=none", "ENABLE_TOOL_SEARCH=false", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "MCP_CONNECTION_NONBLOCKING=0", "MCP_TIMEOUT=60000"},
		list:      []string{"mcp", "list"}, listed: "✔ Connected",
		ask: []string{"--allowedTools", "mcp__langflow-prod__mirror", "-p", "go on"},
	},
	{
		name: "codex", binary: "codex", file: ".codex/config.toml", before: `# of this person
model = "stand-in"
model_provider = "stand-in"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.stand-in]
name = "stand-in"
base_url = "$MODEL/v1" # Responses
wire_api = "responses"
`,
		list: []string{"mcp", "list"}, listed: "enabled", // it asks no server
		ask: []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go on"},
	},
	{
		name: "gemini", binary: "gemini", file: ".gemini/settings.json", before: `{
  // of this person
  "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
  "privacy": {"usageStatisticsEnabled": false},
  "security": {"auth": {"selectedType": "gemini-api-key"}}
}
`,
		variables: []string{"GEMINI_CLI_TRUST_WORKSPACE=true", "GEMINI_API_KEY=none", "GOOGLE_GEMINI_BASE_URL=$MODEL"},
		list:      []string{"mcp", "list"}, listed: "Connected",
		ask: []string{"--yolo", "-m", "gemini-2.5-flash", "-p", "go on"},
	},
	{
		name: "opencode", binary: "opencode", file: ".config/opencode/opencode.jsonc", before: `{
  // of this person
  "$schema": "https://opencode.ai/config.json",
  "autoupdate": false,
  "share": "disabled",
  "model": "stand-in/stand-in",
  "provider": {
    "stand-in": {
      "npm": "@ai-sdk/openai-compatible",
      "name": "stand-in",
      "options": {"baseURL": "$MODEL/v1", "apiKey": "none"},
      "models": {"stand-in": {"name": "stand-in", "tool_call": true}},
    },
  },
}
`,
		variables: []string{"OPENCODE_DISABLE_AUTOUPDATE=true", "OPENCODE_DISABLE_MODELS_FETCH=true", "OPENCODE_DISABLE_LSP_DOWNLOAD=true"},
		list:      []string{"mcp", "list"}, listed: "connected",
		ask: []string{"run", "go on"},
	},
	{
		name: "qwen", binary: "qwen", file: ".qwen/settings.json", before: `{
  "$version": 4,
  "general": {"enableAutoUpdate": false},
  "privacy": {"usageStatisticsEnabled": false},
  "memory": {"enableManagedAutoMemory": false},
  "tools": {"toolSearch": {"enabled": false}},
  "security": {"auth": {"selectedType": "openai"}}
}
`,
		variables: []string{"OPENAI_API_KEY=none", "OPENAI_BASE_URL=$MODEL/v1", "OPENAI_MODEL=stand-in"},
		list:      []string{"mcp", "list"}, listed: "Connected",
		ask: []string{"--yolo", "-p", "go on"},
	},
	{
		name: "copilot", binary: "copilot", file: ".copilot/mcp-config.json",
		variables: []string{"COPILOT_OFFLINE=true", "COPILOT_PROVIDER_BASE_URL=$MODEL/v1", "COPILOT_MODEL=stand-in"},
		list:      []string{"mcp", "list"}, listed: "local", // it asks no server
		ask: []string{"-s", "--allow-all-tools", "-p", "go on"},
	},
	{
		name: "cline", binary: "cline", file: ".cline/data/settings/cline_mcp_settings.json",
		variables: []string{"CLINE_NO_AUTO_UPDATE=1", "CLINE_SESSION_BACKEND_MODE=local"}, // and no daemon that outlives it
		setUp:     []string{"auth", "-p", "openai", "-k", "none", "-m", "stand-in", "-b", "$MODEL/v1"},
		ask:       []string{"go on"},
	},
	{
		name: "continue", binary: "cn", file: ".continue/config.yaml", before: `# of this person
name: mine
version: 1.0.0
schema: v1
models:
  - name: stand-in
    provider: openai
    model: stand-in
    apiBase: $MODEL/v1
    apiKey: none
    capabilities: [tool_use]
`,
		variables: []string{"CONTINUE_TELEMETRY_ENABLED=0", "CONTINUE_ALLOW_ANONYMOUS_TELEMETRY=0"},
		ask:       []string{"-p", "--auto", "go on"},
	},
	{
		// It reads files of Cursor's shape.
		name: "inspector", binary: "mcp-inspector", connect: []string{"cursor", "--file", "$HOME/mcp.json"}, file: "mcp.json", alone: true,
		list: []string{"--cli", "--config", "$HOME/mcp.json", "--server", "langflow-prod", "--method", "tools/list"}, listed: `"name": "mirror"`,
		ask: []string{"--cli", "--config", "$HOME/mcp.json", "--server", "langflow-prod", "--method", "tools/call", "--tool-name", "mirror", "--tool-arg", "input_value=" + toMirror},
	},
}

// clientHome is an mcpClient with a home of its own, a model, and the person's Langkeep.
type clientHome struct {
	*home
	mcpClient
	dir    string // its home folder
	model  *model
	filled *strings.Replacer
}

// mirrored is what the flow makes of toMirror, which the model gives it.
const toMirror, mirrored = "wolfgnal yb edam", "made by langflow"

// TestClients has MCP clients that others have made call a flow of the real Langflow.
// langkeep connect configures each in a home of its own, and a stand-in leads it.
func TestClients(t *testing.T) {
	mustBeAlone(t)
	server := real.Start(t, real.Options{})
	h := newHome(t, buildProgram(t), shortDir(t))
	kill := h.start()
	if d := h.typing(server.Password+"\n", "login", "prod", server.URL, "--username", server.Username, "--password-stdin"); d.code != exitDone {
		t.Fatal(d.stderr)
	}
	h.must(exitDone, "proxy", "prod", "on")
	token := strings.TrimSpace(h.must(exitDone, "client", "add", "maker", "--profile", "prod", "--scope", "proxy").stdout)
	s := &scoped{T: t, version: "1.13.0", server: server, proxy: *h.profile().ProxyURL, tokens: map[string]string{"proxy": token}}
	s.decode(s.must(200, "proxy", "GET", "/api/v1/all", ""), &s.all)
	s.create("proxy", "Mirror", s.with(s.saying("self.input_value[::-1]")))

	for _, m := range mcpClients {
		t.Run(m.name, func(t *testing.T) { install(t, h, m).testClient() })
	}
	for _, sdk := range []string{"1.1", "1", "2"} {
		t.Run("mcp "+sdk+" for Python", func(t *testing.T) { testSDK(t, h, server, sdk) })
	}
	t.Run("claude-code is told by HTTP", testWordsByHTTP)
	t.Run("a server of 2026-07-28", testModernSDK)
	t.Run("claude-code and a server of 2026-07-28", testModernClaude)
	claude := mcpClients[0]
	t.Run("claude-code cancels", func(t *testing.T) { install(t, h, claude).testCancel(s) })
	t.Run("claude-code outlives the agent", func(t *testing.T) { install(t, h, claude).testAgentAway(kill) })
	t.Run("claude-code is told", func(t *testing.T) { install(t, h, claude).testWords() })
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

// install makes a client's home, which nobody has used before.
func install(t *testing.T, h *home, m mcpClient) *clientHome {
	t.Helper()
	mine := *h
	mine.t = t
	if m.connect == nil {
		m.connect = []string{m.name}
	}
	clientProgram(t, m.name, "node_modules/.bin/"+m.binary) // skip before there is anything to take back
	c := &clientHome{home: &mine, mcpClient: m, dir: filepath.Join(shortDir(t), "h"), model: newModel(t, "mirror", object{"input_value": toMirror})}
	c.filled = strings.NewReplacer("$HOME", c.dir, "$MODEL", c.model.URL)
	for _, folder := range []string{c.work(), filepath.Dir(c.path())} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if m.before != "" {
		h.write(c.path(), c.filled.Replace(m.before))
	}
	return c
}

func (c *clientHome) work() string { return filepath.Join(c.dir, "work") }
func (c *clientHome) path() string { return filepath.Join(c.dir, c.file) }

// started prepares the client to be run, as a desktop would: without what leads to the
// agent.
func (c *clientHome) started(args ...string) *exec.Cmd {
	c.t.Helper()
	node := filepath.Dir(clientProgram(c.t, "node", "node_modules/.bin/node"))
	cmd := exec.Command(clientProgram(c.t, c.name, "node_modules/.bin/"+c.binary))
	cmd.Env = []string{"HOME=" + c.dir, "PATH=" + node + ":" + os.Getenv("PATH"), "TMPDIR=" + c.dir, "DO_NOT_TRACK=1"}
	cmd.Args, cmd.Env, cmd.Dir = c.fill(cmd.Args, args), c.fill(cmd.Env, c.variables), c.work()
	return cmd
}

// fill adds texts to others.
func (c *clientHome) fill(all, more []string) []string {
	for _, text := range more {
		all = append(all, c.filled.Replace(text))
	}
	return all
}

// clientLimit bounds a run of a client; 37 s were seen on a busy computer.
const clientLimit = 3 * time.Minute

// ran runs a command to its end and returns all that it has written.
func (c *clientHome) ran(cmd *exec.Cmd) string {
	c.t.Helper()
	begin := time.Now()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
	err := cmd.Start()
	if err == nil {
		late := time.AfterFunc(clientLimit, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		err = cmd.Wait()
	}
	if err != nil {
		c.t.Fatalf("%q: %v\n%s", cmd.Args, err, &out)
	}
	c.t.Logf("%.1f s: %s %s", time.Since(begin).Seconds(), filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "))
	return out.String()
}

// langkeep runs a command of ours for the client.
func (c *clientHome) langkeep(args ...string) {
	c.t.Helper()
	cmd := c.command(c.fill(nil, args)...)
	cmd.Env = append(slices.Clone(cmd.Env), "HOME="+c.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("langkeep %q: %v\n%s", args, err, out)
	}
}

func (c *clientHome) connects() {
	c.t.Helper()
	c.langkeep(slices.Concat([]string{"connect", c.connect[0], "prod", "--yes"}, c.connect[1:])...)
}

func (c *clientHome) disconnects() { c.t.Helper(); c.langkeep("disconnect", c.connect[0], "prod") }

// testClient connects the client, has it call the flow, and disconnects it.
func (c *clientHome) testClient() {
	t := c.t
	before := contentOf(t, c.path())
	comesBack := func() {
		t.Helper()
		c.disconnects()
		if now := contentOf(t, c.path()); !bytes.Equal(now, before) {
			t.Errorf("disconnect leaves\n%s\nof\n%s", now, before)
		}
	}
	c.connects()
	comesBack()
	c.connects()
	connected := contentOf(t, c.path())
	if c.list != nil {
		if said := c.ran(c.started(c.list...)); !strings.Contains(said, c.listed) || !c.alone && !strings.Contains(said, "langflow-prod") {
			t.Errorf("%s %q says\n%s", c.binary, c.list, said)
		}
	}
	if c.setUp != nil {
		c.ran(c.started(c.setUp...))
	}
	said := c.ran(c.started(c.ask...))
	wrong := func(result string) bool { return !strings.Contains(result, mirrored) }
	if heard := c.model.heard(); !c.alone && (len(heard) == 0 || slices.ContainsFunc(heard, wrong)) {
		t.Errorf("the model heard %q, after %q; the program says\n%s", heard, c.model.requests(), said)
	}
	if !strings.Contains(said, mirrored) {
		t.Errorf("the program says\n%s", said)
	}

	held := contentOf(t, c.path())
	switch rewritten := !bytes.Equal(held, connected); {
	case rewritten != c.rewrites:
		t.Errorf("the program writes to its file: %v, not %v\n%s", rewritten, c.rewrites, held)
	case !rewritten:
		comesBack()
	default:
		c.disconnects()
		left := contentOf(t, c.path())
		if !reflect.DeepEqual(withoutEntry(t, held), withoutEntry(t, left)) || bytes.Contains(left, []byte("langflow-prod")) {
			t.Errorf("disconnect leaves\n%s\nof\n%s", left, held)
		}
	}
}

// testSDK calls the flow with an MCP SDK, which lets a program have little of its
// environment.
func testSDK(t *testing.T, h *home, server *real.Server, sdk string) {
	python := server.Program("python") // the last of 1.x
	if sdk != "1" {
		python = clientProgram(t, "mcp-"+sdk, "bin/python")
	}
	file := filepath.Join(shortDir(t), "mcp.json")
	mine := *h
	mine.t = t
	mine.must(exitDone, "connect", "cursor", "prod", "--file", file, "--yes")
	defer mine.must(exitDone, "disconnect", "cursor", "prod")
	cmd := exec.Command(python, filepath.Join(workingFolder(t), "testdata", "tools", "mcp_client.py"), "stdio", file, "langflow-prod")
	cmd.Env = []string{"HOME=" + filepath.Dir(file), "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "mirror\nfine oidts yb\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// clientProgram is the path of a program below .cache/clients/NAME. The test is skipped where .ci/setup could not install
// it.
func clientProgram(t *testing.T, name, program string) string {
	t.Helper()
	dir := filepath.Join(workingFolder(t), "..", "..", ".cache", "clients", name)
	path := filepath.Join(dir, program)
	if _, err := os.Stat(path); err != nil {
		reason, _ := os.ReadFile(filepath.Join(dir, ".failed")) // none: nobody has tried
		t.Skipf("%s is not installed: %s", name, bytes.TrimSpace(reason))
	}
	return path
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
