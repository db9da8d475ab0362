package serve

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"langkeep/agent/config"
)

// liveConfig is config.toml for a running agent: it can change.
type liveConfig struct {
	path  string // of config.toml
	level *slog.LevelVar

	changing sync.Mutex // held from reading config.toml until what was read or written is in force

	now atomic.Pointer[inForce] // without a lock, since every request reads it
	err atomic.Pointer[error]   // why config.toml can't be read
}

// inForce are the settings in force. They never change; others replace them.
type inForce struct {
	settings config.Config
	uids     []uint32 // of allow_users
}

// newLiveConfig takes the settings that were read at the start. An unknown user among
// them is logged by reload, at the start of config.Watch.
func newLiveConfig(path string, level *slog.LevelVar, c config.Config) *liveConfig {
	l := &liveConfig{path: path, level: level}
	_ = l.set(c)
	return l
}

// set puts settings in force. Its error names unknown users; all else is in force.
func (l *liveConfig) set(c config.Config) (unknown error) {
	uids, unknown := c.AllowedUsers()
	l.now.Store(&inForce{c, uids})
	setLevel(l.level, c)
	return unknown
}

// Get returns the current settings.
func (l *liveConfig) Get() config.Config { return l.now.Load().settings }

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
	l.changing.Lock()
	defer l.changing.Unlock()
	changed, err := config.LoadConfig(l.path)
	if err == nil {
		if unknown := l.set(changed); unknown != nil {
			log.Warn("a user is not admitted", "error", unknown)
		}
	} else {
		log.Warn("config.toml can't be read; the settings in force stay", "error", err)
	}
	l.err.Store(&err)
}

func (l *liveConfig) problem() error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return nil
}

// allowedUsers are the ids of allow_users.
func (l *liveConfig) allowedUsers() []uint32 { return l.now.Load().uids }

func setLevel(level *slog.LevelVar, c config.Config) {
	// The level was checked when config.toml was read.
	_ = level.UnmarshalText([]byte(c.LogLevel))
}
