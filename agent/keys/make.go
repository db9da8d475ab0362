package keys

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
)

// renew tries the current key if it is doubted, and makes a new one if need be. The old
// key lives on till its end.
func (m *Manager) renew(a Account) error {
	ctx := a.Work
	if good, err := m.try(ctx, a); good || err != nil {
		return err
	}
	// Get a token first: this step may wait, require a sign-in, or fail.
	access, err := m.Sessions.Access(ctx, a.Profile)
	if err != nil {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		return err
	}
	release, err := m.Sessions.Turn(ctx, a.Profile)
	if err != nil {
		return ErrInterrupted
	}
	defer release()
	if m.load(ctx, a) {
		return nil
	}
	err = m.make(ctx, a, access)
	var lf *langflow.Error
	if errors.As(err, &lf) && lf.Kind == langflow.TokenRefused {
		m.Sessions.TokenRefused(a.Profile, access.Token())
	}
	interrupted := m.advance(ctx, a.Profile, func(h *held) {
		h.err, h.retryAt = err, m.Clock.Elapsed()+retry
		if e := new(Error); errors.As(err, &e) && e.Problem == Forbidden {
			h.retryAt = m.Clock.Elapsed() + forbidden
		}
	})
	if interrupted != nil {
		return interrupted
	}
	return err
}

// try tries the current key if it is doubted, and gives it up if Langflow refuses it.
// good means that the key can be used.
func (m *Manager) try(ctx context.Context, a Account) (good bool, err error) {
	key, _ := m.current(a.Profile)
	if !key.doubted {
		return false, nil
	}
	if a.Client != nil {
		_, err = a.Client.WhoAmI(ctx, langflow.Key(key.key))
	}
	var lf *langflow.Error
	if errors.As(err, &lf) && (lf.Kind == langflow.KeyRefused || lf.Final()) && ctx.Err() == nil {
		m.Log.Warn("the server refuses the api key: making another", "profile", a.Profile, "error", err)
		// Mark the key in the journal first: load ignores a key that is Over there.
		if err := m.Journal.over(a.Profile, func(r Record) bool { return r.Name == key.name }); err != nil {
			m.Log.Warn("can't note that a key is over", "profile", a.Profile, "error", err)
		}
		m.Kick()
		m.giveUp(a.Profile, key.id)
		return false, nil
	}
	err = m.advance(ctx, a.Profile, func(h *held) {
		if good = h.key.id == key.id; good {
			h.key.doubted = false
		}
	})
	return good, err
}

// giveUp forgets the current key, if it has that id. It deletes the store's item too,
// unless another goroutine has the session's turn: a sign-in may just have stored a key
// of its own. A key that is Over in the journal is not used again anyway.
func (m *Manager) giveUp(profile, id string) {
	release, ok := m.Sessions.Try(profile)
	if ok {
		defer release()
	}
	m.set(profile, func(h *held) {
		if h.key.id != id || id == "" {
			return
		}
		h.key = managed{}
		if ok {
			m.Store.RemoveKey(profile)
		}
	})
}

// load reads the key of an earlier start from the store, once. It tells whether that
// key can be used.
func (m *Manager) load(ctx context.Context, a Account) bool {
	if _, loaded := m.current(a.Profile); loaded {
		return false
	}
	item, err := m.Store.StoredKey(ctx, a)
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return false // make a new one; the journal has the old one deleted
	}
	records, journalErr := m.Journal.of(a)
	if journalErr != nil {
		return false // make returns the error
	}
	// Only a key that the journal knows is handed out: one that was revoked, or refused by
	// its server, is Over there or gone, even if a crash or a keychain that fails left it in
	// the store.
	i := slices.IndexFunc(records, func(r Record) bool { return r.ID == item.ID && !r.Over })
	good := false
	m.set(a.Profile, func(h *held) {
		h.loaded = true
		if err != nil || item.ID == "" || ctx.Err() != nil {
			return
		}
		if i < 0 {
			m.Store.RemoveKey(a.Profile)
			return
		}
		ends := item.ExpiresAt
		if records[i].Ends.Before(ends) {
			ends = records[i].Ends // a newer key was made, and could not be stored
		}
		left := ends.Sub(m.serverNow(a))
		if good = left >= a.least(); good {
			now := m.Clock.Elapsed()
			h.key = managed{id: item.ID, name: records[i].Name, key: item.Secret, expires: ends, lifetime: left, since: now,
				renewAt: now + left - a.lifetime()/5}
		}
	})
	return good
}

// make asks the server for a key. The caller has the session's turn.
func (m *Manager) make(ctx context.Context, a Account, cred langflow.Credential) error {
	// Describe the account anew: it may have changed since the reader asked.
	if now, ok := m.Sessions.Account(a.Profile); ok {
		a = now
	}
	if a.Client == nil {
		return &langflow.Error{Op: "make an api key", Kind: langflow.Unreachable}
	}
	record := Record{Profile: a.Profile, Origin: a.Origin, Username: a.Username, Name: name(a.Profile)}
	record.Ends = m.serverNow(a).Add(a.lifetime()).Truncate(time.Second).UTC()
	if err := m.Journal.Put(record); err != nil {
		return &Error{Problem: Unwritten, Err: err}
	}
	asked := m.Clock.Elapsed()
	made, err := a.Client.CreateKey(ctx, cred, record.Name, record.Ends)
	if err != nil {
		return m.notMade(a, record, err)
	}
	record.ID = made.ID
	if err := m.Journal.Put(record); err != nil {
		m.Log.Warn("can't note a key's id", "profile", a.Profile, "error", err) // sweep finds the key by its name
	}
	m.mu.Lock()
	m.made++
	m.mu.Unlock()
	replaced := ""
	err = m.advance(ctx, a.Profile, func(h *held) {
		if h.key.ignored {
			replaced = h.key.name
		}
		h.key = managed{
			id: made.ID, name: record.Name, key: made.Key, expires: record.Ends, lifetime: a.lifetime(), since: asked,
			renewAt: asked + a.lifetime()*4/5, ignored: made.Expires.IsZero(),
		}
		m.Store.SaveKey(a.Profile, keychain.Item{
			Origin: a.Origin, Username: a.Username, Secret: made.Key, ExpiresAt: record.Ends, ID: made.ID,
		})
	})
	if err != nil {
		return err // the interrupting caller deletes the key
	}
	if replaced != "" {
		m.retire(replaced)
	}
	m.Kick()
	return nil
}

// retire sets the end of a replaced key where the server ignores ends: grace after its
// last use, see Sweep.
func (m *Manager) retire(name string) {
	err := m.Journal.Change(func(all []Record) []Record {
		for i := range all {
			if all[i].Name == name {
				all[i].Ends, all[i].Ignored = m.Clock.Now().Add(grace).UTC(), true
			}
		}
		return all
	})
	if err != nil {
		m.Log.Warn("can't note that a key is replaced", "error", err)
	}
}

// notMade handles a failed attempt to make a key. After a refusal there is no key;
// after any other failure the server may have made one all the same.
func (m *Manager) notMade(a Account, record Record, err error) error {
	var lf *langflow.Error
	if !errors.As(err, &lf) || lf.Status < 400 || lf.Status >= 500 {
		record.Over = true
		return errors.Join(err, m.Journal.Put(record))
	}
	if dropped := m.Journal.drop(record.Name); dropped != nil {
		m.Log.Warn("can't take back a key's name", "profile", a.Profile, "error", dropped)
	}
	// Langflow's own 401 has known words: another one is a gateway's.
	refused := lf.Kind == langflow.Refused && lf.Status != http.StatusUnauthorized
	if refused || lf.Kind == langflow.BadRequest {
		return &Error{Problem: Forbidden, Detail: lf.Detail, Err: err}
	}
	return err
}
