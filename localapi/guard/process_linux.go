package guard

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// processWith searches the processes for the one that has a socket, the youngest first:
// short-lived commands are young. See proc(5).
func processWith(inode uint32) Process {
	socket := "socket:[" + strconv.FormatUint(uint64(inode), 10) + "]"
	dir, err := os.Open("/proc")
	if err != nil {
		return Process{}
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close() // it was only read
	if err != nil {
		return Process{}
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	for _, pid := range slices.Backward(pids) {
		if has(pid, socket) {
			return running(pid)
		}
	}
	return Process{}
}

// has tells whether a process has a socket open. Those of other users can't be
// looked into.
func has(pid int, socket string) bool {
	fds := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	dir, err := os.Open(fds)
	if err != nil {
		return false
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		if target, err := os.Readlink(filepath.Join(fds, name)); err == nil && target == socket {
			return true
		}
	}
	return false
}

// running is a process that runs, with its file.
func running(pid int) Process {
	exe, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe")) // "" of another user's
	return Process{PID: pid, Exe: exe}
}
