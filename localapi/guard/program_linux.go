package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"langkeep/agent/asks"
)

// ancestors bounds the search for who runs langkeep.
const ancestors = 16

// programOf names a process, see proc(5).
func programOf(pid int) asks.Program {
	own := running(os.Getpid()).Exe
	for range ancestors {
		exe := running(pid).Exe
		stat, ok := statOf(pid)
		if !ok || exe == "" {
			return asks.Program{} // it has gone, or is another user's
		}
		// Who started a program of ours that outlives it can't be told.
		if exe == own && stat.parent > 1 && running(stat.parent).Exe != "" {
			pid = stat.parent
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil {
			return asks.Program{}
		}
		dir, _ := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd")) // "" of one that has gone
		at := func(path string) string {
			if filepath.IsAbs(path) {
				return path
			}
			return filepath.Join(dir, path)
		}
		script, told := scriptOf(exe, strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"), func(path string) bool {
			info, err := os.Stat(at(path))
			return err == nil && info.Mode().IsRegular()
		})
		if !told {
			return asks.Program{}
		}
		if script != "" && !strings.HasPrefix(script, "-m ") {
			script = at(script)
		}
		p := asks.Program{Exe: strings.TrimSuffix(exe, " (deleted)"), Script: script, Terminal: stat.terminal != 0}
		if leader, ok := statOf(stat.session); ok {
			p.Session = sessionKey(stat.session, leader)
		}
		return p
	}
	return asks.Program{}
}

// SessionAlive tells whether the session of a Program goes on: its first process runs.
func SessionAlive(session string) bool {
	id, _, _ := strings.Cut(session, "-")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return false
	}
	leader, ok := statOf(pid)
	return ok && sessionKey(pid, leader) == session
}

// sessionKey names a session by its first process, whose number may be used again.
func sessionKey(pid int, leader stat) string {
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
