package serve

import (
	"errors"

	"golang.org/x/sys/unix"
)

// harden keeps the agent's memory from core dumps and from debuggers of the same user,
// see ptrace(2). Root can read it all the same.
func harden() error {
	return errors.Join(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}), unix.PtraceDenyAttach())
}
