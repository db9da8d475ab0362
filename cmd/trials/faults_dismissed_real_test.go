//go:build real && linux

package trials

import (
	"fmt"
	"path/filepath"
	"testing"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// A sign-out whose question the person dismisses is none: the command says so,
// and the session is there, also after a restart.
func TestFaultsDismissed(t *testing.T) {
	t.Parallel() // it waits most of its time
	session := keychaintest.StartBus(t)
	asking := session.StartAsking()
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
	dismissed := h.do("logout", "prod", "--no-start")
	if dismissed.code != exitKeychainLocked {
		t.Errorf("logout ends with %d: %s%s", dismissed.code, dismissed.stdout, dismissed.stderr)
	}
	stop()
	stop = h.start()
	h.settles()
	shown := h.shown()
	asking.Consent()
	h.must(exitDone, "logout", "prod", "--no-start")
	stop()
	stop = h.start()
	h.eventually("it is signed out", func() bool { return h.shown() == "signed-out" })
	stop()
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsDismissed in cmd/trials", faultHeader(), [][]string{{
			"The keychain asks before it deletes, and the person dismisses the question of a `logout`", shown, fmt.Sprint(dismissed.code),
			"nothing: the session stays, also after a restart", "when it is asked for again, and allowed",
		}})
	}
}
