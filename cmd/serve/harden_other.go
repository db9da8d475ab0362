//go:build !linux && !darwin

package serve

import (
	"errors"
	"runtime"
)

// harden does nothing here: Windows has no such switch for a user.
func harden() error { return errors.New("not on " + runtime.GOOS) }
