package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/flight"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// errShortLived is a passing failure: a server whose clock is wrong can hand
// out tokens that have already ended.
var errShortLived = errors.New("the server gave a token that has already ended: check its clock")

// start joins the flight of the session, or begins one: it loads the session from the
// store if need be, then proves the credential or, if that is due or renew is set,
// renews it. The flight goes on when its callers give up.
func (a *Agent) start(s *session, renew bool) (f *flight.Flight, renewing bool) {
	return s.turn.join(&a.crew, renew, func(ctx context.Context) error { return a.work(ctx, s, renew) })
}

// work is what a flight does.
func (a *Agent) work(ctx context.Context, s *session, renew bool) error {
	if err := s.turn.acquire(ctx); err != nil {
		return errInterrupted
	}
	defer s.turn.release()
	limit := a.limitOf(s)
	patience := time.NewTimer(parallelWait)
	defer patience.Stop()
	var err error
	select {
	case limit <- struct{}{}:
		err = a.step(ctx, s, renew)
		<-limit
	case <-patience.C:
		// The sessions that have the slots wait for a hanging server.
		err = a.failed(ctx, s, &langflow.Error{Op: "wait for other requests to the server", Kind: langflow.TimedOut})
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// limitOf returns the semaphore of the session's server: at most parallel sessions of
// one server are worked on at once. Each server has its own, so a hanging server holds
// up no other.
func (a *Agent) limitOf(s *session) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	origin := s.known.Load().origin
	if a.limits[origin] == nil {
		a.limits[origin] = make(chan struct{}, parallel)
	}
	return a.limits[origin]
}

// step does the work. The caller has the session's turn.
func (a *Agent) step(ctx context.Context, s *session, renew bool) error {
	if err := a.load(ctx, s); err != nil {
		return err
	}
	a.followCA(s)
	m, now := a.look(s)
	refreshes := m.renews()
	if !renew {
		renew = refreshes && !now.wall.Before(m.renewAt)
		// The schedule clears planned when it starts the work. If it is set, another
		// goroutine has worked on the session since, and has planned anew.
		if !renew && !m.needsProof && m.planned {
			return nil
		}
	}
	switch {
	case !m.holds() && m.refused.reason == "":
		return signInError(s.name, "")
	case m.clientErr != nil:
		return a.failed(ctx, s, m.clientErr)
	case m.isLasting():
		return a.proveLasting(ctx, s, m)
	case m.refused.silent:
		return a.signInSilently(ctx, s, m.client)
	case m.left(now) >= time.Second && !renew && refreshes:
		// A token that the server refuses, in whatever words, is renewed below.
		_, err := m.client.WhoAmI(ctx, langflow.Bearer(m.pair.Access))
		switch {
		case err == nil:
			return a.proved(ctx, s)
		case isRefusal(err):
			a.note(s, func(m *machine, _ moment) { m.rejectAccess() })
		case !unknownRefusal(err):
			return a.failed(ctx, s, err)
		}
	}
	return a.renew(ctx, s, m.client)
}

// isRefusal tells whether the server refused the credential in Langflow's words.
func isRefusal(err error) bool {
	var lf *langflow.Error
	return errors.As(err, &lf) && (lf.Kind == langflow.TokenRefused || lf.Kind == langflow.KeyRefused || lf.Final())
}

// unknownRefusal tells whether the answer refused the credential in unknown words:
// another Langflow version's, or a gateway's.
func unknownRefusal(err error) bool {
	var lf *langflow.Error
	return errors.As(err, &lf) && lf.Kind == langflow.Refused
}

// isFinal tells whether an answer is final: a refusal in Langflow's words, or the
// second one in unknown words.
func (a *Agent) isFinal(ctx context.Context, s *session, client *langflow.Client, err error) bool {
	return isRefusal(err) || unknownRefusal(err) && a.refusedAgain(ctx, s, client)
}

// proveLasting tries a profile's API key, or the gateway's word.
func (a *Agent) proveLasting(ctx context.Context, s *session, m *machine) error {
	_, err := m.client.WhoAmI(ctx, m.lasting())
	switch {
	case err == nil:
		return a.proved(ctx, s)
	case a.isFinal(ctx, s, m.client, err):
		reason, detail := reasonOf(err)
		return a.end(ctx, s, reason, detail)
	default:
		return a.failed(ctx, s, err)
	}
}

// renew gets a new pair: with the refresh token, or silently.
func (a *Agent) renew(ctx context.Context, s *session, client *langflow.Client) error {
	m := s.known.Load()
	held := m.pair
	if m.profile.Method == vocabulary.External {
		return a.renewExternally(ctx, s, m)
	}
	if held.Refresh.Empty() {
		// Langflow up to 1.10.0 gives auto login a token for a year, and no refresh
		// token: keep the access token as long as the server accepts it, whatever our
		// clock says.
		if !held.Access.Empty() {
			_, err := client.WhoAmI(ctx, langflow.Bearer(held.Access))
			switch {
			case err == nil:
				return a.proved(ctx, s)
			case !a.isFinal(ctx, s, client, err):
				return a.failed(ctx, s, err)
			}
		}
		return a.signInAgain(ctx, s, client, string(langflow.SessionEnded), "")
	}
	tokens, err := client.Refresh(ctx, held.Refresh, held.CookieName)
	switch {
	case err == nil:
		a.counts.add(func(all *Counts) { all.Refreshes++ })
		return a.adopt(ctx, s, tokens)
	case a.isFinal(ctx, s, client, err):
		reason, detail := reasonOf(err)
		return a.signInAgain(ctx, s, client, reason, detail)
	default:
		return a.failed(ctx, s, err)
	}
}

// renewExternally gets a new access token from the profile's command.
func (a *Agent) renewExternally(ctx context.Context, s *session, m *machine) error {
	tokens, _, err := m.externalTokens(ctx)
	switch {
	case err == nil:
		a.counts.add(func(all *Counts) { all.Refreshes++ })
		return a.adopt(ctx, s, tokens)
	case (isRefusal(err) || unknownRefusal(err)) && a.refusedAgain(ctx, s, m.client): // the first one may just have ended
		reason, detail := reasonOf(err)
		return a.end(ctx, s, reason, detail)
	default:
		return a.failed(ctx, s, err)
	}
}

// externalTokens runs the profile's command for an access token other than the held one,
// and proves it. A token that the server refuses is asked for once more: the one that the
// command printed before may have been revoked.
func (m *machine) externalTokens(ctx context.Context) (*langflow.Tokens, langflow.User, error) {
	const op = "get a token"
	if m.token == nil {
		return nil, langflow.User{}, &langflow.Error{Op: op, Kind: langflow.CommandFailed, Detail: "the profile names no token_command"}
	}
	for again := true; ; again = false {
		printed, err := m.token.Get(ctx)
		if err == nil && again && printed.Token.Reveal() == m.pair.Access.Reveal() && m.token.Drop(printed) {
			printed, err = m.token.Get(ctx)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, langflow.User{}, ctx.Err()
			}
			return nil, langflow.User{}, &langflow.Error{Op: op, Kind: langflow.CommandFailed, Detail: err.Error()}
		}
		if printed.Token.Empty() {
			return nil, langflow.User{}, &langflow.Error{Op: op, Kind: langflow.CommandFailed, Detail: "token_command printed headers without a bearer token"}
		}
		user, err := m.client.WhoAmI(ctx, langflow.Bearer(printed.Token))
		if err == nil {
			return m.client.ExternalTokens(printed.Token, printed.ExpiresAt), user, nil
		}
		if !again || !isRefusal(err) && !unknownRefusal(err) || !m.token.Drop(printed) {
			return nil, langflow.User{}, err
		}
	}
}

// refusedAgain notes a refusal in unknown words. It counts when it is the second,
// refusedTwice after the first, and /version is still Langflow's.
func (a *Agent) refusedAgain(ctx context.Context, s *session, client *langflow.Client) bool {
	again := false
	a.note(s, func(m *machine, now moment) { again = m.refuseUnknown(now) })
	if !again {
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
	a.note(s, func(m *machine, _ moment) { m.endSilently(reason, detail) })
	return a.signInSilently(ctx, s, client)
}

// hasSilentWay tells whether the session can be signed in again without its user.
func (a *Agent) hasSilentWay(ctx context.Context, s *session) (bool, error) {
	method := s.known.Load().profile.Method
	if method == vocabulary.AutoLogin {
		return true, nil
	}
	if method != vocabulary.Password {
		return false, nil
	}
	_, err := a.rememberedPassword(ctx, s)
	if errors.Is(err, keychain.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// signInSilently uses the remembered password or auto login, once the session's slot
// has come.
func (a *Agent) signInSilently(ctx context.Context, s *session, client *langflow.Client) error {
	if wait := a.reserveSlot(s); wait > 0 {
		if err := a.advance(ctx, s, func(m *machine, now moment) { m.plan(now.wall.Add(wait)) }); err != nil {
			return err
		}
		m, now := a.look(s)
		return m.waiting(now)
	}
	m := s.known.Load()
	method, reason, detail := m.profile.Method, m.refused.reason, m.refused.detail
	var tokens *langflow.Tokens
	var remembered keychain.Item
	var err error
	if method == vocabulary.AutoLogin {
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
		if method == vocabulary.Password {
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

// holdSignIns makes all silent sign-ins at a server wait as long as the server asked of
// one. A slot that comes too soon is reserved anew when it comes.
func (a *Agent) holdSignIns(s *session, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	until, origin := a.clock.Elapsed()+wait, s.known.Load().origin
	a.slots[origin] = max(a.slots[origin], until)
	for _, other := range a.all() {
		if m := other.known.Load(); m.origin == origin && m.refused.slot != 0 && m.refused.slot < until {
			a.updateLocked(other, func(m *machine, _ moment) { m.refused.slot = 0 })
		}
	}
}

// reserveSlot returns how long to wait for this session's slot to sign in silently. One
// server gets at most two silent sign-ins a minute over all profiles, so that
// Langflow's limit of five leaves room for people; when many wait, the first is spread
// over a minute.
func (a *Agent) reserveSlot(s *session) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noteLocked(s, func(m *machine, now moment) {
		if m.refused.slot > 0 {
			wait = max(0, m.refused.slot-now.elapsed)
			if wait == 0 {
				m.refused.slot = 0
			}
			return
		}
		slot := max(now.elapsed, a.slots[m.origin])
		if slot == now.elapsed && a.waitingAt(m.origin, now) > 2 {
			slot += now.jitter(time.Minute)
		}
		a.slots[m.origin] = slot + silentInterval
		if slot > now.elapsed {
			m.refused.slot = slot
		}
		wait = slot - now.elapsed
	})
	return wait
}

// waitingAt counts the sessions of an origin that hold no valid token and may
// get one by themselves.
func (a *Agent) waitingAt(origin string, now moment) int {
	n := 0
	for _, s := range a.all() {
		m := s.known.Load()
		if m.origin == origin && m.holds() && !m.valid(now) && (m.refused.reason == "" || m.refused.silent) {
			n++
		}
	}
	return n
}

// adopt takes a new pair into use and queues it for the store.
func (a *Agent) adopt(ctx context.Context, s *session, tokens *langflow.Tokens) error {
	var unfit error
	err := a.advance(ctx, s, func(m *machine, now moment) {
		refreshed := !m.pair.Refresh.Empty()
		if unfit = m.adopt(*tokens, now); unfit != nil {
			return
		}
		told := a.noteSaved(s)
		if refreshed == m.pair.Refresh.Empty() {
			told = a.tidying(s.name, m, told)
		}
		itemName, item := m.item()
		a.saver.save(itemName, item, told)
		a.servedLocked(s, m, now)
	})
	switch {
	case err != nil:
		return err
	case unfit != nil:
		return a.failed(ctx, s, unfit)
	}
	a.counts.add(func(all *Counts) { all.Pairs++ })
	return nil
}

// proved notes that the server accepted the held credential.
func (a *Agent) proved(ctx context.Context, s *session) error {
	return a.advance(ctx, s, func(m *machine, now moment) {
		m.prove()
		a.servedLocked(s, m, now)
	})
}

// servedLocked notes in m, a change of s under way, that the server has just served the
// session. It brings forward the sessions that wait for the same server.
func (a *Agent) servedLocked(s *session, m *machine, now moment) {
	if m.serve(now) {
		client := m.client
		a.crew.begin(func() { a.askVersion(a.life, s, client) })
	}
	a.keys.Kick()
	for _, other := range a.all() {
		o := other.known.Load()
		if other != s && o.origin == m.origin && o.outage.err != nil && !o.refused.silent {
			a.updateLocked(other, func(o *machine, now moment) { o.hurry(time.Second, now) })
		}
	}
}

// askVersion asks for the server's version: at the first contact, after an outage,
// which may have been an upgrade, and now and then, since an upgrade may go unnoticed.
func (a *Agent) askVersion(ctx context.Context, s *session, client *langflow.Client) {
	version, err := client.Version(ctx)
	a.update(s, func(m *machine, now moment) {
		switch {
		case err != nil:
			m.versionAt = now.elapsed - proofAge // the next success asks again
		case m.client == client:
			m.version = version
		}
	})
}

// end notes a final refusal without a silent way back.
func (a *Agent) end(ctx context.Context, s *session, reason, detail string) error {
	return a.endAt(ctx, s, refusal{reason: reason, detail: detail})
}

// endAt is end for a gateway's refusal too.
func (a *Agent) endAt(ctx context.Context, s *session, r refusal) error {
	news := false
	var said *Error
	if err := a.advance(ctx, s, func(m *machine, now moment) {
		news = m.end(r, now)
		said = m.signInError()
	}); err != nil {
		return err
	}
	if news {
		a.log.Warn("sign-in required", "profile", s.name, "reason", r.reason)
		a.counts.add(func(all *Counts) { all.Ended[r.reason]++ })
	}
	return said
}

// failed notes a passing failure and plans the next attempt.
func (a *Agent) failed(ctx context.Context, s *session, err error) error {
	which := gatewayOf(err)
	if which == vocabulary.ClientCertificate {
		s.known.Load().own.renew() // the files may have another certificate by now
	}
	if which != "" && s.known.Load().pass.ByBrowser() {
		reason, detail := reasonOf(err)
		return a.endAt(ctx, s, refusal{reason: reason, detail: detail, gateway: which})
	}
	var wait time.Duration
	if err := a.advance(ctx, s, func(m *machine, now moment) { wait = m.fail(err, now) }); err != nil {
		return err
	}
	a.counts.failed(err)
	a.log.Info("can't renew the session now", "profile", s.name, "error", err, "again_in", wait.Round(time.Second))
	if errors.Is(err, errShortLived) {
		return &Error{Kind: ServerUnreachable, Profile: s.name, Reason: string(langflow.ServerError), Detail: "its tokens have ended already, so check its clock"}
	}
	return err
}
