package paths

import "github.com/gofrs/flock"

// NewLock is the lock that the one agent of this user holds while it runs. Its
// file is never deleted: that would let two agents hold two locks.
func (p Paths) NewLock() *flock.Flock {
	return flock.New(p.Lock(), flock.SetFlag(lockFlag), flock.SetPermissions(0o600))
}

// LockFree tells whether no agent holds the lock. Where it can't be had for
// another reason, such as a folder that isn't there, no agent runs either. It
// shares the lock, so that commands that look at the same time don't take one
// another for an agent.
func (p Paths) LockFree() bool {
	lock := p.NewLock()
	locked, err := lock.TryRLock()
	if locked {
		_ = lock.Unlock()
	}
	return locked || err != nil
}
