// Package history remembers the profiles' changes for 30 days, without a secret: events in
// words, and how each session was. Its file is lines of JSON.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/rotate"
	"langkeep/agent/vocabulary"
)

const (
	kept     = 30 * 24 * time.Hour
	most     = 20_000          // entries in memory
	fileSize = 2 << 20         // bytes; two such files are kept
	alive    = 2 * time.Minute // between two marks that the agent runs
)

// Entry is a change of a profile, or with no profile the agent's start and end.
type Entry struct {
	Schema  int              `json:"schema"`
	At      time.Time        `json:"at"`
	Profile string           `json:"profile,omitempty"`
	State   vocabulary.State `json:"state,omitempty"` // after it; "" for a removed profile
	Words   string           `json:"words,omitempty"` // a sentence; "" for a change that is not told
	Off     bool             `json:"off,omitempty"`   // with no profile: the agent ended, else it started
}

// Log is the history. It is safe for use by several goroutines.
type Log struct {
	path  string
	clock clock.Clock
	log   *slog.Logger
	file  *rotate.File // nil: in memory alone

	mu      sync.Mutex // protects the following
	entries []Entry    // the oldest first
	added   int        // since Open
}

// Open reads the file at path, "" for none, and goes on with it. A file that can't be used
// is left alone: the history is then in memory alone. The file's time says how long the
// agent before this one ran.
func Open(path string, c clock.Clock, log *slog.Logger) *Log {
	l := &Log{path: path, clock: c, log: log}
	if path == "" {
		return l
	}
	info, statErr := os.Stat(path)
	for _, name := range []string{path + ".1", path} {
		l.read(name)
	}
	file, err := rotate.Open(path, fileSize, 2)
	if err != nil {
		log.Warn("the history is in memory only", "error", err)
		return l
	}
	l.file = file
	if n := len(l.entries); statErr == nil && n > 0 && !l.entries[n-1].ended() {
		ended := info.ModTime().UTC()
		if last := l.entries[n-1].At; ended.Before(last) {
			ended = last
		}
		l.add(Entry{At: ended, Off: true})
	}
	l.add(Entry{At: l.now()})
	return l
}

func (e Entry) ended() bool { return e.Profile == "" && e.Off }

// read adds the entries of a file. Lines that can't be read, cut off by a crash, are left
// out.
func (l *Log) read(name string) {
	data, err := os.ReadFile(name)
	if err != nil {
		return // most often there is none yet; Open tells of the others
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Schema == 1 && l.clock.Now().Sub(e.At) < kept {
			l.entries = append(l.entries, e)
		}
	}
}

func (l *Log) now() time.Time { return l.clock.Now().UTC().Truncate(time.Second) }

// Note adds an entry of now.
func (l *Log) Note(e Entry) {
	e.At = l.now()
	l.add(e)
}

func (l *Log) add(e Entry) {
	e.Schema = 1
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	l.added++
	old := 0
	for old < len(l.entries) && (len(l.entries)-old > most || e.At.Sub(l.entries[old].At) >= kept) {
		old++
	}
	l.entries = slices.Delete(l.entries, 0, old)
	if l.file == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err != nil {
		l.log.Warn("the history can't be written", "error", err)
	}
}

// Entries are all of a profile, and the agent's starts and ends; with "" those of all
// profiles. The oldest is first.
func (l *Log) Entries(profile string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Entry
	for _, e := range l.entries {
		if profile == "" || e.Profile == profile || e.Profile == "" {
			all = append(all, e)
		}
	}
	return all
}

// Added counts the entries that were added: what was read is as it was while it stays.
func (l *Log) Added() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.added
}

// Mark notes that the agent runs, for the next one.
func (l *Log) Mark() {
	if l.file != nil {
		now := l.clock.Now()
		_ = os.Chtimes(l.path, now, now) // the agent's end is then told as an earlier one
	}
}

// MarkEvery is the time between two calls of Mark.
func (l *Log) MarkEvery() time.Duration { return alive }

// Close notes the agent's end.
func (l *Log) Close() {
	l.add(Entry{At: l.now(), Off: true})
	if l.file != nil {
		_ = l.file.Close() // each line was written for itself
	}
}

// Kind is how a session was, as a person sees it.
type Kind string

// The kinds.
const (
	None     Kind = "none"   // not there yet
	SignedIn Kind = "in"     //
	Away     Kind = "away"   // the server could not be reached
	NeedsYou Kind = "needed" // a person was needed
	Out      Kind = "out"    // nobody was signed in
	Off      Kind = "off"    // Langkeep did not run
)

// KindOf is a state's kind.
func KindOf(s vocabulary.State) Kind {
	switch s {
	case vocabulary.Fresh:
		return SignedIn
	case vocabulary.Retrying, vocabulary.Stale:
		return Away
	case vocabulary.SignInRequired, vocabulary.KeychainLocked:
		return NeedsYou
	case vocabulary.SignedOut:
		return Out
	}
	return None
}

// Segment is a time of one kind, until the next segment or now.
type Segment struct {
	From time.Time `json:"from"`
	Kind Kind      `json:"kind"`
}

// Strip has the segments of a profile since a time, the oldest first. Entries are those of
// Log.Entries.
func Strip(entries []Entry, since time.Time) []Segment {
	kind := None
	var all []Segment
	for _, e := range entries {
		next := KindOf(e.State)
		if e.Profile == "" {
			if !e.Off || kind == None {
				continue // how it is after a start is an entry of its own
			}
			next = Off
		}
		if next == kind {
			continue
		}
		kind = next
		if !e.At.After(since) || len(all) > 0 && all[len(all)-1].From.Equal(e.At) {
			all = all[:max(0, len(all)-1)]
		}
		at := e.At
		if at.Before(since) {
			at = since
		}
		if n := len(all); n == 0 || all[n-1].Kind != kind {
			all = append(all, Segment{at, kind})
		}
	}
	if len(all) > 0 && all[0].Kind == None {
		all = all[1:]
	}
	return all
}
