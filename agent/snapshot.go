package agent

import (
	"maps"
	"slices"
	"strings"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/keys"
	"langkeep/agent/vocabulary"
)

// State is a session's state.
type State = vocabulary.State

// The states.
const (
	Fresh          = vocabulary.Fresh
	Retrying       = vocabulary.Retrying
	Stale          = vocabulary.Stale
	SignInRequired = vocabulary.SignInRequired
	KeychainLocked = vocabulary.KeychainLocked
	SignedOut      = vocabulary.SignedOut
)

// Snapshot describes a profile at one moment. The zero value of a field means unknown.
type Snapshot struct {
	config.Profile // as it is in force
	State          State
	Reason         string // a langflow.Kind, or one of package vocabulary's
	Detail         string // what the server or the system said
	Gateway        string // with reason gateway: which, of package vocabulary
	Saved          bool
	SigningIn      bool      // a browser is open for the person to sign in
	AccessExpires  time.Time // by the server's clock
	RefreshExpires time.Time // by the server's clock
	LastRefresh    time.Time
	NextAttempt    time.Time
	FailingSince   time.Time
	ServerVersion  string
	Offset         time.Duration // the server's clock minus ours
	OffsetKnown    bool
	Keys           keys.Status
	Headers        string // the names of the headers that are kept for a gateway, with spaces between them
	ProxyState
	Locked bool // the agent hands nothing out
}

// snapshot describes a session now.
func (a *Agent) snapshot(s *session) Snapshot {
	m, now := a.look(s)
	snap := m.snapshot(a.keys.Status(s.name), now)
	snap.Locked = a.IsLocked()
	if kept, _ := m.pass.Kept(); len(kept) > 0 {
		snap.Headers = strings.Join(slices.Sorted(maps.Keys(kept)), " ")
	}
	return snap
}

// snapshot describes the session.
func (m *machine) snapshot(k keys.Status, now moment) Snapshot {
	snap := Snapshot{
		Profile: m.profile, State: m.state(now), Saved: m.saved && m.unstored.err() == nil, SigningIn: m.signingIn,
		AccessExpires: m.pair.AccessExpiry, RefreshExpires: m.pair.RefreshExpiry,
		LastRefresh: m.lastPair, NextAttempt: m.next, FailingSince: m.outage.since, ServerVersion: m.version,
		Offset: now.offset, OffsetKnown: now.offsetKnown, Keys: k, ProxyState: m.proxy,
	}
	switch {
	case m.refused.reason != "":
		snap.Reason, snap.Detail, snap.Gateway = m.refused.reason, m.refused.detail, m.refused.gateway
	case m.blocked():
		snap.Reason, snap.Detail = reasonOf(m.storeErr)
	case m.outage.err != nil:
		snap.Reason, snap.Detail = reasonOf(m.outage.err)
		snap.Gateway = gatewayOf(m.outage.err)
	case m.saveErr != nil:
		snap.Reason, snap.Detail = reasonOf(m.saveErr)
	case m.unstored.err() != nil:
		snap.Reason, snap.Detail = reasonOf(m.unstored.err())
	}
	return snap
}
