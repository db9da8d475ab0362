//go:build real && linux

package trials

import (
	"path/filepath"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
)

// TestGateways is what Langkeep does behind gateways: the real oauth2-proxy with a
// real OpenID provider, the real nginx, and imitations of those that can't be had
// here. Behind them is the real Langflow.
func TestGateways(t *testing.T) {
	c := newComputer(t)
	all := gateways{c: c, notices: c.showNotices(t), ca: langflowtest.NewAuthority(), caFile: filepath.Join(c.dir, "ca.pem")}
	writeFile(t, all.caFile, string(all.ca.PEM()))
	t.Run("at the same time", func(t *testing.T) {
		t.Run("window", func(t *testing.T) { t.Parallel(); all.testWindow(t) })
		t.Run("with Langflow's own accounts", func(t *testing.T) {
			t.Parallel()
			g := all
			g.server = real.Start(t, real.Options{AccessLifetime: life})
			g.makeFlow(t)
			t.Run("seen", func(t *testing.T) { t.Parallel(); g.with(t).testSeen(t) })
			t.Run("basic authentication", func(t *testing.T) { t.Parallel(); g.with(t).testBasic(t) })
			t.Run("header command", func(t *testing.T) { t.Parallel(); g.with(t).testHeaderCommand(t) })
			t.Run("client certificate", func(t *testing.T) { t.Parallel(); g.with(t).testCertificate(t) })
			t.Run("browser", func(t *testing.T) { t.Parallel(); g.with(t).testBrowser(t) })
		})
		t.Run("with a provider's accounts", func(t *testing.T) {
			t.Parallel()
			g := all
			proxy := freeAddress(t)
			g.provider = newProvider(t, proxy)
			g.server = real.Start(t, real.Options{Env: g.provider.accounts()})
			byBrowser := make(chan struct{}) // closed when the server may be restarted
			t.Run("browser", func(t *testing.T) {
				t.Parallel()
				defer close(byBrowser)
				g.with(t).testSingleSignOn(t, proxy)
			})
			t.Run("command", func(t *testing.T) { t.Parallel(); g.with(t).testExternal(t, byBrowser) })
		})
	})
	t.Run("no secret shows", func(t *testing.T) { testTraces(t, c) })
}
