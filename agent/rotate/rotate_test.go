package rotate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
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
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "log")); err != nil {
		t.Skip("no symlinks here:", err)
	}
	if f, err := Open(filepath.Join(dir, "log"), 1000, 3); err == nil {
		f.Close()
		t.Error("a symlink was followed")
	}
}
