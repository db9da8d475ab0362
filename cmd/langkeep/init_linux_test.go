package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// subreaper is this test binary, run again to become langkeep, to which the
// kernel then gives the orphans of what it starts.
const subreaper = "LANGKEEP_TEST_SUBREAPER"

// orphans is a script whose children end as orphans of the process above exec's,
// and which then waits until none of them is a zombie. A shell's wait does not
// know them, so each is looked for in /proc.
const orphans = `for i in 1 2 3 4 5 6 7 8; do (sh -c 'echo $$ >>"$0"; exec true' "$1" & ); done
while [ "$(wc -l <"$1")" -lt 8 ]; do :; done
for try in $(seq 2000); do
	left=0
	while read -r pid; do if grep -qs '^State:.Z' "/proc/$pid/status"; then left=$((left+1)); fi; done <"$1"
	if [ $left = 0 ]; then echo reaped; exit 5; fi
done
echo $left zombies`

// TestExecReapsOrphans has the kernel give a program's orphans to exec, as in a
// container whose first process exec is.
func TestExecReapsOrphans(t *testing.T) {
	if os.Getenv(subreaper) != "" {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
		path, err := exec.LookPath("langkeep")
		if err != nil {
			t.Fatal(err)
		}
		t.Fatal(unix.Exec(path, strings.Split(os.Getenv(subreaper), "\n"), os.Environ()))
	}
	r := newExecRig(t)
	under := func(args ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestExecReapsOrphans$")
		cmd.Env = append(r.env, subreaper+"="+strings.Join(append([]string{"langkeep"}, args...), "\n"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // without a terminal
		return cmd
	}
	list := t.TempDir() + "/pids"
	// A file, since subreaper has an argument a line.
	script := t.TempDir() + "/script"
	if err := os.WriteFile(script, []byte(orphans), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := under("exec", "prod", "--", "sh", script, list)
	out, _ := run.Output() // the exit code is looked at
	if string(out) != "reaped\n" || run.ProcessState.ExitCode() != 5 {
		t.Errorf("the program says %q, and exec ends with %v", out, run.ProcessState)
	}

	// It is told signals all the same, and its end by one is passed on.
	for trap, want := range map[string]int{"trap 'exit 9' TERM; ": 9, "": 128 + int(syscall.SIGTERM)} {
		run := under("exec", "prod", "--", "sh", "-c", trap+"echo ready; while :; do sleep 0.01; done")
		pipe, err := run.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		var line string
		if _, err := fmt.Fscanln(pipe, &line); line != "ready" {
			t.Fatal(line, err)
		}
		if err := run.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if _ = run.Wait(); run.ProcessState.ExitCode() != want {
			t.Errorf("%q: it ends with %v, want %d", trap, run.ProcessState, want)
		}
	}
}
