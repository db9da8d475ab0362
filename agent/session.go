package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

// State is what can be said of a session.
type State string

// The states.
const (
	Fresh          State = "fresh"            // a valid access token, refreshed on time; with method api-key: the key was last accepted
	Retrying       State = "retrying"         // still valid; the last refresh failed for a passing reason
	Stale          State = "stale"            // no valid access token, still trying
	SignInRequired State = "sign-in-required" // refused for good, and no silent way back in
	KeychainLocked State = "keychain-locked"  // no session in memory, and the store can't be read
	SignedOut      State = "signed-out"
)

// The methods of sign-in, as a profile names them.
const (
	methodPassword     = "password"
	methodAutoLogin    = "auto-login"
	methodRefreshToken = "refresh-token"
	methodAPIKey       = "api-key"
)

// Snapshot is what is known of a profile at one moment. A zero value is
// unknown.
type Snapshot struct {
	Name           string
	ServerURL      string
	Username       string
	Method         string
	State          State
	Reason         string // a langflow.Kind, or locked, missing, silent, failing, too-big for the store
	Detail         string // what the server or the system said
	Saved          bool
	AccessExpires  time.Time // by the server's clock
	RefreshExpires time.Time // by the server's clock
	LastRefresh    time.Time
	NextAttempt    time.Time
	FailingSince   time.Time
	ServerVersion  string
	Offset         time.Duration // the server's clock minus ours
	OffsetKnown    bool
	KeyExpires     time.Time // of the managed key that is handed out now
	KeyReason      string    // keys-forbidden, expiry-ignored or ""
	KeysLeft       int       // of keys that are still to be deleted on the server, which can't be asked
	KeysLeftUntil  time.Time // when the last of them ends
	KeyLifetime    time.Duration
	Proxy          bool   // wanted
	ProxyPort      int    // 0 before it was first opened
	ProxyOpen      bool   // it has its port
	ProxyReason    string // why not: ProxyTaken, ProxyExposed or empty
	ProxyOrigins   string // with spaces between them
	ExecScopes     string // with spaces between them; "" for the usual ones
}

// pair is what a sign-in or a refresh gave, with what is needed to tell how
// long it lasts by either clock.
type pair struct {
	langflow.Tokens
	received time.Time     // wall clock
	elapsed  time.Duration // clock.Elapsed
}

// flight is work on a session that any number of callers wait for.
type flight struct {
	renews bool          // whether what is due or not
	done   chan struct{} // closed at its end
	err    error         // once done
}

// session is a profile with what is known of it. Agent.mu protects every field
// but op.
type session struct {
	name string
	// op is held by whoever works on the session: talks to the server for it
	// or replaces what it holds. Capacity 1.
	op chan struct{}

	flight *flight // under way; nil if none

	ctx     context.Context // of all work on it; ends when somebody seizes the session
	stop    context.CancelFunc
	removed bool

	profile   config.Profile
	origin    string
	client    *langflow.Client
	clientErr error // why there is no client
	ways      *ways // to the server

	loaded   bool  // what the store has for it was read
	storeErr error // why it could not be read
	saved    bool
	saveErr  error

	pair   pair
	apiKey secret.Text

	accepted   bool      // the server took the API key when it was last tried
	needsProof bool      // what is held was not tried since it was loaded, or since a wake
	renewAt    time.Time // when the pair is due for renewal, wall clock
	lastPair   time.Time // when the server last gave a pair, wall clock

	ended       string // the reason for which the session was refused for good; "" if it wasn't
	endedDetail string
	silent      bool          // ended, but a silent sign-in is on its way
	suspended   bool          // the remembered password was refused, whatever the store says
	slot        time.Duration // clock.Elapsed from which that sign-in may run; 0: none reserved
	refusedAt   time.Time     // the first of the refusals in words we don't know

	failure   error         // the last attempt's passing failure
	failures  int           // how many in a row
	failedAt  time.Duration // clock.Elapsed of the last of them
	since     time.Time
	notBefore time.Time // the server's Retry-After

	key        managedKey    // what readers get; with method api-key none
	keyLoaded  bool          // what the store has of it was read
	keyFlight  *flight       // a key is being made; nil if none
	keyErr     error         // why the last one could not be made
	keyRetryAt time.Duration // clock.Elapsed before which it is not tried again
	keysLeft   int           // to be deleted on the server when it can be asked
	keysUntil  time.Time     // the end of the last of them

	proxyOpen   bool   // its port is open
	proxyReason string // why not, if it should be

	forcedAt     time.Duration // clock.Elapsed of the last forced refresh; -1 never
	doubtedAt    time.Duration // clock.Elapsed when a refused token, or key of the user's, was last tried; -1 never
	keyDoubtedAt time.Duration // the same of a managed key
	version      string
	versionAt    time.Duration // clock.Elapsed when the server was last asked for it

	next  time.Time // when it is looked at again, wall clock; zero: not planned
	index int       // in Agent.queue; -1 if not in it

	published Snapshot // what subscribers were last told
}

func newSession(p config.Profile) *session {
	s := &session{name: p.Name, profile: p, op: make(chan struct{}, 1), index: -1, forcedAt: -1, doubtedAt: -1, keyDoubtedAt: -1, failedAt: -1}
	s.loaded = p.Method == "" // what never signed in has nothing stored
	return s
}

// acquire waits for its turn to work on the session.
func (s *session) acquire(ctx context.Context) error {
	select {
	case s.op <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) release() { <-s.op }

// forget drops everything that the session holds in memory.
func (s *session) forget() {
	s.pair, s.apiKey = pair{}, secret.Text{}
	s.saved, s.saveErr, s.storeErr = false, nil, nil
	s.accepted, s.needsProof, s.suspended, s.forcedAt = false, false, false, -1
	s.key, s.keyLoaded, s.keyErr = managedKey{}, true, nil
	s.renewAt, s.lastPair = time.Time{}, time.Time{}
	s.revived()
	s.succeeded()
}

// revived takes back that the session was refused.
func (s *session) revived() {
	s.ended, s.endedDetail, s.silent, s.slot, s.refusedAt = "", "", false, 0, time.Time{}
}

// succeeded notes that the server answered as it should.
func (s *session) succeeded() {
	s.failure, s.failures, s.failedAt, s.since, s.notBefore = nil, 0, -1, time.Time{}, time.Time{}
}

// holds tells whether there is anything at all to keep alive.
func (s *session) holds() bool {
	return !s.pair.Access.Empty() || !s.pair.Refresh.Empty() || !s.apiKey.Empty()
}

// left is how long the access token can still be used: 0 if there is none, or
// if the session was refused for good.
func (a *Agent) left(s *session) time.Duration {
	if s.ended != "" {
		return 0
	}
	return a.untilExpiry(s)
}

// untilExpiry is how long the access token still lives, 0 if there is none.
// The wall clock is wrong after a jump, the monotonic one after a sleep; the
// smaller answer errs on the early side in both cases.
func (a *Agent) untilExpiry(s *session) time.Duration {
	if s.pair.Access.Empty() {
		return 0
	}
	monotonic := s.pair.AccessLifetime - (a.clock.Elapsed() - s.pair.elapsed)
	if s.pair.AccessExpiry.IsZero() {
		// A token that does not say is taken to live as long as Langflow's do
		// by default.
		return max(0, defaultLifetime-(a.clock.Elapsed()-s.pair.elapsed))
	}
	wall := s.pair.AccessExpiry.Sub(a.serverNow(s))
	if s.pair.AccessLifetime <= 0 {
		return max(0, wall)
	}
	return max(0, min(wall, monotonic))
}

// serverNow is the time on the server's clock.
func (a *Agent) serverNow(s *session) time.Time {
	now := a.clock.Now()
	if s.client != nil {
		if offset, known := s.client.Offset(); known {
			return now.Add(offset)
		}
	}
	return now
}

// rejectAccess forgets the access token, which the server would not accept.
func (s *session) rejectAccess() { s.pair.Access = secret.Text{} }

// valid tells whether what is held can be used: a token that ends within the
// second is as good as ended.
func (a *Agent) valid(s *session) bool {
	if !s.apiKey.Empty() {
		return s.accepted
	}
	return a.left(s) >= time.Second
}

// state derives the state from what is held.
func (a *Agent) state(s *session) State {
	switch {
	case s.ended != "" && !s.silent:
		return SignInRequired
	case !s.loaded && s.storeErr != nil:
		return KeychainLocked
	case s.loaded && !s.holds() && s.ended == "":
		return SignedOut
	case !a.valid(s) || s.ended != "":
		return Stale
	case s.failure != nil:
		return Retrying
	default:
		return Fresh
	}
}

// snapshot describes the session now. The caller holds a.mu.
func (a *Agent) snapshot(s *session) Snapshot {
	snap := Snapshot{
		Name: s.name, ServerURL: s.profile.ServerURL, Username: s.profile.Username, Method: s.profile.Method,
		State: a.state(s), Saved: s.saved,
		AccessExpires: s.pair.AccessExpiry, RefreshExpires: s.pair.RefreshExpiry,
		LastRefresh: s.lastPair, NextAttempt: s.next, FailingSince: s.since, ServerVersion: s.version,
		KeyExpires: s.key.expires, KeysLeft: s.keysLeft, KeysLeftUntil: s.keysUntil, KeyLifetime: s.profile.KeyLifetime,
		Proxy: s.profile.Proxy, ProxyPort: s.profile.ProxyPort, ProxyOpen: s.proxyOpen, ProxyReason: s.proxyReason,
		ProxyOrigins: s.profile.ProxyOrigins, ExecScopes: s.profile.ExecScopes,
	}
	if e := new(Error); errors.As(s.keyErr, &e) && e.Reason == reasonKeysForbidden {
		snap.KeyReason = reasonKeysForbidden
	} else if s.key.ignored {
		snap.KeyReason = reasonExpiryIgnored
	}
	if s.client != nil {
		snap.Offset, snap.OffsetKnown = s.client.Offset()
	}
	switch {
	case s.ended != "":
		snap.Reason, snap.Detail = s.ended, s.endedDetail
	case !s.loaded && s.storeErr != nil:
		snap.Reason, snap.Detail = reasonOf(s.storeErr)
	case s.failure != nil:
		snap.Reason, snap.Detail = reasonOf(s.failure)
	case s.saveErr != nil:
		snap.Reason, snap.Detail = reasonOf(s.saveErr)
	}
	return snap
}
