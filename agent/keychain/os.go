package keychain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/zalando/go-keyring"

	"langkeep/agent/clock"
)

// ring is the system's keychain, as go-keyring offers it. Its calls take no context and
// may block for ever.
type ring interface {
	Get(service, account string) (string, error)
	Set(service, account, data string) error
	Delete(service, account string) error
}

// gate knows, where the system tells, whether the ring would ask the person.
type gate interface {
	// check is nil if a call of the ring will not ask anyone, as far as can be
	// known.
	check(ctx context.Context) error
	// open asks the person, until ctx ends.
	open(ctx context.Context) error
	// history is how many earlier values of an item the keychain keeps, also of one that was
	// deleted.
	history(ctx context.Context) int
	// recorded makes a write of an item, and tells whether the keychain has put the value
	// before it into the history.
	recorded(ctx context.Context, write func() error) (bool, error)
}

// goKeyring is the ring of zalando/go-keyring.
type goKeyring struct{}

func (goKeyring) Get(service, account string) (string, error) { return keyring.Get(service, account) }
func (goKeyring) Set(service, account, data string) error     { return keyring.Set(service, account, data) }
func (goKeyring) Delete(service, account string) error        { return keyring.Delete(service, account) }

// The longest that a call of the ring may take.
const (
	quickLimit = 5 * time.Second // for a call that asks nobody
	// askLimit is for a call that asks a person. KWallet's assistant for the first wallet
	// has three pages and wants a new password. The API's answers may take 5 min.
	askLimit = 3 * time.Minute
)

// grace is the time that a call gets to return after its context has ended.
const grace = 200 * time.Millisecond

// sizeLimit is the greatest length in bytes of an item in one piece, 0 for none.
//
// Windows: CRED_MAX_CREDENTIAL_BLOB_SIZE, 5*512 bytes. macOS: go-keyring
// writes one command of 4,096 bytes at most, in which the item stands in
// base64; what is left after the longest service and account is 2,950.
// go-keyring itself leaks a process when that is exceeded.
func sizeLimit(goos string) int {
	switch goos {
	case "windows":
		return 2560
	case "darwin":
		return 2900
	}
	return 0
}

// osConfig has the parts that a test replaces.
type osConfig struct {
	service    string // no colon: Windows puts one between service and account
	ring       ring
	gate       gate
	limit      int // bytes an item in one piece, 0 for none
	quick, ask time.Duration
	settle     time.Duration // from a write until the keychain has surely saved it; 0: at once
	log        *slog.Logger
}

// osStore is the system's keychain. One goroutine, own, makes every call, one
// at a time: go-keyring's Linux half mixes up concurrent prompts, and a call
// that hangs must not be joined by others.
type osStore struct {
	osConfig
	calls   chan *call
	steps   chan struct{} // the call in flight goes on
	once    sync.Once
	closing chan struct{} // closed by Close
	closed  chan struct{} // closed when own has ended
	fresh   freshItems
	watched sync.WaitGroup // for watch
}

// NewOS makes a Store of the system's keychain, with the items kept under
// service, see paths.KeychainService. It touches nothing yet.
func NewOS(service string, log *slog.Logger) Store {
	return newOS(osConfig{
		service: service, ring: goKeyring{}, gate: newGate(),
		limit: sizeLimit(runtime.GOOS), quick: quickLimit, ask: askLimit, settle: settleTime(runtime.GOOS), log: log,
	})
}

func newOS(c osConfig) *osStore {
	s := &osStore{osConfig: c, calls: make(chan *call), steps: make(chan struct{}), closing: make(chan struct{}), closed: make(chan struct{})}
	s.fresh.wake = make(chan struct{}, 1)
	s.watched.Go(s.watch)
	go s.own()
	return s
}

// call is one operation on the keychain: calls of the ring, one after the other. Each
// may take the limit; there are hundreds where an item has many pieces.
type call struct {
	ctx   context.Context
	asks  bool // a person is asked
	may   bool // a person may be asked
	run   func(context.Context) error
	reply chan error // capacity 1
}

// do has own run f, and returns what f did.
func (s *osStore) do(ctx context.Context, asks bool, f func(context.Context) error) error {
	return s.submit(&call{ctx: ctx, asks: asks, run: f, reply: make(chan error, 1)})
}

// submit has own make a call, and returns what it brings.
func (s *osStore) submit(c *call) error {
	ctx := c.ctx
	select {
	case s.calls <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return errClosed
	}
	select {
	case err := <-c.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	errClosed = fmt.Errorf("%w: it was closed", ErrFailing)
	errWaits  = fmt.Errorf("%w: it waits for an answer on the screen", ErrLocked)
)

// own makes the calls. While one call hangs or asks a person, own refuses the others at
// once, so that they need not wait.
func (s *osStore) own() {
	defer close(s.closed)
	var (
		now     *call        // in flight, and its caller waits
		done    chan error   // of the call in flight, nil when there is none
		cancel  func()       // of the call in flight
		timer   = newTimer() // runs while now is set
		refusal error        // the error for other callers meanwhile; nil: they wait
		closing = s.closing
	)
	for closing != nil || now != nil && !now.asks && !(now.may && refusal != nil) {
		calls := s.calls
		if closing == nil || done != nil && refusal == nil {
			calls = nil
		}
		select {
		case <-closing:
			closing = nil
		case c := <-calls:
			if refusal != nil {
				c.reply <- refusal
				continue
			}
			if c.ctx.Err() != nil { // the caller has left
				c.reply <- c.ctx.Err()
				continue
			}
			limit := s.quick
			if c.asks {
				limit, refusal = s.ask, errWaits
			}
			var ctx context.Context
			ctx, cancel = context.WithCancel(c.ctx)
			now, done = c, make(chan error, 1)
			timer.Reset(limit + 2*grace)
			go func(done chan<- error) { done <- c.run(ctx) }(done)
		case <-s.steps:
			if now != nil {
				timer.Reset(s.quick + 2*grace)
				if now.may {
					refusal = nil
				}
			}
		case err := <-done:
			timer.Stop()
			cancel()
			if now != nil {
				now.reply <- err
			} else {
				s.log.Info("the keychain answers again")
			}
			now, done, refusal = nil, nil, nil
		case <-timer.C:
			if now.may && refusal == nil {
				refusal = errWaits
				timer.Reset(s.ask)
				continue
			}
			// go-keyring can't be stopped: its goroutine stays behind, and ends after it.
			cancel()
			refusal = fmt.Errorf("%w; look for its question on the screen, or restart it", ErrSilent)
			now.reply <- refusal
			now = nil
			s.log.Warn("a call of the keychain hangs")
		}
	}
	if now != nil { // withdraw a question that nobody will answer now
		now.reply <- errClosed
	}
	if cancel != nil {
		cancel()
	}
}

// newTimer makes a timer that does not run.
func newTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (*osStore) Kind() string { return "keychain" }

func (s *osStore) Ready(ctx context.Context) error { return s.do(ctx, false, s.probe) }

func (s *osStore) Unlock(ctx context.Context) error {
	return s.do(ctx, true, func(ctx context.Context) error {
		limited, cancel := context.WithTimeout(ctx, s.ask)
		defer cancel()
		if err := s.gate.open(limited); err != nil {
			return err
		}
		return s.probe(ctx)
	})
}

// probe reads an item that does not exist: macOS asks the person for it, and a
// network logon on Windows has no keychain to read it from.
func (s *osStore) probe(ctx context.Context) error {
	_, err := s.get(ctx, "probe")
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (s *osStore) Get(ctx context.Context, account string) (Item, error) {
	var it Item
	err := s.do(ctx, false, func(ctx context.Context) error {
		data, err := s.read(ctx, account)
		if err != nil {
			return err
		}
		it, err = decode(account, data)
		return err
	})
	if err != nil {
		return Item{}, err
	}
	return it, nil
}

func (s *osStore) Set(ctx context.Context, account string, it Item) error {
	data, err := encode(account, it)
	if err != nil {
		return err
	}
	parts := s.split(data)
	if len(parts) > maxPieces {
		return fmt.Errorf("%w: %s would have %d pieces", ErrFailing, account, len(parts))
	}
	return s.do(ctx, false, func(ctx context.Context) error {
		var was, now head
		old, err := s.get(ctx, account)
		switch {
		case err == nil:
			was, err = inspect(account, old)
			if errors.Is(err, errNewer) {
				return err
			}
			if err != nil {
				s.log.Warn("replacing a keychain item that can't be parsed", "account", account)
			}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		text := data
		if parts != nil {
			set := pieceSets[0]
			if was.Set == set {
				set = pieceSets[1]
			}
			if now, err = s.writePieces(ctx, account, set, parts); err != nil {
				return err
			}
			if text, err = now.encode(); err != nil {
				return err
			}
		}
		if err := s.put(ctx, account, text); err != nil {
			return err
		}
		s.written(account, text)
		if err := s.sweep(ctx, account, was, now); err != nil {
			s.log.Warn("pieces of an earlier secret stay in the keychain until the next one is written", "account", account, "error", err)
		}
		return nil
	})
}

func (s *osStore) Delete(ctx context.Context, account string) error {
	// KeePassXC may ask before it deletes.
	return s.submit(&call{ctx: ctx, may: true, reply: make(chan error, 1), run: func(ctx context.Context) error {
		var was head
		if s.limit > 0 {
			old, err := s.get(ctx, account)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			// A head that can't be parsed tells nothing of its pieces; sweep looks for them.
			was, _ = parseHead(account, old)
		}
		s.unwatch(account)
		kept, err := s.blank(ctx, account)
		if err != nil {
			s.log.Warn("a secret that is deleted stays in the keychain's history", "account", account, "error", err)
		}
		// The head goes first: an item without all its pieces would be one that fails.
		err = s.erase(ctx, account)
		if errors.Is(err, ErrKept) && kept != "" {
			err = errors.Join(err, s.put(ctx, account, kept))
		}
		if err != nil {
			return err
		}
		return s.sweep(ctx, account, was, head{})
	}})
}

// The pace of blank, for KeePassXC 2.7.4.
const (
	blankPause  = 50 * time.Millisecond  // while it saves, which takes a second for most databases
	blankSettle = 500 * time.Millisecond // until a save that had all but ended has ended
	blankLimit  = 20 * time.Second       // for one item
)

// blank writes over an item, so often that the keychain's history of it has nothing else,
// and returns what it was. Where there is no history it does nothing.
//
// KeePassXC 2.7.4 puts no value into the history while it saves its database, and does not
// save again for a change at the end of a save. So only recorded writes count, and after a
// pause there is one more, which has it save what is in the history then.
func (s *osStore) blank(ctx context.Context, account string) (was string, err error) {
	history := s.gate.history(ctx)
	if history == 0 {
		return "", nil
	}
	was, err = s.get(ctx, account)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	begin := time.Now()
	for n, count := 0, 0; err == nil && count < history+2; n++ {
		if time.Since(begin) > blankLimit {
			return was, fmt.Errorf("%w: it saves without end", ErrFailing)
		}
		// A history takes no value that is the one before. No server gets an item without an
		// origin, should this be cut short.
		var text string
		if text, err = encode(account, Item{Username: strconv.Itoa(n)}); err != nil {
			return was, err
		}
		var recorded bool
		recorded, err = s.gate.recorded(ctx, func() error { return s.put(ctx, account, text) })
		var pause time.Duration
		switch {
		case !recorded:
			pause = blankPause
		case count == history:
			pause = blankSettle
		}
		if recorded {
			count++
		}
		if err == nil && pause > 0 {
			err = clock.Pause(ctx, pause)
		}
	}
	return was, err
}

// check is nil if the ring may be called. A call that comes back after its limit must
// not go on: its caller already has an error.
func (s *osStore) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.quick)
	defer cancel()
	return s.gate.check(limited)
}

// step makes one call of the ring, if nobody need be asked.
func (s *osStore) step(ctx context.Context, account string, ring func() error) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	err := s.explain(account, survive(ring))
	select {
	case s.steps <- struct{}{}:
	case <-ctx.Done():
	}
	return err
}

// survive makes a panic of a call of the ring an error. go-keyring 0.2.8 panics when the
// session bus ends, or the tray closes their connection, while a question is on the
// screen, and when a program answers it with what the specification does not have.
func survive(ring func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: it was cut off in the middle of a call (%v); try again, and start the agent in the desktop's session anew if that has ended", ErrFailing, p)
		}
	}()
	return ring()
}

// get reads one item of the ring. One without content is ErrNotFound: KWallet 5.103 has
// such an item after a crash, see settleTime. KWallet also says so of one whose wallet has
// just been locked, so that is looked at again.
func (s *osStore) get(ctx context.Context, account string) (string, error) {
	var data string
	read := func() (err error) {
		data, err = s.ring.Get(s.service, account)
		return err
	}
	err := s.step(ctx, account, read)
	if err == nil && data == "" {
		err = s.step(ctx, account, read)
	}
	if err == nil && data == "" {
		err = fmt.Errorf("%s: %w", account, ErrNotFound)
	}
	return data, err
}

// put writes one item of the ring, and reads it back: macOS reports no error when it
// refuses a write.
func (s *osStore) put(ctx context.Context, account, data string) error {
	err := s.step(ctx, account, func() error { return s.ring.Set(s.service, account, data) })
	if err != nil {
		return err
	}
	back, err := s.get(ctx, account)
	if errors.Is(err, ErrNotFound) || err == nil && back != data {
		return fmt.Errorf("%w: %s was written but does not read back", ErrFailing, account)
	}
	return err
}

// erase deletes one item of the ring, if there is one, and looks for it afterwards:
// go-keyring 0.2.8 reports no error when the person dismisses the Secret Service's
// question.
func (s *osStore) erase(ctx context.Context, account string) error {
	err := s.step(ctx, account, func() error { return s.ring.Delete(s.service, account) })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.get(ctx, account)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("%w: %w: %s; try again, and let the keychain delete it", ErrFailing, ErrKept, account)
	}
	return err
}

// explain turns an error of go-keyring into one of this package.
func (s *osStore) explain(account string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return fmt.Errorf("%s: %w", account, ErrNotFound)
	}
	kind := systemError(err)
	if kind == ErrNotFound {
		return fmt.Errorf("%s: %w", account, ErrNotFound)
	}
	return fmt.Errorf("%w: %w", kind, err)
}

func (s *osStore) Close() error {
	s.once.Do(func() { close(s.closing) })
	<-s.closed
	s.watched.Wait()
	return nil
}
