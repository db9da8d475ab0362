package connect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"langkeep/agent/paths"
)

// Record describes an entry that connect has written, so that it can be removed again.
// It holds no secret.
type Record struct {
	Tool string `json:"tool"`
	Link
	Path string `json:"path"`
	// Backup is the file as it was before Langkeep's first entry in it; "" if there was
	// none. All records of a file name the same one.
	Backup string `json:"backup"`
	// SHA256 is the hash of the file as last written by Langkeep. While the file still
	// has it, the backup can replace the whole file.
	SHA256 string `json:"sha256"`
	// Entry is the hash of the entry's meaning as written.
	Entry string `json:"entry"`
	// Made is the outermost folder that was made for the file; "" if there was no need.
	Made   string `json:"made,omitempty"`
	Client string `json:"client"` // the client whose token is in the entry; "" if none is
	// Mode is the file's mode before a token made it private; 0 if there is nothing to
	// restore.
	Mode fs.FileMode `json:"mode,omitempty"`
}

// Records is the file of all Records. Make, its undo and TakeBack hold its lock, so two
// commands at once change neither this file nor a tool's by what they read before the
// other one wrote.
type Records struct{ path, lockPath string }

// OpenRecords names the file; it need not be there, but its folder must.
func OpenRecords(p paths.Paths) Records { return Records{p.Connections(), p.ConnectionsLock()} }

// lockPatience is how long a command waits for another one, which holds the lock only
// while it reads and writes files.
const lockPatience = 10 * time.Second

// lock waits until no other command changes connections.
func (r Records) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	lock := paths.NewLock(r.lockPath)
	_, err = lock.TryLockContext(ctx, 20*time.Millisecond)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.New("another langkeep command is changing connections: wait for its end, and try again")
	case err != nil:
		return nil, fmt.Errorf("can't lock %s: %w", r.lockPath, err)
	}
	return func() { _ = lock.Unlock() }, nil // it fails only if the file can't be closed, at which the lock ends too
}

type recordsFile struct {
	Schema      int      `json:"schema"`
	Connections []Record `json:"connections"`
}

// All lists the records.
func (r Records) All() ([]Record, error) {
	var f recordsFile
	err := paths.ReadJSON(r.path, 1<<20, &f, ": mend it, or delete it and take the entries out by hand")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return f.Connections, nil
}

// is tells whether two records are of one entry: a tool has one of a profile's flows,
// and one of its builder.
func (n Record) is(o Record) bool {
	return n.Tool == o.Tool && n.Profile == o.Profile && n.Builder == o.Builder
}

// Find finds the record of a tool and a profile, for its flows or its builder.
func (r Records) Find(tool, profile string, builder bool) (Record, bool, error) {
	all, err := r.All()
	wanted := Record{Tool: tool, Link: Link{Profile: profile, Builder: builder}}
	if i := slices.IndexFunc(all, wanted.is); i >= 0 {
		return all[i], true, err
	}
	return Record{}, false, err
}

// changeLocked replaces the records by what change makes of them.
func (r Records) changeLocked(change func([]Record) []Record) error {
	all, err := r.All()
	if err != nil {
		return err
	}
	data, err := paths.EncodeJSON(recordsFile{paths.Schema, change(all)})
	if err != nil {
		return err
	}
	return paths.WriteFile(r.path, data)
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Make writes an edit for a link, with a backup of the old file and a record. client
// is the client whose token is in the entry, "" for none. A file that has changed since
// the edit was prepared is an error. undo restores the file, its record and the backup;
// after an error Make has done so itself.
func (r Records) Make(ctx context.Context, t *Tool, l Link, e *Edit, client string) (n Record, undo func(context.Context) error, err error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return Record{}, nil, err
	}
	defer unlock()
	if err := e.CheckUnchanged(); err != nil {
		return Record{}, nil, err
	}
	n, undoLocked, err := r.makeLocked(t, l, e, client)
	return n, func(ctx context.Context) error {
		unlock, err := r.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
		return undoLocked()
	}, err
}

func (r Records) makeLocked(t *Tool, l Link, e *Edit, client string) (n Record, undo func() error, err error) {
	n = Record{Tool: t.Name, Link: l, Path: e.Path, SHA256: sumOf(e.After), Client: client}
	if value, err := e.Value(e.After); err == nil {
		n.Entry = sumOfValue(value)
	}
	var steps []func() error
	undo = func() error {
		var failed []error
		for _, step := range slices.Backward(steps) {
			failed = append(failed, step())
		}
		return errors.Join(failed...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo())
		}
	}()
	before, err := r.All()
	if err != nil {
		return n, undo, err
	}
	i := slices.IndexFunc(before, n.is)
	if i >= 0 && before[i].Path != e.Path {
		return n, undo, fmt.Errorf("%s is connected in %s: disconnect it first", t.Title, before[i].Path)
	}
	if other := slices.IndexFunc(before, func(o Record) bool { return o.Path == e.Path && !o.is(n) && t.EntryName(o.Link) == e.Name }); other >= 0 {
		return n, undo, fmt.Errorf("%s has the entry %s for the profile %s already: disconnect that first, or name another file with --file", e.Path, e.Name, before[other].Profile)
	}
	if info, err := os.Stat(e.Path); err == nil && client != "" && info.Mode().Perm() != 0o600 {
		n.Mode = info.Mode().Perm()
	}
	if i < 0 {
		i = slices.IndexFunc(before, func(o Record) bool { return o.Path == e.Path })
	}
	switch {
	case i >= 0:
		old := before[i]
		n.Backup, n.Made = old.Backup, old.Made // from before the first edit
		if old.Mode != 0 {
			n.Mode = old.Mode
		}
		if old.SHA256 != sumOf(e.Before) {
			n.SHA256 = "" // the file has changed since
		}
	case e.Existed:
		n.Backup = freeName(e.Path + ".before-langkeep-" + l.Profile)
		if err := paths.WriteFile(n.Backup, e.Before); err != nil {
			return n, undo, fmt.Errorf("can't make a backup: %w: make its folder writable, or name another file with --file", err)
		}
		steps = append(steps, func() error { return os.Remove(n.Backup) })
	default:
		if missing := missingFolders(filepath.Dir(e.Path)); len(missing) > 0 {
			n.Made = missing[len(missing)-1]
		}
	}
	// Write the record before the file, so that the entry can be removed after a kill
	// in between.
	if err := r.changeLocked(func(all []Record) []Record {
		all = slices.DeleteFunc(all, n.is)
		share(all, n)
		return append(all, n)
	}); err != nil {
		return n, undo, err
	}
	steps = append(steps, func() error {
		return r.changeLocked(func(all []Record) []Record { // another command may have added to them
			all = slices.DeleteFunc(all, n.is)
			for _, old := range before {
				if old.is(n) {
					all = append(all, old)
				} else if i := slices.IndexFunc(all, old.is); i >= 0 && old.Path == n.Path && all[i].SHA256 == n.SHA256 {
					all[i].SHA256 = old.SHA256
				}
			}
			return all
		})
	})
	restore, err := e.Write(client != "")
	if err != nil {
		return n, undo, err
	}
	steps = append(steps, restore)
	return n, undo, nil
}

// share has the other records of a file know it as n does.
func share(all []Record, n Record) {
	for i := range all {
		if all[i].Path == n.Path {
			all[i].SHA256 = n.SHA256
			if n.Mode != 0 {
				all[i].Mode = n.Mode
			}
		}
	}
}

// sumOfValue is the hash of an entry's meaning; "" for none.
func sumOfValue(value any) string {
	if value == nil {
		return ""
	}
	data, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return sumOf(data)
}

// freeName is path, or path with a number where something is there already: the
// backup of another tool in the same file, or a person's own.
func freeName(path string) string {
	name := path
	for i := 2; ; i++ {
		if _, err := os.Lstat(name); err != nil {
			return name // on another error the write to it fails with the reason
		}
		name = fmt.Sprintf("%s-%d", path, i)
	}
}

// TakeBack undoes an entry. It restores the whole file if the entry is the last one of
// Langkeep's in it and nobody else has changed it, otherwise the entry alone. A file
// that is gone or empty stays so; left then names its backup, the only copy of the old
// content. left is "" if no backup remains. A record that another command has removed
// or replaced is an error.
func (r Records) TakeBack(ctx context.Context, n Record, p Place) (left string, err error) {
	unlock, err := r.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	all, err := r.All()
	i := slices.IndexFunc(all, func(o Record) bool {
		o.SHA256, o.Mode = n.SHA256, n.Mode // another entry in the file may have changed these
		return o == n
	})
	if err != nil || i < 0 {
		return "", errors.Join(err, errors.New("another langkeep command has changed this connection meanwhile: langkeep connect --list shows the connections"))
	}
	n = all[i]
	all = slices.Delete(all, i, i+1)
	shared := slices.ContainsFunc(all, func(o Record) bool { return o.Path == n.Path })
	var backup []byte
	if n.Backup != "" {
		if backup, err = paths.ReadFile(n.Backup, fileLimit); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	content, existed, err := p.content()
	if err != nil {
		return "", err
	}
	gone := !existed || len(bytes.TrimSpace(content)) == 0
	unchanged := sumOf(content) == n.SHA256
	write := func(e *Edit) error {
		if _, err := e.Write(false); err != nil {
			return err
		}
		if info, err := os.Stat(p.Path); err != nil || n.Mode == 0 || shared || info.Mode().Perm() != 0o600 {
			return err // unless a person has set another mode since
		}
		return os.Chmod(p.Path, n.Mode)
	}
	switch {
	case gone && !unchanged:
	case unchanged && !shared && n.Backup == "":
		err = os.Remove(p.Path)
		if n.Made != "" {
			removeFolders(foldersBetween(filepath.Dir(p.Path), n.Made))
		}
	case unchanged && !shared && backup != nil:
		err = write(&Edit{Place: p, Before: content, After: backup, Existed: true})
	default:
		var before any
		if backup != nil {
			if before, err = p.Value(backup); err != nil {
				return "", err
			}
		}
		var e *Edit
		if e, err = p.Put(before); err == nil && e.Changes() {
			if err = write(e); err == nil && unchanged {
				n.SHA256 = sumOf(e.After)
				share(all, n)
			}
		}
	}
	if err != nil {
		return "", err
	}
	if err := r.changeLocked(func([]Record) []Record { return all }); err != nil {
		return "", err
	}
	switch {
	case n.Backup == "" || slices.ContainsFunc(all, func(o Record) bool { return o.Backup == n.Backup }):
	case gone && len(bytes.TrimSpace(backup)) > 0:
		return n.Backup, nil
	default:
		if err := os.Remove(n.Backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}
