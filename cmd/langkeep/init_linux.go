package main

import (
	"errors"
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beInit runs this program once more, as a child, if the kernel gives this process
// other processes' orphans: each would stay a zombie until this process waits for it.
// The child does the work, and waits only for its own children. code is its exit code,
// as a shell gives it. ok is false if no child is needed or none can be started: then
// this process does the work.
func beInit() (code int, ok bool) {
	if !adoptsOrphans() {
		return 0, false
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, heeded(passedOn)...)
	child, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		signal.Stop(signals)
		return 0, false
	}
	go func() {
		for s := range signals {
			passOn(child, s)
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && pid != child.Pid:
		case err != nil:
			return exitFailed, true
		case status.Signaled():
			return exitSignalled + int(status.Signal()), true
		default:
			return status.ExitStatus(), true
		}
	}
}

// adoptsOrphans tells whether this process is a container's first, or a
// subreaper (PR_SET_CHILD_SUBREAPER in prctl(2)), which its children are not.
func adoptsOrphans() bool {
	if os.Getpid() == 1 {
		return true
	}
	var subreaper int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0)
	return err == nil && subreaper != 0
}
