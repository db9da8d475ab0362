package keys

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/paths"
)

// Record is a managed key that may be on a server. It holds no secret.
type Record struct {
	Profile  string `json:"profile"`
	Origin   string `json:"origin"`
	Username string `json:"username"`
	// Name is the key's name on the server. It ends in a nonce, and the journal has it
	// before the key is made. So a key that a crash left behind is found by its name,
	// and never a key of somebody else.
	Name string `json:"name"`
	// ID is the server's id of the key, "" until the server has answered.
	ID string `json:"id"`
	// Ends is when the key is to be deleted, by the server's clock.
	Ends time.Time `json:"ends"`
	// Over means that no reader should have the key: it is deleted as soon as its
	// server can be asked.
	Over bool `json:"over"`
	// Ignored means that the server ignores Ends: the key is deleted once it was unused
	// for grace.
	Ignored bool `json:"ignored"`
}

// Journal records the keys that were made, so that all of them are deleted in the end.
type Journal struct {
	path string // "" keeps it in memory

	mu      sync.Mutex // protects the following
	loaded  bool
	records []Record
}

// OpenJournal makes a journal that is kept in a file; "" keeps it in memory. The file is
// read when it is first needed.
func OpenJournal(path string) *Journal { return &Journal{path: path} }

// fileFormat is a Journal at rest.
type fileFormat struct {
	Schema int      `json:"schema"`
	Keys   []Record `json:"keys"`
}

const journalLimit = 1 << 20 // bytes

// load reads the file, once. A file that can't be read is left alone, and no key is
// made meanwhile, since the journal would not have it. The caller holds j.mu.
func (j *Journal) load() error {
	if j.loaded || j.path == "" {
		return nil
	}
	var f fileFormat
	err := paths.ReadJSON(j.path, journalLimit, &f, ": mend it, or delete it and look at langkeep keys")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// A key without an id was being made when the agent ended, so no reader has it.
	for i, r := range f.Keys {
		f.Keys[i].Over = r.Over || r.ID == ""
		if origin, err := langflow.Origin(r.Origin); err == nil {
			f.Keys[i].Origin = origin // older versions spelled origins in other ways
		}
	}
	j.records, j.loaded = f.Keys, true
	return nil
}

// Change changes the records and writes them, before it returns. If they can't
// be written they stay as they were.
func (j *Journal) Change(with func([]Record) []Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.load(); err != nil {
		return err
	}
	next := with(slices.Clone(j.records))
	if slices.Equal(next, j.records) {
		return nil
	}
	if j.path != "" {
		data, err := paths.EncodeJSON(fileFormat{Schema: paths.Schema, Keys: next})
		if err != nil {
			return err
		}
		if err := paths.WriteFile(j.path, data); err != nil {
			return err
		}
	}
	j.records = next
	return nil
}

// Put adds a record, or replaces the one with its name.
func (j *Journal) Put(r Record) error {
	return j.Change(func(all []Record) []Record {
		if i := slices.IndexFunc(all, func(o Record) bool { return o.Name == r.Name }); i >= 0 {
			all[i] = r
			return all
		}
		return append(all, r)
	})
}

// drop removes the record of a key that is gone.
func (j *Journal) drop(name string) error {
	return j.Change(func(all []Record) []Record {
		return slices.DeleteFunc(all, func(o Record) bool { return o.Name == name })
	})
}

// over marks a profile's fitting records as Over.
func (j *Journal) over(profile string, fit func(Record) bool) error {
	return j.Change(func(all []Record) []Record {
		for i, r := range all {
			if r.Profile == profile && fit(r) {
				all[i].Over = true
			}
		}
		return all
	})
}

// All lists the records.
func (j *Journal) All() ([]Record, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.load(); err != nil {
		return nil, err
	}
	return slices.Clone(j.records), nil
}

// of returns the records of an account.
func (j *Journal) of(a Account) ([]Record, error) {
	all, err := j.All()
	return slices.DeleteFunc(all, func(r Record) bool { return r.Origin != a.Origin || r.Username != a.Username }), err
}
