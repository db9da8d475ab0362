//go:build unix

package real

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a command into a process group of its own: Langflow forks, and
// all of it must end.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends the command and what it forked.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
