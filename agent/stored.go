package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/gateway"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// credentials are the kinds of item that sign in. The password comes first: a sign-out
// that a crash cuts short must not leave a password that signs in again by itself.
var credentials = [...]string{keychain.Password, keychain.RefreshToken, keychain.AccessToken, keychain.APIKey}

// itemNames returns the names of all items that the store may have of a profile.
func (a *Agent) itemNames(name string) []string {
	var all []string
	for _, what := range append(credentials[:], keychain.Headers, keychain.Cookies) {
		all = append(all, keychain.ItemName(name, what))
	}
	return all
}

// loadPass reads what a gateway wants from the store, once.
func (a *Agent) loadPass(ctx context.Context, s *session) error {
	m := s.known.Load()
	if m.loaded {
		return nil
	}
	kept := func(what string, read func(secret.Text) error) error {
		item, err := a.stored(ctx, s.name, what, m.origin, "")
		switch {
		case errors.Is(err, keychain.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		if err := read(item.Secret); err != nil {
			a.log.Warn("not using a stored secret", "profile", s.name, "item", what, "error", err)
		}
		return nil
	}
	var headers gateway.Headers
	var cookies []gateway.Cookie
	err := errors.Join(
		kept(keychain.Headers, func(t secret.Text) (err error) { headers, err = gateway.DecodeHeaders(t); return err }),
		kept(keychain.Cookies, func(t secret.Text) (err error) { cookies, err = gateway.DecodeCookies(t); return err }),
	)
	if err == nil {
		a.note(s, func(now *machine, _ moment) {
			if now.pass == m.pass && !now.loaded { // else a sign-in or a sign-out came between
				now.pass.Keep(headers, cookies)
			}
		})
	}
	return err
}

// storePass writes what a gateway wants to the store. The session then has the result, and
// storeLater has the rest tried again.
func (a *Agent) storePass(ctx context.Context, s *session, to upstream) unstored {
	write := func(what string, item keychain.Item, has bool) error {
		itemName := keychain.ItemName(s.name, what)
		a.saver.forget(itemName)
		if has {
			return a.store.Set(ctx, itemName, item)
		}
		if err := a.store.Delete(ctx, itemName); err != nil {
			a.log.Warn("can't remove an earlier secret now", "item", itemName, "error", err)
			a.saver.remove(itemName)
		}
		return nil
	}
	headers, cookies := to.pass.Kept()
	return unstored{
		write(keychain.Headers, headersItem(to, headers), len(headers) > 0),
		write(keychain.Cookies, cookiesItem(to, cookies), len(cookies) > 0),
	}
}

// takeUpstream has a seized session go by another upstream, whose headers and cookies it
// stores. change is made together with that.
func (a *Agent) takeUpstream(ctx context.Context, s *session, to upstream, change func(*machine, moment)) {
	old := s.known.Load().upstream
	old.pass.OnRenewal(nil)
	a.follow(s, to)
	faults := a.storePass(ctx, s, to)
	a.mu.Lock()
	a.updateLocked(s, func(m *machine, now moment) {
		m.upstream, m.unstored = to, faults
		change(m, now)
	})
	a.retireLocked(old, to)
	a.mu.Unlock()
	a.storeLater(s, to, faults)
}

// storeLater tries again what storePass could not store.
func (a *Agent) storeLater(s *session, to upstream, faults unstored) {
	headers, cookies := to.pass.Kept()
	if faults.headers != nil {
		a.saver.save(keychain.ItemName(s.name, keychain.Headers), headersItem(to, headers), a.noteStored(s, func(u *unstored) *error { return &u.headers }))
	}
	if faults.cookies != nil {
		a.storeCookies(s, to, cookies)
	}
}

// storeCookies queues cookies that a gateway has renewed. A gateway may do so in each
// answer, so the store gets them once a minute.
func (a *Agent) storeCookies(s *session, to upstream, cookies []gateway.Cookie) {
	const pause = time.Minute
	told := a.noteStored(s, func(u *unstored) *error { return &u.cookies })
	a.saver.want(keychain.ItemName(s.name, keychain.Cookies), pendingWrite{item: cookiesItem(to, cookies), told: told, pause: pause})
}

func headersItem(to upstream, headers gateway.Headers) keychain.Item {
	return keychain.Item{Origin: to.origin, Secret: headers.Encode()}
}

func cookiesItem(to upstream, cookies []gateway.Cookie) keychain.Item {
	return keychain.Item{Origin: to.origin, Secret: gateway.EncodeCookies(cookies)}
}

// noteStored returns the callback for a write of what a gateway wants.
func (a *Agent) noteStored(s *session, fault func(*unstored) *error) func(error) {
	return func(err error) {
		a.update(s, func(m *machine, _ moment) { *fault(&m.unstored) = err })
	}
}

// item is the session's item for the store.
func (m *machine) item() (itemName string, item keychain.Item) {
	item = keychain.Item{Origin: m.origin, Username: m.profile.Username, CookieName: m.pair.CookieName, WithPass: m.pass.Keeps()}
	what := keychain.RefreshToken
	switch {
	case !m.apiKey.Empty():
		what, item.Secret = keychain.APIKey, m.apiKey
	case m.pair.Refresh.Empty():
		what, item.Secret, item.ExpiresAt = keychain.AccessToken, m.pair.Access, m.pair.AccessExpiry
	default:
		item.Secret, item.ExpiresAt = m.pair.Refresh, m.pair.RefreshExpiry
	}
	return keychain.ItemName(m.profile.Name, what), item
}

// noteSaved returns the callback for a write of the session's item.
func (a *Agent) noteSaved(s *session) func(error) {
	return func(err error) {
		a.update(s, func(m *machine, _ moment) { m.saved, m.saveErr = err == nil, err })
	}
}

// load reads the session's items from the store, once.
func (a *Agent) load(ctx context.Context, s *session) error {
	m := s.known.Load()
	if m.loaded {
		return nil
	}
	profile, origin := m.profile, m.origin
	whats := []string{keychain.RefreshToken, keychain.AccessToken}
	if profile.Method == vocabulary.APIKey {
		whats = []string{keychain.APIKey}
	}
	var item keychain.Item
	var what string
	var err error
	for _, what = range whats {
		item, err = a.stored(ctx, s.name, what, origin, profile.Username)
		if !errors.Is(err, keychain.ErrNotFound) {
			break
		}
	}
	nothing, passwordLeft := errors.Is(err, keychain.ErrNotFound), false
	if nothing && profile.Method == vocabulary.Password {
		// A sign-out deletes the remembered password first. So a password without a
		// session means that the store has lost the session.
		item, err = a.rememberedPassword(ctx, s)
		passwordLeft = err == nil
		nothing = passwordLeft || errors.Is(err, keychain.ErrNotFound)
	}
	if item.WithPass && (err == nil || nothing) {
		if passErr := a.loadPass(ctx, s); passErr != nil {
			err, nothing = passErr, false
		}
	}
	if err != nil && !nothing {
		if err := a.advance(ctx, s, func(m *machine, _ moment) { m.storeErr = err }); err != nil {
			return err
		}
		return keychainError(s.name, err)
	}
	return a.advance(ctx, s, func(m *machine, now moment) {
		if nothing {
			m.nothingStored(passwordLeft)
			return
		}
		held := pair{received: now.wall, elapsed: now.elapsed}
		switch what {
		case keychain.APIKey:
			m.stored(pair{}, item.Secret)
			return
		case keychain.AccessToken:
			held.Access, held.AccessExpiry, held.CookieName = item.Secret, item.ExpiresAt, item.CookieName
		default:
			held.Refresh, held.RefreshExpiry, held.CookieName = item.Secret, item.ExpiresAt, item.CookieName
		}
		m.stored(held, secret.Text{})
	})
}

// stored gets one of a profile's items. An item of another origin or account is
// ErrNotFound, and stays in the store.
func (a *Agent) stored(ctx context.Context, name, what, origin, username string) (keychain.Item, error) {
	itemName := keychain.ItemName(name, what)
	newest, waits := a.saver.newest(itemName)
	item := newest.item
	switch {
	case waits && newest.gone:
		return keychain.Item{}, keychain.ErrNotFound
	case !waits:
		var err error
		if item, err = a.store.Get(ctx, itemName); err != nil {
			return keychain.Item{}, err
		}
	}
	if !isOrigin(item.Origin, origin) || (username != "" && item.Username != "" && item.Username != username) {
		a.log.Warn("not using a stored secret made for another server or account", "profile", name, "item", what)
		return keychain.Item{}, keychain.ErrNotFound
	}
	return item, nil
}

// isOrigin tells whether an item's origin is the session's. Earlier versions of
// Langkeep spelled origins in other ways, such as https://b%C3%BCcher.example.
func isOrigin(stored, origin string) bool {
	normal, err := langflow.Origin(stored)
	return stored == origin || err == nil && normal == origin
}

// rememberedPassword returns the name and password for silent sign-ins. A password that
// the server refused has the time of the refusal as its expiry, and stays unused until
// a sign-in replaces it.
func (a *Agent) rememberedPassword(ctx context.Context, s *session) (keychain.Item, error) {
	m := s.known.Load()
	if m.suspended {
		return keychain.Item{}, keychain.ErrNotFound
	}
	item, err := a.stored(ctx, s.name, keychain.Password, m.origin, m.profile.Username)
	if err == nil && !item.ExpiresAt.IsZero() {
		err = keychain.ErrNotFound
	}
	return item, err
}

// suspendPassword marks the remembered password as refused: at once in memory, and in
// the store as soon as it can be written.
func (a *Agent) suspendPassword(s *session, item keychain.Item) {
	a.note(s, func(m *machine, _ moment) { m.suspended = true })
	item.ExpiresAt = a.clock.Now()
	a.saver.save(keychain.ItemName(s.name, keychain.Password), item, nil)
}

// tidying wraps told. A session keeps either a refresh token or an access token in the
// store. When a server began or ceased to give refresh tokens, tidying deletes the old
// item once the new one is stored.
func (a *Agent) tidying(name string, m *machine, told func(error)) func(error) {
	other := keychain.ItemName(name, keychain.RefreshToken)
	if !m.pair.Refresh.Empty() {
		other = keychain.ItemName(name, keychain.AccessToken)
	}
	return func(err error) {
		if err == nil {
			a.saver.remove(other)
		}
		told(err)
	}
}

// forgetStored deletes the items of those names from the store. It first puts each item into
// undo, unless undo has a newer one.
func (a *Agent) forgetStored(ctx context.Context, itemNames []string, undo map[string]pendingWrite) error {
	if err := a.store.Ready(ctx); errors.Is(err, keychain.ErrLocked) {
		if err := a.store.Unlock(ctx); err != nil {
			return err
		}
	}
	for _, itemName := range itemNames {
		if _, newer := undo[itemName]; !newer {
			// An item that can't be read can't be stored again, but can be deleted.
			if item, err := a.store.Get(ctx, itemName); err == nil {
				undo[itemName] = pendingWrite{item: item}
			}
		}
		if err := a.store.Delete(ctx, itemName); err != nil {
			return err
		}
	}
	return nil
}
