package guard

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holderOf has nothing to add to FindProcess.
func holderOf(_, _ netip.AddrPort) int { return 0 }

// inspect looks at a process, see proc(5).
func inspect(pid int) (inspected, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	own, ok := statOf(pid)
	data, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if !ok || err != nil {
		return inspected{}, false
	}
	i := inspected{
		exe: strings.TrimSuffix(running(pid).Exe, " (deleted)"), args: strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"),
		parent: own.parent, terminal: own.terminal != 0, session: sessionKey(own.session),
	}
	i.dir, _ = os.Readlink(filepath.Join(dir, "cwd")) // "" of one that has just gone
	return i, true
}

// sessionBegin is when the first process of a session began; "" if that one has gone, or is
// outside of the part of the system that can be seen, as a container's may be.
func sessionBegin(session int) string {
	leader, _ := statOf(session)
	return leader.begin
}

// sessionHolds tells whether any process is in a session.
func sessionHolds(session int) bool {
	processes, err := os.ReadDir("/proc")
	return err == nil && slices.ContainsFunc(processes, func(entry os.DirEntry) bool {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			return false
		}
		s, ok := statOf(pid)
		return ok && s.session == session
	})
}

// stat is what /proc/PID/stat says.
type stat struct {
	parent, session, terminal int    // terminal is 0 for none
	begin                     string // in clock ticks since the computer's start
}

func statOf(pid int) (stat, bool) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The second field is the program's name in brackets, which may hold anything.
	_, rest, ok := bytes.Cut(data[max(bytes.LastIndexByte(data, ')'), 0):], []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 20 {
		return stat{}, false
	}
	var s stat
	for i, to := range map[int]*int{1: &s.parent, 3: &s.session, 4: &s.terminal} {
		if *to, err = strconv.Atoi(fields[i]); err != nil {
			return stat{}, false
		}
	}
	if s.begin = fields[19]; fields[0] == "Z" {
		return stat{}, false
	}
	return s, true
}
