//go:build real && linux

package trials

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

// TestTools is what programs get, on the real Langflow and with clients that
// were made elsewhere: langflow-sdk, lfx, the SDKs of OpenAI and MCP, curl.
func TestTools(t *testing.T) {
	c := newComputer(t)
	server := real.Start(t, real.Options{AccessLifetime: 2 * time.Minute})
	front := newFront(t, c, server.URL)
	p := c.person(t, "t")
	p.runAgent()
	p.signIn("prod", front.URL, server)
	p.setKeyLifetime("prod", keysLive) // through all that follows
	p.must(0, "proxy", "prod", "on")
	tools := &tools{server: server, front: front, forward: newForward(t)}

	t.Run("a flow", func(t *testing.T) { tools.testFlow(p.in(t)) })
	t.Run("python", func(t *testing.T) { tools.testPython(p.in(t)) })
	t.Run("mcp", func(t *testing.T) { tools.testMCP(p.in(t)) })
	t.Run("the lock", func(t *testing.T) { tools.testLock(p.in(t)) })
	t.Run("builder", func(t *testing.T) { tools.testBuilder(p.in(t)) })
	t.Run("another builder", func(t *testing.T) { tools.testOtherBuilder(p.in(t)) })
	t.Run("environments", func(t *testing.T) { tools.testEnvironments(p.in(t)) })
	t.Run("exec", func(t *testing.T) { tools.testExec(p.in(t)) })
	t.Run("who is refused", func(t *testing.T) { tools.testRefused(p.in(t)) })
	t.Run("credentials stay", func(t *testing.T) { tools.testCredentials(p.in(t)) })
	t.Run("keys change under load", func(t *testing.T) { tools.testRotation(p.in(t)) })
	t.Run("large bodies", func(t *testing.T) { testLarge(p.in(t)) })
	t.Run("the documents", func(t *testing.T) { tools.testDocuments(p.in(t)) })
	t.Run("no secret shows", func(t *testing.T) {
		if n := tools.forward.seen.Load(); n != 0 {
			t.Errorf("the forward proxy of the environment saw %d connections", n)
		}
		testTraces(t, c)
	})
}

// tools is what the parts of TestTools share.
type tools struct {
	server  *real.Server
	front   *front
	forward *forward
	flow    string // the id of the flow that echoes
	project string
}

// under runs a program under exec, in dir, with a forward proxy in its
// environment.
func (s *tools) under(p *person, dir string, args ...string) done {
	p.t.Helper()
	cmd := p.command(append([]string{"exec", "prod", "--"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "DO_NOT_TRACK=true", "HOME="+p.tmp, "HTTP_PROXY="+s.forward.url, "http_proxy="+s.forward.url, "ALL_PROXY="+s.forward.url)
	d := p.run(cmd, "")
	if d.code != 0 {
		p.t.Fatalf("exec %s: exit code %d: %s%s", strings.Join(args, " "), d.code, d.stdout, d.stderr)
	}
	return d
}

func (s *tools) script(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "tools", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
