//go:build windows || darwin

package assets

import "testing"

func TestTrayIcon(t *testing.T) {
	for _, state := range []string{"fresh", "attention", "offline"} {
		if icon, template, err := TrayIcon(state); err != nil || len(icon) == 0 || len(template) == 0 {
			t.Errorf("there is no icon %s: %v", state, err)
		}
	}
}
