//go:build !windows

package paths

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, p Paths)
		path  func(p Paths) string // "" or nil: nothing is wrong
		what  string
		mild  bool
	}{
		"nothing": {spoil: func(*testing.T, Paths) {}},
		"an open token": {func(t *testing.T, p Paths) { chmod(t, p.Token(), 0o644) },
			Paths.Token, "is open to other users (0644)", false},
		"an open folder": {func(t *testing.T, p Paths) { chmod(t, p.State, 0o750) },
			func(p Paths) string { return p.State }, "is open to other users (0750)", false},
		"readable settings": {func(t *testing.T, p Paths) { chmod(t, p.ConfigFile(), 0o644) },
			Paths.ConfigFile, "is open to other users (0644)", true},
		"writable settings": {func(t *testing.T, p Paths) { chmod(t, p.ProfileFile("prod"), 0o666) },
			func(p Paths) string { return p.ProfileFile("prod") }, "is open to other users (0666)", false},
		"a closed file": {func(t *testing.T, p Paths) { chmod(t, p.Token(), 0o200) },
			Paths.Token, "is closed to you (0200)", false},
		"a folder in a file's place": {func(t *testing.T, p Paths) {
			swap(t, p.Token(), func(path string) error { return os.Mkdir(path, 0o700) })
		},
			Paths.Token, "is not what it should be (a folder)", false},
		"a link in a secret's place": {func(t *testing.T, p Paths) {
			swap(t, p.Token(), func(path string) error { return os.Symlink("/dev/null", path) })
		},
			Paths.Token, "is not what it should be (a symbolic link)", false},
		"settings behind a link": {spoil: func(t *testing.T, p Paths) {
			elsewhere := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(elsewhere, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			swap(t, p.ConfigFile(), func(path string) error { return os.Symlink(elsewhere, path) })
		}},
		"a file in the socket's place": {func(t *testing.T, p Paths) {
			swap(t, p.Socket(), func(path string) error { return os.WriteFile(path, nil, 0o600) })
		}, Paths.Socket, "is not what it should be (a file)", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "lk") // a socket's path must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			p := Paths{Config: filepath.Join(dir, "c"), State: filepath.Join(dir, "s"), Run: filepath.Join(dir, "r")}
			if seen, faults := p.Faults(); seen != 0 || faults != nil {
				t.Errorf("of nothing: %d, %v", seen, faults)
			}
			if err := p.Create(); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{p.ConfigFile(), p.ProfileFile("prod"), p.Lock(), p.Token()} {
				if err := WriteFile(file, nil); err != nil {
					t.Fatal(err)
				}
			}
			l, err := net.Listen("unix", p.Socket())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			chmod(t, p.Socket(), 0o600)
			tc.spoil(t, p)
			seen, faults := p.Faults()
			if seen != 9 {
				t.Errorf("%d files and folders", seen)
			}
			if tc.path == nil {
				if len(faults) > 0 {
					t.Errorf("%+v", faults)
				}
				return
			}
			if len(faults) != 1 || faults[0].Path != tc.path(p) || faults[0].What != tc.what || faults[0].Mild != tc.mild || faults[0].Todo == "" {
				t.Errorf("%+v", faults)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func swap(t *testing.T, path string, by func(path string) error) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := by(path); err != nil {
		t.Fatal(err)
	}
}
