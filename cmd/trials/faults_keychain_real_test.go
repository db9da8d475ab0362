//go:build real && linux

package trials

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// TestFaultsKeychain does to a real Secret Service and its bus what may happen
// below a running agent.
func TestFaultsKeychain(t *testing.T) {
	t.Parallel() // it waits most of its time
	session := keychaintest.Start(t)
	session.Person(keychaintest.Cancels) // refresh has the keyring ask
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	h := newHome(t, buildProgram(t), filepath.Join(shortDir(t), "home"))
	h.write(h.paths.ConfigFile(), "schema = 1\nlisten = '127.0.0.1:0'\nstore = 'keychain'\n")
	h.env = append(session.Env(), "LANGKEEP_HOME="+h.dir)
	stop := h.start()
	if d := h.signIn(langflow.URL); d.code != exitDone {
		t.Fatal(d.stderr)
	}
	h.settles()
	var rows [][]string
	stored := func() bool { p := h.profile(); return p.Saved && p.Reason == nil }
	// try makes a row: bad does the harm, good takes it away.
	try := func(what, lost string, bad, good func()) {
		t.Helper()
		bad()
		h.must(exitDone, "refresh", "prod", "--no-start")
		h.eventually(what+": the store is found wanting", func() bool { return !stored() })
		shown, code := h.shown(), h.do("token", "prod", "--no-start").code
		if strings.Contains(what, "killed") {
			// The agent may be waiting for an answer as the daemon ends, or ask later.
			shown = strings.NewReplacer("missing", "missing or silent", "silent", "missing or silent").Replace(shown)
		}
		good()
		h.within(150*time.Second, what+": it is stored", stored)
		rows = append(rows, []string{"While the agent runs, " + what, shown, fmt.Sprint(code), lost, "by itself, within 2 min"})

		// The same at the start.
		stop()
		bad()
		stop = h.start()
		h.eventually(what+": at the start", func() bool { return strings.HasPrefix(h.shown(), "keychain-locked") })
		shown, code = h.shown(), h.do("token", "prod", "--no-start").code
		good()
		h.within(20*time.Second, what+": it is there again", func() bool { return h.shown() == "fresh" })
		rows = append(rows, []string{"At the start, " + what, shown, fmt.Sprint(code), lost, "by itself, within seconds"})
	}
	try("the keyring is locked", "nothing", session.Lock, session.Unlock)
	try("the keyring's daemon is killed, and comes back", "nothing", session.StopDaemon, session.StartDaemon)
	try("the session bus is frozen, and goes on", "nothing", session.Freeze, session.Thaw)

	// A frozen bus does not keep the agent from ending, with something to be stored.
	session.Freeze()
	h.must(exitDone, "refresh", "prod", "--no-start")
	begin := time.Now()
	d := h.do("stop")
	if d.code != exitDone {
		t.Errorf("stop ends with %d: %s", d.code, d.stderr)
	}
	t.Logf("with a frozen bus stop took %v", time.Since(begin))
	session.Thaw()
	stop()
	rows = append(rows, []string{"The session bus is frozen, and the agent is to stop", "no agent", fmt.Sprint(d.code), "nothing", "it stops all the same, within 15 s"})
	stop = h.start()
	h.settles()

	session.StopBus()
	h.must(exitDone, "refresh", "prod", "--no-start")
	h.eventually("the bus is missed", func() bool { return !stored() })
	rows = append(rows, []string{"While the agent runs, the session bus goes away", h.shown(), fmt.Sprint(h.do("token", "prod", "--no-start").code),
		"nothing: the session lives on in memory, and the keyring has an earlier token", "with the next desktop session, whose agent is another"})
	stop()
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsKeychain in cmd/trials", faultHeader(), rows)
	}
}
