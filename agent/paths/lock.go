package paths

import "github.com/gofrs/flock"

// NewLock is the lock of a file that is for nothing else. The file is never deleted:
// that would let two processes hold two locks.
func NewLock(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(lockFlag), flock.SetPermissions(0o600))
}

// LockFree tells whether no agent holds the agent's lock. If the lock can't be opened, for
// instance because its folder is missing, no agent runs either. LockFree takes a shared
// lock, so that two commands that look at the same time don't take each other for an
// agent.
func (p Paths) LockFree() bool {
	lock := NewLock(p.Lock())
	locked, err := lock.TryRLock()
	if locked {
		_ = lock.Unlock()
	}
	return locked || err != nil
}
