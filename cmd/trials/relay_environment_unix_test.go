//go:build !windows && !darwin

package trials

import (
	"os"
	"strings"
	"testing"

	"langkeep/agent/sessionbus/bustest"
	"langkeep/localapi/client"
)

// TestRelayStartsAMakeshiftAgent has a client start the agent in an environment without a
// session bus. The next command that has one replaces that agent, once.
func TestRelayStartsAMakeshiftAgent(t *testing.T) {
	p := homeFor(t)
	configured(t, p, "keychain")
	stopsInTheEnd(t, p)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere") // nor the bus of whoever runs this
	mcp := program(t, p, "mcp", "prod")
	mcp.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH"), "LANGKEEP_HOME=" + p.Home, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere"}
	c := startMCP(t, mcp)
	wantError := func() {
		t.Helper()
		if got := c.ask("initialize"); !strings.Contains(got, `no profile \"prod\"`) {
			t.Errorf("%q", got)
		}
	}
	running := func() client.Running {
		t.Helper()
		r, err := client.ReadRunning(p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	status := func(bus string, flags ...string) (stderr string) {
		t.Helper()
		cmd := program(t, p, append([]string{"status"}, flags...)...)
		cmd.Env = append(cmd.Env, "DBUS_SESSION_BUS_ADDRESS="+bus)
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, said)
		}
		return string(said)
	}
	wantError()
	first := running()
	if !first.Makeshift {
		t.Error("the agent is not makeshift")
	}
	bus := bustest.Start(t, p.Run, nil)
	for _, said := range []string{status("unix:path=/nowhere"), status(bus, "--no-start")} {
		if now := running(); now != first {
			t.Errorf("the agent was replaced: %+v: %s", now, said)
		}
	}
	said := status(bus)
	second := running()
	if second.Makeshift || second.PID == first.PID || !strings.Contains(said, "it is started anew") {
		t.Errorf("after a command with a bus: %+v: %s", second, said)
	}
	if said := status(bus); running() != second || strings.Contains(said, "anew") {
		t.Errorf("after another one: %+v: %s", running(), said)
	}
	wantError() // langkeep mcp goes on
}
