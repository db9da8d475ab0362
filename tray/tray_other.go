//go:build darwin && !cgo

package tray

// Run returns ErrNoDesktop: the tray of macOS needs a build with cgo.
func Run(Config, <-chan struct{}) error { return ErrNoDesktop }
