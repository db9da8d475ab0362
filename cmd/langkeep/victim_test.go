package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/paths"
)

// built is the program as people have it, made once.
var built = sync.OnceValues(func() (string, error) {
	dir := buildDir()
	if err := os.Mkdir(dir, 0o755); err != nil { // other users run it too
		return "", err
	}
	exe := filepath.Join(dir, "langkeep.exe") // Windows wants a name like that, and the others don't care
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %v\n%s", err, out)
	}
	return exe, nil
})

func buildDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("langkeep-attacks-%d", os.Getpid()))
}

// tests are this package's, which leave nothing of the program behind.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	_ = os.RemoveAll(buildDir()) // if there is one
	return code
}

// homeFor are the folders of an agent that is attacked, which aren't there yet, in
// a path short enough for a socket.
func homeFor(t *testing.T) paths.Paths {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home := filepath.Join(dir, "home")
	return paths.Paths{
		Home: home, Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"), Run: filepath.Join(home, "run"),
	}
}

// program prepares a langkeep command of the one whose home it is.
func program(t *testing.T, p paths.Paths, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+p.Home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=", "LANGKEEP_PROFILE=")
	return cmd
}

// launched is an agent in the foreground.
type launched struct {
	*exec.Cmd
	url  string // "": it did not start
	said string // what it said first
}

// launch runs an agent on any free port, unless flags say another, and waits
// until it listens or has ended. A later flag is stronger than an earlier one.
func launch(t *testing.T, p paths.Paths, flags ...string) launched {
	t.Helper()
	args := append([]string{"run", "--headless", "--store", "memory", "--listen", "127.0.0.1:0"}, flags...)
	l := launched{Cmd: program(t, p, args...)}
	stderr, err := l.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Process.Kill()
		_ = l.Wait() // an error: it was killed
	})
	late := time.AfterFunc(time.Minute, func() { _ = l.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewReader(stderr)
	line, _ := lines.ReadString('\n') // nothing is the end of one that was killed
	l.said = strings.TrimSpace(line)
	if url, ok := strings.CutPrefix(l.said, "langkeep: listening on "); ok {
		l.url = url
		go func() { _, _ = io.Copy(io.Discard, lines) }()
		return l
	}
	_ = l.Wait() // its code tells
	return l
}
