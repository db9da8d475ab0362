package connect

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"langkeep/agent/paths"
)

// ownMounts is set in the test's second life, which has mounts of its own.
const ownMounts = "LANGKEEP_TEST_OWN_MOUNTS"

// TestMounts has files that something is mounted on, as containers have them.
func TestMounts(t *testing.T) {
	if os.Getenv(ownMounts) == "" {
		inner := exec.Command(os.Args[0], "-test.run=^TestMounts$", "-test.v")
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
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestMounts")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	mount := func(t *testing.T, source, target, kind string, flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount(source, target, kind, flags, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
	}
	bind := func(t *testing.T, path string) { mount(t, path, path, "", syscall.MS_BIND, "") }
	closed := func(t *testing.T, path string) {
		bind(t, path)
		if err := syscall.Mount("", path, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
	}
	// small puts the file on a disk with little room.
	small := func(t *testing.T, path string) {
		mount(t, "disk", filepath.Dir(path), "tmpfs", 0, "size=64k,mode=700")
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		bind(t, path)
	}
	for name, tt := range map[string]struct {
		mount   func(t *testing.T, path string)
		written bool
		value   any
		said    string
	}{
		"a file":             {bind, true, relay, ""},
		"a read-only file":   {closed, false, relay, "--file"},
		"a read-only folder": {func(t *testing.T, path string) { closed(t, filepath.Dir(path)) }, false, relay, "--file"},
		"a file of another disk": {func(t *testing.T, path string) {
			other := t.TempDir()
			mount(t, "disk", other, "tmpfs", 0, "size=1m")
			if err := os.WriteFile(filepath.Join(other, "f"), []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
			mount(t, filepath.Join(other, "f"), path, "", syscall.MS_BIND, "")
		}, true, relay, ""},
		"a file on a small disk":             {small, true, relay, ""},
		"a file on a disk that is too small": {small, false, server{strings.Repeat("x", 80<<10), nil}, "no space left"},
	} {
		for _, client := range []string{"", "cursor-prod"} {
			t.Run(name+" "+client, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "mcp.json")
				if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
					t.Fatal(err)
				}
				tt.mount(t, path)
				was := tree(t, dir)
				tool, place, _ := prepared(t, path)
				edit, err := place.Put(tt.value)
				if err != nil {
					t.Fatal(err)
				}
				records := OpenRecords(paths.Paths{State: t.TempDir()})
				n, _, err := records.Make(t.Context(), tool, Link{Profile: "prod"}, edit, client)
				if !tt.written {
					if err == nil || !strings.Contains(err.Error(), tt.said) {
						t.Errorf("%+v, %v", n, err)
					}
					sameTree(t, dir, was)
					if all, err := records.All(); err != nil || len(all) > 0 {
						t.Errorf("it is recorded: %+v, %v", all, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, edit.After) {
					t.Errorf("%q, %v", now, err)
				}
				if info, err := os.Stat(path); err != nil || (info.Mode() == 0o600) != (client != "") {
					t.Errorf("%v, %v", info.Mode(), err)
				}
				if _, err := records.TakeBack(t.Context(), n, place); err != nil {
					t.Error(err)
				}
				sameTree(t, dir, was)
			})
		}
	}
}
