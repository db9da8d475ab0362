package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/flight"
	"langkeep/agent/keychain"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// Grant is an access token for a reader.
type Grant struct {
	Profile   string
	ServerURL string
	Token     secret.Text
	ExpiresAt time.Time     // by the server's clock; zero if the token does not say
	ExpiresIn time.Duration // by the less favourable clock
}

// AnyLifetime is Token's minValid for a reader that names none: the smaller of 60 s
// and a tenth of the token's lifetime; if no such token can be had, a shorter-lived one
// will do.
const AnyLifetime time.Duration = -1

// Token returns an access token that lives for at least minValid: from memory if the
// held one does, else after one refresh, which all waiting readers share. Errors are
// *Error.
func (a *Agent) Token(ctx context.Context, name string, minValid time.Duration) (Grant, error) {
	for {
		s, err := a.session(name)
		if err != nil {
			return Grant{}, err
		}
		if err := a.LockedError(name); err != nil {
			return Grant{}, err
		}
		m, now := a.look(s)
		grant, attend, err := m.grant(minValid, now)
		if !attend {
			return grant, err
		}
		// A token that is valid but unproven since a wake only needs a proof.
		renew := !m.sufficient(minValid, now)
		err = a.demand(ctx, s, renew)
		m, now = a.look(s)
		switch {
		case errors.Is(err, errAgain):
			continue
		case errors.Is(err, errStopping) || ctx.Err() != nil:
			return Grant{}, err
		case a.IsLocked():
			continue
		case err == nil && !renew && !m.sufficient(minValid, now):
			continue // the proven token has ended meanwhile
		}
		return m.answer(minValid, err, now)
	}
}

// errAgain asks the caller to look again at a session that has changed meanwhile.
var errAgain = errors.New("look again")

// demand renews or proves a session for a reader. It joins a flight under way;
// otherwise it forces a renewal, at most every forcedInterval, and waits for that time
// if need be.
func (a *Agent) demand(ctx context.Context, s *session, renew bool) error {
	f, renewing, wait := a.force(s, renew)
	if f == nil {
		if err := clock.Pause(ctx, wait); err != nil {
			return err
		}
		return errAgain
	}
	err := f.Wait(ctx)
	switch {
	case err == nil && renew && !renewing:
		return errAgain // the joined flight may only have proved the token
	case !errors.Is(err, errInterrupted):
		return err
	}
	if err := a.awaitTurn(ctx, s.name); err != nil {
		return err
	}
	return errAgain
}

// force begins or joins a flight, or returns how long to wait until a renewal may be
// forced.
func (a *Agent) force(s *session, renew bool) (f *flight.Flight, renewing bool, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if renew && !s.turn.busy() {
		if m, now := a.look(s); m.forcedRecently(now) && m.holds() {
			return nil, false, forcedInterval - (now.elapsed - m.forcedAt)
		}
		a.noteLocked(s, func(m *machine, now moment) { m.forcedAt = now.elapsed })
	}
	f, renewing = a.start(s, renew)
	return f, renewing, 0
}

// awaitTurn waits until the seizure of a session ends (a sign-in, sign-out, change or
// removal). New work would be interrupted before that.
func (a *Agent) awaitTurn(ctx context.Context, name string) error {
	s, err := a.session(name)
	if err != nil {
		return nil // the profile was removed; the caller notices
	}
	if err := s.turn.acquire(ctx); err != nil {
		return err
	}
	s.turn.release()
	if a.life.Err() != nil {
		return errStopping
	}
	return nil
}

// errStopping answers all waiting callers when the agent stops.
var errStopping = &Error{Kind: Internal, Code: Stopping}

// grant answers a reader from memory. attend means that the session must be renewed or
// proved first.
func (m *machine) grant(minValid time.Duration, now moment) (g Grant, attend bool, err error) {
	name := m.profile.Name
	if m.profile.Method == vocabulary.APIKey || m.byGateway {
		return Grant{}, false, &Error{Kind: NotSupported, Code: NoAccessTokens, Profile: name, Detail: m.profile.Method}
	}
	left := m.left(now)
	recently := m.outage.err != nil && now.elapsed-m.outage.at < forcedInterval
	enough := left >= m.least(minValid)
	if !enough && minValid == AnyLifetime && left >= time.Second && m.forcedRecently(now) {
		enough = true // the server gave none that lives longer just now
	}
	if enough && (!m.needsProof || recently) {
		return m.granted(left), false, nil
	}
	switch st := m.state(now); {
	case st == SignedOut:
		return Grant{}, false, signInError(name, "")
	case st == SignInRequired:
		return Grant{}, false, m.signInError()
	case st == KeychainLocked:
		return Grant{}, false, keychainError(name, m.storeErr)
	case m.refused.silent && m.refused.slot > now.elapsed:
		return Grant{}, false, m.waiting(now)
	case m.outage.err != nil && (recently || m.outage.notBefore.After(now.wall)):
		g, err = m.answer(minValid, m.outage.err, now)
		return g, false, err
	case m.forcedRecently(now) && minValid > m.pair.AccessLifetime && m.pair.AccessLifetime > 0:
		return Grant{}, false, tooShort(name, m.pair.AccessLifetime)
	}
	return Grant{}, true, nil
}

func (m *machine) granted(left time.Duration) Grant {
	return Grant{
		Profile: m.profile.Name, ServerURL: m.profile.ServerURL, Token: m.pair.Access,
		ExpiresAt: m.pair.AccessExpiry, ExpiresIn: left,
	}
}

// forcedRecently tells whether a reader has forced a renewal within
// forcedInterval.
func (m *machine) forcedRecently(now moment) bool {
	return m.forcedAt >= 0 && now.elapsed-m.forcedAt < forcedInterval
}

// least is how long a token must still live to be given out from memory.
func (m *machine) least(minValid time.Duration) time.Duration {
	if minValid != AnyLifetime {
		return max(minValid, time.Second)
	}
	lifetime := m.pair.AccessLifetime
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	return max(min(time.Minute, lifetime/10), time.Second)
}

// sufficient tells whether the held token lives long enough.
func (m *machine) sufficient(minValid time.Duration, now moment) bool {
	return m.left(now) >= m.least(minValid)
}

// answer is the reader's answer after a refresh that ended with err.
func (m *machine) answer(minValid time.Duration, err error, now moment) (Grant, error) {
	left := m.left(now)
	if left >= m.least(minValid) || (minValid == AnyLifetime && left >= time.Second) {
		return m.granted(left), nil
	}
	if err == nil {
		return Grant{}, tooShort(m.profile.Name, left)
	}
	e := errorOf(m.profile.Name, err)
	if e.Kind != SigningInRequired && e.Kind != KeychainBlocked {
		answer := *e
		answer.Kind = ServerUnreachable
		answer.HeldValid = left
		if answer.RetryAfter == 0 {
			answer.RetryAfter = max(forcedInterval-(now.elapsed-m.outage.at), time.Second)
		}
		if wait := m.outage.notBefore.Sub(now.wall); wait > answer.RetryAfter {
			answer.RetryAfter = wait
		}
		return Grant{}, &answer
	}
	return Grant{}, e
}

// waiting is the error for readers while a silent sign-in waits for its slot.
func (m *machine) waiting(now moment) error {
	return &Error{
		Kind: ServerUnreachable, Code: SigningInAgain, Profile: m.profile.Name, Reason: m.refused.reason,
		RetryAfter: max(m.next.Sub(now.wall), time.Second),
	}
}

func tooShort(profile string, most time.Duration) *Error {
	return &Error{Kind: LifetimeTooShort, Profile: profile, MaxValid: most}
}

// Refresh renews the session now, and returns when that is done or has failed. person
// means that a person asks. The keychain may then ask them to unlock it, also for a session
// in memory, which could not be stored: that one is renewed whatever they answer.
func (a *Agent) Refresh(ctx context.Context, name string, person bool) (Snapshot, error) {
	err := a.refresh(ctx, name, person)
	if s, _ := a.session(name); person && ctx.Err() == nil && s != nil && s.known.Load().holds() {
		a.unlock(ctx)
	}
	if err != nil {
		return Snapshot{}, err
	}
	return a.Profile(name)
}

// unlock has the keychain ask the person if it is locked, and then stores what waits for
// it.
func (a *Agent) unlock(ctx context.Context) {
	if err := a.store.Ready(ctx); !errors.Is(err, keychain.ErrLocked) {
		return
	}
	if err := a.store.Unlock(ctx); err != nil {
		a.log.Info("the keychain stays locked", "error", err)
		return
	}
	tried := make(chan struct{})
	select {
	case a.saver.hurry <- tried:
	case <-ctx.Done():
		return
	case <-a.life.Done():
		return
	}
	<-tried
}

// refresh is Refresh without the question for a session in memory.
func (a *Agent) refresh(ctx context.Context, name string, person bool) error {
	for {
		s, err := a.session(name)
		if err != nil {
			return err
		}
		m, now := a.look(s)
		state, wait := m.state(now), m.outage.notBefore.Sub(now.wall)
		switch {
		case state == SignedOut:
			return signInError(name, "")
		case state == KeychainLocked && person:
			if err := a.store.Unlock(ctx); err != nil {
				return keychainError(name, err)
			}
		case state == KeychainLocked:
			return keychainError(name, m.storeErr)
		case wait > 0:
			e := errorOf(name, m.outage.err)
			e.RetryAfter = wait
			return e
		}
		err = a.demand(ctx, s, true)
		switch {
		case errors.Is(err, errAgain):
			continue
		case ctx.Err() != nil || err == nil:
			return err
		}
		return errorOf(name, err)
	}
}
