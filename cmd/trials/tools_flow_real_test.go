//go:build real && linux

package trials

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

func (s *tools) testFlow(p *person) {
	python := s.server.Program("python")
	lines := strings.Fields(s.under(p, "/", python, s.script(p.t, "flow.py")).stdout)
	if len(lines) != 3 || lines[2] != "plain" {
		p.t.Fatalf("the sdk says %q", lines)
	}
	s.flow, s.project = lines[0], lines[1]
	if said := s.under(p, "/", python, s.script(p.t, "responses.py"), "echo").stdout; said != "from openai\n" {
		p.t.Errorf("/responses says %q", said)
	}
	const curl = `printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sSfN -H @- -H 'content-type: application/json' `
	said := s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/run/echo" -d '{"input_value":"by curl"}'`).stdout
	if !strings.Contains(said, `"text":"by curl"`) {
		p.t.Errorf("/run says %.300s", said)
	}
	said = s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/run/echo?stream=true" -d '{"input_value":"in parts"}'`).stdout
	if n := strings.Count(said, `{"event": "`); n < 3 || !strings.Contains(said, `{"event": "end"`) || !strings.Contains(said, "in parts") {
		p.t.Errorf("the stream says %.300s", said)
	}

	dir := p.t.TempDir()
	lfx := s.server.Program("lfx")
	s.under(p, dir, lfx, "pull")
	path := filepath.Join(dir, "flows", "Echo.json")
	pulled, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := bytes.Replace(pulled, []byte("Says what it is told"), []byte("Says it again"), 1)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		p.t.Fatal(err)
	}
	s.under(p, dir, lfx, "push", path)
	said = s.under(p, "/", "sh", "-c", curl+`"$LANGFLOW_URL/api/v1/flows/`+s.flow+`"`).stdout
	if !strings.Contains(said, "Says it again") {
		p.t.Errorf("after lfx push the flow is %.300s", said)
	}
	p.say(p.t, "langflow-sdk, lfx, openai and curl made, ran, pulled and pushed a flow")
}
