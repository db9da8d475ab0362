//go:build linux

package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := Open(t.Context(), "http://127.0.0.1:1/"); err == nil || !strings.Contains(err.Error(), "there is no xdg-open") {
		t.Errorf("without a program: %v", err)
	}
	for script, want := range map[string]string{
		`echo "$1" >` + dir + `/opened`: "",
		`exit 3`:                        "can't open a browser here (exit status 3)",
	} {
		if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		err := Open(t.Context(), "http://127.0.0.1:1/#a")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", script, err)
		}
	}
	if opened, err := os.ReadFile(filepath.Join(dir, "opened")); string(opened) != "http://127.0.0.1:1/#a\n" {
		t.Errorf("opened %q, %v", opened, err)
	}
}

// A program that ends only with the browser is not waited for.
func TestOpenDoesNotWaitForTheBrowser(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "end")
	script := "#!/bin/sh\nmkfifo " + fifo + "\nread line < " + fifo + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	begin := time.Now()
	if err := Open(t.Context(), "http://127.0.0.1:1/"); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < patience {
		t.Errorf("it ended after %v", took)
	}
	end, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
}
