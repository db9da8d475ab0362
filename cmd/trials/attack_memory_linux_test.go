package trials

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The agent's memory is closed to other programs of its user. Root may look
// everywhere, so as root the test makes another user of itself.
func TestAgentIsClosedToItsUser(t *testing.T) {
	home, err := os.MkdirTemp("/tmp", "langkeep-harden-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	var user *syscall.SysProcAttr
	if os.Getuid() == 0 {
		const nobody = 65534
		user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.Chown(home, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path) // for who can't reach its folder
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	agent := exec.Command("/proc/self/fd/3", "run", "--headless", "--store", "memory", "--listen", "127.0.0.1:0")
	agent.Args[0] = "langkeep"
	agent.ExtraFiles = []*os.File{file}
	agent.Env, agent.Dir, agent.SysProcAttr = []string{"LANGKEEP_HOME=" + home}, "/", user
	stderr, err := agent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	other.Dir, other.SysProcAttr = "/", user
	for _, cmd := range []*exec.Cmd{agent, other} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}()
	}
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil { // it listens
		t.Fatal(line, err)
	}
	reads := func(pid int) bool {
		look := exec.Command("cat", fmt.Sprintf("/proc/%d/environ", pid))
		look.Dir, look.SysProcAttr = "/", user
		return look.Run() == nil
	}
	if !reads(other.Process.Pid) {
		t.Skip("this system closes every process")
	}
	if reads(agent.Process.Pid) {
		t.Error("a program of the same user can look into the agent")
	}
}
