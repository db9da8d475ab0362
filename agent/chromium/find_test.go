package chromium

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// plant makes a file, and the folders above it.
func plant(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestFindNamed(t *testing.T) {
	dir := t.TempDir()
	good, plain := filepath.Join(dir, "browser.exe"), filepath.Join(dir, "text")
	plant(t, good, "MZ", 0o700)
	plant(t, plain, "", 0o600)
	for named, want := range map[string]string{
		good:                          "",
		"browser.exe":                 "no full path",
		filepath.Join(dir, "missing"): "missing: ",
		dir:                           "is a folder; name the program in it",
		plain:                         "is not a program",
	} {
		if named == plain && runtime.GOOS == "windows" {
			continue // where every file can be one
		}
		path, err := Find(named)
		if want == "" && (err != nil || path != named) || want != "" && (!errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v", named, path, err)
		}
	}
}

// below is the places of browsers on a computer whose folders of programs are below dir;
// there may be browsers in others of this one's.
func below(dir string) (paths []string) {
	for _, path := range places(func(name string) string {
		switch name {
		case "PATH":
			return filepath.Join(dir, "bin") + string(filepath.ListSeparator) + "relative"
		case "HOME", "ProgramFiles", "ProgramFiles(x86)", "LocalAppData":
			return filepath.Join(dir, name)
		}
		return ""
	}) {
		if strings.HasPrefix(path, dir) {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestFindsAsInstalled plants one browser after the other, the least wanted first.
func TestFindsAsInstalled(t *testing.T) {
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "bin", "firefox"), "", 0o700)
	if path, err := first(below(dir)); !errors.Is(err, ErrNone) {
		t.Errorf("with Firefox alone it finds %q, %v", path, err)
	}
	for _, name := range map[string][]string{
		"linux":   {"bin/vivaldi", "bin/brave-browser", "bin/chromium-browser", "bin/chromium", "bin/microsoft-edge", "bin/google-chrome", "bin/google-chrome-stable"},
		"darwin":  {"HOME/Applications/Vivaldi.app/Contents/MacOS/Vivaldi", "HOME/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"},
		"windows": {"LocalAppData/Vivaldi/Application/vivaldi.exe", "ProgramFiles(x86)/Microsoft/Edge/Application/msedge.exe", "LocalAppData/Google/Chrome/Application/chrome.exe", "ProgramFiles/Google/Chrome/Application/chrome.exe"},
	}[runtime.GOOS] {
		want := filepath.Join(dir, filepath.FromSlash(name))
		plant(t, want, "", 0o700)
		if path, err := first(below(dir)); err != nil || path != want {
			t.Errorf("with %s it finds %q, %v", name, path, err)
		}
	}
}
