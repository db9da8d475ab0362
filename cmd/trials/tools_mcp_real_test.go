//go:build real && linux

package trials

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (s *tools) testMCP(p *person) {
	python, script := s.server.Program("python"), s.script(p.t, "mcp_client.py")
	file := filepath.Join(p.tmp, "claude_desktop_config.json")
	p.must(0, "connect", "claude-desktop", "prod", "--project", s.project, "--file", file, "--yes")
	entry, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(entry), "lk_") || strings.Contains(string(entry), "sk-") {
		p.t.Errorf("the entry is %s, %v", entry, err)
	}
	ask := func(kind string, args ...string) {
		p.t.Helper()
		cmd := p.program(python, append([]string{script, kind}, args...)...)
		// As a desktop's client has it: without what leads to the agent.
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.tmp, "DO_NOT_TRACK=true"}
		if d := p.run(cmd, ""); d.code != 0 || d.stdout != "echo\nfine by "+kind+"\n" {
			p.t.Errorf("%s: %d: %q %s", kind, d.code, d.stdout, d.stderr)
		}
	}
	ask("stdio", file, "langflow-prod")

	// Its token is in its arguments, which is the SDK's way and not ours.
	token := strings.TrimSpace(p.must(0, "client", "add", "mcp-client", "--profile", "prod", "--scope", "run").stdout)
	base := *p.profile("prod").ProxyURL + "/api/v1/mcp/project/" + s.project
	ask("http", base+"/streamable", token)
	ask("sse", base+"/sse", token)
	p.must(0, "client", "revoke", "mcp-client")
	p.must(0, "disconnect", "claude-desktop", "prod")
	if _, err := os.Stat(file); err == nil {
		p.t.Error("disconnect leaves the file")
	}
	p.eventually(5*time.Second, "the clients have gone", func() bool { return p.do("client", "list").stdout == "" })
	p.say(p.t, "the MCP SDK listed and called a tool over stdio, streamable HTTP and SSE")
}
