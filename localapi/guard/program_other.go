//go:build !linux

package guard

import "langkeep/agent/asks"

// programOf can't tell a program here yet.
func programOf(int) asks.Program { return asks.Program{} }

// SessionAlive knows no session here.
func SessionAlive(string) bool { return false }
