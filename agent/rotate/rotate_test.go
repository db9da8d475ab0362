package rotate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"langkeep/agent/paths/pathstest"
)

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := Open(path, 100, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if _, err := fmt.Fprintf(f, "line number %02d....\n", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, last := range map[string]string{"log": "29", "log.1": "24", "log.2": "19"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 100 || !bytes.Contains(data, []byte("number "+last+"....\n")) {
			t.Errorf("%s has %d bytes: %s", name, len(data), data)
		}
	}
	if _, err := os.Stat(path + ".3"); !os.IsNotExist(err) {
		t.Error("a fourth file is kept")
	}
}

func TestReopenGoesOnAndTightens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, 1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("after\n")); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "before\nafter\n" {
		t.Errorf("the file has %q", data)
	}
	if info, _ := os.Stat(path); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
}

func TestSymlinkIsRefused(t *testing.T) {
	dir := t.TempDir()
	pathstest.Symlink(t, filepath.Join(dir, "elsewhere"), filepath.Join(dir, "log"))
	if f, err := Open(filepath.Join(dir, "log"), 1000, 3); err == nil {
		f.Close()
		t.Error("a symlink was followed")
	}
}

// A line that a crash or a full disk has cut short costs no later line.
func TestLineCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("whole\nha"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, 1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if _, err := f.Write([]byte("after\n")); err != nil {
			t.Fatal(err)
		}
	}
	if data, _ := os.ReadFile(path); string(data) != "whole\nha\nafter\nafter\n" {
		t.Errorf("the file has %q", data)
	}
}

// A folder that can't be written when it is time for a new file is no end of the
// log: it goes on when it can.
func TestRotationFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	f, err := Open(path, 10, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := []byte("a line\n")
	if _, err := f.Write(line); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Skip("an open file holds its folder here: ", err)
	}
	if _, err := f.Write(line); err == nil {
		t.Error("a line was written without its folder")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Write(line); err != nil {
			t.Error("afterwards:", err)
		}
	}
	var all []byte
	for _, name := range []string{path + ".2", path + ".1", path} {
		data, _ := os.ReadFile(name) // perhaps there is none
		all = append(all, data...)
	}
	if want := bytes.Repeat(line, 3); !bytes.Equal(all, want) {
		t.Errorf("the files have %q, want %q", all, want)
	}
}
