package connect

import (
	"cmp"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Link is where an entry leads: to the flows of an account, to those of one of its
// projects, or to Langflow's own server for building flows.
type Link struct {
	Profile string `json:"profile"`
	Project string `json:"project,omitempty"` // its id; "" for the account
	Builder bool   `json:"builder,omitempty"`
	Scopes  string `json:"scopes,omitempty"` // of the builder, with spaces between; "" for BuilderScope
}

// EntryName is the name of the link's entry. No profile's name makes the flows' and the
// builder's the same, so both can stand in one file. Codex takes letters, digits, - and _
// alone, so a dot becomes _.
func (t *Tool) EntryName(l Link) string {
	switch {
	case !t.SpeaksMCP():
		return l.Profile
	case l.Builder:
		return "lfx-" + strings.ReplaceAll(l.Profile, ".", "_")
	}
	return "langflow-" + strings.ReplaceAll(l.Profile, ".", "_")
}

// BuilderScope is what a builder needs: with edit alone, lfx 1.13.0 and Langflow 1.13.0
// build flows of text, prompts, inputs and outputs, since any other component may run
// code or reach further.
const BuilderScope = "proxy"

// Server is the link's MCP server: this program, with the environment that leads it to
// its agent. For a builder it starts Langflow's own server under exec.
func (l Link) Server(program string, env map[string]string) (Server, error) {
	s := Server{Command: program, Args: []string{"mcp", l.Profile}, Env: env}
	if l.Project != "" {
		s.Args = append(s.Args, "--project", l.Project)
	}
	if l.Builder {
		start, err := builder()
		if err != nil {
			return Server{}, fmt.Errorf("%s: %w", l.Profile, err)
		}
		s.Args = []string{"exec", l.Profile}
		for scope := range strings.FieldsSeq(cmp.Or(l.Scopes, BuilderScope)) {
			s.Args = append(s.Args, "--scope", scope)
		}
		s.Args = append(append(s.Args, "--"), start...)
	}
	return s, nil
}

// builder is the command of Langflow's MCP server for building flows.
func builder() ([]string, error) {
	if uvx, err := exec.LookPath("uvx"); err == nil {
		return []string{uvx, "--from", "lfx", "lfx-mcp"}, nil
	}
	if uv, err := exec.LookPath("uv"); err == nil {
		return []string{uv, "tool", "run", "--from", "lfx", "lfx-mcp"}, nil
	}
	return nil, errors.New("the builder is started by uvx, which is not on the PATH: install uv (https://docs.astral.sh/uv), and connect again")
}
