//go:build !linux

package main

// beInit is for containers, whose first process may be this program.
func beInit() (code int, ok bool) { return 0, false }
