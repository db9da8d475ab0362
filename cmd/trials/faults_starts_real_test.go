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
