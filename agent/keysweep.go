package agent

import (
	"context"
	"math"
	"slices"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

// kickKeys has the keys looked at anew.
func (a *Agent) kickKeys() {
	select {
	case a.keyKick <- struct{}{}:
	default:
	}
}

// sweepKeys deletes managed keys on their servers when they have ended, until
// ctx ends. Langflow keeps keys that have ended in its list for ever (1.13.0).
func (a *Agent) sweepKeys(ctx context.Context) {
	for {
		wait := a.sweep(ctx)
		if wait == 0 {
			wait = math.MaxInt64
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.keyKick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// sweep deletes what is over, and returns how long to wait for the next; 0 if
// there is nothing to wait for.
func (a *Agent) sweep(ctx context.Context) time.Duration {
	const longest = time.Minute // a sleeping computer's timers stand still
	records, err := a.journal.all()
	if err != nil {
		a.log.Warn("can't tell which keys are to be deleted", "error", err)
		return longest
	}
	var wait time.Duration
	sooner := func(d time.Duration) {
		if d = min(max(d, time.Second), longest); wait == 0 || d < wait {
			wait = d
		}
	}
	left := map[string][]keyRecord{} // by profile
	for _, r := range records {
		client, access, now := a.wayTo(r)
		if !r.Over && r.Ends.After(now) {
			sooner(r.Ends.Sub(now) + time.Second)
			continue
		}
		if client != nil && a.deleteKey(ctx, client, langflow.Bearer(access), r) {
			continue
		}
		if ctx.Err() != nil {
			return 0
		}
		sooner(keySweep)
		left[r.Profile] = append(left[r.Profile], r)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, s := range a.sessions {
		a.noteKeysLeft(s, left[name])
	}
	return wait
}

// noteKeysLeft notes what of a profile is still to be deleted. The caller holds
// a.mu.
func (a *Agent) noteKeysLeft(s *session, left []keyRecord) {
	count, until := 0, time.Time{}
	for _, r := range left {
		if r.Ends.After(a.serverNow(s)) { // else it opens nothing any more
			count++
			if r.Ends.After(until) {
				until = r.Ends
			}
		}
	}
	if count != s.keysLeft || !until.Equal(s.keysUntil) {
		s.keysLeft, s.keysUntil = count, until
		a.changed(s)
	}
}

// wayTo finds a session of the record's account that can delete the key now,
// and the time on its server; client is nil if there is none.
func (a *Agent) wayTo(r keyRecord) (client *langflow.Client, access secret.Text, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.clock.Now()
	for _, s := range a.sessions {
		if s.origin != r.Origin || s.profile.Username != r.Username || s.client == nil {
			continue
		}
		now = a.serverNow(s)
		if a.left(s) >= time.Second {
			return s.client, s.pair.Access, now
		}
	}
	return nil, secret.Text{}, now
}

// deleteKey deletes a key on its server and tells whether it is gone there, or
// is to live on since it is still used.
func (a *Agent) deleteKey(ctx context.Context, client *langflow.Client, cred langflow.Credential, r keyRecord) bool {
	if r.ID == "" || r.Ignored && !r.Over {
		keys, err := client.Keys(ctx, cred)
		if err != nil {
			return false
		}
		found := false
		for _, k := range keys {
			if k.Name != r.Name {
				continue
			}
			r.ID, found = k.ID, true
			if end := k.LastUsed.Add(keyGrace); r.Ignored && !r.Over && end.After(r.Ends) {
				r.Ends = end.UTC()
				return a.journal.put(r) == nil
			}
		}
		if !found {
			return a.journal.drop(r.Name) == nil
		}
	}
	err := client.DeleteKey(ctx, cred, r.ID)
	if langflow.NoSuchKey(err) {
		// A gateway says "not found" as well, of a server that is away for a while.
		keys, listed := client.Keys(ctx, cred)
		if listed == nil && !slices.ContainsFunc(keys, func(k langflow.APIKey) bool { return k.ID == r.ID }) {
			err = nil
		}
	}
	if err != nil {
		a.log.Info("can't delete a key now", "profile", r.Profile, "error", err)
		return false
	}
	return a.journal.drop(r.Name) == nil
}

// deleteKeys deletes all managed keys of a profile that is being signed out, as
// far as its server can be asked; the others are told in its Snapshot and go at
// the account's next sign-in.
func (a *Agent) deleteKeys(ctx context.Context, s *session, client *langflow.Client, access secret.Text, left time.Duration) {
	if err := a.journal.over(s.name, func(keyRecord) bool { return true }); err != nil {
		a.log.Warn("can't note that keys are over", "profile", s.name, "error", err)
		return
	}
	records, err := a.journal.all()
	if err != nil {
		return
	}
	a.mu.Lock()
	origin := s.origin
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, keySignOutTime)
	defer cancel()
	var rest []keyRecord
	for _, r := range records {
		if r.Profile != s.name {
			continue
		}
		if client == nil || left < time.Second || r.Origin != origin || !a.deleteKey(ctx, client, langflow.Bearer(access), r) {
			rest = append(rest, r)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteKeysLeft(s, rest)
}
