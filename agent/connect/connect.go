// Package connect writes entries into the configuration files of tools, and removes
// them again. The rest of a file stays as it is, comments and order too. An Edit can be
// shown first, and is checked by reading its result.
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
	// put sets the value of a section's entry; nil removes the entry.
	put(content []byte, section, name string, value any) ([]byte, error)
}

// Place is the place of an entry in a file.
type Place struct {
	Path    string // of the file
	Section string
	Name    string
	format  format
	begin   string // of a new file
}

// errFormat is wrapped by the errors of files that can't be edited.
var errFormat = errors.New("it is left as it is; edit it by hand")

// Edit is a prepared change of a file.
type Edit struct {
	Place
	Before, After []byte // the whole file
	Existed       bool
}

// Changes tells whether there is anything to do.
func (e *Edit) Changes() bool { return !bytes.Equal(e.Before, e.After) }

// Put prepares an Edit that sets the entry's value; nil removes the entry.
func (p Place) Put(value any) (*Edit, error) {
	before, existed, err := p.content()
	if err != nil {
		return nil, err
	}
	base := before
	if len(bytes.TrimSpace(before)) == 0 && value != nil && p.begin != "" {
		base = []byte(p.begin)
	}
	after, err := p.edited(base, value)
	if err != nil {
		return nil, err
	}
	return &Edit{Place: p, Before: before, After: after, Existed: existed}, nil
}

// edited returns content with the entry's value. Any other difference in the file's
// meaning is an error.
func (p Place) edited(before []byte, value any) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("%s: %w: %w", p.Path, err, errFormat)
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

// put sets the entry's value in a file's content. A byte order mark stays, and a file
// whose lines all end in CRLF keeps those ends.
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

// Value returns the entry's value in a file's content; nil if there is none.
func (p Place) Value(content []byte) (any, error) {
	tree, err := p.read(content)
	if err != nil {
		return nil, fmt.Errorf("%s: it can't be parsed: %w: %w", p.Path, err, errFormat)
	}
	section, _ := tree[p.Section].(map[string]any)
	return section[p.Name], nil
}

// Entry returns a value in the file's own format, for people to copy.
func (p Place) Entry(value any) (string, error) {
	content, err := p.format.put(nil, p.Section, p.Name, value)
	return string(content), err
}

// Write makes the change. A file with a secret becomes private to its user; any other
// keeps its mode. Hard links and mounts stay. undo restores the old file; after an
// error Write has done so itself.
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
		same, err := e.unchanged()
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

// unchanged tells whether the file is the same as when the Edit was prepared.
func (e *Edit) unchanged() (bool, error) {
	now, existed, err := e.content()
	return existed == e.Existed && bytes.Equal(now, e.Before), err
}

// CheckUnchanged returns an error if the file is not the same as when the Edit was
// prepared.
func (e *Edit) CheckUnchanged() error {
	same, err := e.unchanged()
	if err == nil && !same {
		err = fmt.Errorf("%s was changed meanwhile: connect again", e.Path)
	}
	return err
}

// Token returns the client token in the file's entry; "" if there is none.
func (p Place) Token() string {
	content, _, err := p.content()
	if err != nil {
		return ""
	}
	value, _ := p.Value(content) // a file that can't be parsed has none
	return tokenIn(value)
}

// tokenIn finds the header of a token, wherever a tool has it.
func tokenIn(value any) string {
	entry, _ := value.(map[string]any)
	if token, ok := entry["x-api-key"].(string); ok {
		return token
	}
	for _, inner := range entry {
		if token := tokenIn(inner); token != "" {
			return token
		}
	}
	return ""
}
