//go:build real && linux

package trials

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// echoed runs the flow that echoes with langflow-sdk, under exec.
func (g *gateways) echoed(p *person, profile string) {
	p.t.Helper()
	const script = `import os
from langflow_sdk import Client
client = Client(base_url=os.environ["LANGFLOW_URL"], api_key=os.environ["LANGFLOW_API_KEY"])
print(client.run("echo", input_value="through it").first_text_output())`
	if said := g.under(p, profile, g.server.Program("python"), "-c", script); said != "through it\n" {
		p.t.Errorf("%s: langflow-sdk says %q", profile, said)
	}
}

// under runs a program under exec, to its end.
func (g *gateways) under(p *person, profile string, args ...string) (stdout string) {
	p.t.Helper()
	cmd := p.command(append([]string{"exec", profile, "--no-start", "--"}, args...)...)
	cmd.Env = append(cmd.Env, "DO_NOT_TRACK=true", "HOME="+p.tmp)
	d := p.run(cmd, "")
	if d.code != 0 {
		p.t.Fatalf("exec %s: exit code %d: %s%s", profile, d.code, d.stdout, d.stderr)
	}
	return d.stdout
}

// called calls the flow as a tool, with the SDK of MCP through langkeep mcp.
func (g *gateways) called(p *person, profile string) {
	p.t.Helper()
	file := filepath.Join(p.tmp, profile+".json")
	p.must(0, "connect", "claude-desktop", profile, "--project", g.project, "--file", file, "--yes", "--no-start")
	cmd := p.program(g.server.Program("python"), filepath.Join(workingFolder(p.t), "testdata", "tools", "mcp_client.py"), "stdio", file, "langflow-"+profile)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.tmp, "DO_NOT_TRACK=true"}
	if d := p.run(cmd, ""); d.code != 0 || d.stdout != "echo\nfine by stdio\n" {
		p.t.Errorf("%s: mcp: %d: %q %s", profile, d.code, d.stdout, d.stderr)
	}
}

// curlAsClient begins a line of sh that runs curl under exec.
const curlAsClient = `printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sS -N -m 20 -H @- `

// through wants all that a program may do to go through a profile's gateway.
func (g *gateways) through(p *person, profile string) {
	p.t.Helper()
	p.must(0, "refresh", profile, "--no-start")
	p.accepted(profile, g.server.URL)
	p.secret("a managed key", strings.TrimSpace(p.must(0, "key", profile, "--no-start").stdout))
	if d := p.do("doctor", profile, "--no-start"); d.code != 0 {
		p.t.Errorf("%s: doctor:\n%s", profile, d.stdout)
	}
	g.echoed(p, profile)
	g.called(p, profile)
	said := g.under(p, profile, "sh", "-c", curlAsClient+`-H 'content-type: application/json' "$LANGFLOW_URL/api/v1/run/echo?stream=true" -d '{"input_value":"in parts"}'`)
	if n := strings.Count(said, `{"event": "`); n < 3 || !strings.Contains(said, `{"event": "end"`) || !strings.Contains(said, "in parts") {
		p.t.Errorf("%s: the stream says %.300s", profile, said)
	}
	// Langflow looks for the flow behind a WebSocket once that is the account's.
	const socket = `--http1.1 -i -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' `
	said = g.under(p, profile, "sh", "-c", curlAsClient+socket+`"$LANGFLOW_URL/api/v1/voice/ws/flow_as_tool/00000000-0000-0000-0000-000000000001" | cat`)
	if !strings.HasPrefix(said, "HTTP/1.1 101 ") || !strings.Contains(said, "Flow not found") {
		p.t.Errorf("%s: the WebSocket says %.300q", profile, said)
	}
}

// reads reads a profile's token every second for a time, and wants the server to accept
// each. It returns how many there were.
func (g *gateways) reads(p *person, profile string, d time.Duration) (tokens int) {
	p.t.Helper()
	seen := map[string]bool{}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		token := p.token(profile)
		seen[token] = true
		if status, err := whoami(http.DefaultClient, g.server.URL, token); status != http.StatusOK {
			p.t.Errorf("%s: whoami answers %d, %v", profile, status, err)
		}
	}
	return len(seen)
}

// arrived are the requests that a front has seen and that a function wants told of.
func arrived(f *front, odd func(recorded) bool) (found []string) {
	all, _ := f.since(0)
	for _, r := range all {
		if odd(r) {
			found = append(found, fmt.Sprintf("%s %s", r.method, r.path))
		}
	}
	return found
}
