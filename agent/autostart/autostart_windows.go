package autostart

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

// The keys below HKEY_CURRENT_USER. In the second one the Task Manager and the Settings
// note that a person turned an entry off: an odd first byte.
const (
	runKey      = `Software\Microsoft\Windows\CurrentVersion\Run`
	approvedKey = `Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run`
)

// places is empty: the keys are the same for every user.
type places struct{}

func findPlaces(func(string) string) (places, error) { return places{}, nil }

// Possible tells whether something here starts programs at login.
func (e *Entry) Possible() bool { return true }

// Enable makes the agent start at every login from now on.
func (e *Entry) Enable() error {
	value, err := runValue(e)
	if err != nil {
		return err
	}
	key, _, err := registry.CreateKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf("open the Run key: %w", err)
	}
	defer key.Close()
	if err := key.SetStringValue(e.name, value); err != nil {
		return fmt.Errorf("write the Run key: %w", err)
	}
	return deleteValue(approvedKey, e.name)
}

// Disable removes the entry; without one it does nothing.
func (e *Entry) Disable() error {
	return errors.Join(deleteValue(runKey, e.name), deleteValue(approvedKey, e.name))
}

func deleteValue(path, name string) error {
	key, err := registry.OpenKey(registry.CURRENT_USER, path, registry.SET_VALUE)
	if err == nil {
		defer key.Close()
		err = key.DeleteValue(name)
	}
	if err != nil && !errors.Is(err, registry.ErrNotExist) {
		return fmt.Errorf("change %s: %w", path, err)
	}
	return nil
}

// Status looks at the entry.
func (e *Entry) Status() (Status, error) {
	where := `HKEY_CURRENT_USER\` + runKey + `\` + e.name
	value, err := readValue(runKey, func(key registry.Key) (string, error) {
		value, _, err := key.GetStringValue(e.name)
		return value, err
	})
	if errors.Is(err, registry.ErrNotExist) {
		return Status{State: Disabled}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read the Run key: %w", err)
	}
	approved, err := readValue(approvedKey, func(key registry.Key) (string, error) {
		data, _, err := key.GetBinaryValue(e.name)
		return string(data), err
	})
	if err == nil && approved != "" && approved[0]&1 == 1 {
		return Status{Disabled, where}, nil
	}
	if want, err := runValue(e); err == nil && value == want {
		return Status{Enabled, where}, nil
	}
	return Status{Outdated, where}, nil
}

func readValue(path string, read func(registry.Key) (string, error)) (string, error) {
	key, err := registry.OpenKey(registry.CURRENT_USER, path, registry.QUERY_VALUE)
	if err != nil {
		return "", err
	}
	defer key.Close()
	return read(key)
}
