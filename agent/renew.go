package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
)

// errInterrupted ends work on a session that somebody has seized: to sign it
// in or out, to change it or to remove it.
var errInterrupted = errors.New("interrupted")

// errShortLived is a passing failure: a server whose clock is wrong can hand
// out tokens that have already ended.
var errShortLived = errors.New("the server gave a token that has already ended: check its clock")

// start begins what the session needs, unless it is under way: loads what the
// store has for it, then proves what it holds or, if that is due or renew is
// set, renews it. However many wait for it, it is done once, and goes on when
// they give up. The caller holds a.mu.
func (a *Agent) start(s *session, renew bool) *flight {
	if s.flight != nil {
		return s.flight
	}
	f := &flight{renews: renew, done: make(chan struct{}), err: errStopping}
	if a.stopping {
		close(f.done)
		return f
	}
	s.flight = f
	ctx := s.ctx
	a.working.Go(func() {
		err := a.work(ctx, s, renew)
		a.mu.Lock()
		defer a.mu.Unlock()
		s.flight, f.err = nil, err
		close(f.done)
	})
	return f
}

// wait waits for the flight's end.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work is what a flight does.
func (a *Agent) work(ctx context.Context, s *session, renew bool) error {
	if err := s.acquire(ctx); err != nil {
		return errInterrupted
	}
	defer s.release()
	hand := a.handOf(s)
	patience := time.NewTimer(handPatience)
	defer patience.Stop()
	var err error
	select {
	case hand <- struct{}{}:
		err = a.step(ctx, s, renew)
		<-hand
	case <-patience.C:
		// Those in front of it wait for a server that hangs.
		err = a.failed(ctx, s, &langflow.Error{Op: "wait for a turn", Kind: langflow.TimedOut})
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// handOf is what work at the session's server takes turns by, so that a
// thousand sessions do not all ask at once, and those of a server that hangs do
// not hold up the others.
func (a *Agent) handOf(s *session) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hands[s.origin] == nil {
		a.hands[s.origin] = make(chan struct{}, parallel)
	}
	return a.hands[s.origin]
}

// step is the work itself, by whoever holds s.op.
func (a *Agent) step(ctx context.Context, s *session, renew bool) error {
	if err := a.load(ctx, s); err != nil {
		return err
	}
	a.followCA(s)
	a.mu.Lock()
	refreshes := !s.pair.Refresh.Empty()
	if !renew {
		renew = refreshes && !a.clock.Now().Before(s.renewAt)
		if !renew && !s.needsProof && s.index >= 0 {
			a.mu.Unlock()
			return nil // somebody has seen to it meanwhile
		}
	}
	client, clientErr := s.client, s.clientErr
	holds, key, ended, silent := s.holds(), s.apiKey, s.ended != "", s.silent
	access, left := s.pair.Access, a.left(s)
	a.mu.Unlock()
	switch {
	case !holds && !ended:
		return signInError(s.name, "")
	case clientErr != nil:
		return a.failed(ctx, s, clientErr)
	case !key.Empty():
		return a.proveKey(ctx, s, client, key)
	case silent:
		return a.signInSilently(ctx, s, client)
	case left >= time.Second && !renew && refreshes:
		_, err := client.WhoAmI(ctx, langflow.Bearer(access))
		switch {
		case err == nil:
			a.proved(ctx, s)
			return nil
		case refusal(err):
			a.mu.Lock()
			s.rejectAccess()
			a.mu.Unlock()
		case !unknownRefusal(err):
			return a.failed(ctx, s, err)
		}
	}
	return a.renew(ctx, s, client)
}

// refusal tells whether the server refused the credential in Langflow's words.
func refusal(err error) bool {
	var lf *langflow.Error
	return errors.As(err, &lf) && (lf.Kind == langflow.TokenRefused || lf.Kind == langflow.KeyRefused || lf.Final())
}

// unknownRefusal tells whether something refused it in words we don't know,
// which may be Langflow's of another version, or those of a gateway.
func unknownRefusal(err error) bool {
	var lf *langflow.Error
	return errors.As(err, &lf) && lf.Kind == langflow.Refused
}

// refused tells whether an answer is final: a refusal in Langflow's words, or
// a second one in others.
func (a *Agent) refused(ctx context.Context, s *session, client *langflow.Client, err error) bool {
	return refusal(err) || unknownRefusal(err) && a.refusedAgain(ctx, s, client)
}

// load reads what the store has for the session, once.
func (a *Agent) load(ctx context.Context, s *session) error {
	a.mu.Lock()
	loaded, profile, origin := s.loaded, s.profile, s.origin
	a.mu.Unlock()
	if loaded {
		return nil
	}
	whats := []string{keychain.RefreshToken, keychain.AccessToken}
	if profile.Method == methodAPIKey {
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
	lost := errors.Is(err, keychain.ErrNotFound)
	if lost && profile.Method == methodPassword {
		// A sign-out takes the remembered password first: where there is one, the
		// store has lost the session.
		_, err = a.rememberedPassword(ctx, s)
		lost = err == nil || errors.Is(err, keychain.ErrNotFound)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil && !lost {
		s.storeErr = err
		a.changed(s)
		return keychainError(s.name, err)
	}
	s.loaded, s.storeErr = true, nil
	defer a.changed(s)
	if lost && err == nil {
		s.ended, s.silent = string(langflow.SessionEnded), true
		return nil
	}
	if lost {
		a.plan(s, time.Time{})
		return nil
	}
	s.saved, s.needsProof = true, true
	held := pair{received: a.clock.Now(), elapsed: a.clock.Elapsed()}
	switch what {
	case keychain.APIKey:
		s.apiKey = item.Secret
	case keychain.AccessToken:
		held.Access, held.AccessExpiry, held.CookieName = item.Secret, item.ExpiresAt, item.CookieName
	default:
		held.Refresh, held.RefreshExpiry, held.CookieName = item.Secret, item.ExpiresAt, item.CookieName
	}
	s.pair = held
	return nil
}

// isOrigin tells whether an item's origin is that of a session. Items of earlier
// versions have other spellings, such as https://b%C3%BCcher.example.
func isOrigin(stored, origin string) bool {
	normal, err := langflow.Origin(stored)
	return stored == origin || err == nil && normal == origin
}

// stored gets one of a profile's items. One that was made for another origin
// or another account is not ours to use: that is ErrNotFound, and it stays.
func (a *Agent) stored(ctx context.Context, name, what, origin, username string) (keychain.Item, error) {
	account := keychain.Account(name, what)
	newest, waits := a.saver.newest(account)
	item := newest.item
	switch {
	case waits && newest.gone:
		return keychain.Item{}, keychain.ErrNotFound
	case !waits:
		var err error
		if item, err = a.store.Get(ctx, account); err != nil {
			return keychain.Item{}, err
		}
	}
	if !isOrigin(item.Origin, origin) || (username != "" && item.Username != "" && item.Username != username) {
		a.log.Warn("not using a stored secret made for another server or account", "profile", name, "item", what)
		return keychain.Item{}, keychain.ErrNotFound
	}
	return item, nil
}

// proveKey tries a profile's API key.
func (a *Agent) proveKey(ctx context.Context, s *session, client *langflow.Client, key secret.Text) error {
	_, err := client.WhoAmI(ctx, langflow.Key(key))
	switch {
	case err == nil:
		a.proved(ctx, s)
		return nil
	case a.refused(ctx, s, client, err):
		reason, detail := reasonOf(err)
		return a.end(ctx, s, reason, detail)
	default:
		return a.failed(ctx, s, err)
	}
}

// renew gets a new pair: with the refresh token, or silently.
func (a *Agent) renew(ctx context.Context, s *session, client *langflow.Client) error {
	a.mu.Lock()
	refresh, cookie, access := s.pair.Refresh, s.pair.CookieName, s.pair.Access
	a.mu.Unlock()
	if refresh.Empty() {
		// Langflow up to 1.10.0 gives auto login a token for a year and nothing
		// to refresh it with: it is kept as long as it passes, whatever our
		// clock says.
		if !access.Empty() {
			_, err := client.WhoAmI(ctx, langflow.Bearer(access))
			switch {
			case err == nil:
				a.proved(ctx, s)
				return nil
			case !a.refused(ctx, s, client, err):
				return a.failed(ctx, s, err)
			}
		}
		return a.signInAgain(ctx, s, client, string(langflow.SessionEnded), "")
	}
	tokens, err := client.Refresh(ctx, refresh, cookie)
	switch {
	case err == nil:
		a.mu.Lock()
		a.counts.Refreshes++
		a.mu.Unlock()
		return a.adopt(ctx, s, tokens)
	case a.refused(ctx, s, client, err):
		reason, detail := reasonOf(err)
		return a.signInAgain(ctx, s, client, reason, detail)
	default:
		return a.failed(ctx, s, err)
	}
}

// refusedAgain notes a refusal in words that we don't know. It counts when it
// is the second, refusedTwice after the first, and what answers is Langflow.
func (a *Agent) refusedAgain(ctx context.Context, s *session, client *langflow.Client) bool {
	a.mu.Lock()
	now := a.clock.Now()
	first := s.refusedAt
	if first.IsZero() || first.After(now) {
		s.refusedAt = now
	}
	a.mu.Unlock()
	if first.IsZero() || now.Sub(first) < refusedTwice {
		return false
	}
	_, err := client.Version(ctx)
	return err == nil
}

// signInAgain looks for a silent way back in after a refusal for good.
func (a *Agent) signInAgain(ctx context.Context, s *session, client *langflow.Client, reason, detail string) error {
	silent, err := a.hasSilentWay(ctx, s)
	if err != nil {
		return a.failed(ctx, s, err)
	}
	if !silent {
		return a.end(ctx, s, reason, detail)
	}
	a.mu.Lock()
	s.ended, s.endedDetail, s.silent = reason, detail, true
	a.mu.Unlock()
	return a.signInSilently(ctx, s, client)
}

// hasSilentWay tells whether the session can be had again without its user.
func (a *Agent) hasSilentWay(ctx context.Context, s *session) (bool, error) {
	a.mu.Lock()
	method := s.profile.Method
	a.mu.Unlock()
	if method == methodAutoLogin {
		return true, nil
	}
	if method != methodPassword {
		return false, nil
	}
	_, err := a.rememberedPassword(ctx, s)
	if errors.Is(err, keychain.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// rememberedPassword returns the name and password that may be used silently.
// One that the server has refused carries the time of that as its expiry, and
// stays unused until a sign-in replaces it.
func (a *Agent) rememberedPassword(ctx context.Context, s *session) (keychain.Item, error) {
	a.mu.Lock()
	origin, username, suspended := s.origin, s.profile.Username, s.suspended
	a.mu.Unlock()
	if suspended {
		return keychain.Item{}, keychain.ErrNotFound
	}
	item, err := a.stored(ctx, s.name, keychain.Password, origin, username)
	if err == nil && !item.ExpiresAt.IsZero() {
		err = keychain.ErrNotFound
	}
	return item, err
}

// signInSilently uses the remembered password or auto login, when the bucket
// of its server lets it.
func (a *Agent) signInSilently(ctx context.Context, s *session, client *langflow.Client) error {
	if wait := a.awaitSlot(s); wait > 0 {
		a.mu.Lock()
		defer a.mu.Unlock()
		if ctx.Err() != nil {
			return errInterrupted
		}
		a.plan(s, a.clock.Now().Add(wait))
		a.changed(s)
		return a.waiting(s)
	}
	a.mu.Lock()
	method, reason, detail := s.profile.Method, s.ended, s.endedDetail
	a.mu.Unlock()
	var tokens *langflow.Tokens
	var remembered keychain.Item
	var err error
	if method == methodAutoLogin {
		tokens, err = client.AutoLogin(ctx)
	} else if remembered, err = a.rememberedPassword(ctx, s); err == nil {
		tokens, err = client.Login(ctx, remembered.Username, remembered.Secret)
	}
	var lf *langflow.Error
	switch {
	case err == nil:
		a.log.Info("signed in again", "profile", s.name)
		return a.adopt(ctx, s, tokens)
	case errors.As(err, &lf) && lf.Final():
		if method == methodPassword {
			a.suspendPassword(s, remembered)
		}
		return a.end(ctx, s, string(lf.Kind), lf.Detail)
	case errors.As(err, &lf) && lf.Kind == langflow.AutoLoginOff, errors.Is(err, keychain.ErrNotFound):
		if lf != nil {
			reason, detail = string(lf.Kind), lf.Detail
		}
		return a.end(ctx, s, reason, detail)
	default:
		if lf != nil && lf.RetryAfter > 0 {
			a.holdSignIns(s, lf.RetryAfter)
		}
		return a.failed(ctx, s, err)
	}
}

// holdSignIns has all silent sign-ins at a server wait for as long as it asked
// one of them to. Turns that come too soon are taken anew when they come.
func (a *Agent) holdSignIns(s *session, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.clock.Elapsed() + wait
	a.slots[s.origin] = max(a.slots[s.origin], until)
	for _, other := range a.sessions {
		if other.origin == s.origin && other.slot < until {
			other.slot = 0
		}
	}
}

// suspendPassword marks the remembered password as refused: at once in memory,
// and in the store as soon as that can be written.
func (a *Agent) suspendPassword(s *session, item keychain.Item) {
	a.mu.Lock()
	s.suspended = true
	a.mu.Unlock()
	item.ExpiresAt = a.clock.Now()
	a.saver.save(keychain.Account(s.name, keychain.Password), item, nil)
}

// awaitSlot is how long to wait for this session's turn to sign in silently at
// its server: at most two a minute there over all profiles, so that Langflow's
// limit of five leaves room for people, and the first spread over a minute
// when many wait.
func (a *Agent) awaitSlot(s *session) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Elapsed()
	if s.slot > 0 {
		if s.slot > now {
			return s.slot - now
		}
		s.slot = 0
		return 0
	}
	slot := max(now, a.slots[s.origin])
	if slot == now && a.waitingAt(s.origin) > 2 {
		slot += jitter(time.Minute)
	}
	a.slots[s.origin] = slot + silentInterval
	if slot > now {
		s.slot = slot
	}
	return slot - now
}

// waitingAt counts the sessions of an origin that hold no valid token and may
// get one by themselves. The caller holds a.mu.
func (a *Agent) waitingAt(origin string) int {
	n := 0
	for _, s := range a.sessions {
		if s.origin == origin && s.holds() && !a.valid(s) && (s.ended == "" || s.silent) {
			n++
		}
	}
	return n
}

// waiting is what readers are told while a silent sign-in waits for its turn.
// The caller holds a.mu.
func (a *Agent) waiting(s *session) error {
	wait := s.next.Sub(a.clock.Now())
	return &Error{
		Kind: ServerUnreachable, Profile: s.name, Reason: s.ended, RetryAfter: max(wait, time.Second),
		Message: fmt.Sprintf("the server ended this session; signing in again by itself in %d s", int(max(wait, 0).Seconds())),
	}
}

// adopt takes a new pair into use and sees to its being saved.
func (a *Agent) adopt(ctx context.Context, s *session, tokens *langflow.Tokens) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return errInterrupted
	}
	old := s.pair
	s.pair = pair{Tokens: *tokens, received: a.clock.Now(), elapsed: a.clock.Elapsed()}
	if tokens.Refresh.Empty() && !old.Refresh.Empty() && s.ended == "" {
		s.pair.Refresh, s.pair.RefreshExpiry, s.pair.RefreshLifetime = old.Refresh, old.RefreshExpiry, old.RefreshLifetime
	}
	if s.pair.CookieName == "" {
		s.pair.CookieName = old.CookieName
	}
	if a.untilExpiry(s) < time.Second {
		s.pair = old // which may be better
		return a.failedLocked(s, errShortLived)
	}
	a.dateRenewal(s)
	s.revived()
	account, item, told := a.itemOf(s)
	if old.Refresh.Empty() != s.pair.Refresh.Empty() {
		told = a.tidying(s, told)
	}
	a.saver.save(account, item, told)
	a.wellAgain(s)
	return nil
}

// tidying deletes the other one of the refresh token and the access token when
// a server began or ceased to give refresh tokens and what is kept of the
// session has been stored.
func (a *Agent) tidying(s *session, told func(error)) func(error) {
	other := keychain.Account(s.name, keychain.RefreshToken)
	if !s.pair.Refresh.Empty() {
		other = keychain.Account(s.name, keychain.AccessToken)
	}
	return func(err error) {
		if err == nil {
			a.saver.remove(other)
		}
		told(err)
	}
}

// dateRenewal sets when a pair that was just received is due. The caller holds
// a.mu.
func (a *Agent) dateRenewal(s *session) {
	s.lastPair = s.pair.received
	a.counts.Pairs++
	s.renewAt = renewal(s.pair.received, s.pair.AccessLifetime, s.pair.RefreshLifetime)
}

// proved notes that the server accepted what is held.
func (a *Agent) proved(ctx context.Context, s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	s.revived()
	s.accepted = !s.apiKey.Empty()
	a.wellAgain(s)
}

// wellAgain plans the next look at a session that the server has just served,
// and wakes those that wait for the same server. The caller holds a.mu.
func (a *Agent) wellAgain(s *session) {
	if now := a.clock.Elapsed(); s.version == "" || s.failure != nil || now-s.versionAt >= proofAge {
		s.versionAt = now
		a.background(func(ctx context.Context) { a.askVersion(ctx, s) })
	}
	s.needsProof = false
	s.succeeded()
	a.planHeld(s)
	a.kickKeys()
	a.changed(s)
	for _, other := range a.sessions {
		if other != s && other.origin == s.origin && other.failure != nil && !other.silent {
			a.planSoon(other, time.Second)
		}
	}
}

// askVersion learns the server's version: at the first contact, after an outage,
// which may have been an upgrade, and now and then, since one may go unnoticed.
func (a *Agent) askVersion(ctx context.Context, s *session) {
	a.mu.Lock()
	client := s.client
	a.mu.Unlock()
	if client == nil {
		return
	}
	version, err := client.Version(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		s.versionAt = a.clock.Elapsed() - proofAge // the next success asks again
		return
	}
	if s.client == client {
		s.version = version
		a.changed(s)
	}
}

// end notes that the session was refused for good, and that there is no silent
// way back. What is held stays, and is tried once an hour till its end.
func (a *Agent) end(ctx context.Context, s *session, reason, detail string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if s.ended == "" || s.silent {
		a.log.Warn("sign-in required", "profile", s.name, "reason", reason)
		a.counts.Ended[reason]++
	}
	s.succeeded() // the server answered: this is no outage
	s.accepted, s.silent, s.slot = false, false, 0
	s.ended, s.endedDetail = reason, detail
	alive := true
	switch {
	case !s.pair.Refresh.Empty():
		alive = s.pair.RefreshExpiry.IsZero() || s.pair.RefreshExpiry.After(a.serverNow(s))
	case !s.pair.Access.Empty():
		alive = a.untilExpiry(s) > 0
	}
	again := time.Time{}
	if alive && s.holds() {
		again = a.clock.Now().Add(signInRetry)
	}
	a.plan(s, again)
	a.changed(s)
	return signInError(s.name, reason)
}

// failed notes a passing failure and plans the next attempt.
func (a *Agent) failed(ctx context.Context, s *session, err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return errInterrupted
	}
	return a.failedLocked(s, err)
}

func (a *Agent) failedLocked(s *session, err error) error {
	now := a.clock.Now()
	s.failure, s.failedAt = err, a.clock.Elapsed()
	s.failures++
	a.countFailure(err)
	if s.since.IsZero() {
		s.since = now
	}
	wait := backoff(s.failures)
	var lf *langflow.Error
	if errors.As(err, &lf) && lf.RetryAfter > 0 {
		wait = max(wait, lf.RetryAfter)
		s.notBefore = now.Add(lf.RetryAfter)
	} else if left := a.left(s); left > 0 {
		wait = min(wait, max(left, time.Second)) // its end is a moment to try at
	}
	if !s.refusedAt.IsZero() && s.ended == "" {
		wait = max(wait, refusedTwice)
	}
	a.log.Info("can't renew the session now", "profile", s.name, "error", err, "again_in", wait.Round(time.Second))
	a.plan(s, now.Add(wait))
	a.changed(s)
	if errors.Is(err, errShortLived) {
		return &Error{Kind: ServerUnreachable, Profile: s.name, Reason: string(langflow.ServerError), Message: err.Error()}
	}
	return err
}
