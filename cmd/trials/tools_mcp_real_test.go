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
	s.testCancel(p)
	p.must(0, "disconnect", "claude-desktop", "prod")
	if _, err := os.Stat(file); err == nil {
		p.t.Error("disconnect leaves the file")
	}
	p.eventually(5*time.Second, "the clients have gone", func() bool { return p.do("client", "list").stdout == "" })
	p.say(p.t, "the MCP SDK listed and called a tool over stdio, streamable HTTP and SSE")
}

// testCancel has a client cancel a call, which ends the flow at Langflow.
func (s *tools) testCancel(p *person) {
	p.t.Helper()
	beats := filepath.Join(p.t.TempDir(), "beats")
	count := func() int64 {
		info, err := os.Stat(beats)
		if err != nil {
			return 0 // there is none before the first
		}
		return info.Size()
	}
	slow := strings.TrimSpace(s.under(p, "/", s.server.Program("python"), s.script(p.t, "slow_flow.py"), s.flow, beats).stdout)
	defer s.under(p, "/", "sh", "-c", `printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sSf -H @- -X DELETE "$LANGFLOW_URL/api/v1/flows/`+slow+`"`)
	c := startMCP(p.t, p.command("mcp", "prod", "--project", s.project))
	if got := c.ask("ping"); !strings.Contains(got, `"result"`) {
		p.t.Fatalf("%q", got)
	}
	c.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"slow","arguments":{"input_value":"go"}}}`)
	p.eventually(time.Minute, "the flow runs", func() bool { return count() > 50 })
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	begun := time.Now()
	last, at := count(), begun
	p.eventually(20*time.Second, "the flow has ended", func() bool {
		if now := count(); now != last {
			last, at = now, time.Now()
		}
		return time.Since(at) > time.Second
	})
	p.say(p.t, "a cancelled call ended its flow after %v", at.Sub(begun).Round(time.Millisecond))
	if got := c.ask("ping"); !strings.Contains(got, `"id":1`) || !strings.Contains(got, `"result"`) {
		p.t.Errorf("after the cancelled call: %q", got)
	}
	c.end()
}
