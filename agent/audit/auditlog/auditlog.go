// Package auditlog writes the audit log, as JSON lines: who used which profile for
// what. It never keeps a request waiting. While the file can't be written the last
// entries stay in memory.
package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sort"
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
	tick    = 5 * time.Second  // at least, between two writes of counts
	retry   = 15 * time.Second // between two attempts at a file that can't be written
	waiting = 4096             // uses that wait for Run; of further ones only the number is kept
	most    = 4096             // different uses of which repeats are counted
	recent  = 1000             // entries in memory
	tail    = 512 << 10        // bytes of the file that are read at the start

	maxNumber = 1 << 53 // the largest number that every reader of JSON can tell from the next
)

// lost is the use that stands for requests that came faster than Run could write.
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
	queue chan *event // pointers: the collector looks at all of its room each time

	mu      sync.Mutex    // protects the following
	entries []audit.Entry // the last, oldest first
	n       int64
	problem error
	lost    int

	counting sync.Mutex // protects the following; held over nothing that waits
	seen     map[audit.Use]*repeated
	seenLast *repeated // the last of them that came again; looking there first is quicker

	// Only Run uses the following.
	file   *rotate.File
	onFile int64         // the number of the last entry that is in the file, or was lost
	failed time.Duration // clock.Elapsed when the file last could not be written
}

// repeated is a written use that may come again.
type repeated struct {
	same  audit.Use     // its key
	count int           // repeats since that line
	since time.Duration // clock.Elapsed of that line
	last  time.Time     // of the last repeat, and its process
	use   audit.Use
}

// Open makes a log that goes on where the file at path ends; "" keeps it in memory.
// Open tries the file, so that Problem knows at once; Run writes entries.
func Open(path string, c clock.Clock, log *slog.Logger) *Log {
	l := &Log{path: path, clock: c, log: log, queue: make(chan *event, waiting), seen: map[audit.Use]*repeated{}}
	l.load()
	l.open()
	return l
}

// load reads the last entries from the file. It leaves out lines that can't be read:
// the file itself stays as it is.
func (l *Log) load() {
	for _, path := range []string{l.path + ".1", l.path} {
		data, err := readTail(path)
		if err != nil {
			continue // there is none yet, or the next write fails with the reason
		}
		for line := range bytes.Lines(data) {
			var e audit.Entry
			// Numbers go up, and leave room for later ones.
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

// Again counts a repeat of a written use, and returns false for a new one, which is for
// Note. It exists for speed: a reader in a loop would be answered half as fast if each
// request woke Run.
func (l *Log) Again(u audit.Use) bool { return l.again(l.clock.Now(), u) }

func (l *Log) again(at time.Time, u audit.Use) bool {
	l.counting.Lock()
	defer l.counting.Unlock()
	same := sameAs(u)
	r := l.seenLast
	if r == nil || r.same != same {
		if r = l.seen[same]; r == nil {
			return false
		}
		l.seenLast = r
	}
	r.count++
	r.last, r.use = at, u
	return true
}

// sameAs returns the part of a use that its repeats share.
func sameAs(u audit.Use) audit.Use {
	if u.Process.Exe != "" {
		u.Process.PID = 0
	}
	return u
}

// Note queues a use for Run. It does not wait; Run calls process later, which may take
// its time.
func (l *Log) Note(u audit.Use, process func() audit.Process) {
	select {
	case l.queue <- &event{l.clock.Now(), u, process}:
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost++
	}
}

// Entries returns the entries with numbers above after, oldest first, at most the last
// 1000; never nil.
func (l *Log) Entries(after int64) []audit.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.entries[max(0, len(l.entries)-recent):]
	i := sort.Search(len(last), func(i int) bool { return last[i].N > after })
	return append([]audit.Entry{}, last[i:]...)
}

// Problem is why entries are in memory only; nil if they are written.
func (l *Log) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem
}

// Run writes entries until ctx ends, then writes the rest.
func (l *Log) Run(ctx context.Context) {
	timer := time.NewTimer(retry)
	defer timer.Stop()
	counting := true // false: no count waits, so no timer is needed
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

// take writes a new use at once, and counts a repeat.
func (l *Log) take(e *event) {
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
	same := sameAs(e.use)
	l.seen[same] = &repeated{same: same, since: l.clock.Elapsed()}
	l.counting.Unlock()
	l.write(e.at, e.use, 1)
}

// flush writes the counts that are a minute old, or with all every count. It returns
// the time till its next call, 0 if no count is left.
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
			l.seenLast = nil
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

// save writes the entries that are not in the file yet. After a failure it tries the
// file again only every retry, unless now is set.
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

// unsaved tells whether entries are in memory only, to be written later.
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
		_ = l.file.Close() // each line was written on its own, so nothing is lost
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
