//go:build cgo

package tray

// ofLoop is for Windows: on macOS systray always says that it has begun, and that the
// menu opens.
func ofLoop() (end func(), menuIsOpen func() bool) {
	return func() {}, func() bool { return false }
}
