//go:build linux

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestReleaseNotes runs the workflow's last step with a gh that only notes what it is told: a
// release has its own part of the changelog as notes, and all files of dist.
func TestReleaseNotes(t *testing.T) {
	var workflow struct {
		Jobs map[string]struct{ Steps []struct{ Name, Run string } }
	}
	text, err := os.ReadFile("../../.github/workflows/release.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	steps := workflow.Jobs["release"].Steps
	step := steps[len(steps)-1].Run
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	_, ours, found := strings.Cut(string(changelog), "\n## 1.0.0\n")
	ours, _, _ = strings.Cut(ours, "\n## ")
	if !found {
		t.Fatal("CHANGELOG.md says nothing of 1.0.0")
	}
	const later = "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.0.10\n\n- ten\n\n## 1.0.1 (2026-12-01)\n\n- one\n\n### Fixes\n\n- two\n\n## 1.0.0\n\n- first\n"
	for _, c := range []struct{ tag, changelog, notes, told string }{
		{"v1.0.0", string(changelog), strings.Trim(ours, "\n"), "create v1.0.0 --verify-tag --title Langkeep 1.0.0 --notes-file notes.md"},
		{"v1.0.0-rc1", string(changelog), strings.Trim(ours, "\n"), "create v1.0.0-rc1 --verify-tag --title Langkeep 1.0.0-rc1 --notes-file notes.md --prerelease"},
		{"v1.0.1", later, "- one\n\n### Fixes\n\n- two", "create v1.0.1 "},
		{"v1.0.10", later, "- ten", "create v1.0.10 "},
		{"v1.0.2", later, "", ""},
		{"v1.0", later, "", ""},
	} {
		dir := t.TempDir()
		put := func(name, text string, mode os.FileMode) {
			t.Helper()
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
		}
		put("CHANGELOG.md", c.changelog, 0o600)
		put("dist/SHA256SUMS", "", 0o600)
		put("dist/a b.whl", "", 0o600)
		put("dist/managers/PKGBUILD", "", 0o600)
		put("bin/gh", "#!/bin/sh\necho \"$@\" >told\n", 0o700)
		cmd := exec.Command("bash", "-eo", "pipefail", "-c", step)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GITHUB_REF_NAME="+c.tag, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if (err == nil) != (c.told != "") {
			t.Errorf("%s: %v: %s", c.tag, err, out)
		}
		if c.told == "" {
			continue
		}
		notes, _ := os.ReadFile(filepath.Join(dir, "notes.md"))
		if got := strings.Trim(string(notes), "\n"); got != c.notes {
			t.Errorf("%s: the notes are %q, want %q", c.tag, got, c.notes)
		}
		told, _ := os.ReadFile(filepath.Join(dir, "told"))
		for _, part := range []string{c.told, "dist/SHA256SUMS", "dist/a b.whl", "_managers.tar.gz"} {
			if !strings.Contains(string(told), part) {
				t.Errorf("%s: gh is told %q, without %q", c.tag, told, part)
			}
		}
	}
}
