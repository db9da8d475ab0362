package serve

import (
	"log/slog"
	"sync"

	"langkeep/agent/config"
)

// liveConfig is config.toml for a running agent: it can change.
type liveConfig struct {
	path  string // of config.toml
	level *slog.LevelVar

	changing sync.Mutex // held from reading config.toml to writing it

	mu       sync.Mutex // protects the following
	settings config.Config
	uids     []uint32 // of allow_users
	err      error
}

// set puts settings in force. Its error names unknown users; all else is in force.
func (l *liveConfig) set(c config.Config) (unknown error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settings = c
	l.uids, unknown = c.AllowedUsers()
	setLevel(l.level, c)
	return unknown
}

// Get returns the current settings.
func (l *liveConfig) Get() config.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settings
}

// Change writes config.toml and takes it up at once.
func (l *liveConfig) Change(c config.Change) (config.Config, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	changed, err := config.ChangeConfig(l.path, c)
	if err == nil {
		_ = l.set(changed) // reload, which sees the change too, logs it
	}
	return changed, err
}

// reload takes up config.toml. If that can't be read, it keeps the error, for status.
func (l *liveConfig) reload(log *slog.Logger) {
	changed, err := config.LoadConfig(l.path)
	if err == nil {
		if unknown := l.set(changed); unknown != nil {
			log.Warn("a user is not admitted", "error", unknown)
		}
	} else {
		log.Warn("config.toml can't be read; the settings in force stay", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *liveConfig) problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// allowedUsers are the ids of allow_users.
func (l *liveConfig) allowedUsers() []uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.uids
}

func setLevel(level *slog.LevelVar, c config.Config) {
	// The level was checked when config.toml was read.
	_ = level.UnmarshalText([]byte(c.LogLevel))
}
