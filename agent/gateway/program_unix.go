//go:build unix

package gateway

import (
	"os"
	"os/exec"
	"syscall"
)

// group is the process group that a program and its children are in.
type group struct{}

// newGroup has the program begin a session of its own, which is a process group too. So
// it also has no terminal that it could ask a person on.
func newGroup(cmd *exec.Cmd) (group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return group{}, nil
}

func (group) add(*os.Process) {}

// kill ends all of the group.
func (group) kill(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }

func (group) close() {}
