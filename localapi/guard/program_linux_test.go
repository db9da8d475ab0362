package guard

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// sleeping starts a program that runs until the test ends.
func sleeping(t testing.TB, apart bool, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: apart, Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // it runs by then
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestProgramOf(t *testing.T) {
	script := filepath.Join(t.TempDir(), "x.sh")
	if err := os.WriteFile(script, []byte("echo begun; read line"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	pid := sleeping(t, true, "/bin/sh", script)
	p := programOf(pid)
	if p.Exe != shell || p.Script != script || p.Session == "" || !SessionAlive(p.Session) || p.Terminal {
		t.Errorf("a script is %+v", p)
	}
	if other := programOf(sleeping(t, true, "/bin/sh", script)); other.Session == p.Session {
		t.Errorf("two sessions are one: %q", p.Session)
	}
	if code := programOf(sleeping(t, false, "/bin/sh", "-c", "echo begun; read line")); code.Exe != "" {
		t.Errorf("code in an argument is %+v", code)
	}
	if SessionAlive("1-0") || SessionAlive("nonsense") || SessionAlive("") {
		t.Error("a session that is none lives")
	}
	if gone := programOf(1 << 30); gone.Exe != "" {
		t.Errorf("a process that is none is %+v", gone)
	}
	// This test's own program stands for langkeep: who runs it asks.
	if own := programOf(os.Getpid()); own.Exe == running(os.Getpid()).Exe {
		t.Errorf("who runs langkeep is %+v", own)
	}
}

// The first process of a session may end before the others: a program that runs on in the
// background, or in a container, is still known the second time.
func TestSessionWithoutItsFirst(t *testing.T) {
	first := exec.Command("/bin/sh", "-c", `sleep 60 <&- >&- 2>&- & echo $!`)
	first.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := first.Output() // the shell has ended, and was waited for, by then
	if err != nil {
		t.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	key := programOf(left).Session
	if !SessionAlive(key) || programOf(left).Session != key || strings.HasPrefix(key, "-") {
		t.Errorf("the session %q, whose first process was %d, is over", key, first.Process.Pid)
	}
	if own, ok := inspect(os.Getpid()); !ok || own.session == key || own.session == "" {
		t.Errorf("this test's session is %q", own.session)
	}
	_ = syscall.Kill(left, syscall.SIGKILL)
	for there := true; there; { // its file is gone a little earlier
		_, there = statOf(left)
	}
	if SessionAlive(key) {
		t.Error("a session goes on after its last process")
	}
}

// BenchmarkProgramOf is what the first question of a connection costs.
func BenchmarkProgramOf(b *testing.B) {
	pid := sleeping(b, true, "/bin/cat", "/proc/self/stat", "-")
	for b.Loop() {
		if programOf(pid).Session == "" {
			b.Fatal("it is not found")
		}
	}
}
