// Package autostart starts the agent when its user logs in, in the way of each system:
// an XDG autostart entry or a systemd user unit, a LaunchAgent, the user's Run key. A
// pure function of an Entry makes the content of each.
package autostart

import (
	"fmt"
	"strings"

	"langkeep/agent/paths"
)

// State tells whether the agent starts at login.
type State string

// The states.
const (
	Disabled State = "disabled"
	Enabled  State = "enabled"
	// Outdated: there is an entry, but it starts another program or was edited.
	Outdated State = "outdated"
)

// Status is the State and the entry's place, as the system names it; "" if there is no
// entry.
type Status struct {
	State State
	Where string
}

// Entry is the program to start at login.
type Entry struct {
	name    string // of the file, the label or the value
	program string // absolute
	home    string // LANGKEEP_HOME, absolute; "" if it isn't set
	places  places
}

// New makes the entry of the agent whose files are at p: it starts this
// program. It touches nothing yet.
func New(p paths.Paths, getenv func(string) string) (*Entry, error) {
	program, err := paths.Program(getenv)
	if err != nil {
		return nil, err
	}
	places, err := findPlaces(getenv)
	if err != nil {
		return nil, err
	}
	// Two agents must not share an entry, as they don't share a keychain.
	return &Entry{name: p.KeychainService(), program: program, home: p.Home, places: places}, nil
}

// check refuses paths that would end their line in an entry.
func (e *Entry) check() error {
	for _, path := range []string{e.program, e.home} {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the path %q has a control character, which no entry can carry: move it", path)
		}
	}
	return nil
}

// words returns the program and its arguments. LANGKEEP_HOME becomes a flag, since a
// Run key on Windows has no environment.
func (e *Entry) words(command ...string) []string {
	words := append([]string{e.program}, command...)
	if e.home != "" {
		words = append(words, "--home", e.home)
	}
	return words
}

// line is words on one line, each as quote writes it.
func (e *Entry) line(quote func(string) string, command ...string) string {
	words := e.words(command...)
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}
