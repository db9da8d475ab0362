//go:build !windows && !darwin

package tray

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestSymbolicIcons(t *testing.T) {
	for desktop, want := range map[string]bool{"GNOME": true, "ubuntu:GNOME": true, "KDE": true, "sway": false, "XFCE": false, "GNOME-Flashback:": false, "": false} {
		if got := recolours(desktop); got != want {
			t.Errorf("recolours(%q) is %v", desktop, got)
		}
	}
	dir := filepath.Join(t.TempDir(), "icons")
	for range 2 { // a second start finds the folder
		if err := writeIcons(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, state := range []string{iconFresh, iconAttention, iconOffline} {
		svg, err := os.ReadFile(filepath.Join(dir, symbolicName(state)+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		// GTK gives shapes a colour and leaves strokes; KDE looks for this style.
		if bytes.Contains(svg, []byte("stroke=")) || !bytes.Contains(svg, []byte(`id="current-color-scheme"`)) {
			t.Errorf("a panel can't colour %s:\n%s", state, svg)
		}
	}
}
