//go:build !linux

package guard

// HeldByOther can't be told on this system, so it might be so.
func (g *Guard) HeldByOther(uint16) bool { return true }
