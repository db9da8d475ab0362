//go:build !linux

package main

import (
	"errors"
	"runtime"
)

// harden does nothing here: macOS keeps debuggers off signed programs alone, and
// Windows has no such switch for a user.
func harden() error { return errors.New("not on " + runtime.GOOS) }
