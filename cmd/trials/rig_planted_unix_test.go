//go:build unix

package trials

import (
	"bytes"
	"errors"
	"fmt"
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
	tried string
	at    func(paths.Paths) string
	plant planting
	flags []string // of the agent
	says  string   // what the agent ends with, beside the path; "" if it starts, and then check looks
	check finding
	why   string // that is right, for the document
}

// planting puts something there, and looks in the end whether it is as the
// document then says.
type planting struct {
	ends string
	do   func(t *testing.T, at string)
}

// finding is what must be so once the agent has started, and how the document
// says it.
type finding struct {
	says string
	look func(t *testing.T, l launched, at string)
}

func (a planted) tryIt(t *testing.T) (happened string) {
	p := homeFor(t)
	at := a.at(p)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	a.plant.do(t, at)
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
	before, _ := os.Lstat(at) // it may not be there
	l := launch(t, p, a.flags...)
	happened = a.check.says
	switch {
	case a.says == "" && l.url == "":
		t.Errorf("the agent does not start: %s", l.said)
	case a.says == "":
		a.check.look(t, l, at)
	case l.url != "":
		t.Error("the agent starts")
	default:
		if !strings.Contains(l.said, at) || !strings.Contains(l.said, a.says) || strings.Contains(l.said, "hunter2") || l.ProcessState.ExitCode() <= 0 {
			t.Errorf("it ends with %v and says %q, want %q of %s", l.ProcessState, l.said, a.says, at)
		}
		if after, err := os.Lstat(at); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
			t.Errorf("%s is no longer as it was: %v, %v", at, after, err)
		}
		happened = "the agent does not start, leaves it alone and names it: `" + strings.TrimSpace(a.says) + "`"
	}
	return because(happened, a.why) + a.plant.ends
}

func plantFolder(mode fs.FileMode) planting {
	return planting{"", func(t *testing.T, at string) {
		if err := errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}}
}

var plantFullFolder = planting{"", func(t *testing.T, at string) {
	if err := os.MkdirAll(filepath.Join(at, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
}}

func plantFile(mode fs.FileMode, content string) planting {
	return planting{"", func(t *testing.T, at string) {
		if err := errors.Join(os.WriteFile(at, []byte(content), 0o600), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}}
}

// plantHeld makes a file that is held open, and whose holder must read nothing.
var plantHeld = planting{"; who holds the old one reads nothing", func(t *testing.T, at string) {
	plantFile(0o666, "").do(t, at)
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
}}

var plantPipe = planting{"; neither the agent nor a command waits for it", func(t *testing.T, at string) {
	if err := syscall.Mkfifo(at, 0o666); err != nil {
		t.Fatal(err)
	}
}}

var plantFolderLink = planting{"", func(t *testing.T, at string) {
	if err := os.Symlink(t.TempDir(), at); err != nil {
		t.Fatal(err)
	}
}}

// plantLink makes a link to a file, which must not change.
func plantLink(content string) planting {
	return planting{"; what it leads to is untouched", func(t *testing.T, at string) {
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
	}}
}

var plantDanglingLink = planting{"; nothing is made where it leads", func(t *testing.T, at string) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file was made where the link leads: %v", err)
		}
	})
}}

var plantSocket = planting{"", func(t *testing.T, at string) {
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
}}

var plantDeadSocket = planting{"", func(t *testing.T, at string) {
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(at, 0o777), l.Close()); err != nil {
		t.Fatal(err)
	}
}}

// closedTo wants a mode, which a file may get when it is first written to.
func closedTo(mode fs.FileMode) finding {
	return finding{fmt.Sprintf("it is closed: %04o", mode), func(t *testing.T, _ launched, at string) {
		t.Helper()
		if !eventually(func() bool {
			info, err := os.Lstat(at)
			return err == nil && info.Mode().Perm() == mode
		}) {
			t.Errorf("%s is not %v", at, mode)
		}
	}}
}

// replaced wants a file to be our own, and to have what it should.
var replaced = finding{"it is replaced by our file, 0600", func(t *testing.T, l launched, at string) {
	t.Helper()
	info, err := os.Lstat(at)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%s is %v, %v", at, info.Mode(), err)
	}
	text, err := os.ReadFile(at)
	if err != nil || !bytes.Contains(text, []byte(l.url)) && !bytes.HasPrefix(text, []byte("lk_")) {
		t.Errorf("%s has %d bytes, %v", at, len(text), err)
	}
}}

// told wants the status to say what is wrong with a file.
func told(what string) finding {
	return finding{"it is not used, and `status` names it: `" + what + "`", func(t *testing.T, l launched, at string) {
		t.Helper()
		var said string
		if !eventually(func() bool {
			said = l.status(t)
			return strings.Contains(said, at) && strings.Contains(said, what)
		}) {
			t.Errorf("the status does not say %q of %s: %s", what, at, said)
		}
	}}
}
