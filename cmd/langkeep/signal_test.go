//go:build !windows

package main

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// timeout(1) and service managers send SIGTERM to a process and to its group,
// so it comes twice: the agent must still leave in order.
func TestSecondTermStillEndsInOrder(t *testing.T) {
	home := t.TempDir()
	cmd := exec.Command("langkeep", "run", "--store", "memory", "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+home)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stderr).ReadString('\n'); err != nil { // it listens
		t.Error(err)
	}
	// One after the other until it is gone: pending signals count as one.
	go func() {
		for cmd.Process.Signal(syscall.SIGTERM) == nil {
		}
	}()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, name := range []string{"run/token", "state/agent.json", "run/agent.sock"} {
		if _, err := os.Lstat(filepath.Join(home, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind", name)
		}
	}
}
