package agent

import (
	"context"
	"errors"
	"iter"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// KeyGrant is an API key for a reader.
type KeyGrant struct {
	keys.Grant // ID is "" for a profile's own key; ExpiresAt is zero if its end is unknown or there is none
	Profile    string
	ServerURL  string
}

// Key returns an API key that lives for at least minValid. It makes one if need be, and
// all readers of that time wait for the same key. Errors are *Error, and as Token's;
// NotSupported if the server makes no keys for the account.
func (a *Agent) Key(ctx context.Context, name string, minValid time.Duration) (KeyGrant, error) {
	for {
		s, err := a.session(name)
		if err != nil {
			return KeyGrant{}, err
		}
		if err := a.LockedError(name); err != nil {
			return KeyGrant{}, err
		}
		m, now := a.look(s)
		grant := KeyGrant{Profile: name, ServerURL: m.profile.ServerURL}
		if m.profile.Method == vocabulary.APIKey {
			if grant.Grant.Key = m.apiKey; !m.apiKey.Empty() && m.state(now) != SignInRequired {
				return grant, nil
			}
			err = a.ownKey(ctx, s, m, now)
		} else {
			grant.Grant, err = a.keys.Key(ctx, a.account(s), minValid)
			switch {
			case err == nil && a.IsLocked():
				continue
			case err == nil:
				return grant, nil
			}
		}
		if errors.Is(err, errInterrupted) || errors.Is(err, keys.ErrInterrupted) {
			err = a.awaitTurn(ctx, name)
		}
		switch {
		case ctx.Err() != nil:
			return KeyGrant{}, ctx.Err()
		case err != nil:
			e := errorOf(name, err)
			if m.profile.Method == vocabulary.External && e.Reason == vocabulary.KeysForbidden {
				e.Code = NoKeysOfProvider // keyError made e for this caller
			}
			return KeyGrant{}, e
		}
	}
}

// ownKey waits until the store was asked for the profile's own API key, or says why
// there is none.
func (a *Agent) ownKey(ctx context.Context, s *session, m *machine, now moment) error {
	switch state := m.state(now); {
	case state == KeychainLocked:
		return keychainError(s.name, m.storeErr)
	case state == SignInRequired, m.loaded:
		return m.signInError()
	}
	f, _ := a.start(s, false)
	return f.Wait(ctx)
}

// Keys lists all API keys of a profile's account.
func (a *Agent) Keys(ctx context.Context, name string) ([]keys.AccountKey, error) {
	client, cred, err := a.Credential(ctx, name)
	if err != nil {
		return nil, err
	}
	s, err := a.session(name)
	if err != nil {
		return nil, err
	}
	all, err := a.keys.List(ctx, a.account(s), client, cred)
	if err != nil {
		return nil, errorOf(name, err)
	}
	return all, nil
}

// RevokeKey deletes one of the account's keys on the server. An unknown id is NotFound.
func (a *Agent) RevokeKey(ctx context.Context, name, id string) error {
	client, cred, err := a.Credential(ctx, name)
	if err != nil {
		return err
	}
	if err := a.keys.Revoke(ctx, client, cred, id); err != nil {
		return errorOf(name, err)
	}
	return nil
}

// EndsKeys tells whether the server knows the end of the profile's managed key.
// Langflow before 1.10 ignores ends.
func (a *Agent) EndsKeys(name string) bool { return a.keys.EndsKnown(name) }

// KeyRefused notes that an answer from the server's address refused a key. The answer
// may come from a gateway, or from a route that takes no keys, so the agent tries the
// key before any reader gets it again.
func (a *Agent) KeyRefused(name string, key secret.Text) {
	s, err := a.session(name)
	if err != nil || key.Empty() {
		return
	}
	if s.known.Load().apiKey.Reveal() == key.Reveal() {
		a.doubt(s)
		return
	}
	a.keys.Refused(a.account(s), key)
}

// TokenRefused notes the same of an access token. The agent tries a token that is still
// current, and renews it if need be, before any reader gets it again.
func (a *Agent) TokenRefused(name string, token secret.Text) {
	s, err := a.session(name)
	if err != nil || token.Empty() || s.known.Load().pair.Access.Reveal() != token.Reveal() {
		return
	}
	a.doubt(s)
}

// doubt makes the agent try the held credential, at most every doubtInterval: a route
// that always answers 401 must not cause a trial with every request.
func (a *Agent) doubt(s *session) {
	doubted := false
	a.update(s, func(m *machine, now moment) { doubted = m.doubt(now) })
	if doubted {
		a.start(s, false)
	}
}

// account describes the session's account to package keys.
func (a *Agent) account(s *session) keys.Account {
	m, now := a.look(s)
	account := keys.Account{
		Profile: s.name, Origin: m.origin, Username: m.profile.Username,
		Work: s.turn.interruptible(), Client: m.client, Lifetime: m.profile.KeyLifetime,
		Refused: m.state(now) == SignInRequired,
	}
	switch {
	case m.byGateway:
		account.Access = langflow.ByGateway()
	case m.left(now) >= time.Second:
		account.Access = langflow.Bearer(m.pair.Access)
	}
	return account
}

// keySource is package keys' view of an Agent.
type keySource struct{ agent *Agent }

var (
	_ keys.Sessions = keySource{}
	_ keys.Store    = keySource{}
)

func (k keySource) Account(profile string) (keys.Account, bool) {
	s, err := k.agent.session(profile)
	if err != nil {
		return keys.Account{}, false
	}
	return k.agent.account(s), true
}

func (k keySource) Accounts() iter.Seq[keys.Account] {
	return func(yield func(keys.Account) bool) {
		for _, s := range k.agent.all() {
			if !yield(k.agent.account(s)) {
				return
			}
		}
	}
}

func (k keySource) Access(ctx context.Context, profile string) (langflow.Credential, error) {
	_, cred, err := k.agent.Credential(ctx, profile)
	return cred, err
}

func (k keySource) TokenRefused(profile string, token secret.Text) {
	k.agent.TokenRefused(profile, token)
}

func (k keySource) Turn(ctx context.Context, profile string) (func(), error) {
	s, err := k.agent.session(profile)
	if err != nil {
		return nil, err
	}
	return s.turn.release, s.turn.acquire(ctx)
}

func (k keySource) Try(profile string) (func(), bool) {
	s, err := k.agent.session(profile)
	if err != nil || !s.turn.tryAcquire() {
		return nil, false
	}
	return s.turn.release, true
}

func (k keySource) Changed(profile string) {
	if s, err := k.agent.session(profile); err == nil {
		k.agent.mu.Lock()
		defer k.agent.mu.Unlock()
		k.agent.publishLocked(s)
	}
}

func (k keySource) StoredKey(ctx context.Context, a keys.Account) (keychain.Item, error) {
	return k.agent.stored(ctx, a.Profile, keychain.APIKey, a.Origin, a.Username)
}

func (k keySource) SaveKey(profile string, item keychain.Item) {
	k.agent.saver.save(keychain.ItemName(profile, keychain.APIKey), item, nil)
}

func (k keySource) RemoveKey(profile string) {
	k.agent.saver.remove(keychain.ItemName(profile, keychain.APIKey))
}

// keyError makes an Error of one of package keys.
func keyError(profile string, err *keys.Error) *Error {
	e := &Error{Kind: Internal, Profile: profile, Err: err}
	switch err.Problem {
	case keys.TooShort:
		e.Kind, e.Code, e.MaxValid = LifetimeTooShort, KeyTooShort, err.Most
	case keys.Forbidden:
		e.Kind, e.Reason, e.Detail = NotSupported, vocabulary.KeysForbidden, err.Detail
	case keys.NoSuchKey:
		e.Kind, e.Code = NotFound, NoSuchKey
	case keys.Unwritten:
		e.Code, e.Detail = KeyUnwritten, err.Err.Error()
	}
	return e
}
