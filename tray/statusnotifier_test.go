//go:build !windows && !darwin

package tray

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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

// waybar 0.9.17 tells that the menu opens and not that it closes, and both of submenus,
// which must not be taken for the menu.
func TestPanelsTellOfTheMenu(t *testing.T) {
	var told []menuState
	n := newNotifierItem(nil, func(now menuState) { told = append(told, now) })
	head := n.add(nil, "prod", false, nil)
	n.add(head, "Sign out", false, nil)
	menu, sub := menuObject{n}, head.(*node).id
	says := func(id int32, kinds ...string) {
		for _, kind := range kinds {
			if _, err := menu.EventGroup([]event{{ID: id, Kind: kind}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for panel, one := range map[string]struct {
		does func()
		want []menuState
	}{
		"waybar": {func() { menu.AboutToShowGroup([]int32{0}); says(sub, "opened", "closed", "clicked") }, []menuState{asked}},
		"GNOME Shell": {func() {
			menu.AboutToShow(0)
			says(0, "opened")
			says(sub, "opened", "closed")
			says(0, "closed")
		}, []menuState{asked, opened, closed}},
	} {
		told = nil
		if one.does(); !slices.Equal(told, one.want) {
			t.Errorf("%s: %v, want %v", panel, told, one.want)
		}
	}
}
