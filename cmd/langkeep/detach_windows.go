package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// detached starts a process without the console, whose Ctrl-C and end don't
// reach it then.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}

// keepInherited has nothing to do: os/exec hands on no handles but those named.
func keepInherited() {}
