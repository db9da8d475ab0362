package main

import "golang.org/x/sys/windows"

// understandsEscapes tells whether a console takes escape sequences: those
// before Windows 10 don't, later ones when asked to.
func understandsEscapes(fd int) bool {
	var mode uint32
	if windows.GetConsoleMode(windows.Handle(fd), &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(windows.Handle(fd), mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
