package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// installedBy tells what has installed a program, by where its file exe is and what is
// beside it; "" where that can't be told. built is true for what go build has made
// outside of a release.
func installedBy(exe string, built bool) string {
	dir := filepath.Dir(exe)
	slashed := filepath.ToSlash(exe)
	switch {
	case strings.HasPrefix(slashed, "/nix/store/"):
		return "Nix"
	case strings.Contains(slashed, "/Cellar/langkeep/"):
		return "Homebrew"
	case strings.Contains(slashed, ".app/Contents/MacOS/"):
		for _, room := range []string{"/opt/homebrew/Caskroom/langkeep", "/usr/local/Caskroom/langkeep"} {
			if _, err := os.Stat(room); err == nil {
				return "Homebrew's cask"
			}
		}
		return "the app"
	case strings.Contains(strings.ToLower(slashed), "/scoop/apps/langkeep/"):
		return "Scoop"
	case strings.Contains(slashed, "/WinGet/Packages/Langkeep.Langkeep_"):
		return "winget"
	}
	// The packages for Linux bring a file that names their kind.
	if said, err := os.ReadFile(filepath.Join(dir, "..", "share", "langkeep", "installed-as")); err == nil {
		if kind := string(bytes.TrimSpace(said)); slices.Contains([]string{"deb", "rpm", "apk", "arch"}, kind) {
			return kind
		}
	}
	if how := wheelOf(exe); how != "" {
		return how
	}
	if built {
		return "go build"
	}
	return ""
}

// wheelOf is "wheel, by NAME" if a wheel's list of files has exe, where NAME is the
// installer: uv, pip and so on. The list is where Python keeps its packages, which is seen
// from the folder of programs, or two folders further for pip's --target.
func wheelOf(exe string) string {
	for _, packages := range []string{"../lib/python*/site-packages", "../lib/python*/dist-packages", "../Lib/site-packages", ".."} {
		lists, _ := filepath.Glob(filepath.Join(filepath.Dir(exe), filepath.FromSlash(packages), "langkeep-*.dist-info", "RECORD")) // nothing where a folder is named like a pattern
		for _, list := range lists {
			files, err := os.ReadFile(list)
			if err != nil || !strings.Contains(string(files), "bin/"+filepath.Base(exe)+",") && !strings.Contains(string(files), "Scripts/"+filepath.Base(exe)+",") {
				continue
			}
			by, _ := os.ReadFile(filepath.Join(filepath.Dir(list), "INSTALLER")) // it need not be there
			if name := strings.TrimSpace(string(by)); name != "" {
				return "wheel, by " + name
			}
			return "wheel"
		}
	}
	return ""
}
