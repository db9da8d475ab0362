package asks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"langkeep/agent/paths"
)

const fileLimit = 1 << 20 // bytes

// file keeps the answers for ever. A person may edit it: it is read again after a change.
// One that can't be read, or that others can write, is an error, and left alone.
type file struct {
	path    string
	state   stamp
	entries []entry
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64 // -1: no file
	at   time.Time
}

// content is the file.
type content struct {
	Schema  int     `json:"schema"`
	Answers []entry `json:"answers"`
}

// entry is a kept answer.
type entry struct {
	Program string    `json:"program"` // its file's path
	Script  string    `json:"script,omitempty"`
	Profile string    `json:"profile"`
	Want    Want      `json:"want"`
	Answer  Answer    `json:"answer"` // always or deny-always
	Since   time.Time `json:"since"`
}

func (e entry) subject() subject { return subject{e.Program, e.Script, e.Profile, e.Want} }

// load reads the file if it has changed.
func (f *file) load() error {
	if f.path == "" {
		return nil
	}
	now := stamp{size: -1}
	info, err := os.Stat(f.path)
	switch {
	case err == nil:
		now = stamp{info.Size(), info.ModTime()}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if now == f.state {
		return nil
	}
	var c content
	if now.size >= 0 {
		if err := paths.ReadJSON(f.path, fileLimit, &c, ": mend it, or delete it"); err != nil {
			return err
		}
	}
	for _, e := range c.Answers {
		if e.Program == "" || e.Profile == "" || !slices.Contains([]Want{Token, Key, Lease, Client}, e.Want) || e.Answer != AlwaysAllow && e.Answer != AlwaysDeny {
			return fmt.Errorf("%s: an answer needs a program, a profile, a want (token, key, lease or client), and the answer always or deny-always: mend it, or delete it", f.path)
		}
	}
	f.state, f.entries = now, c.Answers
	return nil
}

// answer is what is kept about a subject; "" is nothing.
func (f *file) answer(s subject) (Answer, error) {
	if err := f.load(); err != nil {
		return "", err
	}
	for _, e := range f.entries {
		if e.subject() == s {
			return e.Answer, nil
		}
	}
	return "", nil
}

func (f *file) all() ([]Remembered, error) {
	if err := f.load(); err != nil {
		return nil, err
	}
	var all []Remembered
	for _, e := range f.entries {
		all = append(all, Remembered{Program: e.Program, Script: e.Script, Profile: e.Profile, Want: e.Want, Answer: e.Answer})
	}
	return all, nil
}

func (f *file) put(s subject, a Answer, now time.Time) error {
	if err := f.load(); err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(f.entries), func(e entry) bool { return e.subject() == s })
	return f.write(append(kept, entry{s.exe, s.script, s.profile, s.want, a, now.UTC().Truncate(time.Second)}))
}

// forget drops what is kept about a program's file, or everything with ""; a no only with
// noes.
func (f *file) forget(program string, noes bool) (int, error) {
	if err := f.load(); err != nil {
		return 0, err
	}
	kept := slices.DeleteFunc(slices.Clone(f.entries), func(e entry) bool {
		return (program == "" || e.Program == program) && (noes || e.Answer != AlwaysDeny)
	})
	n := len(f.entries) - len(kept)
	if n == 0 {
		return 0, nil
	}
	return n, f.write(kept)
}

func (f *file) write(entries []entry) error {
	if f.path != "" {
		data, err := paths.EncodeJSON(content{paths.Schema, entries})
		if err == nil {
			err = paths.WriteFile(f.path, data)
		}
		if err != nil {
			return fmt.Errorf("the answer can't be written down: %w", err)
		}
		f.state = stamp{} // to be read again
	}
	f.entries = entries
	return nil
}
