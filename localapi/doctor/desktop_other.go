//go:build windows || darwin

package doctor

// Desktop has nothing to look at: every desktop of this system has a tray and
// shows notifications.
func Desktop() []Check { return nil }
