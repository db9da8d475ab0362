package connect

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"langkeep/agent/paths"
)

// Record is what is remembered of an entry that was written, so that it can be
// taken back. There is no secret in it.
type Record struct {
	Tool    string `json:"tool"`
	Profile string `json:"profile"`
	Path    string `json:"path"`
	// Backup is the file as it was before; "" if there was none.
	Backup string `json:"backup"`
	// SHA256 is of the file as it was written. While the file has it, the backup
	// can be put back as it is.
	SHA256 string `json:"sha256"`
	Client string `json:"client"` // whose token is in the entry; "" if none is
}

// Records are the entries that were written, in a file.
type Records struct{ path string }

// OpenRecords names the file; it need not be there.
func OpenRecords(path string) Records { return Records{path} }

type recordsFile struct {
	Schema      int      `json:"schema"`
	Connections []Record `json:"connections"`
}

// All lists the records.
func (r Records) All() ([]Record, error) {
	data, err := paths.ReadFile(r.path, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f recordsFile
	if err := paths.Adopt(r.path, data, &f, ": mend it, or delete it and take the entries out by hand"); err != nil {
		return nil, err
	}
	return f.Connections, nil
}

// Find finds the record of a tool and a profile.
func (r Records) Find(tool, profile string) (Record, bool, error) {
	all, err := r.All()
	for _, found := range all {
		if found.Tool == tool && found.Profile == profile {
			return found, true, err
		}
	}
	return Record{}, false, err
}

// put adds a record, in place of the one of its tool and profile.
func (r Records) put(n Record) error {
	return r.change(n.Tool, n.Profile, &n)
}

func (r Records) change(tool, profile string, with *Record) error {
	all, err := r.All()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(o Record) bool { return o.Tool == tool && o.Profile == profile })
	if with != nil {
		all = append(all, *with)
	}
	data, err := json.MarshalIndent(recordsFile{paths.Schema, all}, "", "\t")
	if err != nil {
		return err
	}
	return paths.WriteFile(r.path, append(data, '\n'))
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Make writes an edit for a profile, with a backup of the file as it was, and
// remembers it. client is whose token is in it, "" for none.
func (r Records) Make(t *Tool, profile string, e *Edit, client string) (Record, error) {
	n := Record{Tool: t.Name, Profile: profile, Path: e.Path, SHA256: sumOf(e.After), Client: client}
	old, again, err := r.Find(t.Name, profile)
	if err != nil {
		return n, err
	}
	switch {
	case again && old.Path != e.Path:
		return n, fmt.Errorf("%s is connected in %s: disconnect it first", t.Title, old.Path)
	case again:
		n.Backup = old.Backup // what was there before the first
		if old.SHA256 != sumOf(e.Before) {
			n.SHA256 = "" // others have changed it since
		}
	case e.Existed:
		n.Backup = fmt.Sprintf("%s.before-langkeep-%s", e.Path, profile)
		if err := paths.WriteFile(n.Backup, e.Before); err != nil {
			return n, err
		}
	}
	// First, so that what a crash leaves can be taken back.
	if err := r.put(n); err != nil {
		return n, err
	}
	return n, e.Write(client != "")
}

// TakeBack puts back what was there before an entry: the whole file, if nobody
// has changed it since, else the entry alone.
func (r Records) TakeBack(n Record, p Place) error {
	var backup []byte
	if n.Backup != "" {
		var err error
		if backup, err = paths.ReadFile(n.Backup, fileLimit); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	content, existed, err := p.content()
	if err != nil {
		return err
	}
	switch {
	case !existed:
	case sumOf(content) == n.SHA256 && n.Backup == "":
		err = os.Remove(p.Path)
	case sumOf(content) == n.SHA256 && backup != nil:
		err = (&Edit{Place: p, After: backup}).Write(false)
	default:
		var before any
		if backup != nil {
			if before, err = p.Value(backup); err != nil {
				return err
			}
		}
		var e *Edit
		if e, err = p.Put(before); err == nil && e.Changes() {
			err = e.Write(false)
		}
	}
	if err != nil {
		return err
	}
	if err := r.change(n.Tool, n.Profile, nil); err != nil {
		return err
	}
	if n.Backup != "" {
		if err := os.Remove(n.Backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
