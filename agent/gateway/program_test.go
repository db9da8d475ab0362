package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent/clock"
)

// TestMain is also the program that the tests run: act=WHAT ARG….
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if what, ok := strings.CutPrefix(os.Args[1], "act="); ok {
			act(what, os.Args[2:])
			return
		}
	}
	os.Exit(m.Run())
}

func act(what string, args []string) {
	switch what {
	case "print":
		fmt.Println(args[0])
	case "fail":
		fmt.Fprintln(os.Stderr, "trying")
		fmt.Fprintln(os.Stderr, "no session")
		os.Exit(3)
	case "flood": // both, without an end
		line := bytes.Repeat([]byte("x"), 4<<10)
		for {
			if _, err := os.Stdout.Write(line); err != nil {
				return
			}
			os.Stderr.Write(append(line, '\n'))
		}
	case "shout":
		os.Stderr.Write(bytes.Repeat([]byte("a line\n"), 1<<20/7))
		fmt.Println("token")
	case "stdin":
		data, err := io.ReadAll(os.Stdin)
		fmt.Printf("%d-%v", len(data), err)
	case "env":
		for _, variable := range os.Environ() {
			if strings.HasPrefix(variable, "LANGKEEP_") {
				fmt.Print(variable, "|")
			}
		}
	case "family": // itself and a child hold a connection each, and go on
		begin(exec.Command(os.Args[0], "act=hold", args[0]))
		hold(args[0])
	case "leave": // a child goes on that holds stdout too
		child := exec.Command(os.Args[0], "act=hold", args[0])
		child.Stdout = os.Stdout
		begin(child)
		fmt.Println("token")
	case "hold":
		hold(args[0])
	}
}

func begin(child *exec.Cmd) {
	if err := child.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hold connects to an address, until the other side ends the connection.
func hold(address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprint(conn, "!")
	_, _ = io.Copy(io.Discard, conn)
}

// held accepts a connection of a program that holds it.
func held(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// ends checks that the program on the other side has ended.
func ends(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a program goes on: %v", err)
	}
}

func run(t *testing.T, what string, args ...string) result {
	t.Helper()
	return runProgram(t.Context(), append([]string{os.Args[0], "act=" + what}, args...))
}

func TestProgram(t *testing.T) {
	t.Setenv("LANGKEEP_TOKEN", "hunter2")
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", "/etc/hunter2")
	t.Setenv("LANGKEEP_HOME", "/srv")
	for name, tc := range map[string]struct {
		r      result
		stdout string
	}{
		"its stdout":                  {run(t, "print", "token"), "token\n"},
		"no shell":                    {run(t, "print", `$HOME %PATH% "a b" * ;`), `$HOME %PATH% "a b" * ;` + "\n"},
		"nothing on stdin":            {run(t, "stdin"), "0-<nil>"},
		"no secrets in its variables": {run(t, "env"), "LANGKEEP_HOME=/srv|"},
		"much on stderr":              {run(t, "shout"), "token\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if string(tc.r.stdout) != tc.stdout || tc.r.err != nil || len(tc.r.stderr) > errLimit {
				t.Errorf("%q, %v, stderr %d bytes", tc.r.stdout, tc.r.err, len(tc.r.stderr))
			}
		})
	}
	r := run(t, "flood")
	if _, err := r.output("", noon); len(r.stdout) != outLimit || err == nil || !strings.Contains(err.Error(), "more than 64 KiB") {
		t.Errorf("a flood: %d bytes, %v", len(r.stdout), err)
	}
}

// TestProgramEnded: a command that is ended takes its children with it.
func TestProgramEnded(t *testing.T) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan result, 1)
	go func() { done <- runProgram(ctx, []string{os.Args[0], "act=family", l.Addr().String()}) }()
	one, other := held(t, l), held(t, l)
	cancel()
	ends(t, one)
	ends(t, other)
	if r := <-done; !errors.Is(r.err, context.Canceled) {
		t.Errorf("%v", r.err)
	}
}

// TestProgramLeaves: a child that a command leaves behind, such as an agent of its own,
// neither holds up its answer nor ends.
func TestProgramLeaves(t *testing.T) {
	l := listen(t)
	r := run(t, "leave", l.Addr().String())
	if string(r.stdout) != "token\n" || r.err != nil {
		t.Errorf("%q, %v", r.stdout, r.err)
	}
	conn := held(t, l)
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it has ended: %v", err)
	}
}

// TestCommandForReal has a Command run a program, and end it with Close.
func TestCommandForReal(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	c := NewCommand([]string{os.Args[0], "act=print", "token"}, "cf-access-token", clock.System(), log)
	defer c.Close()
	if o, err := c.Get(t.Context()); err != nil || shown(o) != "Cf-Access-Token: token" || o.Token.Reveal() != "token" {
		t.Errorf("%s, %v", shown(o), err)
	}
	l := listen(t)
	hangs := NewCommand([]string{os.Args[0], "act=hold", l.Addr().String()}, "", clock.System(), log)
	done := make(chan error, 1)
	go func() {
		_, err := hangs.Get(t.Context())
		done <- err
	}()
	conn := held(t, l)
	hangs.Close()
	ends(t, conn)
	if err := <-done; !errors.Is(err, errClosed) {
		t.Errorf("%v", err)
	}
}

func TestFindProgram(t *testing.T) {
	name := "tool"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	here, there := t.TempDir(), t.TempDir()
	for _, dir := range []string{here, there} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(here, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(here, name), filepath.Join(here, "bin", name)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(there, "text"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	t.Setenv("PATH", "") // it is not read
	list := func(dirs ...string) string { return strings.Join(dirs, string(filepath.ListSeparator)) }
	for _, tc := range []struct{ name, path, found, says string }{
		{"tool", there, filepath.Join(there, name), ""},
		{"tool", list("", ".", "bin", there), filepath.Join(there, name), ""},
		{filepath.Join(there, "tool"), "", filepath.Join(there, name), ""},
		{"tool", list("", ".", "bin"), "", "not found in PATH"},
		{"tool", t.TempDir(), "", "not found in PATH"},
		{"text", there, "", "not found in PATH"},
		{filepath.Join(there, "text"), there, "", "can't be executed"},
		{filepath.Join(there, "none"), there, "", "not there"},
		{"." + string(filepath.Separator) + "tool", there, "", "full path"},
		{filepath.Join("bin", "tool"), there, "", "full path"},
		{filepath.Join("..", "tool"), there, "", "full path"},
		{"", there, "", "full path"}, {".", there, "", "full path"}, {"..", there, "", "full path"},
	} {
		found, err := findProgram(tc.name, tc.path)
		if found != tc.found || (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q in %q: %q, %v", tc.name, tc.path, found, err)
		}
	}
}
