// Package auditlog writes down who used which profile for what, as JSON lines. It
// never keeps a request waiting, and what it can't write is not lost at once:
// the last entries stay in memory.
package auditlog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"langkeep/agent/audit"
	"langkeep/agent/clock"
	"langkeep/agent/paths"
	"langkeep/agent/rotate"
)

const (
	size    = 10 << 20 // bytes of a file
	keep    = 5        // files
	repeats = time.Minute
	tick    = 5 * time.Second  // at least, between two looks at what was counted
	retry   = 15 * time.Second // between two attempts at a file that can't be written
	waiting = 4096             // uses that wait to be written; more are counted alone
	most    = 4096             // different uses of which repeats are counted
	recent  = 1000             // entries in memory
	tail    = 512 << 10        // bytes of the file that are read at the start

	maxNumber = 1 << 53 // that every reader of JSON can tell from the next
)

// lost is the use of what came faster than it could be written.
const lost = "more than could be written down"

type event struct {
	at      time.Time
	use     audit.Use
	process func() audit.Process
}

// Log is the audit log. It is safe for use by several goroutines.
type Log struct {
	path  string
	clock clock.Clock
	log   *slog.Logger
	queue chan event

	mu      sync.Mutex    // protects the following
	entries []audit.Entry // the last, oldest first
	n       int64
	problem error
	lost    int

	counting sync.Mutex // protects the following; held over nothing that waits
	seen     map[audit.Use]*repeated

	// Of Run alone.
	file   *rotate.File
	onFile int64         // the number of the last entry that is in the file, or was lost
	failed time.Duration // clock.Elapsed when the file last could not be written
}

// repeated is a use that was written down and may come again.
type repeated struct {
	count int           // since then
	since time.Duration // clock.Elapsed of that
	last  time.Time     // when it came last, and from which process
	use   audit.Use
}

// Open makes a log that goes on where the file at path ends; "" keeps it in
// memory. What keeps the file from being written is known at once; entries are
// written by Run.
func Open(path string, c clock.Clock, log *slog.Logger) *Log {
	l := &Log{path: path, clock: c, log: log, queue: make(chan event, waiting), seen: map[audit.Use]*repeated{}}
	l.load()
	l.open()
	return l
}

// load takes up the last entries. Lines that can't be read are left out: the
// file is the record, not this.
func (l *Log) load() {
	for _, path := range []string{l.path + ".1", l.path} {
		data, err := readTail(path)
		if err != nil {
			continue // there is none yet, or writing to it will tell
		}
		for line := range bytes.Lines(data) {
			var e audit.Entry
			// Their numbers go up, and leave room for those to come.
			if json.Unmarshal(line, &e) != nil || e.N <= l.n || e.N >= maxNumber {
				continue
			}
			l.n = e.N // of a newer one's lines too
			if e.Schema == paths.Schema {
				l.entries = append(l.entries, e)
			}
		}
	}
	l.onFile = l.n
	l.entries = l.entries[max(0, len(l.entries)-recent):]
}

func readTail(path string) ([]byte, error) {
	if path == "" || path == ".1" {
		return nil, fs.ErrNotExist
	}
	f, err := paths.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-tail), tail))
}

// Again counts a use, by a process that is known, if it was written down before,
// and tells whether it was: if not, it is for Note. A reader in a loop is answered
// half as fast where each request wakes Run.
func (l *Log) Again(u audit.Use) bool { return l.again(l.clock.Now(), u) }

func (l *Log) again(at time.Time, u audit.Use) bool {
	l.counting.Lock()
	defer l.counting.Unlock()
	r := l.seen[sameAs(u)]
	if r == nil {
		return false
	}
	r.count++
	r.last, r.use = at, u
	return true
}

// sameAs is what a use has in common with its repeats.
func sameAs(u audit.Use) audit.Use {
	if u.Process.Exe != "" {
		u.Process.PID = 0
	}
	return u
}

// Note has a use written down. It does not wait; process is asked later, and may
// take its time.
func (l *Log) Note(u audit.Use, process func() audit.Process) {
	select {
	case l.queue <- event{l.clock.Now(), u, process}:
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost++
	}
}

// Entries are those after the one numbered after, oldest first, at most the last
// 1000; never nil.
func (l *Log) Entries(after int64) []audit.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.entries[max(0, len(l.entries)-recent):]
	i, _ := slices.BinarySearchFunc(last, after+1, func(e audit.Entry, n int64) int { return cmp.Compare(e.N, n) })
	return append([]audit.Entry{}, last[i:]...)
}

// Problem tells why entries are in memory alone; nil if they are written.
func (l *Log) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// Run writes until ctx ends, and what is left then.
func (l *Log) Run(ctx context.Context) {
	timer := time.NewTimer(retry)
	defer timer.Stop()
	counting := true // else there is nothing to wake up for
	for {
		select {
		case e := <-l.queue:
			before := l.unsaved()
			l.take(e)
			if !counting || l.unsaved() && !before {
				timer.Reset(retry)
				counting = true
			}
		case <-timer.C:
			next := l.flush(false)
			if counting = next > 0; counting {
				timer.Reset(next)
			}
		case <-ctx.Done():
			for len(l.queue) > 0 {
				l.take(<-l.queue)
			}
			l.flush(true)
			l.close()
			return
		}
	}
}

// take writes a use down at once if it is new, and counts it if it is not.
func (l *Log) take(e event) {
	if e.process != nil {
		e.use.Process = e.process()
	}
	if l.again(e.at, e.use) {
		return
	}
	l.counting.Lock()
	full := len(l.seen) >= most
	l.counting.Unlock()
	if full {
		l.flush(true)
	}
	l.counting.Lock()
	l.seen[sameAs(e.use)] = &repeated{since: l.clock.Elapsed()}
	l.counting.Unlock()
	l.write(e.at, e.use, 1)
}

// flush writes the counts of a minute, or with all whatever was counted. It
// returns when it is to be called again, 0 if nothing is counted any more.
func (l *Log) flush(all bool) (next time.Duration) {
	now := l.clock.Elapsed()
	next = repeats
	var due []repeated
	l.counting.Lock()
	for same, r := range l.seen {
		if left := repeats - (now - r.since); !all && left > 0 {
			next = min(next, max(left, tick)) // some at a time
			continue
		}
		if r.count == 0 || all {
			delete(l.seen, same)
		}
		if r.count > 0 {
			due = append(due, *r)
			r.count, r.since = 0, now
		}
	}
	if len(l.seen) == 0 {
		next = 0
	}
	l.counting.Unlock()
	for _, r := range due {
		l.write(r.last, r.use, r.count)
	}
	l.mu.Lock()
	missed := l.lost
	l.lost = 0
	l.mu.Unlock()
	if missed > 0 {
		l.write(l.clock.Now(), audit.Use{What: lost}, missed)
	}
	l.save(all)
	if l.unsaved() && (next == 0 || next > retry) {
		next = retry
	}
	return next
}

func (l *Log) write(at time.Time, u audit.Use, count int) {
	l.mu.Lock()
	l.n++
	e := audit.Entry{Schema: paths.Schema, N: l.n, At: at.UTC().Truncate(time.Millisecond), Use: u, Count: count}
	if l.entries = append(l.entries, e); len(l.entries) > 2*recent {
		l.entries = append([]audit.Entry(nil), l.entries[len(l.entries)-recent:]...)
	}
	l.mu.Unlock()
	l.save(false)
}

// save writes the entries that are not in the file yet: more than the last one
// if it could not be written for a while, which is not tried for every line anew
// unless now says so.
func (l *Log) save(now bool) {
	if l.path == "" {
		return
	}
	missing := l.Entries(l.onFile)
	if l.file != nil && len(missing) == 0 {
		return
	}
	if l.file == nil {
		if !now && l.clock.Elapsed()-l.failed < retry {
			return
		}
		if l.open(); l.file == nil {
			return
		}
	}
	for _, e := range missing {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = l.file.Write(append(line, '\n'))
		}
		if err != nil {
			l.close()
			l.fail(err)
			return
		}
		l.onFile = e.N
	}
	l.mu.Lock()
	l.problem = nil
	l.mu.Unlock()
}

// unsaved tells whether entries are in memory alone, to be written later.
func (l *Log) unsaved() bool { return l.path != "" && l.file == nil }

func (l *Log) open() {
	if l.path == "" {
		return
	}
	file, err := rotate.Open(l.path, size, keep)
	if err != nil {
		l.fail(err)
		return
	}
	l.file = file
}

func (l *Log) close() {
	if l.file != nil {
		_ = l.file.Close() // each line was written for itself
		l.file = nil
	}
}

// fail notes that the file can't be written.
func (l *Log) fail(err error) {
	l.failed = l.clock.Elapsed()
	l.log.Warn("the audit log can't be written", "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem = fmt.Errorf("the audit log can't be written: %w", err)
}
