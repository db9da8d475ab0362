//go:build windows || darwin

// Package screen tells whether the desktop's screen is locked.
package screen

import (
	"context"
	"errors"
)

// Watch tells nothing: there is no way to ask yet on Windows and macOS.
func Watch(context.Context, func(locked bool)) error {
	return errors.New("this system is not asked for its screen's lock yet")
}
