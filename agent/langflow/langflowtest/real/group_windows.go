package real

import "os/exec"

// ownGroup does nothing: Langflow does not fork on Windows.
func ownGroup(*exec.Cmd) {}

// killGroup ends the command.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
