//go:build real && linux

package trials

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// TestFaultsStarts starts two agents at once, and an agent in folders of odd
// names.
func TestFaultsStarts(t *testing.T) {
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	program := buildProgram(t)
	var rows [][]string

	const pairs = 20
	dir := shortDir(t)
	h := newHome(t, program, filepath.Join(dir, "pairs"))
	for n := range pairs {
		type end struct {
			cmd  *exec.Cmd
			said bytes.Buffer
			err  error
		}
		both, ended := [2]end{}, make(chan int, 2)
		var starting sync.WaitGroup
		for i := range both {
			both[i].cmd = h.command("run", "--headless")
			both[i].cmd.Stderr = &both[i].said
			starting.Go(func() {
				if err := both[i].cmd.Start(); err != nil {
					t.Error(err)
				}
				go func() {
					both[i].err = both[i].cmd.Wait()
					ended <- i
				}()
			})
		}
		starting.Wait()
		var lost int
		select {
		case lost = <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("two agents run")
		}
		won := 1 - lost
		pid := fmt.Sprintf("(process %d)", both[won].cmd.Process.Pid)
		if code := both[lost].cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(both[lost].said.String(), pid) {
			t.Errorf("pair %d: the other ends with %d and says %s, not %s", n, code, both[lost].said.String(), pid)
		}
		h.eventually("the one answers", func() bool { _, err := h.asked(); return err == nil })
		// As after a crash, with the files of the one before there.
		_ = both[won].cmd.Process.Signal(map[bool]os.Signal{true: os.Kill, false: syscall.SIGTERM}[n%2 == 0])
		<-ended
	}
	rows = append(rows, []string{fmt.Sprintf("Two agents are started at once (%d pairs)", pairs), "exactly one runs",
		fmt.Sprint(exitFailed), "nothing: the other names the process of the one", "nothing to heal"})

	for _, odd := range []struct{ what, name string }{
		{"has blanks and quotes", `my home's "folder" $x`},
		{"is not ASCII", "häuser-über-日本-ключ"},
		{"is longer than a socket's path may be", strings.Repeat("long/", 40) + "home"},
	} {
		home := filepath.Join(shortDir(t), odd.name)
		if err := os.MkdirAll(filepath.Dir(home), 0o700); err != nil {
			t.Fatal(err)
		}
		h := newHome(t, program, home)
		h.must(exitDone, "start", "--headless")
		if d := h.signIn(langflow.URL); d.code != exitDone {
			t.Errorf("%s: %s", odd.what, d.stderr)
		}
		h.must(exitDone, "restart", "--headless")
		tcp := ""
		if _, err := os.Stat(h.paths.Socket()); err != nil {
			tcp = ": commands use TCP"
		}
		h.eventually("there is a token", func() bool { return h.do("token", "prod", "--no-start").code == exitDone })
		status := h.must(exitDone, "status", "prod", "--ready", "--no-start")
		d := h.do("exec", "prod", "--", "true")
		if d.code != exitDone {
			t.Errorf("%s: exec: %s", odd.what, d.stderr)
		}
		rows = append(rows, []string{"`LANGKEEP_HOME` " + odd.what, "fresh", fmt.Sprint(status.code), "nothing" + tcp, "nothing to heal"})
		h.must(exitDone, "stop")
	}
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsStarts in cmd/trials", faultHeader(), rows)
	}
}

// TestFaultsKeychain does to a real Secret Service and its bus what may happen
// below a running agent.
func TestFaultsKeychain(t *testing.T) {
	t.Parallel() // it waits most of its time
	session := keychaintest.Start(t)
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
