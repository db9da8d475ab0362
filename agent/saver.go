package agent

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"langkeep/agent/keychain"
)

// saver writes refreshed secrets to the store in the background, so that no reader
// waits for a keychain. Of several writes of one item only the newest counts. It
// tries a failed write again; the session lives on in memory meanwhile.
type saver struct {
	store keychain.Store
	log   *slog.Logger
	wake  chan struct{}
	hurry chan chan struct{} // has every pending item tried now; what it brings is closed then

	mu      sync.Mutex              // protects the following
	pending map[string]pendingWrite // by the item's name
	written map[string]time.Time    // when an item with a least pause was last written, by its name
	busy    string                  // the name of the item being written
	writing pendingWrite            // the item being written
	idle    chan struct{}           // closed at the end of that write
}

// pendingWrite is an item to store, or with gone to delete. told hears the
// result of each attempt; it may be nil.
type pendingWrite struct {
	item keychain.Item
	gone bool
	told func(error)
	// pause is the least time from the item's last such write to this one. The last item
	// before the agent's end does not wait.
	pause time.Duration
}

func newSaver(store keychain.Store, log *slog.Logger) *saver {
	return &saver{store: store, log: log, wake: make(chan struct{}, 1), hurry: make(chan chan struct{}), pending: map[string]pendingWrite{}, written: map[string]time.Time{}}
}

// save queues an item for the store; told may be nil.
func (v *saver) save(itemName string, item keychain.Item, told func(error)) {
	v.want(itemName, pendingWrite{item: item, told: told})
}

// remove queues the deletion of an item.
func (v *saver) remove(itemName string) { v.want(itemName, pendingWrite{gone: true}) }

func (v *saver) want(itemName string, w pendingWrite) {
	v.mu.Lock()
	v.pending[itemName] = w
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// newest returns the pending write of an item, false if there is none.
func (v *saver) newest(itemName string) (pendingWrite, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.pending[itemName]
	if !ok && v.busy == itemName {
		return v.writing, true
	}
	return w, ok
}

// forget drops the pending writes of the items and returns them. It first waits for
// a write under way to one of them: a failed write becomes pending again, and a
// successful one may queue a deletion (see tidying).
func (v *saver) forget(itemNames ...string) map[string]pendingWrite {
	dropped := map[string]pendingWrite{}
	v.mu.Lock()
	defer v.mu.Unlock()
	for slices.Contains(itemNames, v.busy) {
		idle := v.idle
		v.mu.Unlock()
		<-idle
		v.mu.Lock()
	}
	for _, itemName := range itemNames {
		if w, ok := v.pending[itemName]; ok {
			dropped[itemName] = w
			delete(v.pending, itemName)
		}
	}
	return dropped
}

// run writes pending items until ctx ends, then tries each one that is left once more.
func (v *saver) run(ctx context.Context) {
	const longest = 2 * time.Minute
	wait := time.Duration(0)
	var tried chan struct{}
	for {
		due, pause := v.due()
		if v.writeAll(ctx, due) {
			wait = 0
		} else {
			wait = min(max(2*wait, 2*time.Second), longest)
		}
		if tried != nil {
			close(tried)
			tried = nil
		}
		if wait > 0 && (pause == 0 || wait < pause) {
			pause = wait
		}
		var retry <-chan time.Time
		if pause > 0 {
			retry = time.After(pause)
		}
		select {
		case <-v.wake:
		case tried = <-v.hurry:
		case <-retry:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			v.mu.Lock()
			left := slices.Collect(maps.Keys(v.pending))
			v.mu.Unlock()
			v.writeAll(last, left)
			return
		}
	}
}

// due returns the names of the pending items to write now, and the time until the next of
// the others; 0 if there are none.
func (v *saver) due() (itemNames []string, pause time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for itemName, w := range v.pending {
		left := w.pause - time.Since(v.written[itemName])
		switch {
		case w.pause == 0 || left <= 0:
			itemNames = append(itemNames, itemName)
		case pause == 0 || left < pause:
			pause = left
		}
	}
	return itemNames, pause
}

// writeAll tries each of the items once and tells whether none of them is left.
func (v *saver) writeAll(ctx context.Context, itemNames []string) bool {
	done := true
	for _, itemName := range itemNames {
		if ctx.Err() != nil {
			return false
		}
		done = v.write(ctx, itemName) && done
	}
	return done
}

// write makes the newest pending write of an item, and tells whether it is no longer pending. An
// item that is too big is dropped: waiting does not make it smaller.
func (v *saver) write(ctx context.Context, itemName string) bool {
	v.mu.Lock()
	w, ok := v.pending[itemName]
	if !ok {
		v.mu.Unlock()
		return true
	}
	delete(v.pending, itemName)
	idle := make(chan struct{})
	v.busy, v.writing, v.idle = itemName, w, idle
	v.mu.Unlock()

	var err error
	if w.gone {
		err = v.store.Delete(ctx, itemName)
		if errors.Is(err, keychain.ErrKept) {
			// The keychain would ask the person with every attempt. Instead an empty
			// item replaces this one; no server gets it.
			err = v.store.Set(ctx, itemName, keychain.Item{})
		}
	} else {
		err = v.store.Set(ctx, itemName, w.item)
	}

	v.mu.Lock()
	_, newer := v.pending[itemName]
	again := err != nil && !newer && !errors.Is(err, keychain.ErrTooBig)
	if again {
		v.pending[itemName] = w
	}
	if w.pause > 0 && !again {
		v.written[itemName] = time.Now()
	}
	v.mu.Unlock()
	switch {
	case err != nil && w.gone:
		v.log.Warn("can't remove an earlier secret now", "item", itemName, "error", err)
	case err != nil:
		v.log.Warn("can't store a secret now; the session lives on in memory", "item", itemName, "error", err)
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
