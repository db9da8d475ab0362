//go:build !linux

package localapi

// processFigures has no simple source on other systems.
func processFigures() (files, resident float64, ok bool) { return 0, 0, false }
