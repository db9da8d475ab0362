package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"langkeep/agent/paths"
)

// Keyholder is who has locked the agent, and may unlock it.
type Keyholder int

// The keyholders.
const (
	Person Keyholder = iota // by a command, the page or the tray; kept over a restart
	Screen                  // the desktop's screen is locked
	keyholders
)

// lock says whether the agent hands out credentials. Readers take no lock.
type lock struct {
	path  string // of the file that keeps a person's lock; "" keeps it in memory
	state atomic.Pointer[lockState]
}

type lockState struct {
	by     [keyholders]bool
	closed chan struct{} // closed while somebody has locked
}

func (s *lockState) locked() bool { return s.by != [keyholders]bool{} }

// open reads the file. One that can't be looked at counts as a lock.
func (l *lock) open(path string) {
	l.path = path
	state := &lockState{closed: make(chan struct{})}
	if _, err := os.Lstat(path); path != "" && !errors.Is(err, fs.ErrNotExist) {
		state.by[Person] = true
		close(state.closed)
	}
	l.state.Store(state)
}

// set locks or unlocks. The caller holds Agent.files.
func (l *lock) set(by Keyholder, on bool) (changed bool) {
	was := l.state.Load()
	now := &lockState{by: was.by, closed: was.closed}
	if now.by[by] = on; by == Person && !on {
		now.by = [keyholders]bool{} // a person before an unlocked screen
	}
	if now.by == was.by {
		return false
	}
	switch {
	case now.locked() && !was.locked():
		close(now.closed)
	case !now.locked():
		now.closed = make(chan struct{})
	}
	l.state.Store(now)
	return true
}

// Locked returns a channel that is closed while the agent is locked: it then keeps the
// sessions, and hands no credential out.
func (a *Agent) Locked() <-chan struct{} { return a.lock.state.Load().closed }

// IsLocked tells whether the agent is locked.
func (a *Agent) IsLocked() bool { return a.lock.state.Load().locked() }

// SetLocked locks the agent, or unlocks it. A person's unlocking ends the screen's lock
// too. A person's lock that can't be written down is in force all the same, and an error.
func (a *Agent) SetLocked(by Keyholder, on bool) error {
	a.files.Lock()
	defer a.files.Unlock()
	var err error
	if by == Person && a.lock.path != "" {
		if on {
			err = paths.WriteMark(a.lock.path)
		} else if err = os.Remove(a.lock.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil && !on {
		return fmt.Errorf("the lock can't be taken away: %w", err)
	}
	if a.lock.set(by, on) {
		if a.IsLocked() {
			a.log.Info("locked: nothing is handed out")
		} else {
			a.log.Info("unlocked")
		}
		a.mu.Lock()
		for _, s := range *a.sessions.Load() {
			a.publishLocked(s)
		}
		a.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("the lock will not outlive a restart: %w", err)
	}
	return nil
}

// LockedError is the answer for a reader while the agent is locked, nil while it is not.
func (a *Agent) LockedError(profile string) error {
	if a.IsLocked() {
		return &Error{Kind: Locked, Profile: profile}
	}
	return nil
}
