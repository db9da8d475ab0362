//go:build !windows

package keychaintest

import "syscall"

// Freeze stops the bus without ending it, as a hanging desktop would; Thaw lets
// it go on.
func (s *Session) Freeze() { s.signalBus(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (s *Session) Thaw() { s.signalBus(syscall.SIGCONT) }

func (s *Session) signalBus(sig syscall.Signal) {
	s.tb.Helper()
	if err := s.bus.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}
