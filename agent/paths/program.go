package paths

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Program is this program's path as other files should name it: one that an update does
// not remove. A package manager may keep each version in a folder of its own, and a
// link to the newest one on the PATH (Homebrew, Nix, mise); an AppImage is mounted in
// another place at each start. A program that was started by such a link, as at login,
// finds it without the PATH.
func Program(getenv func(string) string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's file: %w", err)
	}
	return lasting(exe, os.Args[0], getenv), nil
}

func lasting(exe, started string, getenv func(string) string) string {
	image, mount := getenv("APPIMAGE"), getenv("APPDIR")
	if filepath.IsAbs(image) && mount != "" && strings.HasPrefix(exe, mount+string(filepath.Separator)) {
		return image
	}
	self, err := os.Stat(exe)
	if err != nil {
		return exe
	}
	var links []string
	onPath := false
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		path := filepath.Join(dir, filepath.Base(exe))
		links, onPath = append(links, path), onPath || path == exe
	}
	for _, path := range append(links, started) {
		info, err := os.Stat(path)
		if err != nil || !filepath.IsAbs(path) || path == exe || !os.SameFile(info, self) {
			continue
		}
		// A linked folder is no better than one of the PATH: /bin is /usr/bin on many systems.
		itself, err := os.Lstat(path)
		if err != nil || itself.Mode()&fs.ModeSymlink == 0 && onPath {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path { // no copy of a hard link
			return path
		}
	}
	return exe
}

// Environment has the variables that lead another program of Langkeep's to the agent of
// these paths, nil if there is no need. MCP clients start programs with an environment
// of their own making, so their entries need them.
func (p Paths) Environment(getenv func(string) string) map[string]string {
	if p.Home != "" {
		return map[string]string{"LANGKEEP_HOME": p.Home}
	}
	var env map[string]string
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		value := getenv(name)
		if runtime.GOOS != "linux" || !filepath.IsAbs(value) || name == "XDG_RUNTIME_DIR" && value == fmt.Sprintf("/run/user/%d", os.Getuid()) {
			continue
		}
		if env == nil {
			env = map[string]string{}
		}
		env[name] = value
	}
	return env
}
