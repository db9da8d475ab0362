//go:build !windows

package main

// leaveConsole is for Windows, which opens a console where there is none.
func leaveConsole() {}
