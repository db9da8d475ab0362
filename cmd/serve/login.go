package serve

import (
	"os"

	"langkeep/agent/autostart"
	"langkeep/agent/paths"
)

// loginStart starts the agent at login; it implements localapi.Autostart.
type loginStart struct {
	entry *autostart.Entry
	paths paths.Paths
}

func (l loginStart) Enabled() bool {
	status, err := l.entry.Status()
	return err == nil && status.State == autostart.Enabled
}

func (l loginStart) Set(on bool) error {
	if on {
		return l.entry.Enable()
	}
	return l.entry.Disable()
}

func (l loginStart) IsOffered() bool {
	_, err := os.Stat(l.paths.StartOffered())
	return err == nil
}

func (l loginStart) Offered() error {
	if l.IsOffered() {
		return nil
	}
	return paths.WriteMark(l.paths.StartOffered())
}
