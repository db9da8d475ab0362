//go:build !windows && (cgo || !darwin)

package tray

// loopEnder is for Windows: elsewhere systray always says that it has begun.
func loopEnder() func() { return func() {} }
