package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInstalledBy(t *testing.T) {
	tree := t.TempDir()
	for file, text := range map[string]string{
		"deb/share/langkeep/installed-as":                                      "deb\n",
		"arch/share/langkeep/installed-as":                                     "arch\n",
		"odd/share/langkeep/installed-as":                                      "a friend\x1b[2J\n",
		"uv/lib/python3.13/site-packages/langkeep-1.0.0.dist-info/RECORD":      "langkeep/__init__.py,sha256=x,1\n../../../bin/langkeep,sha256=x,1\n",
		"uv/lib/python3.13/site-packages/langkeep-1.0.0.dist-info/INSTALLER":   "uv\n",
		"pip/lib/python3.11/dist-packages/langkeep-1.0.0.dist-info/RECORD":     "../../../bin/langkeep,sha256=x,1\n",
		"pip/lib/python3.11/dist-packages/langkeep-1.0.0.dist-info/INSTALLER":  "pip",
		"win/Lib/site-packages/langkeep-1.0.0.dist-info/RECORD":                "../../Scripts/langkeep.exe,sha256=x,1\n",
		"target/langkeep-1.0.0.dist-info/RECORD":                               "bin/langkeep,sha256=x,1\n",
		"module/lib/python3.13/site-packages/langkeep-1.0.0.dist-info/RECORD":  "langkeep/__init__.py,sha256=x,1\n", // whose program is another one
		"another/lib/python3.13/site-packages/langkeeper-1.0.dist-info/RECORD": "../../../bin/langkeep,sha256=x,1\n",
	} {
		file = filepath.Join(tree, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for exe, want := range map[string]string{
		filepath.Join(tree, "deb", "bin", "langkeep"):         "deb",
		filepath.Join(tree, "arch", "bin", "langkeep"):        "arch",
		filepath.Join(tree, "odd", "bin", "langkeep"):         "",
		filepath.Join(tree, "uv", "bin", "langkeep"):          "wheel, by uv",
		filepath.Join(tree, "uv", "bin", "langkeep-copy"):     "",
		filepath.Join(tree, "pip", "bin", "langkeep"):         "wheel, by pip",
		filepath.Join(tree, "win", "Scripts", "langkeep.exe"): "wheel",
		filepath.Join(tree, "target", "bin", "langkeep"):      "wheel",
		filepath.Join(tree, "module", "bin", "langkeep"):      "",
		filepath.Join(tree, "another", "bin", "langkeep"):     "",
		filepath.Join(tree, "nothing", "bin", "langkeep"):     "",

		"/nix/store/0123-langkeep-1.0.0/bin/langkeep":                                       "Nix",
		"/opt/homebrew/Cellar/langkeep/1.0.0/bin/langkeep":                                  "Homebrew",
		"/home/linuxbrew/.linuxbrew/Cellar/langkeep/1.0.0/bin/langkeep":                     "Homebrew",
		filepath.FromSlash("C:/Users/ann/scoop/apps/langkeep/1.0.0/langkeep.exe"):           "Scoop",
		filepath.FromSlash("C:/Program Files/WinGet/Packages/Langkeep.Langkeep_x/lk.exe"):   "winget",
		filepath.FromSlash("C:/Users/ann/Downloads/langkeep_1.0.0_windows_amd64/lk.exe"):    "",
		filepath.Join(tree, "elsewhere", "Langkeep.app", "Contents", "MacOS", "langkeep"):   "the app",
		filepath.Join(tree, "Cellar", "langkeeper", "1.0.0", "bin", "langkeep"):             "",
		filepath.Join(tree, "home", "scoop", "apps", "langkeeper", "current", "langkeep"):   "",
		filepath.Join(tree, "deb", "bin", "..", "..", "nothing", "bin", "langkeep-unheard"): "",
	} {
		if got := installedBy(exe, false); got != want {
			t.Errorf("%s: %q, want %q", exe, got, want)
		}
		if want == "" {
			want = "go build"
		}
		if got := installedBy(exe, true); got != want {
			t.Errorf("%s, by go build: %q, want %q", exe, got, want)
		}
	}
}
