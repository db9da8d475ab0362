package agent

import (
	"cmp"
	"errors"
	"net/http"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// moment is one reading of the clocks, for a session.
type moment struct {
	wall        time.Time     // of this computer, which may jump
	elapsed     time.Duration // clock.Elapsed, which stands still while the computer sleeps
	offset      time.Duration // the server's clock minus ours, 0 if that is not known
	offsetKnown bool
	luck        float64 // in [0, 1): the share of a jitter to use; 0 for readers
}

// serverTime is the time on the server's clock.
func (t moment) serverTime() time.Time { return t.wall.Add(t.offset) }

// jitter returns a random time below d.
func (t moment) jitter(d time.Duration) time.Duration {
	return time.Duration(t.luck * float64(max(d, 1)))
}

// pair is the tokens of a sign-in or a refresh. Both clocks' readings of their receipt
// tell how long the tokens last.
type pair struct {
	langflow.Tokens
	received time.Time     // wall clock
	elapsed  time.Duration // clock.Elapsed
}

// machine is a session's data at one moment. Its methods decide what follows from an
// event, and do nothing else: no I/O, no lock, no goroutine, no clock. Agent.update
// applies them to a copy. A published machine never changes, so any goroutine may read
// it.
type machine struct {
	profile config.Profile
	upstream

	loaded   bool  // the session's items were read from the store
	storeErr error // why they could not be read
	saved    bool  // the store has the held credential
	saveErr  error // why it could not be stored
	unstored unstored

	pair   pair
	apiKey secret.Text
	// byGateway means that the gateway's cookies are the session: the gateway tells the
	// server who it let in.
	byGateway bool

	accepted   bool      // the server took the API key when it was last tried
	needsProof bool      // the held credential was not tried since it was loaded, or since a wake
	renewAt    time.Time // when the pair is due for renewal, wall clock
	lastPair   time.Time // when the server last gave a pair, wall clock

	refused   refusal
	suspended bool // the remembered password is not used, whatever the store says
	outage    outage

	forcedAt  time.Duration // clock.Elapsed of the last forced refresh; -1 never
	doubtedAt time.Duration // clock.Elapsed when a refused token, or key of the user's, was last tried; -1 never
	version   string        // the server's last known version
	versionAt time.Duration // clock.Elapsed when the server was last asked for its version

	next    time.Time // when the session is due, wall clock; zero: never by itself
	planned bool      // next is still to come; false once work has started because of it
	removed bool      // the profile is gone

	signIns   int  // how often the session began or ended here
	signingIn bool // a person signs in in the browser

	proxy ProxyState
}

// upstream is the way to a session's server, made from its profile.
type upstream struct {
	origin    string
	client    *langflow.Client
	clientErr error             // why there is no client
	own       *connections      // to the server
	foreign   *connections      // to other origins, to which nothing of the pass goes
	streams   http.RoundTripper // for requests that the proxy passes on
	pass      *gateway.Pass     // what a gateway in front of the server wants
	token     *gateway.Command  // prints the access token; nil where the profile names no command
}

// unstored is why the store does not have what a gateway wants; nil if it has.
type unstored struct{ headers, cookies error }

func (u unstored) err() error { return cmp.Or(u.headers, u.cookies) }

// refusal is the server's final refusal of a session. The zero value is none.
type refusal struct {
	reason, detail string
	gateway        string        // with reason gateway: which, of package vocabulary
	silent         bool          // a silent sign-in is on its way
	slot           time.Duration // clock.Elapsed from which the silent sign-in may run; 0: none reserved
	unknownAt      time.Time     // the first refusal in unknown words, wall clock
}

// outage is the failures since the server's last good answer. The zero value is none.
type outage struct {
	err       error         // of the last attempt
	count     int           // failed attempts in a row
	at        time.Duration // clock.Elapsed of the last one
	since     time.Time
	notBefore time.Time // the server's Retry-After
}

// newMachine is the machine of a profile that was not loaded yet.
func newMachine(p config.Profile) machine {
	return machine{
		profile: p, loaded: p.Method == "", // a profile that never signed in has nothing stored
		forcedAt: -1, doubtedAt: -1,
	}
}

// plan sets when the session is due; the zero time means never by itself.
func (m *machine) plan(at time.Time) {
	if m.removed {
		at = time.Time{}
	}
	m.next, m.planned = at, !at.IsZero()
}

// hurry makes the session due within d, but not before a server's Retry-After ends, and
// not while a goroutine works on the session.
func (m *machine) hurry(d time.Duration, now moment) {
	at := now.wall.Add(now.jitter(d))
	if at.Before(m.outage.notBefore) {
		at = m.outage.notBefore
	}
	if m.planned && at.Before(m.next) {
		m.plan(at)
	}
}

// renews tells whether the session gets new tokens by itself: for its refresh token, or
// from the profile's command.
func (m *machine) renews() bool {
	return !m.pair.Refresh.Empty() || m.profile.Method == vocabulary.External && !m.byGateway
}

// planHeld plans the next step of a healthy session: its renewal, or a proof if the
// credential was not tried for proofAge. A token that can't be renewed is due when it
// ends; if the server still accepts it then, when the next proof is due.
func (m *machine) planHeld(now moment) {
	at := now.wall.Add(proofAge)
	if m.renews() {
		if m.renewAt.Before(at) {
			at = m.renewAt
		}
	} else if left := m.left(now); left > 0 && left < proofAge {
		at = now.wall.Add(max(left, minRenewal))
	}
	m.plan(at)
}

// changedSince tells whether the session is another one than before, or has another way to
// its server, so that an earlier sign-in in the browser must not be put in its place.
func (m *machine) changedSince(before *machine) bool {
	return m.removed || m.signIns != before.signIns || m.pass != before.pass || m.profile.ServerURL != before.profile.ServerURL
}

// by returns the session with another way to its server. Nothing that it holds goes to
// another origin.
func (m *machine) by(to upstream) *machine {
	next := *m
	next.upstream = to
	if to.origin != m.origin {
		next.pair, next.apiKey, next.byGateway = pair{}, secret.Text{}, false
	}
	return &next
}

// forget drops everything that the session holds.
func (m *machine) forget() {
	m.signIns++
	m.pair, m.apiKey, m.byGateway = pair{}, secret.Text{}, false
	m.saved, m.saveErr, m.storeErr, m.unstored = false, nil, nil, unstored{}
	m.accepted, m.needsProof, m.suspended, m.forcedAt = false, false, false, -1
	m.renewAt, m.lastPair = time.Time{}, time.Time{}
	m.refused, m.outage = refusal{}, outage{}
}

// signedOut forgets the session after a sign-out.
func (m *machine) signedOut() {
	m.forget()
	m.loaded = true
	m.plan(time.Time{})
}

// signedIn takes the result of a sign-in into use. saveErr is why it could not be
// stored.
func (m *machine) signedIn(p config.Profile, tokens *langflow.Tokens, key secret.Text, version string, saveErr error, now moment) {
	m.forget()
	m.profile, m.version, m.versionAt, m.loaded = p, version, now.elapsed, true
	m.saved, m.saveErr = saveErr == nil, saveErr
	if tokens == nil {
		m.apiKey, m.byGateway, m.accepted = key, key.Empty(), true
		return
	}
	m.pair = pair{Tokens: *tokens, received: now.wall, elapsed: now.elapsed}
	m.dateRenewal(now)
}

// stored takes the session's items from the store into use.
func (m *machine) stored(p pair, key secret.Text) {
	m.loaded, m.storeErr = true, nil
	m.saved, m.needsProof = true, true
	m.pair, m.apiKey = p, key
	m.byGateway = p.Access.Empty() && p.Refresh.Empty() && key.Empty()
}

// nothingStored notes that the store has no session. passwordLeft means that it had one:
// a remembered password is still there, and may sign in again.
func (m *machine) nothingStored(passwordLeft bool) {
	m.loaded, m.storeErr = true, nil
	if passwordLeft {
		m.refused.reason, m.refused.silent = string(langflow.SessionEnded), true
		return
	}
	m.plan(time.Time{})
}

// adopt takes a new pair into use. A pair that has ended already is
// errShortLived, and changes nothing.
func (m *machine) adopt(tokens langflow.Tokens, now moment) error {
	old := m.pair
	m.pair = pair{Tokens: tokens, received: now.wall, elapsed: now.elapsed}
	if tokens.Refresh.Empty() && !old.Refresh.Empty() && m.refused.reason == "" {
		m.pair.Refresh, m.pair.RefreshExpiry, m.pair.RefreshLifetime = old.Refresh, old.RefreshExpiry, old.RefreshLifetime
	}
	if m.pair.CookieName == "" {
		m.pair.CookieName = old.CookieName
	}
	if m.untilExpiry(now) < time.Second {
		m.pair = old // which may be better
		return errShortLived
	}
	m.dateRenewal(now)
	if m.refused.reason != "" {
		m.versionAt = now.elapsed - proofAge // another version may answer by now, so serve asks for it
	}
	m.refused = refusal{}
	return nil
}

// dateRenewal sets when a pair that was just received is due.
func (m *machine) dateRenewal(now moment) {
	m.lastPair = m.pair.received
	m.renewAt = renewal(now, m.pair.AccessLifetime, m.pair.RefreshLifetime)
}

// prove notes that the server accepted the held credential.
func (m *machine) prove() {
	m.refused = refusal{}
	m.accepted = m.isLasting()
}

// serve notes a good answer of the server, plans the next step, and tells whether to
// ask for the server's version.
func (m *machine) serve(now moment) (askVersion bool) {
	askVersion = m.version == "" || m.outage.err != nil || now.elapsed-m.versionAt >= proofAge
	if askVersion {
		m.versionAt = now.elapsed
	}
	m.needsProof = false
	m.outage = outage{}
	m.planHeld(now)
	return askVersion
}

// end notes a final refusal without a silent way back. The credential stays, and is
// tried once an hour till its end. news tells whether the state changed.
func (m *machine) end(r refusal, now moment) (news bool) {
	news = m.refused.reason == "" || m.refused.silent
	m.outage = outage{} // the server answered, so this is no outage
	m.accepted = false
	r.unknownAt = m.refused.unknownAt // whose words are unknown still
	m.refused = r
	alive := m.holds()
	switch {
	case !m.pair.Refresh.Empty():
		alive = m.pair.RefreshExpiry.IsZero() || m.pair.RefreshExpiry.After(now.serverTime())
	case m.profile.Method == vocabulary.External:
	case !m.pair.Access.Empty():
		alive = m.untilExpiry(now) > 0
	}
	m.plan(time.Time{})
	if alive {
		m.plan(now.wall.Add(signInRetry))
	}
	return news
}

// endSilently notes a final refusal, and that a silent sign-in is on its way.
func (m *machine) endSilently(reason, detail string) {
	m.refused.reason, m.refused.detail, m.refused.silent = reason, detail, true
}

// refuseUnknown notes a refusal in unknown words. again means that it is the second one, at
// least refusedTwice after the first. Even then the answer may not be Langflow's.
func (m *machine) refuseUnknown(now moment) (again bool) {
	first := m.refused.unknownAt
	if first.IsZero() || first.After(now.wall) {
		m.refused.unknownAt = now.wall
	}
	return !first.IsZero() && now.wall.Sub(first) >= refusedTwice
}

// fail notes a passing failure, plans the next attempt, and returns the time till
// then.
func (m *machine) fail(err error, now moment) (wait time.Duration) {
	m.outage.err, m.outage.at = err, now.elapsed
	m.outage.count++
	if m.outage.since.IsZero() {
		m.outage.since = now.wall
	}
	wait = backoff(m.outage.count, now)
	var lf *langflow.Error
	if errors.As(err, &lf) && lf.RetryAfter > 0 {
		wait = max(wait, lf.RetryAfter)
		m.outage.notBefore = now.wall.Add(lf.RetryAfter)
	} else if left := m.left(now); left > 0 {
		wait = min(wait, max(left, time.Second)) // try again at the token's end
	}
	if !m.refused.unknownAt.IsZero() && m.refused.reason == "" {
		wait = max(wait, refusedTwice)
	}
	m.plan(now.wall.Add(wait))
	return wait
}

// wake makes a living session due. After a sleep no credential counts as proven, and
// refused sessions become due too, since their planned time may be far off by now.
func (m *machine) wake(slept bool, now moment) {
	if slept {
		m.needsProof = m.holds()
		m.outage.notBefore = time.Time{} // it was set by a clock that jumped
	}
	if m.refused.reason == "" || m.refused.gateway != "" || slept {
		m.outage.count = 0
		m.hurry(wakeSpread, now)
	}
}

// setBack moves the renewal after the wall clock was set back by -jump. A sleep only
// moves the clock forward.
func (m *machine) setBack(jump time.Duration) {
	if !m.renewAt.IsZero() {
		m.renewAt = m.renewAt.Add(jump)
	}
}

// doubt notes that an answer refused the held credential. It tells whether to try the
// credential now: at most every doubtInterval.
func (m *machine) doubt(now moment) bool {
	if m.doubtedAt >= 0 && now.elapsed-m.doubtedAt < doubtInterval {
		return false
	}
	m.doubtedAt, m.needsProof = now.elapsed, true
	return true
}

// rejectAccess forgets an access token that the server did not accept.
func (m *machine) rejectAccess() { m.pair.Access = secret.Text{} }

// holds tells whether the session has any credential.
func (m *machine) holds() bool {
	return !m.pair.Access.Empty() || !m.pair.Refresh.Empty() || m.isLasting()
}

// isNew tells whether the profile was never signed in: a sign-in writes its method into the
// profile's file before it stores anything.
func (m *machine) isNew() bool { return m.profile.Method == "" && !m.holds() && !m.pass.Keeps() }

// unused tells whether the session is signed out, and has used nothing that the store may
// have. One whose token was refused a moment ago has.
func (m *machine) unused() bool {
	return m.loaded && !m.holds() && m.pair.received.IsZero() && m.refused.reason == "" && !m.pass.Keeps()
}

// isLasting tells whether the session's credential is one that the agent does not renew:
// an API key, or the gateway's word.
func (m *machine) isLasting() bool { return !m.apiKey.Empty() || m.byGateway }

// lasting is that credential.
func (m *machine) lasting() langflow.Credential {
	if m.byGateway {
		return langflow.ByGateway()
	}
	return langflow.Key(m.apiKey)
}

// left is how long the access token can still be used: 0 if there is none, or after a
// final refusal.
func (m *machine) left(now moment) time.Duration {
	if m.refused.reason != "" {
		return 0
	}
	return m.untilExpiry(now)
}

// untilExpiry is how long the access token still lives, 0 if there is none. The wall
// clock is wrong after a jump, the monotonic one after a sleep; the smaller answer
// errs on the early side in both cases.
func (m *machine) untilExpiry(now moment) time.Duration {
	if m.pair.Access.Empty() {
		return 0
	}
	age := now.elapsed - m.pair.elapsed
	if m.pair.AccessExpiry.IsZero() {
		// A token without an expiry is taken to live for Langflow's default.
		return max(0, defaultLifetime-age)
	}
	left := m.pair.AccessExpiry.Sub(now.serverTime())
	if m.pair.AccessLifetime > 0 {
		left = min(left, m.pair.AccessLifetime-age)
	}
	return max(0, left)
}

// valid tells whether the held credential can be used; a token that ends within a
// second can't.
func (m *machine) valid(now moment) bool {
	if m.isLasting() {
		return m.accepted
	}
	return m.left(now) >= time.Second
}

// state derives the session's state.
func (m *machine) state(now moment) State {
	switch {
	case m.refused.reason != "" && !m.refused.silent:
		return SignInRequired
	case m.blocked():
		return KeychainLocked
	case m.loaded && !m.holds() && m.refused.reason == "":
		return SignedOut
	case !m.valid(now) || m.refused.reason != "":
		return Stale
	case m.outage.err != nil:
		return Retrying
	default:
		return Fresh
	}
}

// blocked tells whether the session waits for the store.
func (m *machine) blocked() bool { return !m.loaded && m.storeErr != nil }
