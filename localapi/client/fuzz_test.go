package client

import (
	"net/netip"
	"net/url"
	"os"
	"testing"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// Whatever stands in agent.json, the owner's token goes to this computer alone.
func FuzzRunning(f *testing.F) {
	for _, s := range []string{
		`{"schema":1,"url":"http://127.0.0.1:17860","pid":42}`, `{"schema":1,"url":"http://127.0.0.1@evil.test/","pid":-1}`,
		`{"schema":1,"url":"http://localhost.evil.test:1"}`, `{"schema":1,"url":"https://[::1%25eth0]:1"}`, `{"schema":1,"url":"//127.0.0.1"}`,
		`{"schema":2}`, `{"schema":1,"url":"http://127.0.0.1:1#@evil.test"}`, `{"schema":1,"url":"http://2130706433:1"}`, `[]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		p := paths.Paths{State: t.TempDir()}
		if err := os.WriteFile(p.Agent(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := ReadRunning(p)
		if err != nil {
			return
		}
		if r.Schema != 1 {
			t.Errorf("took schema %d", r.Schema)
		}
		c, err := New(Options{URL: r.URL, Token: secret.New("lk_x")})
		if err != nil {
			return
		}
		defer c.Close()
		u, err := url.Parse(c.base + "/v1/status")
		if err != nil || u.User != nil || u.Scheme != "http" || u.Path != "/v1/status" {
			t.Fatalf("%q leads to %q, %v", r.URL, c.base, err)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q leads to %q", r.URL, c.base)
		}
	})
}
