package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"langkeep/agent/paths"
)

// State is a tool as it is on this computer, for people and as JSON: an unknown value is
// null.
type State struct {
	Name        string       `json:"name"`
	Title       string       `json:"title"`
	MCP         bool         `json:"mcp"`       // it takes an MCP server, else an environment
	Installed   bool         `json:"installed"` // its file, its folder or its program is there
	File        *string      `json:"file"`      // that gets an entry; null if there is no home folder
	Connections []Connection `json:"connections"`
}

// Connection is an entry that connect has written, as it is now.
type Connection struct {
	Profile string     `json:"profile"`
	Project *string    `json:"project"`
	Builder bool       `json:"builder"`
	Client  *string    `json:"client"` // whose token is in the entry
	File    string     `json:"file"`
	Entry   EntryState `json:"entry"`
	Starts  *bool      `json:"starts"` // whether its program does; null for a URL, or an entry that is not ours any more
	Reason  *string    `json:"reason"` // why the entry is gone, or the program does not start
}

// EntryState compares an entry with what connect has written.
type EntryState string

// The states of an entry.
const (
	AsWritten  EntryState = "as-written"
	Changed    EntryState = "changed"
	Gone       EntryState = "gone"
	Unreadable EntryState = "unreadable" // the file can't be read, or can't be parsed
)

// States are all tools, with their connections. It starts the programs of entries that
// are as written, to ask them for their version.
func (d Desk) States(ctx context.Context) ([]State, error) {
	all, err := d.Records.All()
	if err != nil {
		return nil, err
	}
	states := []State{}
	answers := map[string]error{} // of programs: most entries have the same
	if program, err := paths.Program(d.getenv); err == nil {
		answers[program] = nil // it is running now
	}
	for _, t := range Tools {
		s := State{Name: t.Name, Title: t.Title, MCP: t.SpeaksMCP(), Connections: []Connection{}}
		if file, installed, err := t.File(runtime.GOOS, d.getenv); err == nil {
			s.File, s.Installed = &file, installed
		}
		for _, n := range all {
			if n.Tool == t.Name {
				s.Connections = append(s.Connections, d.connection(ctx, t, n, answers))
			}
		}
		states = append(states, s)
	}
	return states, nil
}

// connection looks at an entry.
func (d Desk) connection(ctx context.Context, t *Tool, n Record, answers map[string]error) Connection {
	c := Connection{Profile: n.Profile, Builder: n.Builder, File: n.Path, Entry: Unreadable}
	if n.Project != "" {
		c.Project = &n.Project
	}
	if n.Client != "" {
		c.Client = &n.Client
	}
	fail := func(err error) Connection {
		c.Reason = new(err.Error())
		return c
	}
	place, err := d.place(t, n)
	if err != nil {
		return fail(err)
	}
	content, existed, err := place.content()
	if err != nil {
		return fail(err)
	}
	value, err := place.Value(content)
	switch {
	case err != nil:
		return fail(err)
	case !existed:
		c.Entry = Gone
		return fail(fmt.Errorf("%s is gone", n.Path))
	case value == nil:
		c.Entry = Gone
		return fail(fmt.Errorf("%s has no entry %s any more", n.Path, place.Name))
	case n.Entry != sumOfValue(value):
		c.Entry = Changed
		return c
	}
	c.Entry = AsWritten
	command := commandOf(value)
	if len(command) == 0 {
		return c
	}
	err, known := answers[command[0]]
	if !known {
		err = answersVersion(ctx, command[0])
		answers[command[0]] = err
	}
	if i := slices.Index(command, "--"); err == nil && i >= 0 && i+1 < len(command) { // exec's program
		_, err = exec.LookPath(command[i+1])
	}
	c.Starts = new(err == nil)
	if err != nil {
		return fail(err)
	}
	return c
}

// commandOf is the program of an entry, and its arguments; nil if it has none.
func commandOf(value any) (command []string) {
	entry, _ := value.(map[string]any)
	for _, key := range []string{"command", "cmd", "args"} {
		switch part := entry[key].(type) {
		case string:
			command = append(command, part)
		case []any:
			for _, arg := range part {
				command = append(command, fmt.Sprint(arg))
			}
		}
	}
	return command
}

// versionLimit bounds the wait for a program's version: a busy computer takes seconds to
// start it.
const versionLimit = 10 * time.Second

// answersVersion returns an error unless a program is there and is Langkeep's.
func answersVersion(ctx context.Context, program string) error {
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is gone: connect again", program)
	}
	ctx, cancel := context.WithTimeout(ctx, versionLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "version")
	cmd.WaitDelay = time.Second // for a child that keeps its output open
	out, err := cmd.Output()
	switch {
	case err != nil:
		return fmt.Errorf("%s does not start: %w", program, err)
	case !strings.HasPrefix(string(out), "langkeep "):
		return fmt.Errorf("%s is another program: connect again", filepath.Base(program))
	}
	return nil
}
