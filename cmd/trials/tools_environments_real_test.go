//go:build real && linux

package trials

import (
	"os"
	"path/filepath"
)

// testEnvironments leads lfx and langflow-sdk by their own files.
func (s *tools) testEnvironments(p *person) {
	connect := func(args ...string) {
		p.t.Helper()
		cmd := p.command(args...)
		cmd.Env = append(cmd.Env, "HOME="+p.tmp)
		if d := p.run(cmd, ""); d.code != 0 {
			p.t.Fatalf("%v: %s", args, d.stderr)
		}
	}
	connect("connect", "lfx", "prod", "--yes")
	connect("connect", "langflow-sdk", "prod", "--yes")
	dir := p.t.TempDir()
	s.under(p, dir, s.server.Program("lfx"), "pull", "--env", "prod")
	if _, err := os.Stat(filepath.Join(dir, "flows", "Echo.json")); err != nil {
		p.t.Error(err)
	}
	said := s.under(p, dir, s.server.Program("python"), "-c", `from langflow_sdk import get_client
print(get_client("prod").run("echo", input_value="by its file").first_text_output())`).stdout
	if said != "by its file\n" {
		p.t.Errorf("langflow-sdk says %q", said)
	}
	connect("disconnect", "lfx", "prod")
	connect("disconnect", "langflow-sdk", "prod")
}
