package asks

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"slices"

	"langkeep/agent/paths"
)

// Modes are when programs are asked about, as the settings say.
type Modes struct {
	All Mode            `json:"all"`      // for each profile without one of its own
	Own map[string]Mode `json:"profiles"` // by profile
}

// of is a profile's mode.
func (m Modes) of(profile string) Mode { return cmp.Or(m.Own[profile], m.All, ModeNever) }

// Weakened is a mode by which fewer programs are asked about than before.
type Weakened struct {
	Profile string // "" for all without a mode of their own
	Was, Is Mode
}

// strength orders the modes.
func (m Mode) strength() int { return slices.Index([]Mode{ModeNever, ModeNew, ModeAlways}, m) }

// weaker compares modes with those before.
func weaker(was, is Modes) []Weakened {
	var all []Weakened
	add := func(profile string) {
		before, now := was.of(profile), is.of(profile)
		if now.strength() < before.strength() {
			all = append(all, Weakened{profile, before, now})
		}
	}
	add("")
	names := map[string]Mode{}
	maps.Copy(names, was.Own)
	maps.Copy(names, is.Own)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		add(name)
	}
	return all
}

// Memory tells when modes have become weaker, also while no agent ran.
type Memory struct {
	path  string // "" keeps them in memory
	modes Modes
	known bool
}

// remembered is the file.
type remembered struct {
	Schema int `json:"schema"`
	Modes
}

// NewMemory makes a memory that is kept in a file.
func NewMemory(path string) *Memory { return &Memory{path: path} }

// Look returns what has become weaker since the last look, and remembers the modes. With
// the error they are remembered until the agent ends. gone tells whether a profile with a
// mode of its own is not there now: its mode stays remembered, since it may come back.
func (m *Memory) Look(is Modes, gone func(profile string) bool) ([]Weakened, error) {
	if !m.known {
		if err := m.load(); err != nil {
			m.known, m.modes = true, is
			return nil, err
		}
	}
	own := map[string]Mode{}
	maps.Copy(own, is.Own)
	for name, mode := range m.modes.Own {
		if gone(name) {
			own[name] = mode
		}
	}
	is.Own = own
	found := weaker(m.modes, is)
	if m.known && m.modes.All == is.All && maps.Equal(m.modes.Own, is.Own) {
		return found, nil
	}
	m.known, m.modes = true, is
	if m.path == "" {
		return found, nil
	}
	data, err := paths.EncodeJSON(remembered{paths.Schema, is})
	if err == nil {
		err = paths.WriteFile(m.path, data)
	}
	return found, err
}

// load reads the file. Without one nothing was asked about.
func (m *Memory) load() error {
	if m.path == "" {
		return nil
	}
	var kept remembered
	err := paths.ReadJSON(m.path, fileLimit, &kept, ": delete it")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.modes = kept.Modes
	return nil
}
