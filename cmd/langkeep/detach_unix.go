//go:build !windows

package main

import (
	"os"
	"strconv"
	"syscall"
)

// detached starts a process in a session of its own: the terminal's Ctrl-C and
// end don't reach it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// keepInherited keeps inherited descriptors, other than stdin, stdout and stderr, from
// child processes. An agent would otherwise hold a shell's pipe or a terminal open as
// long as it lives, and a reader of that would wait as long.
func keepInherited() {
	open, err := os.ReadDir("/dev/fd")
	if err != nil {
		return // a system without it; the agent starts all the same
	}
	for _, entry := range open {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
