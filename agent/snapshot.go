package agent

import (
	"time"

	"langkeep/agent/keys"
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
	KeyReason      string    // keys.ReasonForbidden, keys.ReasonExpiryIgnored or ""
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

// snapshot describes a session now.
func (a *Agent) snapshot(s *session) Snapshot {
	m, now := a.look(s)
	return m.snapshot(a.keys.Status(s.name), now)
}

// snapshot describes the session.
func (m *machine) snapshot(k keys.Status, now moment) Snapshot {
	p := &m.profile
	snap := Snapshot{
		Name: p.Name, ServerURL: p.ServerURL, Username: p.Username, Method: p.Method,
		State: m.state(now), Saved: m.saved,
		AccessExpires: m.pair.AccessExpiry, RefreshExpires: m.pair.RefreshExpiry,
		LastRefresh: m.lastPair, NextAttempt: m.next, FailingSince: m.outage.since, ServerVersion: m.version,
		KeyExpires: k.Expires, KeyReason: k.Reason, KeysLeft: k.Left, KeysLeftUntil: k.LeftUntil, KeyLifetime: p.KeyLifetime,
		Proxy: p.Proxy, ProxyPort: p.ProxyPort, ProxyOpen: m.proxyOpen, ProxyReason: m.proxyReason,
		ProxyOrigins: p.ProxyOrigins, ExecScopes: p.ExecScopes,
	}
	if m.client != nil {
		snap.Offset, snap.OffsetKnown = m.client.Offset()
	}
	switch {
	case m.refused.reason != "":
		snap.Reason, snap.Detail = m.refused.reason, m.refused.detail
	case m.blocked():
		snap.Reason, snap.Detail = reasonOf(m.storeErr)
	case m.outage.err != nil:
		snap.Reason, snap.Detail = reasonOf(m.outage.err)
	case m.saveErr != nil:
		snap.Reason, snap.Detail = reasonOf(m.saveErr)
	}
	return snap
}
