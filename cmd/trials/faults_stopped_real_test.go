//go:build real && unix

package trials

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"langkeep/assets/casebook"
)

// TestFaultsStopped stops an agent as a debugger or a frozen cgroup does: it takes
// connections and answers nothing.
func TestFaultsStopped(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	pid := v.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	doesNot := fmt.Sprintf("the agent does not answer (process %d): langkeep restart replaces it", pid)
	var rows [][]string
	var asked sync.WaitGroup
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"token", "prod"}, exitNoAgent, doesNot},
		{[]string{"key", "prod"}, exitNoAgent, doesNot},
		{[]string{"status"}, exitNoAgent, doesNot},
		{[]string{"refresh", "prod"}, exitNoAgent, doesNot},
		{[]string{"exec", "prod", "--", "true"}, exitNoAgent, doesNot},
		{[]string{"start"}, exitNoAgent, doesNot},
		{[]string{"stop"}, exitNoAgent, doesNot},
		{[]string{"doctor"}, exitFailed, fmt.Sprintf("The agent does not answer (process %d). Run langkeep restart", pid)},
	} {
		rows = append(rows, []string{"`langkeep " + strings.Join(c.args, " ") + "`", fmt.Sprintf("exit code %d within 10 s, with the agent's process id and what to do", c.code)})
		asked.Go(func() {
			begin := time.Now()
			cmd := program(t, v.paths, c.args...)
			out, _ := cmd.CombinedOutput() // its code is looked at
			took := time.Since(begin)
			t.Logf("%s: %v", c.args[0], took.Round(time.Millisecond))
			if code := cmd.ProcessState.ExitCode(); code != c.code || took > 10*time.Second || !strings.Contains(string(out), c.says) {
				t.Errorf("%v: exit code %d after %v: %s", c.args, code, took, out)
			}
		})
	}
	asked.Wait()
	rows = append(rows, []string{"`langkeep restart`", "the agent is killed, and another answers"})
	out, err := program(t, v.paths, "restart", "--headless", "--store", "memory", "--listen", "127.0.0.1:0").CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("the agent (process %d) did not answer and was killed", pid)) {
		t.Fatalf("restart: %v: %s", err, out)
	}
	defer func() {
		if out, err := program(t, v.paths, "stop").CombinedOutput(); err != nil {
			t.Errorf("stop: %v: %s", err, out)
		}
	}()
	if out, err := program(t, v.paths, "status").CombinedOutput(); err != nil {
		t.Errorf("after restart: %v: %s", err, out)
	}
	casebook.Table(t, "docs/faults.md", t.Name()+" in cmd/trials", []string{"what is run while the agent is stopped (SIGSTOP)", "what happens"}, rows)
}
