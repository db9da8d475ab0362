//go:build unix

package trials

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/paths"
)

// A client that an attacker has made, by the hash of its token.
const (
	evilToken   = "lk_0000000000000000000000000000000000000000007"
	evilClients = `{"schema":1,"clients":[{"name":"evil","scopes":["read"],"profiles":["prod"],"created_at":"2026-01-01T00:00:00Z",` +
		`"expires_at":"2099-01-01T00:00:00Z","sha256":"951683063e31f5243aedf3c243241126160c547206e4c325c2bd29a7b012589c"}]}`
)

// planted is something that was there before the agent started.
type planted struct {
	tried, happens string
	at             func(paths.Paths) string
	plant          func(t *testing.T, at string)
	flags          []string // of the agent
	says           string   // what the agent ends with, beside the path; "" if it starts, and then check looks
	check          func(t *testing.T, l launched, at string)
}

func (a planted) tryIt(t *testing.T) {
	p := homeFor(t)
	at := a.at(p)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	a.plant(t, at)
	passphrase := filepath.Join(filepath.Dir(p.Home), "passphrase")
	if err := os.WriteFile(passphrase, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	command := program(t, p, "status", "--no-start")
	late := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
	defer late.Stop()
	_ = command.Run() // there is no agent, which its code says
	if code := command.ProcessState.ExitCode(); code != exitNoAgent {
		t.Errorf("without an agent a command ends with %d", code)
	}
	l := launch(t, p, a.flags...)
	switch {
	case a.says == "" && l.url == "":
		t.Errorf("the agent does not start: %s", l.said)
	case a.says == "":
		a.check(t, l, at)
	case l.url != "":
		t.Error("the agent starts")
	case !strings.Contains(l.said, at) || !strings.Contains(l.said, a.says) || strings.Contains(l.said, "hunter2") || l.ProcessState.ExitCode() <= 0:
		t.Errorf("it ends with %v and says %q, want %q of %s", l.ProcessState, l.said, a.says, at)
	}
}

func plantFolder(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		if err := errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}
}

func plantFullFolder(t *testing.T, at string) {
	if err := os.MkdirAll(filepath.Join(at, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func plantFile(mode fs.FileMode, content string) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		if err := errors.Join(os.WriteFile(at, []byte(content), 0o600), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// plantHeld makes a file that is held open, and whose holder must read nothing.
func plantHeld(t *testing.T, at string) {
	plantFile(0o666, "")(t, at)
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n, _ := f.Read(make([]byte, 1)); n != 0 {
			t.Error("who holds the old one reads it")
		}
		_ = f.Close() // it was read alone
	})
}

func plantPipe(t *testing.T, at string) {
	if err := syscall.Mkfifo(at, 0o666); err != nil {
		t.Fatal(err)
	}
}

func plantFolderLink(t *testing.T, at string) {
	if err := os.Symlink(t.TempDir(), at); err != nil {
		t.Fatal(err)
	}
}

// plantLink makes a link to a file, which must not change.
func plantLink(content string) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		if err := errors.Join(os.WriteFile(elsewhere, []byte(content), 0o640), os.Symlink(elsewhere, at)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if text, err := os.ReadFile(elsewhere); string(text) != content {
				t.Errorf("what the link led to is now %q, %v", text, err)
			}
			if info, err := os.Stat(elsewhere); err != nil || info.Mode() != 0o640 {
				t.Errorf("what the link led to is now %v, %v", info, err)
			}
		})
	}
}

func plantDanglingLink(t *testing.T, at string) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file was made where the link leads: %v", err)
		}
	})
}

func plantSocket(t *testing.T, at string) {
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
}

func plantDeadSocket(t *testing.T, at string) {
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(at, 0o777), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until it is so.
func eventually(is func() bool) bool {
	for limit := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		if is() || time.Now().After(limit) {
			return is()
		}
	}
}

// closedTo checks a mode, which a file may get when it is first written to.
func closedTo(mode fs.FileMode) func(*testing.T, launched, string) {
	return func(t *testing.T, _ launched, at string) {
		t.Helper()
		if !eventually(func() bool {
			info, err := os.Lstat(at)
			return err == nil && info.Mode().Perm() == mode
		}) {
			t.Errorf("%s is not %v", at, mode)
		}
	}
}

// replaced checks that a file is our own, and has what it should.
func replaced(t *testing.T, l launched, at string) {
	t.Helper()
	info, err := os.Lstat(at)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%s is %v, %v", at, info.Mode(), err)
	}
	text, err := os.ReadFile(at)
	if err != nil || !bytes.Contains(text, []byte(l.url)) && !bytes.HasPrefix(text, []byte("lk_")) {
		t.Errorf("%s has %d bytes, %v", at, len(text), err)
	}
}

// told checks that the status says what is wrong with a file.
func told(what string) func(*testing.T, launched, string) {
	return func(t *testing.T, l launched, at string) {
		t.Helper()
		var said string
		if !eventually(func() bool {
			said = l.status(t)
			return strings.Contains(said, at) && strings.Contains(said, what)
		}) {
			t.Errorf("the status does not say %q of %s: %s", what, at, said)
		}
	}
}
