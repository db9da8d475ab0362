package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

const (
	keyLifetime    = 24 * time.Hour   // of a managed key, where its profile says nothing else
	keyRetry       = 10 * time.Second // between two attempts to make one
	doubtInterval  = 10 * time.Second // between two trials of a credential that an answer refused
	keysForbidden  = 10 * time.Minute // until a server that forbids keys is asked again
	keyGrace       = 10 * time.Minute // that a replaced key lives after its last use, where the server ignores its end
	keySweep       = 15 * time.Second // between two looks at what is to be deleted
	keySignOutTime = 5 * time.Second  // for deleting them at a sign-out
)

// The reasons that have to do with keys.
const (
	reasonKeysForbidden = "keys-forbidden"
	reasonExpiryIgnored = "expiry-ignored"
)

// KeyGrant is an API key for a reader.
type KeyGrant struct {
	Profile   string
	ServerURL string
	Key       secret.Text
	ID        string        // "" of a profile's own key
	ExpiresAt time.Time     // by the server's clock; zero if it has no end or that is not known
	ExpiresIn time.Duration // by our reckoning; 0 with a zero ExpiresAt
}

// AccountKey is an API key of a profile's account, whoever made it.
type AccountKey struct {
	ID, Name, Masked           string
	Created, LastUsed, Expires time.Time // by the server's clock; zero: never, or it does not say
	Uses                       int
	Active                     bool
	Ours                       bool // made by this agent
	Current                    bool // what Key hands out now
}

// managedKey is a key that was made from a session. The zero value is none.
type managedKey struct {
	id, name string
	key      secret.Text
	expires  time.Time     // by the server's clock: ours to keep, if the server ignores it
	lifetime time.Duration // when it was made or loaded
	since    time.Duration // clock.Elapsed of that
	renewAt  time.Duration // clock.Elapsed when it is due for another
	ignored  bool          // the server knows no end of it
	doubted  bool          // an answer refused it: it is tried before anybody gets it again
}

// keyLeft is how long the current key lives, by the less favourable clock, as
// with tokens. The caller holds a.mu.
func (a *Agent) keyLeft(s *session) time.Duration {
	if s.key.key.Empty() {
		return 0
	}
	wall := s.key.expires.Sub(a.serverNow(s))
	return max(0, min(wall, s.key.lifetime-(a.clock.Elapsed()-s.key.since)))
}

// Key returns an API key that lives for at least minValid, making one if need
// be; readers that come meanwhile wait for the same one. Errors are *Error, and
// as Token's; a server that lets the account make none is NotSupported.
func (a *Agent) Key(ctx context.Context, name string, minValid time.Duration) (KeyGrant, error) {
	for {
		grant, f, err := a.keyGrant(name, minValid)
		if f == nil {
			return grant, err
		}
		err = f.wait(ctx)
		if errors.Is(err, errInterrupted) {
			err = a.awaitTurn(ctx, name)
		}
		switch {
		case ctx.Err() != nil:
			return KeyGrant{}, ctx.Err()
		case err != nil:
			return KeyGrant{}, errorOf(name, err)
		}
	}
}

// keyGrant answers from memory, or returns what to wait for.
func (a *Agent) keyGrant(name string, minValid time.Duration) (KeyGrant, *flight, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[name]
	if s == nil {
		return KeyGrant{}, nil, noProfile(name)
	}
	grant := KeyGrant{Profile: name, ServerURL: s.profile.ServerURL}
	if s.profile.Method == methodAPIKey {
		switch state := a.state(s); {
		case state == KeychainLocked:
			return KeyGrant{}, nil, keychainError(name, s.storeErr)
		case state == SignInRequired, s.apiKey.Empty() && s.loaded:
			return KeyGrant{}, nil, signInError(name, s.ended)
		case s.apiKey.Empty():
			return KeyGrant{}, a.start(s, false), nil
		}
		grant.Key = s.apiKey
		return grant, nil, nil
	}
	lifetime := lifetimeOfKeys(s)
	least := max(minValid, time.Second)
	if minValid == Wish {
		least = max(min(time.Minute, lifetime/10), time.Second)
	}
	now := a.clock.Elapsed()
	waits := s.keyErr != nil && now < s.keyRetryAt
	left := a.keyLeft(s)
	usable := left >= least && a.state(s) != SignInRequired
	if usable && s.key.doubted {
		return KeyGrant{}, a.startKey(s), nil
	}
	if usable {
		// One that lives longer than its profile now allows is replaced as well.
		if !waits && (now >= s.key.renewAt || s.key.lifetime > lifetime) {
			a.startKey(s) // for those who come later
		}
		grant.Key, grant.ID, grant.ExpiresAt, grant.ExpiresIn = s.key.key, s.key.id, s.key.expires, left
		return grant, nil, nil
	}
	switch {
	case minValid > lifetime:
		return KeyGrant{}, nil, &Error{Kind: LifetimeTooShort, Profile: name, MaxValid: lifetime,
			Message: "its keys don't live that long: ask for at most " + lifetime.String() + ", or raise its key_lifetime"}
	case waits:
		return KeyGrant{}, nil, s.keyErr
	}
	return KeyGrant{}, a.startKey(s), nil
}

// lifetimeOfKeys is how long the profile's managed keys live. The caller holds
// a.mu.
func lifetimeOfKeys(s *session) time.Duration {
	if s.profile.KeyLifetime > 0 {
		return s.profile.KeyLifetime
	}
	return keyLifetime
}

// startKey begins to make a key, unless that is under way. The caller holds
// a.mu.
func (a *Agent) startKey(s *session) *flight {
	if s.keyFlight != nil {
		return s.keyFlight
	}
	f := &flight{done: make(chan struct{}), err: errStopping}
	if a.stopping {
		close(f.done)
		return f
	}
	s.keyFlight = f
	ctx := s.ctx
	a.working.Go(func() {
		err := a.renewKey(ctx, s)
		a.mu.Lock()
		defer a.mu.Unlock()
		s.keyFlight, f.err = nil, err
		close(f.done)
	})
	return f
}

// renewKey tries the current key if it is doubted, and makes another in its
// place if that is needed. The current one lives on till its end.
func (a *Agent) renewKey(ctx context.Context, s *session) error {
	if good, err := a.tryKey(ctx, s); good || err != nil {
		return err
	}
	// A token first: this is what waits, asks for a sign-in, or fails.
	grant, err := a.Token(ctx, s.name, Wish)
	if err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	if err := s.acquire(ctx); err != nil {
		return errInterrupted
	}
	defer s.release()
	if a.loadKey(ctx, s) {
		return nil
	}
	err = a.makeKey(ctx, s, langflow.Bearer(grant.Token))
	if ctx.Err() != nil {
		return errInterrupted
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.keyErr = nil
	if err != nil {
		s.keyErr, s.keyRetryAt = err, a.clock.Elapsed()+keyRetry
		if e := new(Error); errors.As(err, &e) && e.Reason == reasonKeysForbidden {
			s.keyRetryAt = a.clock.Elapsed() + keysForbidden
		}
	}
	a.changed(s)
	return err
}

// loadKey takes the key that the store has of an earlier start, once. It tells
// whether that will do.
func (a *Agent) loadKey(ctx context.Context, s *session) bool {
	a.mu.Lock()
	loaded, origin, username := s.keyLoaded, s.origin, s.profile.Username
	a.mu.Unlock()
	if loaded {
		return false
	}
	item, err := a.stored(ctx, s.name, keychain.APIKey, origin, username)
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return false // a new one then; the journal sees to the old one
	}
	records, journalErr := a.journal.of(origin, username)
	if journalErr != nil {
		return false // as makeKey will say
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.keyLoaded = true
	if err != nil || item.ID == "" || ctx.Err() != nil {
		return false
	}
	// Only a key that the journal knows is handed out: one that was revoked, or
	// refused by its server, is Over there or gone, even if a crash or a keychain
	// that fails left it in the store.
	i := slices.IndexFunc(records, func(r keyRecord) bool { return r.ID == item.ID && !r.Over })
	if i < 0 {
		a.saver.remove(keychain.Account(s.name, keychain.APIKey))
		return false
	}
	ends := item.ExpiresAt
	if records[i].Ends.Before(ends) {
		ends = records[i].Ends // its successor was made, and could not be stored
	}
	left := ends.Sub(a.serverNow(s))
	if left < max(min(time.Minute, lifetimeOfKeys(s)/10), time.Second) {
		return false
	}
	now := a.clock.Elapsed()
	s.key = managedKey{id: item.ID, name: records[i].Name, key: item.Secret, expires: ends, lifetime: left, since: now,
		renewAt: now + left - lifetimeOfKeys(s)/5}
	a.changed(s)
	return true
}

// makeKey asks the server for a key. The caller holds s.op.
func (a *Agent) makeKey(ctx context.Context, s *session, cred langflow.Credential) error {
	a.mu.Lock()
	client, lifetime := s.client, lifetimeOfKeys(s)
	record := keyRecord{Profile: s.name, Origin: s.origin, Username: s.profile.Username, Name: keyName(s.name)}
	record.Ends = a.serverNow(s).Add(lifetime).Truncate(time.Second).UTC()
	a.mu.Unlock()
	if client == nil {
		return &langflow.Error{Op: "make an api key", Kind: langflow.Unreachable}
	}
	if err := a.journal.put(record); err != nil {
		return &Error{Kind: Internal, Profile: s.name, Err: err, Message: fmt.Sprintf("can't write down the key to be made: %v", err)}
	}
	asked := a.clock.Elapsed()
	made, err := client.CreateKey(ctx, cred, record.Name, record.Ends)
	if err != nil {
		return a.notMade(s, record, cred, err)
	}
	record.ID = made.ID
	if err := a.journal.put(record); err != nil {
		a.log.Warn("can't note a key's id", "profile", s.name, "error", err) // it will be found by its name
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Keys++
	if ctx.Err() != nil {
		return errInterrupted // whoever seized the session deletes it
	}
	if s.key.ignored {
		a.retire(s.key.name)
	}
	s.key = managedKey{
		id: made.ID, name: record.Name, key: made.Key, expires: record.Ends, lifetime: lifetime, since: asked,
		renewAt: asked + lifetime*4/5, ignored: made.Expires.IsZero(),
	}
	a.saver.save(keychain.Account(s.name, keychain.APIKey), keychain.Item{
		Origin: s.origin, Username: s.profile.Username, Secret: made.Key, ExpiresAt: record.Ends, ID: made.ID,
	}, nil)
	a.kickKeys()
	return nil
}

// retire dates the end of a replaced key whose server knows none: soon after
// its last use, see sweepOf.
func (a *Agent) retire(name string) {
	a.background(func(context.Context) {
		err := a.journal.change(func(all []keyRecord) []keyRecord {
			for i := range all {
				if all[i].Name == name {
					all[i].Ends, all[i].Ignored = a.clock.Now().Add(keyGrace).UTC(), true
				}
			}
			return all
		})
		if err != nil {
			a.log.Warn("can't note that a key is replaced", "error", err)
		}
		a.kickKeys()
	})
}

// notMade sorts out why no key was made: a refusal is an answer, anything else
// may have made one all the same.
func (a *Agent) notMade(s *session, record keyRecord, cred langflow.Credential, err error) error {
	var lf *langflow.Error
	if !errors.As(err, &lf) || lf.Status < 400 || lf.Status >= 500 {
		record.Over = true
		return errors.Join(err, a.journal.put(record))
	}
	if dropped := a.journal.drop(record.Name); dropped != nil {
		a.log.Warn("can't take back a key's name", "profile", s.name, "error", dropped)
	}
	switch lf.Kind {
	case langflow.Refused, langflow.BadRequest:
		if lf.Status == http.StatusUnauthorized {
			return err // of a gateway: Langflow answers 401 in words that we know
		}
		detail := ""
		if lf.Detail != "" {
			detail = " (" + lf.Detail + ")"
		}
		return &Error{Kind: NotSupported, Profile: s.name, Reason: reasonKeysForbidden, Err: err,
			Message: "the server makes no api keys for this account" + detail + ": ask its administrator, or use one of your own with --method api-key"}
	case langflow.TokenRefused:
		a.mu.Lock()
		a.doubt(s)
		a.mu.Unlock()
	}
	return err
}

// keyName is what a new key is called: which computer and profile it belongs
// to, for people, and a nonce.
func keyName(profile string) string {
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

// Keys lists all API keys of a profile's account.
func (a *Agent) Keys(ctx context.Context, name string) ([]AccountKey, error) {
	client, cred, err := a.Credential(ctx, name)
	if err != nil {
		return nil, err
	}
	keys, err := client.Keys(ctx, cred)
	if err != nil {
		return nil, errorOf(name, err)
	}
	a.mu.Lock()
	s := a.sessions[name]
	if s == nil {
		a.mu.Unlock()
		return nil, noProfile(name)
	}
	current, origin, username := s.key.id, s.origin, s.profile.Username
	a.mu.Unlock()
	ours, err := a.journal.of(origin, username)
	if err != nil {
		a.log.Warn("can't tell which keys are ours", "error", err)
	}
	all := make([]AccountKey, len(keys))
	for i, k := range keys {
		all[i] = AccountKey{
			ID: k.ID, Name: k.Name, Masked: k.Masked, Created: k.Created, LastUsed: k.LastUsed, Expires: k.Expires,
			Uses: k.Uses, Active: k.Active, Current: k.ID == current,
			Ours: slices.ContainsFunc(ours, func(r keyRecord) bool { return r.Name == k.Name }),
		}
	}
	return all, nil
}

// RevokeKey deletes one of the account's keys on the server. One that is not
// there is NotFound.
func (a *Agent) RevokeKey(ctx context.Context, name, id string) error {
	client, cred, err := a.Credential(ctx, name)
	if err != nil {
		return err
	}
	err = client.DeleteKey(ctx, cred, id)
	if langflow.NoSuchKey(err) {
		return &Error{Kind: NotFound, Profile: name, Err: err, Message: "the account has no key with that id: langkeep keys lists them"}
	}
	if err != nil {
		return errorOf(name, err)
	}
	// The journal first: what it does not know is not taken from the store.
	err = a.journal.change(func(all []keyRecord) []keyRecord {
		return slices.DeleteFunc(all, func(r keyRecord) bool { return r.ID == id })
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.sessions { // another profile may have the same account
		if s.key.id == id {
			a.giveUpKey(s)
		}
	}
	return err
}

// giveUpKey forgets the current key, in the store too unless somebody works on
// the session: a sign-in may just have stored a key of its own there, and what
// is over in the journal is not used again anyway. The caller holds a.mu.
func (a *Agent) giveUpKey(s *session) {
	s.key = managedKey{}
	a.changed(s)
	select {
	case s.op <- struct{}{}:
		a.saver.remove(keychain.Account(s.name, keychain.APIKey))
		s.release()
	default:
	}
}

// KeyRefused tells that an answer which came through the server's address
// refused a key. The answer may be a gateway's, or of a route that has nothing
// to do with keys, so the key is tried before anybody gets it again, at most
// every 10 s; only one that Langflow itself refuses is replaced.
func (a *Agent) KeyRefused(name string, key secret.Text) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[name]
	if s == nil || key.Empty() {
		return
	}
	switch key.Reveal() {
	case s.apiKey.Reveal():
		a.doubt(s)
	case s.key.key.Reveal():
		if a.doubtable(&s.keyDoubtedAt) {
			s.key.doubted = true
			a.startKey(s)
		}
	}
}

// TokenRefused tells the same of an access token. If it is still the current
// one it is tried, and renewed if need be, before anybody gets it again.
func (a *Agent) TokenRefused(name string, token secret.Text) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[name]
	if s == nil || token.Empty() || s.pair.Access.Reveal() != token.Reveal() {
		return
	}
	a.doubt(s)
}

// doubt has what a session holds tried, at most every doubtInterval. The caller
// holds a.mu.
func (a *Agent) doubt(s *session) {
	if a.doubtable(&s.doubtedAt) {
		s.needsProof = true
		a.start(s, false)
	}
}

// doubtable tells whether a refusal is looked into now, and notes that it is: a
// route that always answers 401 must not have the credential tried with every
// request. last is clock.Elapsed of that credential's last trial: refusals of
// another one don't put it off. The caller holds a.mu.
func (a *Agent) doubtable(last *time.Duration) bool {
	now := a.clock.Elapsed()
	if *last >= 0 && now-*last < doubtInterval {
		return false
	}
	*last = now
	return true
}

// tryKey tries the current key if it is doubted, and gives it up if Langflow
// refuses it. It tells whether the key, which nobody doubted or which was not
// refused, will do.
func (a *Agent) tryKey(ctx context.Context, s *session) (good bool, err error) {
	a.mu.Lock()
	key, client := s.key, s.client
	a.mu.Unlock()
	if !key.doubted {
		return false, nil
	}
	if client != nil {
		_, err = client.WhoAmI(ctx, langflow.Key(key.key))
	}
	refused := refusal(err)
	if refused && ctx.Err() == nil {
		a.log.Warn("the server refuses the api key: making another", "profile", s.name, "error", err)
		// The journal first: what is over there is not taken from the store.
		if err := a.journal.over(s.name, func(r keyRecord) bool { return r.Name == key.name }); err != nil {
			a.log.Warn("can't note that a key is over", "profile", s.name, "error", err)
		}
		a.kickKeys()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return false, errInterrupted
	case s.key.id != key.id:
		return false, nil
	case refused:
		a.giveUpKey(s)
		return false, nil
	}
	s.key.doubted = false
	return true, nil
}
