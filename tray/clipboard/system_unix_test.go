//go:build !windows && !darwin

package clipboard

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
)

// TestWayland has a program in the place of wl-copy: it shows that the secret
// goes through stdin alone, and that its end is the end of the copy.
func TestWayland(t *testing.T) {
	dir := t.TempDir()
	got, args := filepath.Join(dir, "got"), filepath.Join(dir, "args")
	script := "#!/bin/sh\necho \"$*\" >'" + args + "'\ncat >'" + got + ".part' && mv '" + got + ".part' '" + got + "'\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "wl-copy"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	put, err := system(func(name string) string {
		return map[string]string{"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	take, err := put(secret.New("lk_secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer take()
	content, limit := []byte(nil), time.Now().Add(10*time.Second)
	for err = os.ErrNotExist; err != nil && time.Now().Before(limit); content, err = os.ReadFile(got) {
		time.Sleep(time.Millisecond)
	}
	if string(content) != "lk_secret" {
		t.Errorf("wl-copy was given %q, %v", content, err)
	}
	if line, err := os.ReadFile(args); err != nil || strings.Contains(string(line), "secret") {
		t.Errorf("its arguments are %s, %v", line, err)
	}
	begin := time.Now()
	take()
	take()
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("taking it away took %v", took)
	}
}

func TestNoClipboard(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, env := range map[string]map[string]string{
		"no display": {}, "Wayland without wl-copy": {"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"},
	} {
		if _, err := New(func(name string) string { return env[name] }); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
