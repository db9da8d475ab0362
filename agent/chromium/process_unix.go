//go:build unix

package chromium

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is the file in a window's folder that is locked while a process of the
// browser lives. The file says which process is the first.
const lockName = "lock"

// tree is the browser's processes. They are one process group, which exists as long as
// any of them does.
type tree struct{ group int }

// startTree starts the browser in a session of its own, away from our terminal's
// Ctrl-C. It reads commands from file descriptor 3, answers on 4, and keeps 5 open,
// which holds the lock.
func startTree(cmd *exec.Cmd, folder string, in, out *os.File) (*tree, error) {
	lock, err := os.OpenFile(filepath.Join(folder, lockName), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the browser has its own
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("lock its folder: %w", err)
	}
	cmd.ExtraFiles = []*os.File{in, out, lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t := &tree{cmd.Process.Pid}
	if _, err := fmt.Fprintln(lock, t.group); err != nil {
		t.kill()
		_ = cmd.Wait() // an error: it was killed
		return nil, fmt.Errorf("write its process into %s: %w", lock.Name(), err)
	}
	return t, nil
}

// kill ends all the processes at once.
func (t *tree) kill() { _ = unix.Kill(-t.group, unix.SIGKILL) } // an error: there is none left

// outlive returns when no process has the lock of a window's folder any more. It kills
// those that have not ended by the limit.
func outlive(folder string, limit time.Duration) error {
	lock, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // its browser was never started
	}
	if err != nil {
		return fmt.Errorf("look whether a browser uses a folder: %w", err)
	}
	defer lock.Close()
	if free(lock, limit) {
		return nil
	}
	said := make([]byte, 20)
	n, _ := lock.Read(said) // nothing in it is no number
	group, err := strconv.Atoi(strings.TrimSpace(string(said[:n])))
	if err == nil && group > 1 {
		// Somebody has the lock, so the group has a member, and its number is no other's.
		(&tree{group}).kill()
	}
	if !free(lock, limit) {
		return fmt.Errorf("a browser of an earlier run still uses %s; end it", folder)
	}
	return nil
}

// free tells whether the lock becomes free within a limit.
func free(lock *os.File, limit time.Duration) bool {
	give := time.Now().Add(limit)
	for unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if time.Now().After(give) {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return true
}

// removeSocket deletes what a killed browser leaves outside its profile: a socket in
// the folder for temporary files, which a link in the profile leads to
// (chrome/browser/process_singleton_posix.cc). It deletes files of two names, and then a
// folder if that is empty, so a link that somebody else has made does no harm.
func removeSocket(profile string) {
	socket, err := os.Readlink(filepath.Join(profile, "SingletonSocket"))
	if err != nil || filepath.Base(socket) != "SingletonSocket" || !filepath.IsAbs(socket) {
		return
	}
	dir := filepath.Dir(socket)
	for _, path := range []string{socket, filepath.Join(dir, "SingletonCookie"), dir} {
		_ = os.Remove(path) // an error: the browser has deleted it
	}
}
