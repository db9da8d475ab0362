//go:build real && linux

package trials

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// testLock locks the agent while a stream of the real Langflow runs through the proxy.
func (s *tools) testLock(p *person) {
	token := strings.TrimSpace(p.must(0, "client", "add", "listener", "--profile", "prod", "--scope", "run", "--scope", "token").stdout)
	p.secret("a client token", token)
	proxied := *p.profile("prod").ProxyURL
	open := func() (*bufio.Reader, context.CancelFunc) {
		p.t.Helper()
		ctx, cancel := context.WithTimeout(p.t.Context(), 2*time.Minute)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, proxied+"/api/v1/mcp/project/"+s.project+"/sse", nil)
		if err != nil {
			p.t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			p.t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		if line, err := lines.ReadString('\n'); res.StatusCode != http.StatusOK || line != "event: endpoint\r\n" && line != "event: endpoint\n" {
			p.t.Fatalf("the stream begins with %s %q, %v", res.Status, line, err)
		}
		return lines, func() { cancel(); _ = res.Body.Close() }
	}
	run := func() answer {
		p.t.Helper()
		return p.curl("header = \"x-api-key: "+token+"\"\nheader = \"Content-Type: application/json\"\ndata = \"{\\\"input_value\\\":\\\"x\\\"}\"\n", proxied+"/api/v1/run/echo")
	}
	stream, leave := open()
	defer leave()
	begun := time.Now()
	p.must(0, "lock")
	_, err := io.Copy(io.Discard, stream)
	if took := time.Since(begun); took > 10*time.Second {
		p.t.Errorf("the stream goes on for %v: %v", took, err)
	}
	if got := run(); got.status != http.StatusForbidden || got.kind != "locked" {
		p.t.Errorf("locked, the proxy answers %d %s", got.status, got.body)
	}
	p.must(exitNotAllowed, "token", "prod")
	before := time.Now().Truncate(time.Second)
	p.must(0, "refresh", "prod") // the session is kept meanwhile
	if after := p.profile("prod").LastRefreshAt; after == nil || after.Before(before) {
		p.t.Errorf("locked, the session was last refreshed at %v", after)
	}
	p.must(0, "unlock")
	if got := run(); got.status != http.StatusOK {
		p.t.Errorf("unlocked, the proxy answers %d %s", got.status, got.body)
	}
	_, leave = open()
	leave()
	p.must(0, "client", "revoke", "listener")
	p.say(p.t, "the lock ended a stream, and kept the session")
}
