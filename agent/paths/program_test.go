package paths

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"langkeep/agent/paths/pathstest"
)

// The path that other files name outlives an update: a link on the PATH rather than a
// version's folder, an image rather than where it is mounted.
func TestProgramLasts(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(path string) string { return filepath.Join(dir, filepath.FromSlash(path)) }
	for _, path := range []string{"Cellar/langkeep/1.0/bin/langkeep", "mount/usr/bin/langkeep", "other/langkeep", "plain/langkeep"} {
		if err := os.MkdirAll(filepath.Dir(at(path)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(path), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"bin", "shell"} {
		if err := os.MkdirAll(at(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	pathstest.Symlink(t, at("Cellar/langkeep/1.0/bin/langkeep"), at("bin/langkeep"))
	pathstest.Symlink(t, at("mount/usr/bin/langkeep"), at("shell/langkeep"))
	pathstest.Symlink(t, at("plain"), at("linked"))
	list := func(folders ...string) string {
		all := ""
		for _, folder := range folders {
			all += at(folder) + string(filepath.ListSeparator)
		}
		return all
	}
	for name, tt := range map[string]struct {
		exe, want string
		env       map[string]string
		started   string // "": by its own path
	}{
		"a version's folder":           {"Cellar/langkeep/1.0/bin/langkeep", "bin/langkeep", map[string]string{"PATH": list("missing", "Cellar/langkeep/1.0/bin", "other", "bin")}, ""},
		"nothing leads to it":          {"Cellar/langkeep/1.0/bin/langkeep", "Cellar/langkeep/1.0/bin/langkeep", map[string]string{"PATH": list("other", "shell")}, ""},
		"without a PATH":               {"plain/langkeep", "plain/langkeep", nil, ""},
		"a linked folder":              {"plain/langkeep", "linked/langkeep", map[string]string{"PATH": list("linked")}, ""},
		"a linked folder beside it":    {"plain/langkeep", "plain/langkeep", map[string]string{"PATH": list("plain", "linked")}, ""},
		"on the PATH itself":           {"plain/langkeep", "plain/langkeep", map[string]string{"PATH": list("plain")}, ""},
		"an image":                     {"mount/usr/bin/langkeep", "langkeep.AppImage", map[string]string{"APPDIR": at("mount"), "APPIMAGE": at("langkeep.AppImage"), "PATH": list("shell")}, ""},
		"started by a link":            {"Cellar/langkeep/1.0/bin/langkeep", "bin/langkeep", nil, "bin/langkeep"},
		"another program's image":      {"plain/langkeep", "plain/langkeep", map[string]string{"APPDIR": at("mount"), "APPIMAGE": at("langkeep.AppImage")}, ""},
		"an image of a similar folder": {"mount/usr/bin/langkeep", "shell/langkeep", map[string]string{"APPDIR": at("mou"), "APPIMAGE": at("x"), "PATH": list("shell")}, ""},
	} {
		if got := lasting(at(tt.exe), at(cmp.Or(tt.started, tt.exe)), func(name string) string { return tt.env[name] }); got != at(tt.want) {
			t.Errorf("%s: %s, want %s", name, got, at(tt.want))
		}
	}
}

// A client's entry names the folders of an agent that is not where everybody looks for
// it, and nothing else.
func TestEnvironment(t *testing.T) {
	own := fmt.Sprintf("/run/user/%d", os.Getuid())
	for name, tt := range map[string]struct {
		env   map[string]string
		linux map[string]string // what is wanted there; elsewhere nothing
	}{
		"as installed":         {map[string]string{"HOME": "/home/ana", "XDG_RUNTIME_DIR": own}, nil},
		"a relative folder":    {map[string]string{"XDG_CONFIG_HOME": "config"}, nil},
		"folders of their own": {map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}, map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}},
	} {
		want := tt.linux
		if runtime.GOOS != "linux" {
			want = nil
		}
		if got := (Paths{}).Environment(func(name string) string { return tt.env[name] }); !maps.Equal(got, want) || want == nil && got != nil {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	home := Paths{Home: "/keep"}.Environment(func(string) string { return "/other" })
	if want := map[string]string{"LANGKEEP_HOME": "/keep"}; !maps.Equal(home, want) {
		t.Errorf("LANGKEEP_HOME: %v, want %v", home, want)
	}
}
