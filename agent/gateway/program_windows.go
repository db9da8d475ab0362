package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// group is the job object that a program and its children are in.
type group struct{ job windows.Handle }

// newGroup makes a job for the program, which gets no window.
func newGroup(cmd *exec.Cmd) (group, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return group{}, fmt.Errorf("can't be given a job object: %w", err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NO_WINDOW}
	return group{job}, nil
}

// add puts the program into the job. A child that it has started before that is in none.
func (g group) add(p *os.Process) {
	// It fails if the program has ended.
	_ = p.WithHandle(func(handle uintptr) { _ = windows.AssignProcessToJobObject(g.job, windows.Handle(handle)) })
}

// kill ends all that is in the job, and the program if it is not.
func (g group) kill(p *os.Process) error {
	_ = windows.TerminateJobObject(g.job, 1)
	return p.Kill()
}

// close leaves running what is in the job.
func (g group) close() { _ = windows.CloseHandle(g.job) }
