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
	"langkeep/agent/flight"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

const (
	usualLifetime = 24 * time.Hour   // of a key, where its profile says nothing else
	retry         = 10 * time.Second // between two attempts to make one
	doubtInterval = 10 * time.Second // between two trials of a key that an answer refused
	forbidden     = 10 * time.Minute // before a server that forbids keys is asked again
	grace         = 10 * time.Minute // for which a replaced key lives after its last use, where the server ignores ends
	sweepInterval = 15 * time.Second // between two sweeps
	signOutTime   = 5 * time.Second  // for deleting keys at a sign-out
)

// Account is a profile's account at one moment; keys are made from it.
type Account struct {
	Profile, Origin, Username string

	Work     context.Context     // of work on its keys; ends with a sign-in, sign-out, change or removal of the profile
	Client   *langflow.Client    // nil if the server can't be asked
	Lifetime time.Duration       // wanted for its keys; 0 is the usual one
	Refused  bool                // the server has ended the session for good
	Access   langflow.Credential // an access token that is valid now, or the gateway's word; empty if there is none
}

// Sessions gives access to the profiles' sessions.
type Sessions interface {
	// Account describes a profile's account, and tells whether there is one.
	Account(profile string) (Account, bool)
	// Accounts yields the accounts of all profiles.
	Accounts() iter.Seq[Account]
	// Access returns what makes keys: a valid access token, for which it waits, or the
	// gateway's word.
	Access(ctx context.Context, profile string) (langflow.Credential, error)
	// TokenRefused notes that the server refused a token of the profile.
	TokenRefused(profile string, token secret.Text)
	// Turn takes the session's turn: no sign-in, sign-out, change or removal runs until
	// the caller calls release.
	Turn(ctx context.Context, profile string) (release func(), err error)
	// Try is Turn without waiting.
	Try(profile string) (release func(), ok bool)
	// Changed notes that the profile's Status has changed.
	Changed(profile string)
}

// Store keeps keys across restarts of the agent. Items of another origin or account are
// keychain.ErrNotFound.
type Store interface {
	StoredKey(ctx context.Context, a Account) (keychain.Item, error)
	SaveKey(profile string, item keychain.Item)
	RemoveKey(profile string)
}

// ErrInterrupted ends the wait for a key because of a sign-in, sign-out, change or
// removal of the profile.
var ErrInterrupted = errors.New("interrupted")

// ErrStopping ends the wait for a key because the agent stops.
var ErrStopping = errors.New("the agent is stopping")

// Problem says why there is no key.
type Problem string

// The problems.
const (
	TooShort  Problem = "too-short" // the profile's keys don't live that long
	Forbidden Problem = "forbidden" // the server lets the account make none
	NoSuchKey Problem = "no-such-key"
	Unwritten Problem = "unwritten" // the journal can't be written, so no key was made
)

// Error is a Problem with its details.
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
	ExpiresIn time.Duration // by the less favourable clock
}

// Status describes a profile's keys for people.
type Status struct {
	Expires   time.Time // of the current key
	Reason    string    // vocabulary.KeysForbidden, vocabulary.ExpiryIgnored or ""
	Left      int       // keys still to be deleted on the server, which can't be asked
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

// Manager makes and deletes the keys of all profiles.
type Manager struct {
	Config
	kick chan struct{} // wakes Sweep: the records have changed

	mu   sync.Mutex // protects the following; held for a few instructions only
	keys map[string]*held
	made int64
}

// held is the state of a profile's key. Manager.mu protects it.
type held struct {
	key     managed
	loaded  bool          // the store was read
	err     error         // why the last attempt to make a key failed
	retryAt time.Duration // clock.Elapsed before which no key is made

	doubtedAt time.Duration // clock.Elapsed when a refused key was last tried; -1 never
	flight    flight.Slot   // of the making or the trial of a key

	left      int // see Status
	leftUntil time.Time
}

// managed is a managed key. The zero value is none.
type managed struct {
	id, name string
	key      secret.Text
	expires  time.Time     // by the server's clock; Langkeep enforces it where the server ignores it
	lifetime time.Duration // left when the key was made or loaded
	since    time.Duration // clock.Elapsed of that moment
	renewAt  time.Duration // clock.Elapsed when the key is due for replacement
	ignored  bool          // the server ignores its end
	doubted  bool          // an answer refused the key: it must be tried before any reader gets it again
}

// New makes a Manager. Run its Sweep beside it.
func New(c Config) *Manager {
	return &Manager{Config: c, kick: make(chan struct{}, 1), keys: map[string]*held{}}
}

// heldLocked returns the state of a profile's key.
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

// least is how long a key must live for a reader that names no time.
func (a Account) least() time.Duration {
	return max(min(time.Minute, a.lifetime()/10), time.Second)
}

// Key returns a key that lives for at least minValid (negative: see Account.least). It
// makes one if need be, and all readers of that time wait for the same key. Errors are
// *Error, ErrInterrupted, ErrStopping, the end of ctx, or those of Sessions.Token and
// package langflow.
func (m *Manager) Key(ctx context.Context, a Account, minValid time.Duration) (Grant, error) {
	for {
		grant, f, err := m.grant(a, minValid)
		if f == nil {
			return grant, err
		}
		if err := f.Wait(ctx); err != nil {
			return Grant{}, err
		}
	}
}

// grant answers from memory, or returns the flight to wait for.
func (m *Manager) grant(a Account, minValid time.Duration) (Grant, *flight.Flight, error) {
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
		// Replace a key too that lives longer than its profile now allows.
		if !waits && (now >= h.key.renewAt || h.key.lifetime > a.lifetime()) {
			m.beginLocked(h, a) // for later readers
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
func (m *Manager) beginLocked(h *held, a Account) *flight.Flight {
	f, _ := h.flight.Join(m.Begin, ErrStopping, func() error { return m.renew(a) })
	return f
}

// set changes the state of a profile's key.
func (m *Manager) set(profile string, with func(h *held)) {
	m.mu.Lock()
	h := m.heldLocked(profile)
	before := h.status()
	with(h)
	after := h.status()
	m.mu.Unlock()
	if before != after {
		m.Sessions.Changed(profile)
	}
}

// advance is set for work that may be interrupted. Once ctx has ended it changes nothing
// and returns ErrInterrupted.
func (m *Manager) advance(ctx context.Context, profile string, with func(h *held)) (err error) {
	m.set(profile, func(h *held) {
		if ctx.Err() != nil {
			err = ErrInterrupted
			return
		}
		with(h)
	})
	return err
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

// Status describes a profile's keys for people.
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

// Forget drops a profile's key from memory, after a sign-in or a sign-out. The store's
// key belongs to the session before, so it is not loaded either.
func (m *Manager) Forget(profile string) {
	m.set(profile, func(h *held) {
		h.key, h.loaded, h.err = managed{}, true, nil
	})
}

// Drop removes a deleted profile from memory.
func (m *Manager) Drop(profile string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, profile)
}

// Refused notes that an answer from the server's address refused a key; one that is not
// the profile's is passed over. The answer may come from a gateway, or from a route that
// takes no keys. So the key is tried before any reader gets it again, at most every
// 10 s, and replaced only if Langflow itself refuses it.
func (m *Manager) Refused(a Account, key secret.Text) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.heldLocked(a.Profile)
	if h.key.key.Empty() || h.key.key.Reveal() != key.Reveal() {
		return
	}
	if now := m.Clock.Elapsed(); h.doubtedAt < 0 || now-h.doubtedAt >= doubtInterval {
		h.doubtedAt, h.key.doubted = now, true
		m.beginLocked(h, a)
	}
}

// name makes a new key's name: the computer and the profile, for people, and a nonce.
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
