//go:build real && linux

package trials

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// throwOpen lets every user reach a file of the computer's folder until the test
// ends.
func (c *computer) throwOpen(t *testing.T, file string) {
	t.Helper()
	mode := os.FileMode(0o666)
	for path := file; path != filepath.Dir(c.dir); path, mode = filepath.Dir(path), 0o755 {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, info.Mode().Perm()) })
	}
}

// testTraces searches all that Langkeep has written, and all that was to be
// seen in a list of processes.
func testTraces(t *testing.T, c *computer) {
	found, files := c.foundBelow(t, c.dir)
	for _, what := range found {
		t.Error(what)
	}
	if len(found) == 0 && files == 0 {
		t.Error("there was nothing to search")
	}
	c.mu.Lock()
	commands := slices.Collect(maps.Keys(c.commands))
	c.mu.Unlock()
	for _, command := range commands {
		for _, what := range c.found([]byte(command)) {
			t.Errorf("%s is an argument of %q", what, command[:strings.IndexByte(command+"\x00", 0)])
		}
	}
	// A search that finds nothing proves something only if it can find.
	dir := t.TempDir()
	for secret := range c.secrets {
		if err := os.WriteFile(filepath.Join(dir, "leak"), []byte("x="+secret+"&"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, _ := c.foundBelow(t, dir); len(found) == 0 {
			t.Error("a secret in a file is not found")
		}
		break
	}
	c.say(t, "%d secrets in none of %d files and %d command lines", len(c.secrets), files, len(commands))
}
