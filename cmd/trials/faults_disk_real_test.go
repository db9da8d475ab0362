//go:build real && linux

package trials

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
)

// ownMounts is set in the test's second life, which has mounts of its own.
const ownMounts = "LANGKEEP_TEST_OWN_MOUNTS"

// TestFaultsDisk fills a real disk of 2 MB below a running agent, puts a
// read-only one in its place, and does what needs to be written.
func TestFaultsDisk(t *testing.T) {
	if os.Getenv(ownMounts) == "" {
		t.Parallel() // it waits most of its time
		inner := exec.Command(os.Args[0], "-test.run=^TestFaultsDisk$", "-test.v")
		inner.Env = append(os.Environ(), ownMounts+"=1")
		inner.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		if os.Getuid() != 0 {
			inner.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			inner.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			inner.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		out, err := inner.CombinedOutput()
		if os.IsPermission(err) {
			t.Skip("this system lets its user mount nothing: ", err)
		}
		t.Logf("%s", out)
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestFaultsDisk")) {
			t.Error(err)
		}
		return
	}
	dir := shortDir(t)
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("disk", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	h := newHome(t, buildProgram(t), dir)
	filler := filepath.Join(dir, "filler")
	diskOf := map[string]struct{ bad, good func() }{
		"full": {
			bad: func() {
				f, err := os.Create(filler)
				for chunk := make([]byte, 4096); err == nil; {
					_, err = f.Write(chunk)
				}
				if !strings.Contains(err.Error(), "no space left") {
					t.Fatal(err)
				}
				_ = f.Close()
			},
			good: func() { _ = os.Remove(filler) },
		},
		"read-only": {
			// A mount in front of it, since a file system with open files can't be
			// remounted: so the logs, which are open, can still be written.
			bad: func() {
				if err := errors.Join(
					syscall.Mount(dir, dir, "", syscall.MS_BIND, ""),
					syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""),
				); err != nil {
					t.Fatal(err)
				}
			},
			good: func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) },
		},
	}
	said := map[string]string{"full": "no space left on device", "read-only": "read-only file system"}

	stop := h.start()
	if d := h.signIn(langflow.URL); d.code != exitDone {
		t.Fatal(d.stderr)
	}
	h.must(exitDone, "client", "add", "first", "--profile", "prod", "--scope", "read", "--no-start")
	h.must(exitDone, "client", "add", "second", "--profile", "prod", "--scope", "read", "--no-start")
	h.must(exitDone, "connect", "cursor", "prod", "--project", "p", "--yes", "--no-start", "--file", filepath.Join(h.dir, ".cursor", "mcp.json"))
	h.settles()

	var rows [][]string
	uses := 0
	for _, kind := range []string{"full", "read-only"} {
		disk := diskOf[kind]
		row := func(what string, code int, lost, heals string) {
			t.Helper()
			rows = append(rows, []string{"The disk is " + kind + ": " + what, h.shown(), fmt.Sprint(code), lost, heals})
		}
		// refused runs a command that must fail, say why, and work once there is
		// room.
		var again []func()
		refused := func(what string, code int, lost string, args ...string) {
			t.Helper()
			before := h.files()
			d := h.must(code, args...)
			if !strings.Contains(d.stderr, said[kind]) && !strings.Contains(d.stderr, "internal") {
				t.Errorf("%s, %v: it says %s", kind, args, d.stderr)
			}
			if after := h.files(); after != before {
				t.Errorf("%s, %v: the files were changed from\n%s to\n%s", kind, args, before, after)
			}
			row(what, code, lost, "when it is asked for again, once there is room")
			again = append(again, func() {
				// A key that could not be made is asked for again after 10 s.
				h.eventually(what+" works again", func() bool { return h.do(args...).code == exitDone })
			})
		}
		disk.bad()
		refused("a profile's change", exitFailed, "nothing: the settings stay", "proxy", "prod", "on", "--no-start")
		refused("a new client", exitFailed, "nothing: nobody is let in", "client", "add", "third", "--profile", "prod", "--scope", "read", "--no-start")
		refused("an API key", exitFailed, "nothing: no key is made that would be forgotten", "key", "prod", "--no-start")
		refused("a connection", exitFailed, "nothing: the tool's file and connections.json stay", "connect", "lfx", "prod", "--yes", "--no-start")
		refused("a sign-out", exitKeychainLocked, "nothing: the session goes on", "logout", "prod", "--no-start")

		// A client is gone at once, also where its file can't be written.
		d := h.must(exitFailed, "client", "revoke", map[string]string{"full": "first", "read-only": "second"}[kind], "--no-start")
		if !strings.Contains(d.stderr, said[kind]) && !strings.Contains(d.stderr, "internal") {
			t.Errorf("%s: %s", kind, d.stderr)
		}
		row("a client's end", exitFailed, "nothing: it is let in no more", "by itself, within 15 s of there being room")

		h.must(exitDone, "refresh", "prod", "--no-start")
		h.eventually("the store is found wanting", func() bool { return !h.profile().Saved })
		code := h.do("token", "prod", "--no-start").code
		row("a refresh", code, "nothing: the session lives on in memory, and `secrets.age` has an earlier token", "by itself, within 2 min of there being room")
		h.eventually("the audit log is found wanting", func() bool {
			if kind == "read-only" {
				return true // it is open
			}
			// Each is another program, which fills the file's last page.
			uses++
			other := *h
			other.program = filepath.Join(filepath.Dir(h.program), strings.Repeat("x", 200)+fmt.Sprint(uses))
			if err := os.Link(h.program, other.program); err != nil {
				t.Fatal(err)
			}
			other.must(exitDone, "status", "--no-start")
			e := h.status().AuditError
			return e != nil && strings.Contains(*e, said[kind])
		})
		if kind == "full" {
			row("the audit log", code, "nothing: `status` says so, and the last 1000 entries wait in memory", "by itself, within 20 s of there being room")
		}

		disk.good()
		h.within(150*time.Second, "it is stored", func() bool { return h.profile().Saved })
		h.within(30*time.Second, "the audit log is written", func() bool { return h.status().AuditError == nil })
		for _, do := range again {
			do()
		}
		if d := h.signIn(langflow.URL); d.code != exitDone {
			t.Fatal(d.stderr)
		}
		h.must(exitDone, "client", "revoke", "third", "--no-start")
		h.must(exitDone, "disconnect", "lfx", "prod", "--no-start")
		h.must(exitDone, "proxy", "prod", "off", "--no-start")
		h.settles()
		h.sound()
		auditIsWhole(t, h)

		// And an agent that is to start. One that was killed leaves files whose room
		// is enough for the next.
		h.must(exitDone, "stop")
		stop()
		disk.bad()
		d = h.do("start", "--headless")
		if d.code != exitFailed || !strings.Contains(d.stderr, said[kind]) {
			t.Errorf("%s: start ends with %d: %s", kind, d.code, d.stderr)
		}
		rows = append(rows, []string{"The disk is " + kind + ": a start", "no agent", fmt.Sprint(d.code), "nothing", "with the next start, once there is room"})
		disk.good()
		stop = h.start()
		h.isWell(kind + ": room again")
	}
	if list := h.must(exitDone, "client", "list", "--no-start").stdout; strings.Contains(list, "first") || strings.Contains(list, "second") {
		t.Errorf("who was revoked is back: %s", list)
	}
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", "TestFaultsDisk in cmd/trials", faultHeader(), rows)
	}
}

// files are the files of ours, with what is in them; logs are left out.
func (h *home) files() string {
	h.t.Helper()
	var all strings.Builder
	for _, dir := range []string{h.paths.Config, h.paths.ProfilesDir(), h.paths.State, filepath.Join(h.dir, ".cursor"), filepath.Join(h.dir, ".lfx")} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.Type().IsRegular() && !strings.HasPrefix(e.Name(), "log") && !strings.HasPrefix(e.Name(), "audit.jsonl") {
				data, err := os.ReadFile(filepath.Join(dir, e.Name()))
				fmt.Fprintf(&all, "%s: %x %v\n", e.Name(), data, err)
			}
		}
	}
	return all.String()
}

// auditIsWhole fails the test unless every line is there, each with the number
// after the one before.
func auditIsWhole(t *testing.T, h *home) {
	t.Helper()
	data, err := os.ReadFile(h.paths.Audit())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		if !strings.Contains(line, fmt.Sprintf(`"n":%d,`, n)) {
			t.Fatalf("line %d of the audit log is %s", n, line)
		}
	}
}
