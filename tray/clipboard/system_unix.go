//go:build !windows && !darwin

package clipboard

import (
	"errors"
	"fmt"

	"langkeep/agent/secret"
)

// hintName and its content tell clipboard managers not to keep what is copied
// (KDE's Klipper, and those that follow it).
const hintName, hintSecret = "x-kde-passwordManagerHint", "secret"

// textKinds are the names of text, of X11 and of Wayland, the best first.
var textKinds = []string{"text/plain;charset=utf-8", "UTF8_STRING", "text/plain", "STRING", "TEXT"}

// system chooses Wayland's clipboard where the compositor lets a program without a window
// own it. Elsewhere it is X11's: GNOME has no data control, and takes the selection of its
// X server for that of the desktop.
func system(getenv func(string) string) (putter, error) {
	if getenv("WAYLAND_DISPLAY") != "" {
		w, err := reachWayland(getenv)
		if err == nil {
			w.close()
			return func(s secret.Text) (func(), error) { return ownWayland(getenv, s) }, nil
		}
		if getenv("DISPLAY") == "" {
			if errors.Is(err, ErrUnavailable) {
				err = ErrNoXwayland
			}
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	if getenv("DISPLAY") != "" {
		return ownSelection, nil
	}
	return nil, fmt.Errorf("%w: there is no display", ErrUnavailable)
}
