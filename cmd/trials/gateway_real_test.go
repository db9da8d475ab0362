//go:build real && linux

package trials

import (
	"os"
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
	ca := langflowtest.NewAuthority()
	caFile := filepath.Join(c.dir, "ca.pem")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("at the same time", func(t *testing.T) {
		t.Run("one Langflow", func(t *testing.T) {
			t.Parallel()
			g := &gateways{c: c, ca: ca, caFile: caFile, server: real.Start(t, real.Options{AccessLifetime: life})}
			t.Run("a gateway is seen", func(t *testing.T) { t.Parallel(); g.testSeen(t) })
		})
	})
	t.Run("no secret shows", func(t *testing.T) { testTraces(t, c) })
}
