package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used so far, over all its threads; see proc(5).
type usage struct {
	cpu      time.Duration
	runs     int64 // how often one of its threads was given a core
	switches int64 // how often one gave its core back to wait
}

func (u usage) minus(v usage) usage {
	return usage{u.cpu - v.cpu, u.runs - v.runs, u.switches - v.switches}
}

// used reads it. schedstat has nanoseconds where stat has hundredths of a
// second.
func used(pid int) (usage, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return usage{}, fmt.Errorf("process %d is gone", pid)
	}
	var all usage
	for _, task := range tasks {
		var cpu, waited, runs int64
		data, err := os.ReadFile(task + "/schedstat")
		if err != nil {
			continue // a thread that has ended
		}
		if _, err := fmt.Sscan(string(data), &cpu, &waited, &runs); err != nil {
			return usage{}, err
		}
		switches, err := statusField(task+"/status", "voluntary_ctxt_switches")
		if err != nil {
			continue
		}
		all.cpu += time.Duration(cpu)
		all.runs += runs
		all.switches += switches
	}
	return all, nil
}

// resident is a process's memory, in bytes: all of it, and that part which is
// its own rather than pages of its file.
func resident(pid int) (all, own int64, err error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	if all, err = statusField(path, "VmRSS"); err == nil {
		own, err = statusField(path, "RssAnon")
	}
	return all << 10, own << 10, err
}

// statusField is a number of a status file.
func statusField(path, name string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// watched is what was seen of a process for a while.
type watched struct {
	usage
	wakeUps int // times in which it ran at all
	most    int64
	took    time.Duration
}

// glance is the time between two looks at a process. All its work within that time
// counts as one wake-up.
const glance = 50 * time.Millisecond

// watch looks at processes for a while: how often they wake up, and what they
// use.
func watch(ctx context.Context, d time.Duration, pids ...int) ([]watched, error) {
	all := make([]watched, len(pids))
	first := make([]usage, len(pids))
	last := make([]usage, len(pids))
	for i, pid := range pids {
		u, err := used(pid)
		if err != nil {
			return nil, err
		}
		first[i], last[i] = u, u
	}
	began := time.Now()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for time.Since(began) < d {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		for i, pid := range pids {
			u, err := used(pid)
			if err != nil {
				return nil, err
			}
			if u.runs != last[i].runs {
				all[i].wakeUps++
			}
			last[i] = u
			rss, _, err := resident(pid)
			if err != nil {
				return nil, err
			}
			all[i].most = max(all[i].most, rss)
		}
	}
	for i := range all {
		all[i].usage, all[i].took = last[i].minus(first[i]), time.Since(began)
	}
	return all, nil
}

// share is the part of a core that was used, in percent.
func (w watched) share() float64 { return 100 * w.cpu.Seconds() / w.took.Seconds() }

// aMinute is a count in the time watched, by the minute.
func (w watched) aMinute(n float64) float64 { return n / w.took.Minutes() }
