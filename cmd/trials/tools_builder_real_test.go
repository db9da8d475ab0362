//go:build real && linux

package trials

import (
	"os"
	"path/filepath"
	"strings"
)

// testBuilder builds a flow with Langflow's own MCP server, as connect --builder has a
// client start it, and administers the server by exec.
func (s *tools) testBuilder(p *person) {
	bin := p.t.TempDir()
	uvx := "#!/bin/sh\n[ \"$*\" = '--from lfx lfx-mcp' ] && exec " + s.server.Program("lfx-mcp") + "\n" // the lfx that fits the server
	if err := os.WriteFile(filepath.Join(bin, "uvx"), []byte(uvx), 0o700); err != nil {
		p.t.Fatal(err)
	}
	for scope, added := range map[string]string{"": "added", "edit": "refused"} {
		file := filepath.Join(p.tmp, "builder.json")
		args := []string{"connect", "claude-desktop", "prod", "--builder", "--file", file, "--yes"}
		if scope != "" {
			args = append(args, "--scope", scope)
		}
		connect := p.command(args...)
		connect.Env = append(connect.Env, "PATH="+bin+":"+os.Getenv("PATH"))
		if d := p.run(connect, ""); d.code != 0 {
			p.t.Fatalf("connect: %s", d.stderr)
		}
		entry, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(entry), "lk_") || strings.Contains(string(entry), "sk-") {
			p.t.Errorf("the entry is %s, %v", entry, err)
		}
		cmd := p.program(s.server.Program("python"), s.script(p.t, "builder_client.py"), file, "lfx-prod")
		// As a desktop's client has it: without what leads to the agent.
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.tmp, "DO_NOT_TRACK=true"}
		want := "built: ChatInput, ChatOutput\nran: by the builder\na component that asks any host: " + added + "\ndeleted\n"
		if d := p.run(cmd, ""); d.code != 0 || d.stdout != want {
			p.t.Errorf("%q: %d: %q %s", scope, d.code, d.stdout, d.stderr)
		}
		p.must(0, "disconnect", "claude-desktop", "prod")
		if _, err := os.Stat(file); err == nil {
			p.t.Error("disconnect leaves the file")
		}
	}

	admin := func(scope string) done {
		cmd := p.command("exec", "prod", "--scope", scope, "--", s.server.Program("langflow"), "admin", "--output", "json", "users", "list")
		cmd.Env = append(cmd.Env, "DO_NOT_TRACK=true", "HOME="+p.tmp)
		return p.run(cmd, "")
	}
	if d := admin("proxy"); d.code != 0 || !strings.Contains(d.stdout, s.server.Username) {
		p.t.Errorf("langflow admin with proxy: %d: %s%s", d.code, d.stdout, d.stderr)
	}
	if d := admin("edit"); d.code == 0 || !strings.Contains(d.stdout+d.stderr, "administrator") {
		p.t.Errorf("langflow admin with edit: %d: %s%s", d.code, d.stdout, d.stderr)
	}
	p.say(p.t, "lfx-mcp built, ran and deleted a flow, with the scope edit one of plain components alone; langflow admin listed the users with proxy alone")
}

// testOtherBuilder has langflow-builder-mcp, which is not of Langflow's makers, create,
// read and delete a flow, with the scopes that docs/builders.md names.
func (s *tools) testOtherBuilder(p *person) {
	const done, refused = "tools: True\nread: By the other builder\ndeleted: True\ngone: True\n", "tools: True\nrefused: True\n"
	for scope, want := range map[string]string{"proxy": done, "edit": done, "run": refused} {
		cmd := p.program(s.server.Program("python"), s.script(p.t, "other_builder_client.py"),
			p.binary, "exec", "prod", "--scope", scope, "--", cached(p.t, "builder-mcp", "bin", "langflow-builder-mcp"))
		cmd.Env = append(cmd.Env, "HOME="+p.tmp, "DO_NOT_TRACK=true", "LANGFLOW_MCP_API_KEY=of-nobody", "LANGFLOW_MCP_LANGFLOW_URL=http://127.0.0.1:9")
		if d := p.run(cmd, ""); d.code != 0 || d.stdout != want {
			p.t.Errorf("%q: %d: %q %s", scope, d.code, d.stdout, d.stderr)
		}
	}
}
