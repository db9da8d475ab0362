package agent

import (
	"errors"
	"strings"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// ErrorKind says what an Error means for the caller. Its text is the last part of the
// local API's problem type.
type ErrorKind string

// The kinds of Error.
const (
	BadRequest        ErrorKind = "bad-request"
	NotFound          ErrorKind = "not-found"
	Conflict          ErrorKind = "conflict"
	NotSupported      ErrorKind = "not-supported"
	LifetimeTooShort  ErrorKind = "lifetime-too-short"
	TooManyRequests   ErrorKind = "too-many-requests"
	SigningInRequired ErrorKind = "sign-in-required"
	ServerUnreachable ErrorKind = "server-unreachable"
	KeychainBlocked   ErrorKind = "keychain-locked"
	Locked            ErrorKind = "locked"
	Internal          ErrorKind = "internal"
)

// Code tells apart the Errors of one kind, where their Reason does not.
type Code string

// The codes.
const (
	NoProfile        Code = "no-profile"
	ProfileExists    Code = "profile-exists"
	FileUnreadable   Code = "file-unreadable" // the file of a new profile
	FileUnwritable   Code = "file-unwritable"
	FileUndeletable  Code = "file-undeletable"
	CAFileUnusable   Code = "ca-file-unusable"
	UnknownMethod    Code = "unknown-method" // Detail: which
	MethodNeeds      Code = "method-needs"   // Detail: which method
	Unsendable       Code = "unsendable"     // a secret, Detail: why
	NoAccessTokens   Code = "no-access-tokens"
	SigningInAgain   Code = "signing-in-again" // a silent sign-in comes in RetryAfter
	Stopping         Code = "stopping"
	WindowOpen       Code = "window-open"       // a browser is open for that profile's sign-in
	NoWindow         Code = "no-window"         // and is not
	ChangedMeanwhile Code = "changed-meanwhile" // the profile, while the person signed in
	KeyTooShort      Code = "key-too-short"     // the life of a managed key, not of a token
	NoSuchKey        Code = "no-such-key"
	// NoKeysOfProvider means that the server makes no keys for accounts of an identity
	// provider; Detail has its words.
	NoKeysOfProvider Code = "no-keys-of-provider"
	KeyUnwritten     Code = "key-unwritten" // the journal can't be written, so no key was made
)

// Error is what the agent's methods return: codes and data. Package localapi/words
// has the sentences for people.
type Error struct {
	Kind       ErrorKind
	Code       Code // "" where kind and reason say it all
	Profile    string
	Reason     string        // a code, as in Snapshot
	Detail     string        // what a server, the system or a check said
	Gateway    string        // as in Snapshot
	RetryAfter time.Duration // when trying again is worth it; 0 unknown
	MaxValid   time.Duration // LifetimeTooShort: the most that a new token or key lives
	HeldValid  time.Duration // ServerUnreachable: how long the held token lives
	Err        error
}

// Error implements error, for logs.
func (e *Error) Error() string {
	parts := []string{string(e.Kind)}
	for _, part := range []string{e.Profile, string(e.Code), e.Reason, e.Detail} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func noProfile(name string) *Error {
	return &Error{Kind: NotFound, Code: NoProfile, Detail: name}
}

// reasonOf returns the reason's code, and the system's words, for any failure.
func reasonOf(err error) (reason, detail string) {
	var lf *langflow.Error
	switch {
	case errors.As(err, &lf):
		return string(lf.Kind), lf.Detail
	case errors.Is(err, keychain.ErrLocked):
		return vocabulary.Locked, ""
	case errors.Is(err, keychain.ErrMissing):
		return vocabulary.Missing, ""
	case errors.Is(err, keychain.ErrSilent):
		return vocabulary.Silent, ""
	case errors.Is(err, keychain.ErrTooBig):
		return vocabulary.TooBig, ""
	default:
		return vocabulary.Failing, err.Error()
	}
}

// gatewayOf is which gateway refused, if that is what an error says; else "".
func gatewayOf(err error) string {
	var lf *langflow.Error
	if errors.As(err, &lf) {
		return lf.Gateway
	}
	return ""
}

// keychainError is an Error of the store.
func keychainError(profile string, err error) *Error {
	reason, detail := reasonOf(err)
	e := &Error{Kind: KeychainBlocked, Profile: profile, Reason: reason, Detail: detail, Err: err}
	if reason == vocabulary.TooBig {
		e.Kind = NotSupported
	}
	return e
}

// signInError is the Error after the server refused a session or a sign-in; reason is
// "" where there is no session.
func signInError(profile, reason string) *Error {
	return &Error{Kind: SigningInRequired, Profile: profile, Reason: reason}
}

// signInError is the Error of a session that only a sign-in mends.
func (m *machine) signInError() *Error {
	e := signInError(m.profile.Name, m.refused.reason)
	e.Gateway = m.refused.gateway
	return e
}

// errorOf turns the failure of a request into an Error. A failure of the store becomes
// KeychainBlocked; a server's failure that only a sign-in mends, SigningInRequired;
// most others of a server, ServerUnreachable.
func errorOf(profile string, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	for _, fault := range []error{keychain.ErrLocked, keychain.ErrMissing, keychain.ErrSilent, keychain.ErrFailing, keychain.ErrTooBig} {
		if errors.Is(err, fault) {
			return keychainError(profile, err)
		}
	}
	if errors.Is(err, keys.ErrStopping) {
		return errStopping
	}
	var ofKeys *keys.Error
	if errors.As(err, &ofKeys) {
		return keyError(profile, ofKeys)
	}
	var lf *langflow.Error
	if !errors.As(err, &lf) {
		return &Error{Kind: Internal, Profile: profile, Detail: err.Error(), Err: err}
	}
	e := &Error{Kind: ServerUnreachable, Profile: profile, Reason: string(lf.Kind), Detail: lf.Detail, Gateway: lf.Gateway, RetryAfter: lf.RetryAfter, Err: err}
	switch {
	case lf.Final(), lf.Kind == langflow.AutoLoginOff, lf.Kind == langflow.KeyRefused:
		e.Kind = SigningInRequired
	case lf.Kind == langflow.BadRequest && lf.Status == 0: // the request was never sent
		e.Kind, e.Code = BadRequest, Unsendable
	case lf.Kind == langflow.PlainHTTP:
		e.Kind = BadRequest
	case lf.Kind == langflow.RateLimited:
		e.Kind = TooManyRequests
	}
	return e
}
