package guard

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
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

// sessionKey names a session by its first process, whose number may be used again; "" if
// it has gone.
func sessionKey(pid int) string {
	leader, ok := statOf(pid)
	if !ok {
		return ""
	}
	return strconv.Itoa(pid) + "-" + leader.begin
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
	s.begin = fields[19]
	return s, fields[0] != "Z"
}
