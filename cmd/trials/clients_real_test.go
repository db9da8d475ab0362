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
	program string   // the file in that
	connect []string // arguments; nil: its name
	file    string   // that connect writes to, below the home
	before  string   // its content until then; "" for none
	// rewrites tells that the program writes to the file too, each time it starts.
	rewrites bool
	env      []string
	list     []string // arguments that list its MCP servers; nil: it can't without a terminal
	listed   string   // what that says of one that is connected
	setUp    []string // arguments of a run that must come before the prompt
	ask      []string // arguments that give it a prompt, or have it call the tool
	alone    bool     // there is no model in it
}

// mcpClients are those that .ci/setup installs. Each has its reports and updates turned
// off, though it could reach nobody.
var mcpClients = []mcpClient{
	{
		name: "claude-code", program: "claude", file: ".claude.json", before: `{"theme": "dark"}`, rewrites: true,
		env:  []string{"ANTHROPIC_BASE_URL=$MODEL", "ANTHROPIC_API_KEY=none", "ENABLE_TOOL_SEARCH=false", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"},
		list: []string{"mcp", "list"}, listed: "✔ Connected",
		ask: []string{"--allowedTools", "mcp__langflow-prod__mirror", "-p", "go on"},
	},
	{
		name: "codex", program: "codex", file: ".codex/config.toml", before: `# of this person
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
		name: "gemini", program: "gemini", file: ".gemini/settings.json", before: `{
  // of this person
  "general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false},
  "privacy": {"usageStatisticsEnabled": false},
  "security": {"auth": {"selectedType": "gemini-api-key"}}
}
`,
		env:  []string{"GEMINI_CLI_TRUST_WORKSPACE=true", "GEMINI_API_KEY=none", "GOOGLE_GEMINI_BASE_URL=$MODEL"},
		list: []string{"mcp", "list"}, listed: "Connected",
		ask: []string{"--yolo", "-m", "gemini-2.5-flash", "-p", "go on"},
	},
	{
		name: "opencode", program: "opencode", file: ".config/opencode/opencode.jsonc", before: `{
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
		env:  []string{"OPENCODE_DISABLE_AUTOUPDATE=true", "OPENCODE_DISABLE_MODELS_FETCH=true", "OPENCODE_DISABLE_LSP_DOWNLOAD=true"},
		list: []string{"mcp", "list"}, listed: "connected",
		ask: []string{"run", "go on"},
	},
	{
		name: "qwen", program: "qwen", file: ".qwen/settings.json", before: `{
  "$version": 4,
  "general": {"enableAutoUpdate": false},
  "privacy": {"usageStatisticsEnabled": false},
  "memory": {"enableManagedAutoMemory": false},
  "tools": {"toolSearch": {"enabled": false}},
  "security": {"auth": {"selectedType": "openai"}}
}
`,
		env:  []string{"OPENAI_API_KEY=none", "OPENAI_BASE_URL=$MODEL/v1", "OPENAI_MODEL=stand-in"},
		list: []string{"mcp", "list"}, listed: "Connected",
		ask: []string{"--yolo", "-p", "go on"},
	},
	{
		name: "copilot", program: "copilot", file: ".copilot/mcp-config.json",
		env:  []string{"COPILOT_OFFLINE=true", "COPILOT_PROVIDER_BASE_URL=$MODEL/v1", "COPILOT_MODEL=stand-in"},
		list: []string{"mcp", "list"}, listed: "local", // it asks no server
		ask: []string{"-s", "--allow-all-tools", "-p", "go on"},
	},
	{
		name: "cline", program: "cline", file: ".cline/data/settings/cline_mcp_settings.json",
		env:   []string{"CLINE_NO_AUTO_UPDATE=1", "CLINE_SESSION_BACKEND_MODE=local"}, // and no daemon that outlives it
		setUp: []string{"auth", "-p", "openai", "-k", "none", "-m", "stand-in", "-b", "$MODEL/v1"},
		ask:   []string{"go on"},
	},
	{
		name: "continue", program: "cn", file: ".continue/config.yaml", before: `# of this person
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
		env: []string{"CONTINUE_TELEMETRY_ENABLED=0", "CONTINUE_ALLOW_ANONYMOUS_TELEMETRY=0"},
		ask: []string{"-p", "--auto", "go on"},
	},
	{
		// It reads files of Cursor's shape.
		name: "inspector", program: "mcp-inspector", connect: []string{"cursor", "--file", "$HOME/mcp.json"}, file: "mcp.json", alone: true,
		list: []string{"--cli", "--config", "$HOME/mcp.json", "--server", "langflow-prod", "--method", "tools/list"}, listed: `"name": "mirror"`,
		ask: []string{"--cli", "--config", "$HOME/mcp.json", "--server", "langflow-prod", "--method", "tools/call", "--tool-name", "mirror", "--tool-arg", "input_value=" + toMirror},
	},
}

// clients are what the parts of TestClients share.
type clients struct {
	*home
	model *model
}

// mirrored is what the flow makes of toMirror, which the model gives it.
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
		t.Run(m.name, func(t *testing.T) {
			mine := *h
			mine.t = t
			c := &clients{home: &mine, model: newModel(t, "mirror", object{"input_value": toMirror})}
			c.testClient(m)
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

func (c *clients) testClient(m mcpClient) {
	t := c.t
	program, node := clientProgram(t, m.name, m.program), filepath.Dir(clientProgram(t, "node", "node"))
	dir := filepath.Join(c.dir, "clients", m.name)
	work := filepath.Join(dir, "work")
	filled := strings.NewReplacer("$HOME", dir, "$MODEL", c.model.URL)
	path := filepath.Join(dir, m.file)
	for _, folder := range []string{work, filepath.Dir(path)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if m.before != "" {
		c.write(path, filled.Replace(m.before))
	}
	before := contentOf(t, path)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program)
		for _, arg := range args {
			cmd.Args = append(cmd.Args, filled.Replace(arg))
		}
		cmd.Dir = work
		// As a desktop's client has it: without what leads to the agent.
		cmd.Env = []string{"HOME=" + dir, "PATH=" + node + ":" + os.Getenv("PATH"), "TMPDIR=" + c.dir, "DO_NOT_TRACK=1"}
		for _, variable := range m.env {
			cmd.Env = append(cmd.Env, filled.Replace(variable))
		}
		begin := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
		}
		t.Logf("%s %s: %.1f s", m.program, strings.Join(args, " "), time.Since(begin).Seconds())
		return string(out)
	}
	langkeep := func(args ...string) {
		t.Helper()
		cmd := c.command()
		for _, arg := range args {
			cmd.Args = append(cmd.Args, filled.Replace(arg))
		}
		cmd.Env = append(cmd.Env, "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("langkeep %q: %v\n%s", args, err, out)
		}
	}
	if m.connect == nil {
		m.connect = []string{m.name}
	}
	connect := slices.Concat([]string{"connect", m.connect[0], "prod", "--yes"}, m.connect[1:])
	disconnect := []string{"disconnect", m.connect[0], "prod"}
	comesBack := func() {
		t.Helper()
		langkeep(disconnect...)
		if now := contentOf(t, path); !bytes.Equal(now, before) {
			t.Errorf("disconnect leaves\n%s\nof\n%s", now, before)
		}
	}

	langkeep(connect...)
	comesBack()
	langkeep(connect...)
	connected := contentOf(t, path)
	if m.list != nil {
		if said := run(m.list...); !strings.Contains(said, m.listed) || !m.alone && !strings.Contains(said, "langflow-prod") {
			t.Errorf("%s %q says\n%s", m.program, m.list, said)
		}
	}
	if m.setUp != nil {
		run(m.setUp...)
	}
	said := run(m.ask...)
	if heard := c.model.heard(); !m.alone && (len(heard) != 1 || !strings.Contains(heard[0], mirrored)) {
		t.Errorf("the model heard %q, after %q; the program says\n%s", heard, c.model.requests(), said)
	}
	if !strings.Contains(said, mirrored) {
		t.Errorf("the program says\n%s", said)
	}

	held := contentOf(t, path)
	switch rewritten := !bytes.Equal(held, connected); {
	case rewritten != m.rewrites:
		t.Errorf("the program writes to its file: %v, not %v\n%s", rewritten, m.rewrites, held)
	case !rewritten:
		comesBack()
	default:
		langkeep(disconnect...)
		left := contentOf(t, path)
		if !reflect.DeepEqual(withoutEntry(t, held), withoutEntry(t, left)) || bytes.Contains(left, []byte("langflow-prod")) {
			t.Errorf("disconnect leaves\n%s\nof\n%s", left, held)
		}
	}
}

// clientProgram is a program's file. The test is skipped where .ci/setup could not install
// it.
func clientProgram(t *testing.T, name, program string) string {
	t.Helper()
	dir := filepath.Join(workingFolder(t), "..", "..", ".cache", "clients", name)
	path := filepath.Join(dir, "node_modules", ".bin", program)
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
