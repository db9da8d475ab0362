//go:build cgo

package tray

// loopEnder is for Windows: on macOS systray always says that it has begun.
func loopEnder() func() { return func() {} }
