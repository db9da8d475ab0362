package chromium

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// tree is the browser's processes. They are in a job, which the system ends together
// with this process.
type tree struct{ job windows.Handle }

// resume lets a process go on that was started suspended. Only a thread has a documented
// function for that, and os/exec does not keep the thread's handle.
var resume = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")

// startTree starts the browser, which inherits the two handles and is told their
// numbers.
func startTree(cmd *exec.Cmd, _ string, in, out *os.File) (*tree, error) {
	var handles []syscall.Handle
	for _, f := range []*os.File{in, out} {
		handle := windows.Handle(f.Fd())
		if err := windows.SetHandleInformation(handle, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			return nil, fmt.Errorf("pass a pipe on: %w", err)
		}
		handles = append(handles, syscall.Handle(handle))
	}
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("make a job: %w", err)
	}
	var limits windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		_ = windows.CloseHandle(job) // nothing is in it
		return nil, fmt.Errorf("set up a job: %w", err)
	}
	cmd.Args = append(cmd.Args, fmt.Sprintf("--remote-debugging-io-pipes=%d,%d", handles[0], handles[1]))
	// Suspended, it can't start a process before it is in the job.
	cmd.SysProcAttr = &syscall.SysProcAttr{AdditionalInheritedHandles: handles, CreationFlags: windows.CREATE_SUSPENDED}
	if err := cmd.Start(); err != nil {
		_ = windows.CloseHandle(job) // nothing is in it
		return nil, err
	}
	t := &tree{job}
	var wrong error
	err = cmd.Process.WithHandle(func(handle uintptr) {
		if wrong = windows.AssignProcessToJobObject(job, windows.Handle(handle)); wrong != nil {
			return
		}
		if status, _, _ := resume.Call(handle); status != 0 {
			wrong = windows.NTStatus(status)
		}
	})
	if err := errors.Join(err, wrong); err != nil {
		_ = cmd.Process.Kill() // it may not be in the job
		t.kill()
		_ = cmd.Wait() // an error: it was killed
		return nil, fmt.Errorf("put it into a job: %w", err)
	}
	return t, nil
}

// kill ends all the processes at once. It is called once.
func (t *tree) kill() { _ = windows.CloseHandle(t.job) } // an error: it is closed

// outlive has nothing to wait for: the processes of a job end with the process that
// made it.
func outlive(string, time.Duration) error { return nil }

// removeSocket has nothing to delete: here the browser makes no socket.
func removeSocket(string) {}
