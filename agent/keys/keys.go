// Package keys makes managed keys: API keys of a Langflow server that are made from a
// session, have an end, are replaced in time, and are deleted on the server in the end,
// whatever becomes of the agent in between.
package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

const (
	usualLifetime = 24 * time.Hour   // of a key, where its profile says nothing else
	retry         = 10 * time.Second // between two attempts to make one
	doubtInterval = 10 * time.Second // between two trials of a key that an answer refused
	forbidden     = 10 * time.Minute // until a server that forbids keys is asked again
	grace         = 10 * time.Minute // that a replaced key lives after its last use, where the server ignores its end
	sweepInterval = 15 * time.Second // between two looks at what is to be deleted
	signOutTime   = 5 * time.Second  // for deleting keys at a sign-out
)

// Account is what a key is made from: the account of a profile, as it is now.
type Account struct {
	Profile, Origin, Username string

	Work     context.Context  // of work for it; ends when somebody signs the profile in or out, changes or removes it
	Client   *langflow.Client // nil if there is no way to the server
	Lifetime time.Duration    // wanted for its keys; 0 is the usual one
	Refused  bool             // the server has ended the session for good
	Access   secret.Text      // a token that is valid now; empty if there is none
}

// Sessions is where keys come from.
type Sessions interface {
	// Account describes a profile's account, and tells whether there is one.
	Account(profile string) (Account, bool)
	// Accounts are all of them.
	Accounts() iter.Seq[Account]
	// Token returns a token that is valid, once there is one.
	Token(ctx context.Context, profile string) (secret.Text, error)
	// TokenRefused hears that the server refused a token of the profile's.
	TokenRefused(profile string, token secret.Text)
	// Turn keeps others from signing a profile in or out, changing or removing it until
	// release is called.
	Turn(ctx context.Context, profile string) (release func(), err error)
	// Try is Turn if nobody has to be waited for.
	Try(profile string) (release func(), ok bool)
	// Changed hears that the profile's Status is another.
	Changed(profile string)
}

// Store is where keys outlive the agent. Items of another origin or account are
// keychain.ErrNotFound.
type Store interface {
	StoredKey(ctx context.Context, a Account) (keychain.Item, error)
	SaveKey(profile string, item keychain.Item)
	RemoveKey(profile string)
}

// ErrInterrupted ends the wait for a key because somebody signs the profile in or out,
// changes or removes it.
var ErrInterrupted = errors.New("interrupted")

// ErrStopping ends the wait for a key because the agent stops.
var ErrStopping = errors.New("the agent is stopping")

// Problem says why there is no key.
type Problem string

// The problems.
const (
	TooShort  Problem = "too-short" // keys don't live as long as was asked for
	Forbidden Problem = "forbidden" // the server lets the account make none
	NoSuchKey Problem = "no-such-key"
	Unwritten Problem = "unwritten" // a key that can't be written down is not made
)

// Error is a Problem, with what is known of it.
type Error struct {
	Problem Problem
	Most    time.Duration // TooShort: the longest that a key lives
	Detail  string        // Forbidden: what the server said
	Err     error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Problem, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Grant is a key for a reader.
type Grant struct {
	Key       secret.Text
	ID        string
	ExpiresAt time.Time     // by the server's clock
	ExpiresIn time.Duration // by our reckoning
}

// Status is what people are told of a profile's keys.
type Status struct {
	Expires   time.Time // of the key that is handed out now
	Reason    string    // vocabulary.KeysForbidden, vocabulary.ExpiryIgnored or ""
	Left      int       // of keys that are still to be deleted on the server, which can't be asked
	LeftUntil time.Time // when the last of them ends
}

// Config is what a Manager is made of.
type Config struct {
	Sessions Sessions
	Store    Store
	Journal  *Journal
	Clock    clock.Clock
	Log      *slog.Logger
	// Begin runs work in a goroutine, and tells whether it does.
	Begin func(work func()) bool
}

// Manager makes the keys of all profiles, and deletes them.
type Manager struct {
	Config
	kick chan struct{} // there is another key to be deleted one day

	mu   sync.Mutex // protects the following; held for what memory takes
	keys map[string]*held
	made int64
}

// held is what is known of a profile's key. Manager.mu protects it.
type held struct {
	key     managed
	loaded  bool          // what the store has of it was read
	err     error         // why the last one could not be made
	retryAt time.Duration // clock.Elapsed before which it is not tried again

	doubtedAt time.Duration // clock.Elapsed when a refused one was last tried; -1 never
	flight    *flight       // a key is being made or tried; nil if none

	left      int // see Status
	leftUntil time.Time
}

// managed is a managed key. The zero value is none.
type managed struct {
	id, name string
	key      secret.Text
	expires  time.Time     // by the server's clock: ours to keep, if the server ignores it
	lifetime time.Duration // when it was made or loaded
	since    time.Duration // clock.Elapsed of that
	renewAt  time.Duration // clock.Elapsed when it is due for another
	ignored  bool          // the server knows no end of it
	doubted  bool          // an answer refused it: it is tried before anybody gets it again
}

// flight is work on a key that any number of readers wait for.
type flight struct {
	done chan struct{} // closed at its end
	err  error         // once done
}

// New makes a Manager: see Sweep.
func New(c Config) *Manager {
	return &Manager{Config: c, kick: make(chan struct{}, 1), keys: map[string]*held{}}
}

// heldLocked is what is known of a profile's key.
func (m *Manager) heldLocked(profile string) *held {
	h := m.keys[profile]
	if h == nil {
		h = &held{doubtedAt: -1}
		m.keys[profile] = h
	}
	return h
}

// current is the profile's key.
func (m *Manager) current(profile string) (key managed, loaded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.keys[profile]; h != nil {
		return h.key, h.loaded
	}
	return managed{}, false
}

// serverNow is the time on the account's server.
func (m *Manager) serverNow(a Account) time.Time {
	now := m.Clock.Now()
	if a.Client != nil {
		offset, _ := a.Client.Offset()
		now = now.Add(offset)
	}
	return now
}

// leftOf is how long a key lives, by the less favourable clock, as with tokens.
func (m *Manager) leftOf(k *managed, a Account) time.Duration {
	if k.key.Empty() {
		return 0
	}
	return max(0, min(k.expires.Sub(m.serverNow(a)), k.lifetime-(m.Clock.Elapsed()-k.since)))
}

// lifetime is how long an account's keys live.
func (a Account) lifetime() time.Duration {
	if a.Lifetime > 0 {
		return a.Lifetime
	}
	return usualLifetime
}

// least is how long a key must live for a reader who does not care.
func (a Account) least() time.Duration {
	return max(min(time.Minute, a.lifetime()/10), time.Second)
}

// Key returns a key that lives for at least minValid (negative: whatever is sensible),
// making one if need be; readers that come meanwhile wait for the same one. Errors are
// *Error, ErrInterrupted, ErrStopping, the end of ctx, or what Sessions.Token or
// langflow said.
func (m *Manager) Key(ctx context.Context, a Account, minValid time.Duration) (Grant, error) {
	for {
		grant, f, err := m.grant(a, minValid)
		if f == nil {
			return grant, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return Grant{}, ctx.Err()
		}
		if f.err != nil {
			return Grant{}, f.err
		}
	}
}

// grant answers from memory, or returns what to wait for.
func (m *Manager) grant(a Account, minValid time.Duration) (Grant, *flight, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.heldLocked(a.Profile)
	least := max(minValid, time.Second)
	if minValid < 0 {
		least = a.least()
	}
	now := m.Clock.Elapsed()
	waits := h.err != nil && now < h.retryAt
	left := m.leftOf(&h.key, a)
	switch usable := left >= least && !a.Refused; {
	case usable && h.key.doubted:
	case usable:
		// One that lives longer than its profile now allows is replaced as well.
		if !waits && (now >= h.key.renewAt || h.key.lifetime > a.lifetime()) {
			m.beginLocked(h, a) // for those who come later
		}
		return Grant{Key: h.key.key, ID: h.key.id, ExpiresAt: h.key.expires, ExpiresIn: left}, nil, nil
	case minValid > a.lifetime():
		return Grant{}, nil, &Error{Problem: TooShort, Most: a.lifetime()}
	case waits:
		return Grant{}, nil, h.err
	}
	return Grant{}, m.beginLocked(h, a), nil
}

// beginLocked begins to make a key, unless that is under way.
func (m *Manager) beginLocked(h *held, a Account) *flight {
	if h.flight != nil {
		return h.flight
	}
	f := &flight{done: make(chan struct{}), err: ErrStopping}
	if !m.Begin(func() {
		err := m.renew(a)
		m.mu.Lock()
		defer m.mu.Unlock()
		h.flight, f.err = nil, err
		close(f.done)
	}) {
		close(f.done)
		return f
	}
	h.flight = f
	return f
}

// change changes what is known of a profile's key, unless ctx has ended.
func (m *Manager) change(ctx context.Context, profile string, with func(h *held)) error {
	m.mu.Lock()
	if ctx.Err() != nil {
		m.mu.Unlock()
		return ErrInterrupted
	}
	h := m.heldLocked(profile)
	before := h.status()
	with(h)
	after := h.status()
	m.mu.Unlock()
	if before != after {
		m.Sessions.Changed(profile)
	}
	return nil
}

func (h *held) status() Status {
	s := Status{Expires: h.key.expires, Left: h.left, LeftUntil: h.leftUntil}
	if e := new(Error); errors.As(h.err, &e) && e.Problem == Forbidden {
		s.Reason = vocabulary.KeysForbidden
	} else if h.key.ignored {
		s.Reason = vocabulary.ExpiryIgnored
	}
	return s
}

// Status is what people are told of a profile's keys.
func (m *Manager) Status(profile string) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.keys[profile]; h != nil {
		return h.status()
	}
	return Status{}
}

// Made counts the keys that were made.
func (m *Manager) Made() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made
}

// Forget drops what is held in memory of a profile, after a sign-in or a sign-out: what
// the store has belongs to neither.
func (m *Manager) Forget(profile string) {
	_ = m.change(context.Background(), profile, func(h *held) { // which does not end
		h.key, h.loaded, h.err = managed{}, true, nil
	})
}

// Drop takes a profile that is gone out of memory.
func (m *Manager) Drop(profile string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, profile)
}

// Refused tells that an answer which came through the server's address refused a key,
// and whether that is the profile's. The answer may be a gateway's, or of a route that
// has nothing to do with keys, so the key is tried before anybody gets it again, at most
// every 10 s; only one that Langflow itself refuses is replaced.
func (m *Manager) Refused(a Account, key secret.Text) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.heldLocked(a.Profile)
	if h.key.key.Empty() || h.key.key.Reveal() != key.Reveal() {
		return false
	}
	if now := m.Clock.Elapsed(); h.doubtedAt < 0 || now-h.doubtedAt >= doubtInterval {
		h.doubtedAt, h.key.doubted = now, true
		m.beginLocked(h, a)
	}
	return true
}

// name is what a new key is called: which computer and profile it belongs to, for
// people, and a nonce.
func name(profile string) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "this computer"
	}
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, host[:min(len(host), 40)])
	return "langkeep " + host + " " + profile + " " + rand.Text()
}
