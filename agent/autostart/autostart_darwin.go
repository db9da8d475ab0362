package autostart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"langkeep/agent/paths"
)

// places has the folder of LaunchAgents.
type places struct{ agents string }

func findPlaces(getenv func(string) string) (places, error) {
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return places{}, fmt.Errorf("HOME must be set to an absolute path, but is %q", home)
	}
	return places{agents: filepath.Join(home, "Library", "LaunchAgents")}, nil
}

func (e *Entry) file() string { return filepath.Join(e.places.agents, e.name+".plist") }

// Possible tells whether something here starts programs at login.
func (e *Entry) Possible() bool { return true }

// Enable makes the agent start at every login from now on.
func (e *Entry) Enable() error {
	content, err := plist(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.places.agents, 0o700); err != nil {
		return fmt.Errorf("create a folder: %w", err)
	}
	return paths.WriteFile(e.file(), []byte(content))
}

// Disable removes the entry; without one it does nothing.
func (e *Entry) Disable() error {
	if err := os.Remove(e.file()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Status looks at the entry.
func (e *Entry) Status() (Status, error) {
	data, err := paths.ReadFile(e.file(), 64<<10)
	if errors.Is(err, fs.ErrNotExist) || paths.Dangling(e.file()) != nil { // a link to nothing starts nothing
		return Status{State: Disabled}, nil
	}
	if err != nil {
		return Status{}, err
	}
	if want, err := plist(e); err == nil && string(data) == want {
		return Status{Enabled, e.file()}, nil
	}
	return Status{Outdated, e.file()}, nil
}
