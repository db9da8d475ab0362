// Package displaytest has a desktop's display, for tests.
package displaytest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Start starts an X server, which ends with the test, and returns the display's name. It
// skips the test where Xvfb is not installed.
func Start(t testing.TB) (name string) {
	t.Helper()
	if _, err := exec.LookPath("Xvfb"); err != nil {
		t.Skip("Xvfb is not installed")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x800x24", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	x.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = x.Process.Kill()
		_ = x.Wait() // it was killed
	})
	_ = w.Close() // the X server has its own
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb did not start: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// Use is Start for the test's own environment.
func Use(t *testing.T) {
	t.Helper()
	t.Setenv("DISPLAY", Start(t))
	t.Setenv("WAYLAND_DISPLAY", "")
}
