//go:build !windows

package main

// understandsEscapes tells whether a terminal takes escape sequences.
func understandsEscapes(int) bool { return true }
