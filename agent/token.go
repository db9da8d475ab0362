package agent

import (
	"context"
	"errors"
	"time"

	"langkeep/agent/secret"
)

// Grant is an access token for a reader.
type Grant struct {
	Profile   string
	ServerURL string
	Token     secret.Text
	ExpiresAt time.Time     // by the server's clock; zero if the token does not say
	ExpiresIn time.Duration // by our reckoning
}

// Wish is the Token method's minValid of a reader who does not care: the
// smaller of 60 s and a tenth of the token's lifetime, and less will do.
const Wish time.Duration = -1

// Token returns an access token that lives for at least minValid. One that
// does comes from memory, else one refresh runs for all who wait. Errors are
// *Error.
func (a *Agent) Token(ctx context.Context, name string, minValid time.Duration) (Grant, error) {
	for {
		grant, s, err := a.grant(name, minValid)
		if s == nil {
			return grant, err
		}
		// What is valid but unproven since a wake only needs a proof.
		renew := !a.sufficient(s, minValid)
		err = a.demand(ctx, s, renew)
		switch {
		case errors.Is(err, errAgain):
			continue
		case errors.Is(err, errStopping) || ctx.Err() != nil:
			return Grant{}, err
		case err == nil && !renew && !a.sufficient(s, minValid):
			continue // what it proved has ended meanwhile
		}
		return a.settle(s, minValid, err)
	}
}

// errAgain asks to look again at a session that has changed meanwhile.
var errAgain = errors.New("look again")

// demand attends to a session on behalf of a reader: it joins what is under
// way, and forces a renewal at most every forcedInterval, waiting if need be.
func (a *Agent) demand(ctx context.Context, s *session, renew bool) error {
	a.mu.Lock()
	now := a.clock.Elapsed()
	if renew && s.flight == nil {
		if s.lastForcedWithin(now) && s.holds() {
			wait := forcedInterval - (now - s.forcedAt)
			a.mu.Unlock()
			return pause(ctx, wait)
		}
		s.forcedAt = now
	}
	f := a.start(s, renew)
	a.mu.Unlock()
	err := f.wait(ctx)
	switch {
	case err == nil && renew && !f.renews:
		return errAgain // what was under way may not have renewed anything
	case !errors.Is(err, errInterrupted):
		return err
	}
	if err := a.awaitTurn(ctx, s.name); err != nil {
		return err
	}
	return errAgain
}

// awaitTurn waits for the end of what interrupted work on a session: somebody
// signs it in or out, changes it or removes it. Work that is begun before that
// is interrupted at once.
func (a *Agent) awaitTurn(ctx context.Context, name string) error {
	s, err := a.session(name)
	if err != nil {
		return nil // removed, as the caller is about to see
	}
	if err := s.acquire(ctx); err != nil {
		return err
	}
	s.release()
	if a.life.Err() != nil {
		return errStopping
	}
	return nil
}

// pause waits, then asks to look again.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return errAgain
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errStopping is the answer to whoever waits while the agent stops.
var errStopping = &Error{Kind: Internal, Message: "the agent is stopping: try again"}

// grant answers from memory. If it returns a session, that needs attention
// first.
func (a *Agent) grant(name string, minValid time.Duration) (Grant, *session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[name]
	if s == nil {
		return Grant{}, nil, noProfile(name)
	}
	if s.profile.Method == methodAPIKey {
		return Grant{}, nil, &Error{Kind: NotSupported, Profile: name,
			Message: "it signs in with an api key, so there is no access token: ask for the key"}
	}
	left := a.left(s)
	recently := s.failedAt >= 0 && a.clock.Elapsed()-s.failedAt < forcedInterval
	enough := left >= a.least(s, minValid)
	if !enough && minValid == Wish && left >= time.Second && s.lastForcedWithin(a.clock.Elapsed()) {
		enough = true // it was not to be had longer-lived just now
	}
	if enough && (!s.needsProof || recently) {
		return s.granted(left), nil, nil
	}
	switch st := a.state(s); {
	case st == SignedOut:
		return Grant{}, nil, signInError(name, "")
	case st == SignInRequired:
		return Grant{}, nil, signInError(name, s.ended)
	case st == KeychainLocked:
		return Grant{}, nil, keychainError(name, s.storeErr)
	case s.silent && s.slot > a.clock.Elapsed():
		return Grant{}, nil, a.waiting(s)
	case s.failure != nil && (recently || s.notBefore.After(a.clock.Now())):
		grant, err := a.settleLocked(s, minValid, s.failure)
		return grant, nil, err
	case s.lastForcedWithin(a.clock.Elapsed()) && minValid > s.pair.AccessLifetime && s.pair.AccessLifetime > 0:
		return Grant{}, nil, tooShort(s, s.pair.AccessLifetime)
	}
	return Grant{}, s, nil
}

func (s *session) granted(left time.Duration) Grant {
	return Grant{
		Profile: s.name, ServerURL: s.profile.ServerURL, Token: s.pair.Access,
		ExpiresAt: s.pair.AccessExpiry, ExpiresIn: left,
	}
}

func (s *session) lastForcedWithin(now time.Duration) bool {
	return s.forcedAt >= 0 && now-s.forcedAt < forcedInterval
}

// least is how long a token must still live to be served from memory.
func (a *Agent) least(s *session, minValid time.Duration) time.Duration {
	if minValid != Wish {
		return max(minValid, time.Second)
	}
	lifetime := s.pair.AccessLifetime
	if lifetime <= 0 {
		lifetime = defaultLifetime
	}
	return max(min(time.Minute, lifetime/10), time.Second)
}

// sufficient tells whether the held token lives long enough.
func (a *Agent) sufficient(s *session, minValid time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left(s) >= a.least(s, minValid)
}

// settle answers a reader after a refresh that ended with err.
func (a *Agent) settle(s *session, minValid time.Duration, err error) (Grant, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settleLocked(s, minValid, err)
}

func (a *Agent) settleLocked(s *session, minValid time.Duration, err error) (Grant, error) {
	left := a.left(s)
	if left >= a.least(s, minValid) || (minValid == Wish && left >= time.Second) {
		return s.granted(left), nil
	}
	if err == nil {
		return Grant{}, tooShort(s, left)
	}
	e := errorOf(s.name, err)
	if e.Kind != SigningInRequired && e.Kind != KeychainBlocked {
		answer := *e
		answer.Kind = ServerUnreachable
		answer.HeldValid = left
		if answer.RetryAfter == 0 {
			answer.RetryAfter = max(forcedInterval-(a.clock.Elapsed()-s.failedAt), time.Second)
		}
		if wait := s.notBefore.Sub(a.clock.Now()); wait > answer.RetryAfter {
			answer.RetryAfter = wait
		}
		return Grant{}, &answer
	}
	return Grant{}, e
}

func tooShort(s *session, most time.Duration) *Error {
	return &Error{Kind: LifetimeTooShort, Profile: s.name, MaxValid: most,
		Message: "the server's tokens don't live that long: ask for at most " + most.Truncate(time.Second).String()}
}

// Refresh renews the session now, for a person (who may be asked to unlock the
// keychain) or a program. It returns when that is done or has failed.
func (a *Agent) Refresh(ctx context.Context, name string, person bool) (Snapshot, error) {
	for {
		s, err := a.session(name)
		if err != nil {
			return Snapshot{}, err
		}
		a.mu.Lock()
		state, storeErr := a.state(s), s.storeErr
		wait := s.notBefore.Sub(a.clock.Now())
		failure := s.failure
		a.mu.Unlock()
		switch {
		case state == SignedOut:
			return Snapshot{}, signInError(name, "")
		case state == KeychainLocked && person:
			if err := a.store.Unlock(ctx); err != nil {
				return Snapshot{}, keychainError(name, err)
			}
		case state == KeychainLocked:
			return Snapshot{}, keychainError(name, storeErr)
		case wait > 0:
			e := errorOf(name, failure)
			e.RetryAfter = wait
			return Snapshot{}, e
		}
		err = a.demand(ctx, s, true)
		switch {
		case errors.Is(err, errAgain):
			continue
		case ctx.Err() != nil:
			return Snapshot{}, err
		case err != nil:
			return Snapshot{}, errorOf(name, err)
		}
		return a.Profile(name)
	}
}
