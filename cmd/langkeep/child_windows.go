package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// passedOn is Ctrl-C, which Windows sends to every program of the console.
var passedOn = []os.Signal{os.Interrupt}

func passOn(*os.Process, os.Signal) {}

func exitCode(s *os.ProcessState) int { return s.ExitCode() }

// tie makes the child end with this program, for instance when the Task Manager ends
// it: Windows has no SIGTERM to pass on. The child's own children go on.
func tie(child *os.Process) (untie func()) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return func() {} // go on without the tie
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE |
		windows.JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err == nil {
		// It fails if the child has ended.
		_ = child.WithHandle(func(handle uintptr) { _ = windows.AssignProcessToJobObject(job, windows.Handle(handle)) })
	}
	return func() { _ = windows.CloseHandle(job) }
}
