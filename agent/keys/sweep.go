package keys

import (
	"context"
	"math"
	"slices"
	"time"

	"langkeep/agent/langflow"
)

// Kick makes Sweep look at the records anew.
func (m *Manager) Kick() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Sweep deletes managed keys on their servers when they have ended, until ctx ends.
// Langflow keeps keys that have ended in its list for ever (1.13.0).
func (m *Manager) Sweep(ctx context.Context) {
	for {
		wait := m.sweep(ctx)
		if wait == 0 {
			wait = math.MaxInt64
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.kick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// sweep deletes the keys that are over, and returns the time till the next sweep; 0 if
// none is needed.
func (m *Manager) sweep(ctx context.Context) time.Duration {
	const longest = time.Minute // a sleeping computer's timers stand still
	records, err := m.Journal.All()
	if err != nil {
		m.Log.Warn("can't tell which keys are to be deleted", "error", err)
		return longest
	}
	var wait time.Duration
	sooner := func(d time.Duration) {
		if d = min(max(d, time.Second), longest); wait == 0 || d < wait {
			wait = d
		}
	}
	left := map[string][]Record{} // by profile
	for _, r := range records {
		a, now := m.reach(r)
		if !r.Over && r.Ends.After(now) {
			sooner(r.Ends.Sub(now) + time.Second)
			continue
		}
		if !a.Access.Empty() && m.delete(ctx, a, r) {
			continue
		}
		if ctx.Err() != nil {
			return 0
		}
		sooner(sweepInterval)
		left[r.Profile] = append(left[r.Profile], r)
	}
	m.addNoted(left)
	for profile, records := range left {
		if a, ok := m.Sessions.Account(profile); ok {
			m.noteLeft(a, records)
		}
	}
	return wait
}

// addNoted adds the profiles of which keys were noted as left: they may have none any more.
// Sweep runs after each renewal, so it must not look at every session.
func (m *Manager) addNoted(left map[string][]Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for profile, h := range m.keys {
		if _, ok := left[profile]; !ok && h.left > 0 {
			left[profile] = nil
		}
	}
}

// noteLeft notes a profile's keys that are still to be deleted.
func (m *Manager) noteLeft(a Account, left []Record) {
	count, until := 0, time.Time{}
	for _, r := range left {
		if r.Ends.After(m.serverNow(a)) { // an ended key opens nothing any more
			count++
			if r.Ends.After(until) {
				until = r.Ends
			}
		}
	}
	if s := m.Status(a.Profile); s.Left == count && s.LeftUntil.Equal(until) {
		return
	}
	m.set(a.Profile, func(h *held) { h.left, h.leftUntil = count, until })
}

// reach finds an account for a record, with a token if there is one now, and the time
// on its server.
func (m *Manager) reach(r Record) (found Account, now time.Time) {
	now = m.Clock.Now()
	for a := range m.Sessions.Accounts() {
		if a.Origin != r.Origin || a.Username != r.Username || a.Client == nil {
			continue
		}
		found, now = a, m.serverNow(a)
		if !a.Access.Empty() {
			break
		}
	}
	return found, now
}

// delete deletes a key on its server. It tells whether the record is settled: the key
// is gone, or lives on because it is still used.
func (m *Manager) delete(ctx context.Context, a Account, r Record) bool {
	cred := a.Access
	if r.ID == "" || r.Ignored && !r.Over {
		keys, err := a.Client.Keys(ctx, cred)
		if err != nil {
			return false
		}
		found := false
		for _, k := range keys {
			if k.Name != r.Name {
				continue
			}
			r.ID, found = k.ID, true
			if end := k.LastUsed.Add(grace); r.Ignored && !r.Over && end.After(r.Ends) {
				r.Ends = end.UTC()
				return m.Journal.Put(r) == nil
			}
		}
		if !found {
			return m.Journal.drop(r.Name) == nil
		}
	}
	err := a.Client.DeleteKey(ctx, cred, r.ID)
	if langflow.NoSuchKey(err) {
		// A gateway answers "not found" too while its server is away.
		keys, listed := a.Client.Keys(ctx, cred)
		if listed == nil && !slices.ContainsFunc(keys, func(k langflow.APIKey) bool { return k.ID == r.ID }) {
			err = nil
		}
	}
	if err != nil {
		m.Log.Info("can't delete a key now", "profile", r.Profile, "error", err)
		return false
	}
	return m.Journal.drop(r.Name) == nil
}

// SignOut deletes all managed keys of a profile on its sign-out, as far as the server
// can be asked. Status counts the others; they go at the account's next sign-in.
// a.Access is empty without a valid token.
func (m *Manager) SignOut(ctx context.Context, a Account) {
	if err := m.Journal.over(a.Profile, func(Record) bool { return true }); err != nil {
		m.Log.Warn("can't note that keys are over", "profile", a.Profile, "error", err)
		return
	}
	records, err := m.Journal.All()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, signOutTime)
	defer cancel()
	var rest []Record
	for _, r := range records {
		if r.Profile != a.Profile {
			continue
		}
		if a.Client == nil || a.Access.Empty() || r.Origin != a.Origin || !m.delete(ctx, a, r) {
			rest = append(rest, r)
		}
	}
	m.noteLeft(a, rest)
}
