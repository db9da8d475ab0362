package agent

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// at is a moment that long after the beginning of a table's story, by both clocks.
func at(d time.Duration) moment {
	return moment{wall: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(d), elapsed: time.Hour + d}
}

// tokens are a pair that was given at that time, for an hour and a week.
func tokens(d time.Duration) langflow.Tokens {
	return langflow.Tokens{
		Access: secret.New("access"), AccessExpiry: at(d).wall.Add(time.Hour), AccessLifetime: time.Hour,
		Refresh: secret.New("refresh"), RefreshExpiry: at(d).wall.Add(7 * 24 * time.Hour), RefreshLifetime: 7 * 24 * time.Hour,
	}
}

// known is a session of a password, before anything has happened.
func known() machine {
	return newMachine(config.Profile{Name: "prod", ServerURL: "https://flows.test", Username: "ann", Method: vocabulary.Password})
}

// signedIn is one that was signed in at the beginning.
func signedIn() machine {
	m := known()
	given := tokens(0)
	m.signedIn(m.profile, &given, secret.Text{}, "1.13.0", nil, at(0))
	m.serve(at(0))
	return m
}

var errNetwork = &langflow.Error{Kind: langflow.Unreachable}

// Each row is a session's events and their result: its state and the reason, how long
// its token can be used, and when the session is due; zero is never.
func TestMachine(t *testing.T) {
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		from    func() machine
		happens func(m *machine)
		seen    time.Duration // after the beginning
		state   State
		reason  string
		left    time.Duration
		next    time.Duration // after the beginning
	}{
		"nothing":                {known, func(*machine) {}, 0, Stale, "", 0, 0},
		"the store is locked":    {known, func(m *machine) { m.storeErr = keychain.ErrLocked }, 0, KeychainLocked, vocabulary.Locked, 0, 0},
		"the store is empty":     {known, func(m *machine) { m.nothingStored(false) }, 0, SignedOut, "", 0, 0},
		"the store lost it":      {known, func(m *machine) { m.nothingStored(true) }, 0, Stale, "session-ended", 0, 0},
		"loaded":                 {known, func(m *machine) { m.stored(pair{Tokens: langflow.Tokens{Refresh: secret.New("r")}}, secret.Text{}) }, 0, Stale, "", 0, 0},
		"signed in":              {signedIn, func(*machine) {}, 0, Fresh, "", time.Hour, 48 * time.Minute},
		"signed out":             {signedIn, func(m *machine) { m.signedOut() }, 0, SignedOut, "", 0, 0},
		"its token has ended":    {signedIn, func(*machine) {}, time.Hour, Stale, "", 0, 48 * time.Minute},
		"within its last second": {signedIn, func(*machine) {}, time.Hour - time.Second/2, Stale, "", time.Second / 2, 48 * time.Minute},
		"refreshed": {signedIn, func(m *machine) {
			if err := m.adopt(tokens(50*time.Minute), at(50*time.Minute)); err != nil {
				t.Error(err)
			}
			m.serve(at(50 * time.Minute))
		}, 50 * time.Minute, Fresh, "", time.Hour, 98 * time.Minute},
		"refreshed by what has ended": {signedIn, func(m *machine) {
			if err := m.adopt(tokens(-2*time.Hour), at(10*time.Minute)); !errors.Is(err, errShortLived) {
				t.Error(err)
			}
		}, 10 * time.Minute, Fresh, "", 50 * time.Minute, 48 * time.Minute},
		"a network failure": {signedIn, func(m *machine) { m.fail(errNetwork, at(48*time.Minute)) },
			48 * time.Minute, Retrying, "unreachable", 12 * time.Minute, 48*time.Minute + time.Second/2},
		"network failures till the token's end": {signedIn, func(m *machine) { m.fail(errNetwork, at(61*time.Minute)) },
			61 * time.Minute, Stale, "unreachable", 0, 61*time.Minute + time.Second/2},
		"a server that asks to wait": {signedIn, func(m *machine) {
			m.fail(&langflow.Error{Kind: langflow.RateLimited, RetryAfter: 5 * time.Minute}, at(48*time.Minute))
		}, 48 * time.Minute, Retrying, "rate-limited", 12 * time.Minute, 53 * time.Minute},
		"a wake does not shorten that without a sleep": {signedIn, func(m *machine) {
			m.fail(&langflow.Error{Kind: langflow.RateLimited, RetryAfter: 5 * time.Minute}, at(48*time.Minute))
			m.wake(false, at(49*time.Minute))
		}, 49 * time.Minute, Retrying, "rate-limited", 11 * time.Minute, 53 * time.Minute},
		"a sleep does": {signedIn, func(m *machine) {
			m.fail(&langflow.Error{Kind: langflow.RateLimited, RetryAfter: 5 * time.Minute}, at(48*time.Minute))
			m.wake(true, at(49*time.Minute))
		}, 49 * time.Minute, Retrying, "rate-limited", 11 * time.Minute, 49 * time.Minute},
		"over a failure": {signedIn, func(m *machine) {
			m.fail(errNetwork, at(48*time.Minute))
			m.prove()
			m.serve(at(49 * time.Minute))
		}, 49 * time.Minute, Fresh, "", 11 * time.Minute, 48 * time.Minute},
		"refused for good": {signedIn, func(m *machine) { m.end(refusal{reason: "inactive-user", detail: "Inactive user"}, at(10*time.Minute)) },
			10 * time.Minute, SignInRequired, "inactive-user", 0, 70 * time.Minute},
		"refused for good, with nothing that lives": {signedIn, func(m *machine) { m.end(refusal{reason: "session-ended"}, at(8*day)) },
			8 * day, SignInRequired, "session-ended", 0, 0},
		"refused, and signing in silently": {signedIn, func(m *machine) { m.endSilently("session-ended", "") },
			10 * time.Minute, Stale, "session-ended", 0, 48 * time.Minute},
		"signed in again by itself": {signedIn, func(m *machine) {
			m.endSilently("session-ended", "")
			if err := m.adopt(tokens(10*time.Minute), at(10*time.Minute)); err != nil {
				t.Error(err)
			}
			m.serve(at(10 * time.Minute))
		}, 10 * time.Minute, Fresh, "", time.Hour, 58 * time.Minute},
		"a wake leaves what was refused alone": {signedIn, func(m *machine) {
			m.end(refusal{reason: "inactive-user"}, at(10*time.Minute))
			m.wake(false, at(20*time.Minute))
		}, 20 * time.Minute, SignInRequired, "inactive-user", 0, 70 * time.Minute},
		"a removed one is never looked at": {signedIn, func(m *machine) {
			m.removed = true
			m.plan(at(time.Hour).wall)
		}, 0, Fresh, "", time.Hour, 0},
		"not saved": {signedIn, func(m *machine) { m.saved, m.saveErr = false, keychain.ErrFailing },
			0, Fresh, vocabulary.Failing, time.Hour, 48 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			m := tt.from()
			tt.happens(&m)
			snap := m.snapshot(keys.Status{}, at(tt.seen))
			if snap.State != tt.state || snap.Reason != tt.reason {
				t.Errorf("it is %s (%s), want %s (%s)", snap.State, snap.Reason, tt.state, tt.reason)
			}
			if left := m.left(at(tt.seen)); left != tt.left {
				t.Errorf("%v is left, want %v", left, tt.left)
			}
			next := time.Duration(0)
			if m.planned {
				next = m.next.Sub(at(0).wall)
			}
			if next != tt.next {
				t.Errorf("it is looked at after %v, want %v", next, tt.next)
			}
		})
	}
}

// The wall clock is wrong after a jump, the monotonic one after a sleep: the smaller
// answer counts.
func TestMachineBelievesTheLessFavourableClock(t *testing.T) {
	m := signedIn()
	for name, now := range map[string]moment{
		"set back": {wall: at(-2 * time.Hour).wall, elapsed: at(50 * time.Minute).elapsed},
		"slept":    {wall: at(50 * time.Minute).wall, elapsed: at(time.Minute).elapsed},
		"the server is ahead of us": {wall: at(10 * time.Minute).wall, elapsed: at(10 * time.Minute).elapsed,
			offset: 40 * time.Minute, offsetKnown: true},
	} {
		if left := m.left(now); left != 10*time.Minute {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// Two refusals in words that we don't know count, if half a minute lies between them.
func TestMachineCountsUnknownRefusals(t *testing.T) {
	m := signedIn()
	for _, tt := range []struct {
		after time.Duration
		again bool
	}{{0, false}, {29 * time.Second, false}, {30 * time.Second, true}, {-time.Hour, false}, {-time.Hour + 31*time.Second, true}} {
		if again := m.refuseUnknown(at(tt.after)); again != tt.again {
			t.Errorf("after %v: %t", tt.after, again)
		}
	}
	m.fail(errNetwork, at(0))
	if wait := m.next.Sub(at(0).wall); wait < refusedTwice {
		t.Errorf("the next attempt is after %v, before a refusal can count", wait)
	}
}

// A reader gets what is held, an error in words, or has the session attended to.
func TestMachineGrants(t *testing.T) {
	for name, tt := range map[string]struct {
		happens  func(m *machine)
		minValid time.Duration
		seen     time.Duration
		attend   bool
		kind     ErrorKind // "" is a token
	}{
		"a good token":               {func(*machine) {}, AnyLifetime, 0, false, ""},
		"for longer than it lives":   {func(*machine) {}, 50 * time.Minute, 20 * time.Minute, true, ""},
		"near its end":               {func(*machine) {}, AnyLifetime, 59*time.Minute + 30*time.Second, true, ""},
		"near its end, in an outage": {func(m *machine) { m.fail(errNetwork, at(59*time.Minute)) }, AnyLifetime, 59*time.Minute + time.Second, false, ""},
		"longer than any lives":      {func(m *machine) { m.forcedAt = at(0).elapsed }, 2 * time.Hour, time.Second, false, LifetimeTooShort},
		"unproven":                   {func(m *machine) { m.needsProof = true }, AnyLifetime, 0, true, ""},
		"unproven, in an outage":     {func(m *machine) { m.needsProof = true; m.fail(errNetwork, at(0)) }, AnyLifetime, time.Second, false, ""},
		"ended, in an outage":        {func(m *machine) { m.fail(errNetwork, at(2*time.Hour)) }, AnyLifetime, 2*time.Hour + time.Second, false, ServerUnreachable},
		"ended, after an outage":     {func(m *machine) { m.fail(errNetwork, at(2*time.Hour)) }, AnyLifetime, 2*time.Hour + time.Minute, true, ""},
		"signed out":                 {func(m *machine) { m.signedOut() }, AnyLifetime, 0, false, SigningInRequired},
		"refused for good":           {func(m *machine) { m.end(refusal{reason: "inactive-user"}, at(0)) }, AnyLifetime, 0, false, SigningInRequired},
		"waiting to sign in silently": {func(m *machine) {
			m.endSilently("session-ended", "")
			m.refused.slot = at(time.Minute).elapsed
		}, AnyLifetime, 0, false, ServerUnreachable},
		"an api key": {func(m *machine) { m.profile.Method = vocabulary.APIKey }, AnyLifetime, 0, false, NotSupported},
	} {
		t.Run(name, func(t *testing.T) {
			m := signedIn()
			tt.happens(&m)
			grant, attend, err := m.grant(tt.minValid, at(tt.seen))
			var e *Error
			kind := ErrorKind("")
			if errors.As(err, &e) {
				kind = e.Kind
			}
			if attend != tt.attend || kind != tt.kind || grant.Token.Empty() != (tt.attend || tt.kind != "") {
				t.Errorf("%v, %t, %v", grant, attend, err)
			}
		})
	}
}

// The server's version is asked for when another server may answer, and now and then.
func TestMachineAsksTheVersion(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(m *machine)
		seen    time.Duration
		asks    bool
	}{
		"known a moment ago": {func(*machine) {}, time.Minute, false},
		"an hour later":      {func(*machine) {}, time.Hour, true},
		"not known":          {func(m *machine) { m.version = "" }, time.Minute, true},
		"after an outage":    {func(m *machine) { m.fail(errNetwork, at(0)) }, time.Minute, true},
		"after the session was refused": {func(m *machine) {
			m.endSilently("session-ended", "")
			if err := m.adopt(tokens(time.Minute), at(time.Minute)); err != nil {
				t.Error(err)
			}
		}, time.Minute, true},
	} {
		m := signedIn()
		tt.happens(&m)
		if asks := m.serve(at(tt.seen)); asks != tt.asks || m.serve(at(tt.seen)) && tt.asks && m.version != "" {
			t.Errorf("%s: %t", name, asks)
		}
	}
}

// A refused credential is tried at most every doubtInterval.
func TestMachineIsDoubtedNowAndThen(t *testing.T) {
	m := signedIn()
	for _, tt := range []struct {
		after time.Duration
		tried bool
	}{{0, true}, {time.Second, false}, {doubtInterval, true}, {doubtInterval + time.Second, false}} {
		if tried := m.doubt(at(tt.after)); tried != tt.tried {
			t.Errorf("after %v: %t", tt.after, tried)
		}
	}
}

// A machine that readers hold is never changed: it has no map, slice or pointer that a
// copy would share, but for values that are only replaced whole.
func TestMachineIsCopied(t *testing.T) {
	shared := map[string]bool{"client": true, "own": true, "foreign": true, "streams": true, "pass": true, "token": true} // never changed once made, but for their own locks
	var look func(path string, typ reflect.Type)
	look = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Map, reflect.Slice, reflect.Chan, reflect.Pointer, reflect.Func:
			t.Errorf("%s is a %s", path, typ)
		case reflect.Struct:
			if typ.PkgPath() == "time" || typ == reflect.TypeFor[secret.Text]() {
				return
			}
			for i := range typ.NumField() {
				if f := typ.Field(i); !shared[f.Name] {
					look(path+"."+f.Name, f.Type)
				}
			}
		}
	}
	look("machine", reflect.TypeFor[machine]())
}
