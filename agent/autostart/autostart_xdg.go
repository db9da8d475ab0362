//go:build !darwin && !windows

package autostart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"langkeep/agent/paths"
)

// places has the folders of the entries, and the kind of entry for this system.
type places struct {
	config    string // XDG_CONFIG_HOME
	everyUser string // the folder in which root enables user units for everybody
	desktop   bool   // this is a session with a desktop, which reads autostart entries
	systemd   bool   // systemd runs this computer, and so the user's units
}

func findPlaces(getenv func(string) string) (places, error) {
	// XDG Base Directory Specification 0.8: a relative path counts as unset.
	config := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return places{}, fmt.Errorf("HOME must be set to an absolute path, but is %q", home)
		}
		config = filepath.Join(home, ".config")
	}
	desktop := false
	for _, name := range []string{"XDG_CURRENT_DESKTOP", "WAYLAND_DISPLAY", "DISPLAY"} {
		desktop = desktop || getenv(name) != ""
	}
	// sd_booted(3) makes the same check.
	info, err := os.Lstat("/run/systemd/system")
	return places{config: config, everyUser: "/etc/systemd/user", desktop: desktop, systemd: err == nil && info.IsDir()}, nil
}

func (e *Entry) desktopFile() string {
	return filepath.Join(e.places.config, "autostart", e.name+".desktop")
}

func (e *Entry) unitFile() string {
	return filepath.Join(e.places.config, "systemd", "user", e.name+".service")
}

// wantedBy is the link that `systemctl --user enable` would make. Langkeep makes it
// without systemctl, so no running systemd is needed; systemd reads it at the next
// login.
func (e *Entry) wantedBy() string {
	return filepath.Join(e.places.config, "systemd", "user", "default.target.wants", e.name+".service")
}

// wantedByAll is the link that `systemctl --global enable` makes.
func (e *Entry) wantedByAll() string {
	return filepath.Join(e.places.everyUser, "default.target.wants", e.name+".service")
}

// Possible tells whether something here starts programs at login.
func (e *Entry) Possible() bool { return e.places.desktop || e.places.systemd }

// Enable makes the agent start at every login from now on: by the desktop, so that it
// has a tray, or by systemd where there is no desktop. An ssh session counts as one
// without a desktop.
func (e *Entry) Enable() error {
	switch {
	case e.places.desktop:
		content, err := desktopEntry(e)
		if err != nil {
			return err
		}
		if err := write(e.desktopFile(), content); err != nil {
			return err
		}
		return e.removeUnit()
	case e.places.systemd:
		content, err := unit(e)
		if err != nil {
			return err
		}
		if err := write(e.unitFile(), content); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(e.wantedBy()), 0o700); err != nil {
			return fmt.Errorf("create a folder: %w", err)
		}
		if err := os.Symlink(filepath.Join("..", e.name+".service"), e.wantedBy()); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("enable the unit: %w", err)
		}
		return e.removeDesktopFile()
	}
	return errors.New("there is neither a desktop nor systemd here to start a program at login: run langkeep start from your shell's profile")
}

func write(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("create a folder: %w", err)
	}
	return paths.WriteFile(file, []byte(content))
}

// Disable removes every entry; without one it does nothing.
func (e *Entry) Disable() error {
	err := errors.Join(e.removeDesktopFile(), e.removeUnit())
	if content, _ := read(e.wantedByAll()); content != "" && !masked(e.unitFile()) {
		err = errors.Join(err, fmt.Errorf("%s starts the agent for every user: run systemctl --global disable %s as root, or systemctl --user mask %s for you alone", e.wantedByAll(), e.name, e.name))
	}
	return err
}

func (e *Entry) removeDesktopFile() error {
	return remove(e.desktopFile(), filepath.Dir(e.desktopFile()))
}

func (e *Entry) removeUnit() error {
	user := filepath.Dir(e.unitFile())
	err := remove(e.wantedBy(), filepath.Dir(e.wantedBy()))
	if masked(e.unitFile()) {
		return err // without the mask the unit for every user would start
	}
	return errors.Join(err, remove(e.unitFile(), user, filepath.Dir(user)))
}

// masked tells whether the user has masked the unit of that name.
func masked(file string) bool {
	to, err := os.Readlink(file)
	return err == nil && to == os.DevNull
}

// remove deletes a file, then those of the folders that are empty: they were most
// likely made for the file.
func remove(file string, folders ...string) error {
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, folder := range folders {
		_ = syscall.Rmdir(folder) // unlike os.Remove, it leaves a symbolic link alone
	}
	return nil
}

// Status looks at the entries.
func (e *Entry) Status() (Status, error) {
	desktop, err := e.desktopStatus()
	if err != nil || desktop.State == Enabled {
		return desktop, err
	}
	unit, err := e.unitStatus()
	if err != nil || unit.State != Disabled {
		return unit, err
	}
	return desktop, nil
}

func (e *Entry) desktopStatus() (Status, error) {
	content, err := read(e.desktopFile())
	if content == "" || err != nil {
		return Status{State: Disabled}, err
	}
	want, err := desktopEntry(e)
	switch {
	case err == nil && content == want:
		return Status{Enabled, e.desktopFile()}, nil
	case switchedOff(content):
		return Status{Disabled, e.desktopFile()}, nil
	}
	return Status{Outdated, e.desktopFile()}, nil
}

func (e *Entry) unitStatus() (Status, error) {
	own, err := read(e.unitFile())
	if err != nil {
		return Status{}, err
	}
	_, missing := os.Lstat(e.unitFile())
	for _, link := range []string{e.wantedBy(), e.wantedByAll()} {
		if _, err := os.Lstat(link); err != nil {
			continue
		}
		where, content := e.unitFile(), own
		if missing != nil { // systemctl has enabled the unit of a package
			where = link
			if content, err = read(link); err != nil {
				return Status{}, err
			}
		}
		if content == "" { // masked, or the package is gone
			continue
		}
		if want, err := unit(e); err == nil && content == want {
			return Status{Enabled, where}, nil
		}
		return Status{Outdated, where}, nil
	}
	if own != "" {
		return Status{Disabled, e.unitFile()}, nil // by systemctl --user disable
	}
	return Status{State: Disabled}, nil
}

// read reads an entry; "" if there is none.
func read(file string) (string, error) {
	if masked(file) {
		return "", nil
	}
	data, err := paths.ReadFile(file, 64<<10)
	if errors.Is(err, fs.ErrNotExist) || paths.Dangling(file) != nil { // a link to nothing starts nothing
		return "", nil
	}
	return string(data), err
}
