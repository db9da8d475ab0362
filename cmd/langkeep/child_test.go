package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/assets/casebook"
)

// TestAttackProgram has a program of the wanted name in the current folder, such
// as a clone of a stranger's repository.
func TestAttackProgram(t *testing.T) {
	name := "lfx"
	if onWindows {
		name += ".exe"
	}
	clone, honest := t.TempDir(), t.TempDir()
	for _, dir := range []string{clone, honest} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(clone, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(clone, name), filepath.Join(clone, "bin", name)); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(clone)
	theirs, ours := "."+string(filepath.Separator)+name, filepath.Join(honest, name)
	const refused = ""
	hint := "give its path, such as ." + string(filepath.Separator) + "lfx"
	happens := map[string]string{ // by what must be found
		ours: "the one in PATH is found", theirs: "the one in the current folder is found, since its path was given",
		refused: fmt.Sprintf("exit code %d: `%s`", exitNotFound, filepath.ToSlash(hint)),
	}
	var rows [][]string
	for _, c := range []struct {
		what           string
		path           []string
		program, found string
	}{
		{"`exec -- lfx`, with an `lfx` in the current folder (on Windows `lfx.exe`), which Windows looks for there first", []string{honest}, "lfx", ours},
		{"the same, with an empty entry or a dot in PATH ahead of the honest one", []string{"", ".", honest}, "lfx", ours},
		{"the same, with a relative entry in PATH: `bin`", []string{"bin", honest}, "lfx", ours},
		{"the same, with no other `lfx` in PATH", []string{t.TempDir(), "."}, "lfx", refused},
		{"`exec -- ./lfx`", []string{honest}, theirs, theirs},
	} {
		rows = append(rows, []string{c.what, happens[c.found]})
		t.Setenv("PATH", strings.Join(c.path, string(filepath.ListSeparator)))
		got, err := findProgram(c.program)
		if c.found != refused {
			if got != c.found || err != nil {
				t.Errorf("%s: %s, %v; want %s", c.what, got, err, c.found)
			}
			continue
		}
		var exit exitError
		if got != "" || !errors.As(err, &exit) || exit.code != exitNotFound || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %q, %v", c.what, got, err)
		}
	}
	t.Chdir(here)
	casebook.Table(t, "docs/attacks.md", "TestAttackProgram in cmd/langkeep", []string{"what is tried", "what happens"}, rows)
}
