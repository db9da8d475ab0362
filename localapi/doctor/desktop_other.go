//go:build windows || darwin

package doctor

// Desktop has no checks: every desktop of this system has a tray and shows
// notifications.
func Desktop(func() error) []Check { return nil }
