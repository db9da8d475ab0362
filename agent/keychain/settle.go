package keychain

import (
	"context"
	"errors"
	"sync"
	"time"

	"langkeep/agent/secret"
)

// settleTime is the time after which osStore reads once more what it has written, and
// writes it again if it is lost.
//
// KWallet 5.103 puts a new item's attributes on disk at once, and its secret 5 s after the
// last write (_syncTime in kwalletd.cpp). A kwalletd that is killed before, also by the end
// of a desktop session, has the secret from before, or an item without content. It deletes
// as late (removeEntry there); a deletion that was lost leaves an item without attributes,
// which no search finds.
func settleTime(goos string) time.Duration {
	if goos == "linux" {
		return 10 * time.Second
	}
	return 0
}

// settlePause is the longest pause between two looks at items that can't be read.
const settlePause = 2 * time.Minute

// freshItems are the items that the keychain may not have saved yet.
type freshItems struct {
	wake chan struct{} // something was written; capacity 1

	mu    sync.Mutex // protects the following
	items map[string]freshItem
}

type freshItem struct {
	text secret.Text
	due  time.Time // to be read
}

// written has watch look at an account's new text.
func (s *osStore) written(account, text string) {
	if s.settle == 0 {
		return
	}
	s.fresh.mu.Lock()
	if s.fresh.items == nil {
		s.fresh.items = map[string]freshItem{}
	}
	s.fresh.items[account] = freshItem{secret.New(text), time.Now().Add(s.settle)}
	s.fresh.mu.Unlock()
	select {
	case s.fresh.wake <- struct{}{}:
	default:
	}
}

// unwatch has watch look no more at an account: its text is saved, or goes.
func (s *osStore) unwatch(account string) {
	s.fresh.mu.Lock()
	defer s.fresh.mu.Unlock()
	delete(s.fresh.items, account)
}

// watch reads each written item again when the keychain must have saved it. It ends with
// Close.
func (s *osStore) watch() {
	pause := s.settle
	for {
		var timer <-chan time.Time
		if due, ok := s.nextDue(); ok {
			timer = time.After(time.Until(due))
		}
		select {
		case <-s.closing:
			return
		case <-s.fresh.wake:
			continue
		case <-timer:
		}
		if s.lookAgain() {
			pause = s.settle
			continue
		}
		// The keychain is locked or gone: all items wait for it together.
		pause = min(2*pause, settlePause)
		s.fresh.mu.Lock()
		for account, item := range s.fresh.items {
			item.due = time.Now().Add(pause)
			s.fresh.items[account] = item
		}
		s.fresh.mu.Unlock()
	}
}

// nextDue is when the first item is to be read; false if there is none.
func (s *osStore) nextDue() (first time.Time, ok bool) {
	s.fresh.mu.Lock()
	defer s.fresh.mu.Unlock()
	for _, item := range s.fresh.items {
		if !ok || item.due.Before(first) {
			first, ok = item.due, true
		}
	}
	return first, ok
}

// lookAgain reads the items that are due. False: the keychain is locked or gone.
func (s *osStore) lookAgain() bool {
	s.fresh.mu.Lock()
	var due []string
	for account, item := range s.fresh.items {
		if !item.due.After(time.Now()) {
			due = append(due, account)
		}
	}
	s.fresh.mu.Unlock()
	for _, account := range due {
		if err := s.do(context.Background(), false, func(ctx context.Context) error { return s.prove(ctx, account) }); err != nil {
			return false
		}
	}
	return true
}

// prove reads one item, and writes it again if the keychain has lost it.
//
// KeePassXC 2.7.4 saves at once, but not for a change at the end of a save, until there is
// another one. So prove makes one. It does not write again there what is gone, which would
// ask a person.
func (s *osStore) prove(ctx context.Context, account string) error {
	s.fresh.mu.Lock()
	item, ok := s.fresh.items[account]
	s.fresh.mu.Unlock()
	if !ok || item.due.After(time.Now()) { // deleted or written meanwhile
		return nil
	}
	keePassXC := s.gate.history(ctx) > 0
	if keePassXC {
		s.unwatch(account)
	}
	switch data, err := s.get(ctx, account); {
	case err == nil && data == item.text.Reveal() && keePassXC:
		return s.put(ctx, account, data+" ") // the same to who parses it
	case err == nil && data == item.text.Reveal():
		s.unwatch(account)
		return nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	case keePassXC:
		return nil
	}
	s.log.Warn("the keychain has lost an item; writing it again", "account", account)
	if err := s.put(ctx, account, item.text.Reveal()); err != nil {
		return err
	}
	s.written(account, item.text.Reveal())
	return nil
}
