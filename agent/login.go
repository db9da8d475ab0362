package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// Credentials are a person's input for a sign-in.
type Credentials struct {
	Method           string // password, auto-login, refresh-token, api-key or external
	Username         string
	Password         secret.Text
	RefreshToken     secret.Text
	APIKey           secret.Text
	RememberPassword bool
	// Headers are those that a gateway in front of the server wants; nil leaves those that
	// are kept, none takes them away.
	Headers gateway.Headers
	// HeaderChange then sets some of them, and takes away those with an empty value.
	HeaderChange map[string]secret.Text
	// Change edits the profile's settings. They come into force with the session, so that a
	// sign-in that fails leaves the profile as it was; nil edits nothing.
	Change func(*config.Profile)

	cookieName string // of the refresh token's cookie; "" if that is not known
}

func (c Credentials) check(profile string) error {
	complete := true
	switch c.Method {
	case vocabulary.Password:
		complete = c.Username != "" && !c.Password.Empty()
	case vocabulary.RefreshToken:
		complete = !c.RefreshToken.Empty()
	case vocabulary.APIKey:
		complete = !c.APIKey.Empty()
	case vocabulary.AutoLogin, vocabulary.External:
	default:
		return &Error{Kind: BadRequest, Code: UnknownMethod, Profile: profile, Detail: c.Method}
	}
	if !complete {
		return &Error{Kind: BadRequest, Code: MethodNeeds, Profile: profile, Detail: c.Method}
	}
	return nil
}

// seize stops the work under way on a session and takes its turn, until the caller
// calls the returned function.
func (a *Agent) seize(ctx context.Context, name string) (*session, func(), error) {
	for {
		s, err := a.session(name)
		if err != nil {
			return nil, nil, err
		}
		if err := s.turn.seize(ctx); err != nil {
			a.resume(s)
			return nil, nil, err
		}
		if s.known.Load().removed {
			s.turn.release()
			continue // another profile may have that name by now
		}
		return s, func() {
			a.resume(s)
			s.turn.release()
		}, nil
	}
}

// resume starts interrupted work again.
func (a *Agent) resume(s *session) {
	a.update(s, func(m *machine, now moment) {
		if !m.planned && !m.next.IsZero() {
			m.plan(now.wall)
		}
	})
}

// askForStore makes the store ready. A person signs in, so the keychain may ask them, also
// to make the first keychain.
func (a *Agent) askForStore(ctx context.Context, name string) error {
	err := a.store.Ready(ctx)
	if errors.Is(err, keychain.ErrLocked) || errors.Is(err, keychain.ErrMissing) {
		err = a.store.Unlock(ctx)
	}
	if err != nil {
		return keychainError(name, err)
	}
	return nil
}

// Login signs a profile in. After any failure the session from before goes on.
func (a *Agent) Login(ctx context.Context, name string, c Credentials) (Snapshot, error) {
	if err := c.check(name); err != nil {
		return Snapshot{}, err
	}
	if err := a.askForStore(ctx, name); err != nil {
		return Snapshot{}, err
	}
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	a.followCA(s)
	if err := a.loadPass(ctx, s); err != nil {
		return Snapshot{}, keychainError(name, err)
	}
	next, err := a.candidate(s.known.Load(), c)
	if err != nil {
		return Snapshot{}, err
	}
	defer a.discard(s, next.upstream)
	a.mu.Lock()
	a.slots[next.origin] = max(a.slots[next.origin], a.clock.Elapsed()+silentInterval) // this sign-in counts for the server's limit too
	a.mu.Unlock()
	if next.clientErr != nil {
		return Snapshot{}, errorOf(name, next.clientErr)
	}
	if c.Method == vocabulary.External && next.token == nil {
		return Snapshot{}, &Error{Kind: BadRequest, Code: MethodNeeds, Profile: name, Detail: c.Method}
	}
	version, err := next.client.Version(ctx)
	if err != nil {
		return Snapshot{}, errorOf(name, err)
	}
	tokens, username, err := signIn(ctx, next, c)
	if err != nil {
		return Snapshot{}, errorOf(name, err)
	}
	if err := a.takeOver(ctx, s, next.upstream, c, tokens, username, version); err != nil {
		return Snapshot{}, err
	}
	return a.Profile(name)
}

// candidate returns a session's machine with the settings and the headers of a sign-in,
// which come into force only with takeOver.
func (a *Agent) candidate(m *machine, c Credentials) (*machine, error) {
	p, err := c.editFile(m.profile)
	if err != nil {
		return nil, err
	}
	to := m.upstream
	if !sameWay(p, m.profile) {
		if _, err := checked(p); err != nil {
			return nil, err
		}
		to = a.upstreams.of(p)
	}
	headers, cookies := m.pass.Kept()
	if to.origin != m.origin {
		headers, cookies = nil, nil
	}
	if c.Headers != nil {
		headers = c.Headers
	}
	if headers, err = headers.With(c.HeaderChange); err != nil {
		return nil, &Error{Kind: BadRequest, Profile: m.profile.Name, Detail: err.Error()}
	}
	if to.pass == m.pass && (c.Headers != nil || len(c.HeaderChange) > 0) {
		to = a.upstreams.through(to, p, gateway.NewPass(m.pass.Config))
	}
	if to.pass != m.pass {
		to.pass.Keep(headers, cookies)
	}
	next := m.by(to)
	next.profile = p
	return next, nil
}

// editFile is edit of a profile's file, or of settings that must fit together. A person's
// own edit of the file may not fit the change.
func (c Credentials) editFile(file config.Profile) (config.Profile, error) {
	file = c.edit(file)
	if err := config.CheckProfile(file); err != nil {
		return file, &Error{Kind: BadRequest, Profile: file.Name, Detail: err.Error()}
	}
	return file, nil
}

// ChangeHeaders sets some of the headers that are kept for the gateway in front of a
// profile's server, and takes away those with an empty value. The session then tries them.
func (a *Agent) ChangeHeaders(ctx context.Context, name string, changes map[string]secret.Text) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	if err := a.load(ctx, s); err != nil {
		return Snapshot{}, err
	}
	m := s.known.Load()
	if !m.holds() {
		return Snapshot{}, signInError(name, "") // a sign-in keeps headers, and a sign-out forgets them
	}
	next, err := a.candidate(m, Credentials{HeaderChange: changes})
	if err != nil {
		return Snapshot{}, err
	}
	a.takeUpstream(context.WithoutCancel(ctx), s, next.upstream, func(m *machine, now moment) {
		m.outage = outage{}
		m.plan(now.wall)
	})
	if m.pass.Keeps() != next.pass.Keeps() {
		itemName, item := s.known.Load().item() // which tells whether there are headers to load
		a.saver.save(itemName, item, a.noteSaved(s))
	}
	return a.Profile(name)
}

// edit returns settings with the sign-in's change.
func (c Credentials) edit(p config.Profile) config.Profile {
	if c.Change == nil {
		return p
	}
	before := p.ServerURL
	c.Change(&p)
	if p.ServerURL != before {
		p = normal(p)
	}
	return p
}

// discard ends what a way of a candidate has of its own, unless the session has taken it.
func (a *Agent) discard(s *session, to upstream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retireLocked(to, s.known.Load().upstream)
}

// signIn tries the credentials. It returns the pair that the server gave, or nil for an
// accepted API key, and the account's name.
func signIn(ctx context.Context, m *machine, c Credentials) (tokens *langflow.Tokens, username string, err error) {
	client, proof := m.client, langflow.Key(c.APIKey)
	switch c.Method {
	case vocabulary.Password:
		tokens, err = client.Login(ctx, c.Username, c.Password)
	case vocabulary.AutoLogin:
		tokens, err = client.AutoLogin(ctx)
	case vocabulary.RefreshToken:
		tokens, err = client.Refresh(ctx, c.RefreshToken, c.cookieName)
	case vocabulary.External:
		var user langflow.User
		tokens, user, err = m.externalTokens(ctx)
		return tokens, user.Username, err
	}
	if err != nil {
		return nil, "", err
	}
	if tokens != nil {
		proof = langflow.Bearer(tokens.Access)
	}
	user, err := client.WhoAmI(ctx, proof)
	if err != nil {
		return nil, "", err
	}
	if c.Method == vocabulary.Password {
		return tokens, c.Username, nil
	}
	return tokens, user.Username, nil
}

// takeOver stores a new sign-in by way of a server, and replaces the session from before
// with it.
func (a *Agent) takeOver(ctx context.Context, s *session, to upstream, c Credentials, tokens *langflow.Tokens, username, version string) error {
	// The credentials are spent: a caller that leaves now must not leave the sign-in
	// half stored.
	ctx = context.WithoutCancel(ctx)
	m, now := a.look(s)
	old := m.profile
	next := *m
	p := c.edit(old)
	p.Method, p.Username = c.Method, username
	next.upstream = to
	next.signedIn(p, tokens, c.APIKey, version, nil, now)
	// Write the file first, since its change can be undone.
	undo, err := a.editProfile(old, func(file config.Profile) (config.Profile, error) {
		file.Method, file.Username = c.Method, username
		return c.editFile(file)
	})
	if err != nil {
		return err
	}
	itemName, item := next.item()

	dropped := a.saver.forget(a.itemNames(s.name)...)
	saveErr := a.store.Set(ctx, itemName, item)
	if errors.Is(saveErr, keychain.ErrTooBig) {
		for itemName, w := range dropped {
			a.saver.want(itemName, w) // the old session goes on, so its write stays pending
		}
		return errors.Join(keychainError(s.name, saveErr), undo())
	}
	faults := m.unstored
	if to.pass != m.pass {
		m.pass.OnRenewal(nil) // or an answer would store the old cookies over the new ones
		a.follow(s, to)
		faults = a.storePass(ctx, s, to)
	} else {
		for _, what := range []string{keychain.Headers, keychain.Cookies} {
			if w, waits := dropped[keychain.ItemName(s.name, what)]; waits {
				a.saver.want(keychain.ItemName(s.name, what), w)
			}
		}
	}
	// Delete the old sign-in's items only now that the new one is stored. An item that
	// can't be deleted does no harm: it does not fit the new settings.
	keepsPassword := false // an earlier sign-in's password stays, against the user's will
	for _, what := range credentials {
		other := keychain.ItemName(s.name, what)
		if other == itemName {
			continue
		}
		if other == keychain.ItemName(s.name, keychain.Password) && c.RememberPassword && c.Method == vocabulary.Password {
			remembered := keychain.Item{Origin: to.origin, Username: username, Secret: c.Password, WithPass: item.WithPass}
			if err := a.store.Set(ctx, other, remembered); err != nil {
				a.log.Warn("can't remember the password now", "profile", s.name, "error", err)
				a.saver.save(other, remembered, nil)
			}
			continue
		}
		if err := a.store.Delete(ctx, other); err != nil {
			a.log.Warn("can't remove an earlier secret now", "item", other, "error", err)
			a.saver.remove(other)
			keepsPassword = keepsPassword || other == keychain.ItemName(s.name, keychain.Password)
		}
	}

	if tokens != nil {
		a.counts.add(func(all *Counts) { all.Pairs++ })
	}
	if to.origin != m.origin {
		a.leaveServer(ctx, s)
	}
	a.keys.Forget(s.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.updateLocked(s, func(m *machine, later moment) {
		m.upstream = to
		m.signedIn(p, tokens, c.APIKey, version, saveErr, now)
		m.suspended, m.unstored = keepsPassword, faults
		a.servedLocked(s, m, later)
	})
	a.retireLocked(m.upstream, to)
	a.storeLater(s, to, faults)
	if saveErr != nil {
		a.saver.save(itemName, item, a.noteSaved(s))
	}
	return nil
}

// Logout ends the session here and deletes its secrets. Langflow itself
// revokes nothing (all versions up to 1.13.0): the tokens die at their end.
func (a *Agent) Logout(ctx context.Context, name string) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	if err := a.signOut(ctx, s); err != nil {
		return Snapshot{}, err
	}
	return a.Profile(name)
}

// signOut deletes a seized session's secrets, in the store first. If a deletion fails,
// it stores the deleted items again and changes nothing. A profile that was never signed in
// has none, and needs no store.
func (a *Agent) signOut(ctx context.Context, s *session) error {
	m := s.known.Load()
	itemNames := a.itemNames(s.name)
	m.pass.OnRenewal(nil) // or an answer would store its cookies again
	undo := a.saver.forget(itemNames...)
	if m.holds() {
		itemName, item := m.item()
		undo[itemName] = pendingWrite{item: item, told: a.noteSaved(s)}
	}
	if m.isNew() && a.store.Ready(ctx) != nil {
		for _, itemName := range itemNames {
			a.saver.remove(itemName) // should somebody have edited the file by hand
		}
	} else if err := a.forgetStored(ctx, itemNames, undo); err != nil {
		for itemName, w := range undo {
			a.saver.want(itemName, w) // the session goes on, so its write stays pending
		}
		a.follow(s, m.upstream)
		return keychainError(s.name, err)
	}
	a.leaveServer(ctx, s)
	a.keys.Forget(s.name)
	a.update(s, func(m *machine, _ moment) { m.signedOut() })
	m.pass.Keep(nil, nil)
	a.follow(s, m.upstream)
	return nil
}

// leaveServer has the session's server delete our keys, and signs out there.
func (a *Agent) leaveServer(ctx context.Context, s *session) {
	m, now := a.look(s)
	access, left := m.pair.Access, m.left(now) // deleting keys takes a while
	a.keys.SignOut(ctx, a.account(s))
	if m.client == nil || left <= 0 {
		return
	}
	// Ignore a failure: the server only clears cookies.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := m.client.Logout(ctx, access); err != nil {
		a.log.Debug("logout", "profile", s.name, "error", err)
	}
}
