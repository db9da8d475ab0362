//go:build !windows

package paths

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestCreate(t *testing.T) {
	p := under(filepath.Join(t.TempDir(), "a", "b"))
	// A loose umask must not open anything, nor a strict one stop it.
	for _, umask := range []int{0o000, 0o077} {
		old := syscall.Umask(umask)
		err := p.Create()
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{p.Home, p.Config, p.ProfilesDir(), p.State, p.Run} {
			if m := mode(t, dir); m != fs.ModeDir|0o700 {
				t.Errorf("umask %03o: %s has %v", umask, dir, m)
			}
		}
	}
}

// TestCreateTightens: a folder of ours that was opened to others is closed.
func TestCreateTightens(t *testing.T) {
	p := under(t.TempDir())
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	for dir, m := range map[string]fs.FileMode{p.Home: 0o775, p.Config: 0o755, p.Run: 0o777, p.State: 0o500} {
		if err := os.Chmod(dir, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{p.Config, p.State, p.Run} {
		if m := mode(t, dir).Perm(); m != 0o700 {
			t.Errorf("%s has %v", dir, m)
		}
	}
	// LANGKEEP_HOME may be a person's own folder: only writing is taken away.
	if m := mode(t, p.Home).Perm(); m != 0o755 {
		t.Errorf("LANGKEEP_HOME has %v", m)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, plant := range map[string]func(p Paths) (string, error){
		"a symbolic link": func(p Paths) (string, error) {
			return p.State, os.Symlink(filepath.Dir(p.Home), p.State)
		},
		"a dangling link": func(p Paths) (string, error) { return p.Run, os.Symlink("nowhere", p.Run) },
		"a file":          func(p Paths) (string, error) { return p.Config, os.WriteFile(p.Config, nil, 0o600) },
		"a shared home":   func(p Paths) (string, error) { return p.Home, os.Chmod(p.Home, 0o777|fs.ModeSticky) },
		"a home that is a file": func(p Paths) (string, error) {
			if err := os.Remove(p.Home); err != nil {
				return "", err
			}
			return p.Home, os.WriteFile(p.Home, nil, 0o600)
		},
		"another user's folder": func(p Paths) (string, error) {
			if os.Getuid() != 0 {
				return "", nil
			}
			if err := os.Mkdir(p.Run, 0o700); err != nil {
				return "", err
			}
			return p.Run, os.Chown(p.Run, 12345, 12345)
		},
		"another user's home": func(p Paths) (string, error) {
			if os.Getuid() != 0 {
				return "", nil
			}
			return p.Home, os.Chown(p.Home, 12345, 12345)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := under(filepath.Join(t.TempDir(), "home"))
			if err := os.Mkdir(p.Home, 0o700); err != nil {
				t.Fatal(err)
			}
			bad, err := plant(p)
			if err != nil {
				t.Fatal(err)
			}
			if bad == "" {
				t.Skip("only root can make another user's folder")
			}
			if err := p.Create(); err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	for m, want := range map[fs.FileMode]bool{0o700: true, 0o755: false, 0o710: false, 0o500: false} {
		if err := os.Chmod(dir, m); err != nil {
			t.Fatal(err)
		}
		if private(dir) != want {
			t.Errorf("mode %o: %v", m, !want)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, file, dir + "/nothing"} {
		if private(path) {
			t.Errorf("%s", path)
		}
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if private(dir) {
			t.Error("another user's folder")
		}
	}
}

// TestWriteFileSymlink: a planted link is replaced, and its target untouched.
func TestWriteFileSymlink(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, "f")
	if err := os.WriteFile(target, []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	old := syscall.Umask(0)
	err := WriteFile(path, []byte("ours"))
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(t, path); m != 0o600 {
		t.Errorf("mode %v", m)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "theirs" {
		t.Errorf("the target has %q, %v", data, err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "ours" {
		t.Errorf("got %q, %v", data, err)
	}
}

// Open refuses files that somebody else can have put there.
func TestOpenRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		plant func(path string) error
		says  string // "" is read
	}{
		"ours":               {func(path string) error { return os.Chmod(path, 0o664) }, ""},
		"open to all":        {func(path string) error { return os.Chmod(path, 0o606) }, "can be changed by every user"},
		"another user's":     {func(path string) error { return os.Chown(path, 12345, 12345) }, "belongs to another user"},
		"a pipe":             {func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "is no ordinary file"},
		"a folder":           {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "is no ordinary file"},
		"a link to ours":     {func(path string) error { return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path)) }, ""},
		"a link to a device": {func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) }, "is no ordinary file"},
		"a link to another's": {func(path string) error {
			return errors.Join(os.Rename(path, path+"2"), os.Chown(path+"2", 12345, 12345), os.Symlink(path+"2", path))
		}, "belongs to another user"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tc.plant(path); errors.Is(err, fs.ErrPermission) {
				t.Skip("only root can make another user's file")
			} else if err != nil {
				t.Fatal(err)
			}
			data, err := ReadFile(path, 10)
			if tc.says == "" && (err != nil || string(data) != "x") || tc.says != "" && (err == nil || !strings.HasPrefix(err.Error(), path+" "+tc.says)) {
				t.Errorf("%q, %v", data, err)
			}
		})
	}
}

// TestReadPrivate: a file that others can read is not read.
func TestReadPrivate(t *testing.T) {
	for mode, says := range map[fs.FileMode]string{
		0o600: "", 0o400: "", 0o604: "is open to every user", 0o601: "is open to every user", 0o640: "is open to its group",
		0o602: "can be changed by every user",
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		data, err := ReadPrivate(path, 10)
		if says == "" && (err != nil || string(data) != "x") || says != "" && (err == nil || !strings.HasPrefix(err.Error(), path+" "+says)) {
			t.Errorf("%o: %q, %v", mode, data, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := readable(anothers{info}); (got == "") != (mode&0o007 == 0) {
			t.Errorf("%o, root's, read by its group: %q", mode, got)
		}
	}
}

// anothers is a file that belongs to another user.
type anothers struct{ fs.FileInfo }

func (anothers) Sys() any { return &syscall.Stat_t{Uid: uint32(os.Getuid()) + 1} }

// TestLockIsNotElsewhere: a link in the lock's place locks and makes nothing, and
// a pipe keeps nobody waiting.
func TestLockIsNotElsewhere(t *testing.T) {
	p := under(t.TempDir())
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "f")
	if err := os.Symlink(elsewhere, p.Lock()); err != nil {
		t.Fatal(err)
	}
	if locked, err := NewLock(p.Lock()).TryLock(); locked || err == nil {
		t.Errorf("locked %v, %v", locked, err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
	if err := errors.Join(os.Remove(p.Lock()), syscall.Mkfifo(p.Lock(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if !p.LockFree() {
		t.Error("a pipe is held")
	}
}

// Commands that look at the same time don't take one another for an agent.
func TestLockFreeForMany(t *testing.T) {
	p := under(t.TempDir())
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	var looking sync.WaitGroup
	for range 8 {
		looking.Go(func() {
			for range 200 {
				if !p.LockFree() {
					t.Error("an agent is seen")
					return
				}
			}
		})
	}
	looking.Wait()
	agent := NewLock(p.Lock())
	if held, err := agent.TryLock(); !held || err != nil {
		t.Fatal(held, err)
	}
	defer agent.Unlock()
	if p.LockFree() {
		t.Error("an agent is not seen")
	}
}

// The next start removes the parts of files that a killed agent left; a file that a
// command may be writing stays.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	p := Paths{Config: filepath.Join(dir, "c"), State: filepath.Join(dir, "s"), Run: filepath.Join(dir, "r")}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{ // whether it stays
		filepath.Join(p.ProfilesDir(), ".tmp-prod.toml.123"): false,
		filepath.Join(p.State, ".tmp-secrets.age.1"):         false,
		filepath.Join(p.Run, ".tmp-token.1"):                 false,
		filepath.Join(p.State, ".tmp-connections.json.old"):  false,
		filepath.Join(p.State, ".tmp-connections.json.new"):  true,
		p.ProfileFile("prod"):                                true,
		filepath.Join(p.ProfilesDir(), ".tmp-is-my-name"):    false,
		filepath.Join(p.ProfilesDir(), ".#prod.toml"):        true,
	}
	for file := range files {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(p.State, ".tmp-connections.json.old"), old, old); err != nil {
		t.Fatal(err)
	}
	p.Sweep()
	for file, stays := range files {
		if _, err := os.Lstat(file); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", file, err, stays)
		}
	}
}

// A pipe in the place of a file keeps nobody waiting.
func TestReadFileOfAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no pipes here: ", err)
	}
	if _, err := ReadFile(path, 10); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a pipe: %v", err)
	}
}
