//go:build real && linux

package trials

import (
	"bytes"
	"net"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// modern is a home whose server is a stand-in for Langflow with a real MCP server of
// 2026-07-28, which Langflow 1.13.0 has not.
type modern struct {
	*home
	upstream *upstream
	server   *beside
}

func newModern(t *testing.T) *modern {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	python := clientProgram(t, "mcp-2", "bin/python")
	m := &modern{upstream: newUpstream(t, langflowtest.Options{}), server: runBeside(t, listening(address), python, "testdata/tools/mcp_modern_server.py", port)}
	pass := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: address})
	}}
	m.upstream.answers(pass.ServeHTTP)
	m.home = newHome(t, buildProgram(t), shortDir(t))
	m.start()
	if d := m.signIn(m.upstream.URL); d.code != exitDone {
		t.Fatal(d.stderr)
	}
	return m
}

// wantModern wants each message so far to be one of 2026-07-28, and a tool to be called.
func (m *modern) wantModern(t *testing.T) {
	t.Helper()
	calls := 0
	for _, s := range m.upstream.take() {
		method := s.header.Get("Mcp-Method")
		if s.header.Get("Mcp-Protocol-Version") != "2026-07-28" || s.header.Get("Mcp-Session-Id") != "" || method == "initialize" {
			t.Errorf("%s %s %v %s", s.line, method, s.header["Mcp-Protocol-Version"], s.body)
		}
		if method == "tools/call" && s.header.Get("Mcp-Name") != "" {
			calls++
		}
	}
	if calls == 0 {
		t.Error("no tool is called")
	}
}

// ticks counts how often the slow tool has said that it runs.
func (m *modern) ticks() int { return bytes.Count(m.server.said(), []byte("tick\n")) }

// testModernSDK has the SDK for Python discover the server, call it, answer what a tool asks
// its person, hear of a call's progress, and cancel that; and the same as before 2026-07-28.
func testModernSDK(t *testing.T) {
	m := newModern(t)
	file := filepath.Join(shortDir(t), "mcp.json")
	m.must(exitDone, "connect", "cursor", "prod", "--file", file, "--yes")
	for _, mode := range []string{"auto", "legacy"} {
		cmd := exec.Command(clientProgram(t, "mcp-2", "bin/python"), filepath.Join(workingFolder(t), "testdata", "tools", "mcp_modern_client.py"), mode, file, "langflow-prod")
		cmd.Env = []string{"HOME=" + filepath.Dir(file), "PATH=" + os.Getenv("PATH")}
		want := "2026-07-28\nmirror weather slow\n'reßörg'\nWhich city?\nsunny in Rome\nprogress\ncancelled\n'no'\n"
		if mode == "legacy" {
			want = strings.Replace(want, "2026-07-28", "2025-11-25", 1)
		}
		before := m.ticks()
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %v: %s", mode, err, out)
		}
		if mode == "auto" {
			m.wantModern(t)
		}
		cancelled := m.ticks()
		m.eventually("the call has ended", func() bool {
			n := m.ticks()
			<-time.After(time.Second) // ten ticks of one that goes on
			return m.ticks() == n
		})
		if n := m.ticks(); n == before || n > cancelled+100 {
			t.Errorf("%s: %d ticks, %d when it was cancelled and %d before", mode, n, cancelled, before)
		}
	}
}

// testModernClaude has Claude Code call the server, which it asks for this protocol first.
func testModernClaude(t *testing.T) {
	m := newModern(t)
	c := install(t, m.home, mcpClients[0])
	c.staysConnected()
	if said := c.ran(c.started(c.ask...)); !strings.Contains(said, mirrored) {
		t.Errorf("%s says\n%s", c.binary, said)
	}
	m.wantModern(t)
}
