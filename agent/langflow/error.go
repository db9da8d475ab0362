package langflow

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"langkeep/agent/secret"
)

// Kind says what went wrong. It is the reason of the local API.
type Kind string

// The kinds of error. Only those that Final names speak about the session
// itself; all others pass.
const (
	Unreachable        Kind = "unreachable"          // no connection, or it broke
	TimedOut           Kind = "timed-out"            // no whole answer before the deadline
	Certificate        Kind = "certificate"          // TLS without trust
	ForwardProxy       Kind = "forward-proxy"        // the proxy in a variable such as HTTPS_PROXY fails or refuses
	NotLangflow        Kind = "not-langflow"         // HTML, a captive portal, anything but the expected JSON
	ServerError        Kind = "server-error"         // 5xx
	RateLimited        Kind = "rate-limited"         // 429
	Gateway            Kind = "gateway"              // a gateway in front of the server wants a sign-in of its own, or refused
	CommandFailed      Kind = "command-failed"       // the profile's command for a gateway or a token failed
	Moved              Kind = "moved"                // a redirect to another origin, where Langflow answers
	PlainHTTP          Kind = "plain-http"           // http:// to another computer, and nobody allowed it
	Refused            Kind = "refused"              // 401 or 403 in JSON, with words that are not Langflow's
	SessionEnded       Kind = "session-ended"        // the refresh token is not accepted
	WrongPassword      Kind = "wrong-password"       // of a sign-in
	Inactive           Kind = "inactive-user"        // the account was deactivated
	WaitingForApproval Kind = "waiting-for-approval" // the account was never approved
	AutoLoginOff       Kind = "auto-login-off"       // not a failure of the account
	TokenRefused       Kind = "token-refused"        // whoami with a bearer token
	KeyRefused         Kind = "key-refused"          // whoami with an API key
	BadRequest         Kind = "bad-request"          // any other 4xx in JSON
)

// Error is the error of every call of a Client, except for a context that the caller
// cancelled.
type Error struct {
	Op     string // sign in, refresh, …
	Kind   Kind
	Status int // HTTP's; 0 without an answer
	// Detail is what the server or the system said: printable, at most 200
	// characters, without the secrets of the request. May be empty. With Certificate
	// and ForwardProxy it also says what to do (SplitDetail), with Moved it is the
	// server's new address.
	Detail string
	// Gateway names the gateway that refused, by package vocabulary; only with the kind
	// Gateway.
	Gateway string
	// RetryAfter is how long a 429 or 503 asks to wait, at most an hour; 0 if
	// it does not say.
	RetryAfter time.Duration

	cause error
	raw   string        // the words of a package of Go's, for logs, where Detail has others
	sent  *http.Request // the one that a gateway refused
}

// Error implements error, for logs: package localapi/words has the sentences for
// people.
func (e *Error) Error() string {
	s := e.Op + ": " + string(e.Kind)
	switch {
	case e.Status != 0 && e.Detail != "":
		s += fmt.Sprintf(" (%d: %s)", e.Status, e.Detail)
	case e.Status != 0:
		s += fmt.Sprintf(" (%d)", e.Status)
	case e.Detail != "":
		s += " (" + e.Detail + ")"
	}
	if e.raw != "" {
		s += ": " + e.raw
	}
	if e.RetryAfter > 0 {
		s += ", retry after " + e.RetryAfter.String()
	}
	return s
}

// Request is the request, as it was sent, that a gateway refused; nil with other kinds.
func (e *Error) Request() *http.Request { return e.sent }

// Unwrap returns the cause, if there is one besides the server's answer.
func (e *Error) Unwrap() error { return e.cause }

// Final tells whether the server refused this account or session for good.
// It is true for Langflow's own words only (1.0 to 1.13), since a gateway's
// 401 says nothing about the session behind it.
func (e *Error) Final() bool {
	switch e.Kind {
	case SessionEnded, Inactive, WrongPassword, WaitingForApproval:
		return true
	}
	return false
}

// kindByDetail are Langflow's own words, of 1.0 to 1.13, without the dot that
// some versions end them with. They come with 400, 401 or 403.
func kindByDetail(detail string) Kind {
	switch detail {
	case "Invalid refresh token":
		return SessionEnded
	case "Incorrect username or password":
		return WrongPassword
	case "User account is inactive", "Inactive user":
		return Inactive
	case "Waiting for approval":
		return WaitingForApproval
	}
	return ""
}

// tokenRefused tells whether detail is /users/whoami's refusal of a bearer token. "User
// not found" comes with 403 (1.13), the rest with 401.
func tokenRefused(detail string) bool {
	switch detail {
	case "Token has expired", "Token is invalid", "Invalid token", "Invalid token type", "Invalid token payload", "Invalid token details",
		"Token validation failed", "Token authentication failed", "Could not validate credentials",
		"User not found", "User not found or is inactive":
		return true
	}
	return false
}

// keyRefused tells whether detail is Langflow's refusal of an API key.
func keyRefused(detail string) bool {
	switch detail {
	case "Invalid API key", "Invalid or missing API key", "API key authentication failed":
		return true
	}
	return false
}

// transportError makes an error from that of a RoundTripper or a body's reader. ctx is
// the caller's.
func transportError(ctx context.Context, op string, to *url.URL, err error, secrets []secret.Text) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	return TransportError(op, to, err, secrets...)
}

// TransportError translates the error of a RoundTripper, for a request to the URL to.
func TransportError(op string, to *url.URL, err error, secrets ...secret.Text) *Error {
	if own, ok := errors.AsType[*Error](err); ok { // of a way that asks a command first
		return own
	}
	e := &Error{Op: op, Kind: Unreachable, cause: err}
	if timedOut(err) {
		e.Kind = TimedOut
	} else {
		e.Detail = clean(causeOf(err), secrets...)
		if e.Detail == badHTTP {
			e.raw = clean(err.Error(), secrets...)
		}
	}
	if g := ofHandshake(err); g.name != "" {
		e.Kind, e.Gateway, e.Detail = Gateway, g.name, g.detail
	}
	if detail, ok := certificateDetail(err, time.Now()); ok {
		e.Kind, e.Detail = Certificate, clean(detail, secrets...)
	}
	if f := forwardFromEnvironment().forwardError(to, err); f != nil {
		e.Kind, e.Detail = f.kind, clean(f.Error(), secrets...)
	}
	return e
}

// clean makes foreign text fit for a terminal and a log: printable, on one
// line, at most 200 characters, and without the secrets, in whichever escaping
// they came back.
func clean(s string, secrets ...secret.Text) string {
	scrub := func(s string) string {
		for _, t := range secrets {
			for _, form := range []string{t.Reveal(), url.QueryEscape(t.Reveal()), url.PathEscape(t.Reveal())} {
				if form != "" {
					s = strings.ReplaceAll(s, form, secret.Redacted)
				}
			}
		}
		return s
	}
	// Scrub once more, since a dropped character may have joined a secret's halves.
	r := []rune(scrub(Printable(scrub(s))))
	return string(r[:min(len(r), 200)])
}

// Printable makes foreign text fit for one line of a terminal or a log: control and
// format characters, which could move the cursor or turn the direction of writing, become
// spaces or go.
func Printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsGraphic(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s))
}

// maxRetryAfter is the longest time that a server can make us wait.
const maxRetryAfter = time.Hour

// retryAfter reads the header of a 429 or 503 (RFC 9110, section 10.2.3). A
// date counts from the response's own Date, or from now where that is missing.
// Nonsense is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	n, err := strconv.ParseUint(v, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}
