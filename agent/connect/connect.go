// Package connect writes entries into the configuration files of tools, and
// takes them out again. All else in a file stays as it is, comments and order
// too; what it would do is shown first, and checked by reading the result.
package connect

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"langkeep/agent/paths"
)

// fileLimit is in bytes. Claude Code keeps its histories in its file too: 12 MB
// are ordinary.
const fileLimit = 128 << 20

// format reads and edits one kind of file.
type format interface {
	// read is a file's content as a tree.
	read(content []byte) (map[string]any, error)
	// put gives the entry of that name in a section a value, nil to take it away.
	put(content []byte, section, name string, value any) ([]byte, error)
}

// Place is where an entry stands.
type Place struct {
	Path    string // of the file
	Section string
	Name    string
	format  format
}

// ErrFormat is what an error wraps that is about a file which can't be edited.
var ErrFormat = errors.New("it is left as it is")

// Edit is a change of a file that was not made yet.
type Edit struct {
	Place
	Before, After []byte // the whole file
	Existed       bool
}

// Changes tells whether there is anything to do.
func (e *Edit) Changes() bool { return !bytes.Equal(e.Before, e.After) }

// Put prepares to give the entry a value, or to take it away with nil.
func (p Place) Put(value any) (*Edit, error) {
	before, existed, err := p.content()
	if err != nil {
		return nil, err
	}
	after, err := p.edited(before, value)
	if err != nil {
		return nil, err
	}
	return &Edit{Place: p, Before: before, After: after, Existed: existed}, nil
}

// edited is content with the entry's value. Whatever else that would change is
// an error.
func (p Place) edited(before []byte, value any) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("%s: %w: %w", p.Path, err, ErrFormat)
	}
	want, err := p.read(before)
	if err != nil {
		return fail(fmt.Errorf("it can't be parsed: %w", err))
	}
	after, err := p.put(before, value)
	if err != nil {
		return fail(err)
	}
	got, err := p.read(after)
	if err != nil {
		return fail(errors.New("it is written in a way that can't be added to"))
	}
	section, _ := want[p.Section].(map[string]any)
	if section == nil && value != nil {
		section = map[string]any{}
		want[p.Section] = section
	}
	if value != nil {
		alone, err := p.format.put(nil, p.Section, p.Name, value)
		if err != nil {
			return fail(err)
		}
		tree, err := p.format.read(alone)
		if err != nil {
			return fail(err)
		}
		section[p.Name] = tree[p.Section].(map[string]any)[p.Name]
	} else if section != nil {
		delete(section, p.Name)
	}
	if inner, _ := got[p.Section].(map[string]any); value == nil && len(section) == 0 && len(inner) == 0 {
		delete(got, p.Section) // however an empty one is written
		delete(want, p.Section)
	}
	if !reflect.DeepEqual(got, want) {
		return fail(errors.New("it is written in a way that can't be added to"))
	}
	return after, nil
}

// byteOrderMark begins a file that some editors on Windows have written.
var byteOrderMark = []byte("\ufeff")

// read is a file's content as a tree.
func (p Place) read(content []byte) (map[string]any, error) {
	return p.format.read(bytes.TrimPrefix(content, byteOrderMark))
}

// put gives the entry a value in a file's content. A byte order mark stays, and a
// file whose lines all end in CRLF keeps them so.
func (p Place) put(content []byte, value any) ([]byte, error) {
	content, marked := bytes.CutPrefix(content, byteOrderMark)
	crlf := bytes.Count(content, []byte("\r\n"))
	windows := crlf > 0 && crlf == bytes.Count(content, []byte("\n"))
	if windows {
		content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	}
	content, err := p.format.put(content, p.Section, p.Name, value)
	if err != nil {
		return nil, err
	}
	if windows {
		content = bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
	}
	if marked {
		content = slices.Concat(byteOrderMark, content)
	}
	return content, nil
}

// content is the file as it is.
func (p Place) content() (content []byte, existed bool, err error) {
	content, err = paths.ReadFile(p.Path, fileLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return content, err == nil, err
}

// Value is what stands in a file's content for the entry; nil for nothing.
func (p Place) Value(content []byte) (any, error) {
	tree, err := p.read(content)
	if err != nil {
		return nil, fmt.Errorf("%s: it can't be parsed: %w: %w", p.Path, err, ErrFormat)
	}
	section, _ := tree[p.Section].(map[string]any)
	return section[p.Name], nil
}

// Entry is a value as it would stand in the file, for people to copy.
func (p Place) Entry(value any) (string, error) {
	content, err := p.format.put(nil, p.Section, p.Name, value)
	return string(content), err
}

// Write makes the change. A file that holds a secret is for its user alone;
// another one keeps its mode, and keeps its hard links and mounts in any case.
// undo puts back what was there; after an error it has been.
func (e *Edit) Write(secret bool) (undo func() error, err error) {
	mode, was := fs.FileMode(0o600), fs.FileMode(0o600)
	if info, err := os.Stat(e.Path); err == nil {
		was = info.Mode().Perm()
		if !secret {
			mode = was
		}
	}
	made, err := makeFolders(filepath.Dir(e.Path))
	if err != nil {
		return nil, err
	}
	undo = func() error {
		defer removeFolders(made)
		same, err := e.Unchanged()
		switch {
		case err != nil || same:
			return err
		case !e.Existed:
			return os.Remove(e.Path)
		}
		return writeFile(e.Path, e.Before, was)
	}
	if err := writeFile(e.Path, e.After, mode); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: make it writable, or name another file with --file", err), undo())
	}
	return undo, nil
}

// Unchanged tells whether the file is still as it was looked at.
func (e *Edit) Unchanged() (bool, error) {
	now, existed, err := e.content()
	return existed == e.Existed && bytes.Equal(now, e.Before), err
}

// Token is the client token that the entry has in its file by now; "" if there
// is none.
func (p Place) Token() string {
	content, _, err := p.content()
	if err != nil {
		return ""
	}
	value, _ := p.Value(content) // what can't be parsed has none
	entry, _ := value.(map[string]any)
	headers, _ := entry["headers"].(map[string]any)
	token, _ := headers["x-api-key"].(string)
	return token
}
