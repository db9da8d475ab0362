package paths

import "github.com/gofrs/flock"

// NewLock is the lock that the one agent of this user holds while it runs. Its
// file is never deleted: that would let two agents hold two locks.
func (p Paths) NewLock() *flock.Flock {
	return flock.New(p.Lock(), flock.SetFlag(lockFlag), flock.SetPermissions(0o600))
}

// LockFree tells whether no agent holds the lock. If the lock can't be opened, for
// instance because its folder is missing, no agent runs either. LockFree takes a shared
// lock, so that two commands that look at the same time don't take each other for an
// agent.
func (p Paths) LockFree() bool {
	lock := p.NewLock()
	locked, err := lock.TryRLock()
	if locked {
		_ = lock.Unlock()
	}
	return locked || err != nil
}
