package agent

import (
	"errors"
	"fmt"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
)

// ErrorKind says what an Error means to whoever asked. Its text is the last
// part of the local API's problem type.
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
	Internal          ErrorKind = "internal"
)

// Error is what the agent's methods return: what it means, and for whom.
type Error struct {
	Kind       ErrorKind
	Profile    string
	Reason     string        // a code, as in Snapshot
	Message    string        // lower case, with what to do next
	RetryAfter time.Duration // when trying again is worth it; 0 unknown
	MaxValid   time.Duration // LifetimeTooShort: the most that a new token lives
	HeldValid  time.Duration // ServerUnreachable: how long the held token lives
	Err        error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Profile == "" {
		return e.Message
	}
	return fmt.Sprintf("profile %q: %s", e.Profile, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func noProfile(name string) *Error {
	return &Error{Kind: NotFound, Message: fmt.Sprintf("no profile %q: run langkeep login %s URL", name, name)}
}

// The reasons that come from the store; the others are a langflow.Kind.
const (
	reasonLocked  = "locked"
	reasonMissing = "missing"
	reasonSilent  = "silent"
	reasonFailing = "failing"
	reasonTooBig  = "too-big"
)

// reasonOf gives the code and the words of the system for any failure.
func reasonOf(err error) (reason, detail string) {
	var lf *langflow.Error
	switch {
	case errors.As(err, &lf):
		return string(lf.Kind), lf.Detail
	case errors.Is(err, keychain.ErrLocked):
		return reasonLocked, ""
	case errors.Is(err, keychain.ErrMissing):
		return reasonMissing, ""
	case errors.Is(err, keychain.ErrSilent):
		return reasonSilent, ""
	case errors.Is(err, keychain.ErrTooBig):
		return reasonTooBig, ""
	default:
		return reasonFailing, err.Error()
	}
}

// keychainError tells that the store, not the server, is in the way.
func keychainError(profile string, err error) *Error {
	reason, _ := reasonOf(err)
	e := &Error{Kind: KeychainBlocked, Profile: profile, Reason: reason, Err: err}
	switch reason {
	case reasonLocked:
		e.Message = "the keychain is locked: unlock it, then try again"
	case reasonMissing:
		e.Message = "there is no keychain here: start one, or run langkeep with --store file"
	case reasonSilent:
		e.Message = "the keychain does not answer: look for its prompt, or restart it"
	case reasonTooBig:
		e.Kind = NotSupported
		e.Message = "the keychain here can't hold a secret of this size: run langkeep with --store file"
	default:
		e.Message = fmt.Sprintf("the keychain failed: %v", err)
	}
	return e
}

// signInError tells why a session or an attempt to sign in was refused.
func signInError(profile, reason string) *Error {
	e := &Error{Kind: SigningInRequired, Profile: profile, Reason: reason}
	login := "run langkeep login " + profile
	switch langflow.Kind(reason) {
	case "":
		e.Message = "signed out: " + login
	case langflow.WrongPassword:
		e.Message = "that user name and password don't match: " + login
	case langflow.WaitingForApproval:
		e.Message = "this account waits for an administrator's approval: ask them, then " + login
	case langflow.Inactive:
		e.Message = "this account was deactivated by an administrator: ask them, then " + login
	case langflow.AutoLoginOff:
		e.Message = "this server wants a user name and password: " + login + " --method password"
	case langflow.KeyRefused:
		e.Message = "the server refused the api key: " + login + " --method api-key with a new one"
	default:
		e.Message = "the server ended this session: " + login
	}
	return e
}

// serverError tells why the server could not be asked.
func serverError(profile, reason, detail string) *Error {
	e := &Error{Kind: ServerUnreachable, Profile: profile, Reason: reason}
	quoted := ""
	if detail != "" {
		quoted = fmt.Sprintf(" (%s)", detail)
	}
	switch langflow.Kind(reason) {
	case langflow.RateLimited:
		e.Message = "too many sign-ins from here: try again later"
	case langflow.Certificate:
		found, advice := langflow.SplitDetail(detail)
		e.Message = sentenceOf("the server's certificate isn't trusted", found, advice)
	case langflow.ForwardProxy:
		found, advice := langflow.SplitDetail(detail)
		e.Message = sentenceOf("the forward proxy is in the way", found, advice)
	case langflow.NotLangflow:
		e.Message = "something answers there, but it isn't Langflow: check the URL"
	case langflow.Moved:
		e.Message = "the server moved" + quoted + ": use that address, if you trust it"
	case langflow.PlainHTTP:
		e.Kind = BadRequest
		e.Message = "http:// sends the password unprotected: use https://, or allow it with --allow-http"
	case langflow.TimedOut:
		e.Message = "the server doesn't answer in time: check the network, or try again later"
	case langflow.ServerError:
		e.Message = "the server has a problem of its own" + quoted + ": try again later"
	case langflow.BadRequest, langflow.Refused, langflow.TokenRefused:
		e.Message = "the server refused" + quoted + ": check the URL and what stands in front of it"
	default:
		e.Message = "can't reach the server" + quoted + ": check the URL and the network"
	}
	return e
}

// sentenceOf joins what is so, why, and what to do; the last two may be empty.
func sentenceOf(so, why, todo string) string {
	if why != "" {
		so += " (" + why + ")"
	}
	if todo != "" {
		so += ": " + todo
	}
	return so
}

// errorOf turns what a person's or a program's request ended with into an
// Error. A failure of the server that is final for sign-in becomes
// SigningInRequired, every other one ServerUnreachable; one of the store
// KeychainBlocked.
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
	var ofKeys *keys.Error
	if errors.As(err, &ofKeys) {
		return keyError(profile, ofKeys)
	}
	var lf *langflow.Error
	if !errors.As(err, &lf) {
		return &Error{Kind: Internal, Profile: profile, Message: err.Error(), Err: err}
	}
	var e *Error
	switch {
	case lf.Final(), lf.Kind == langflow.AutoLoginOff, lf.Kind == langflow.KeyRefused:
		e = signInError(profile, string(lf.Kind))
	case lf.Kind == langflow.BadRequest && lf.Status == 0: // it was not even sent
		e = &Error{Kind: BadRequest, Profile: profile, Reason: string(lf.Kind), Message: "can't send that secret: " + lf.Detail}
	default:
		e = serverError(profile, string(lf.Kind), lf.Detail)
		if lf.Kind == langflow.RateLimited {
			e.Kind = TooManyRequests
		}
	}
	e.RetryAfter, e.Err = lf.RetryAfter, err
	return e
}
