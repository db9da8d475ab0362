package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"langkeep/agent/keychain"
)

// saver writes refreshed secrets to the store in the background, so that no reader
// waits for a keychain. Of several secrets for one account only the newest counts. It
// tries a failed write again; the session lives on in memory meanwhile.
type saver struct {
	store keychain.Store
	log   *slog.Logger
	wake  chan struct{}

	mu      sync.Mutex // protects the following
	pending map[string]wish
	busy    string        // the account being written
	writing wish          // the item being written
	idle    chan struct{} // closed at the end of that write
}

// wish is a pending write: an item to store, or with gone to delete. told hears the
// result of each attempt.
type wish struct {
	item keychain.Item
	gone bool
	told func(error)
}

func newSaver(store keychain.Store, log *slog.Logger) *saver {
	return &saver{store: store, log: log, wake: make(chan struct{}, 1), pending: map[string]wish{}}
}

// save queues an item for the store; told may be nil.
func (v *saver) save(account string, item keychain.Item, told func(error)) {
	v.want(account, wish{item: item, told: told})
}

// remove queues the deletion of an item.
func (v *saver) remove(account string) { v.want(account, wish{gone: true}) }

func (v *saver) want(account string, w wish) {
	v.mu.Lock()
	v.pending[account] = w
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// newest returns the pending write of an account, false if there is none.
func (v *saver) newest(account string) (wish, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.pending[account]
	if !ok && v.busy == account {
		return v.writing, true
	}
	return w, ok
}

// forget drops the pending writes of the accounts and returns them. It first waits for
// a write under way to one of them: a failed write becomes pending again, and a
// successful one may queue a deletion (see tidying).
func (v *saver) forget(accounts ...string) map[string]wish {
	dropped := map[string]wish{}
	v.mu.Lock()
	defer v.mu.Unlock()
	for slices.Contains(accounts, v.busy) {
		idle := v.idle
		v.mu.Unlock()
		<-idle
		v.mu.Lock()
	}
	for _, account := range accounts {
		if w, ok := v.pending[account]; ok {
			dropped[account] = w
			delete(v.pending, account)
		}
	}
	return dropped
}

// run writes pending items until ctx ends, then tries each one that is left once more.
func (v *saver) run(ctx context.Context) {
	const longest = 2 * time.Minute
	wait := time.Duration(0)
	for {
		if v.writeAll(ctx) {
			wait = 0
		} else {
			wait = min(max(2*wait, 2*time.Second), longest)
		}
		var retry <-chan time.Time
		if wait > 0 {
			retry = time.After(wait)
		}
		select {
		case <-v.wake:
		case <-retry:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			v.writeAll(last)
			return
		}
	}
}

// writeAll tries each pending item once and tells whether none is left.
func (v *saver) writeAll(ctx context.Context) bool {
	v.mu.Lock()
	accounts := make([]string, 0, len(v.pending))
	for account := range v.pending {
		accounts = append(accounts, account)
	}
	v.mu.Unlock()
	done := true
	for _, account := range accounts {
		if ctx.Err() != nil {
			return false
		}
		done = v.write(ctx, account) && done
	}
	return done
}

// write stores one account's newest item, and tells whether it is no longer pending. An
// item that is too big is dropped: waiting does not make it smaller.
func (v *saver) write(ctx context.Context, account string) bool {
	v.mu.Lock()
	w, ok := v.pending[account]
	if !ok {
		v.mu.Unlock()
		return true
	}
	delete(v.pending, account)
	idle := make(chan struct{})
	v.busy, v.writing, v.idle = account, w, idle
	v.mu.Unlock()

	var err error
	if w.gone {
		err = v.store.Delete(ctx, account)
		if errors.Is(err, keychain.ErrKept) {
			// The keychain would ask the person with every attempt. Instead an empty
			// item replaces this one; no server gets it.
			err = v.store.Set(ctx, account, keychain.Item{})
		}
	} else {
		err = v.store.Set(ctx, account, w.item)
	}

	v.mu.Lock()
	_, newer := v.pending[account]
	again := err != nil && !newer && !errors.Is(err, keychain.ErrTooBig)
	if again {
		v.pending[account] = w
	}
	v.mu.Unlock()
	switch {
	case err != nil && w.gone:
		v.log.Warn("can't remove an earlier secret now", "item", account, "error", err)
	case err != nil:
		v.log.Warn("can't store a secret now; the session lives on in memory", "item", account, "error", err)
	}
	if w.told != nil {
		w.told(err)
	}
	// Clear busy last, so that forget's callers never see a late callback.
	v.mu.Lock()
	v.busy = ""
	v.mu.Unlock()
	close(idle)
	return !again
}
