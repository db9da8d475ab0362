package paths

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Program is this program's path as other files should name it: one that an update does
// not remove. A package manager may keep each version in a folder of its own, and a
// link to the newest one on the PATH (Homebrew, Nix, mise); an AppImage is mounted in
// another place at each start.
func Program(getenv func(string) string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's file: %w", err)
	}
	return lasting(exe, getenv), nil
}

func lasting(exe string, getenv func(string) string) string {
	image, mount := getenv("APPIMAGE"), getenv("APPDIR")
	if filepath.IsAbs(image) && mount != "" && strings.HasPrefix(exe, mount+string(filepath.Separator)) {
		return image
	}
	self, err := os.Stat(exe)
	if err != nil {
		return exe
	}
	for _, dir := range filepath.SplitList(getenv("PATH")) {
		path := filepath.Join(dir, filepath.Base(exe))
		if info, err := os.Stat(path); err != nil || !filepath.IsAbs(path) || path == exe || !os.SameFile(info, self) {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path { // no copy of a hard link
			return path
		}
	}
	return exe
}
