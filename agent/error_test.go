package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// Each failure of a server or the store has one kind, which sets the status and the exit
// code.
func TestErrorOf(t *testing.T) {
	for _, tt := range []struct {
		failure error
		kind    ErrorKind
		code    Code
		reason  string
	}{
		{&langflow.Error{Kind: langflow.Unreachable}, ServerUnreachable, "", "unreachable"},
		{&langflow.Error{Kind: langflow.ServerError, Status: 502}, ServerUnreachable, "", "server-error"},
		{&langflow.Error{Kind: langflow.Gateway, Gateway: vocabulary.CloudflareAccess}, ServerUnreachable, "", "gateway"},
		{&langflow.Error{Kind: langflow.RateLimited, RetryAfter: time.Minute}, TooManyRequests, "", "rate-limited"},
		{&langflow.Error{Kind: langflow.SessionEnded}, SigningInRequired, "", "session-ended"},
		{&langflow.Error{Kind: langflow.WrongPassword}, SigningInRequired, "", "wrong-password"},
		{&langflow.Error{Kind: langflow.AutoLoginOff}, SigningInRequired, "", "auto-login-off"},
		{&langflow.Error{Kind: langflow.KeyRefused}, SigningInRequired, "", "key-refused"},
		{&langflow.Error{Kind: langflow.PlainHTTP}, BadRequest, "", "plain-http"},
		{&langflow.Error{Kind: langflow.BadRequest}, BadRequest, Unsendable, "bad-request"},
		{&langflow.Error{Kind: langflow.BadRequest, Status: 400}, ServerUnreachable, "", "bad-request"},
		{keychain.ErrLocked, KeychainBlocked, "", "locked"},
		{fmt.Errorf("read it: %w", keychain.ErrMissing), KeychainBlocked, "", "missing"},
		{keychain.ErrSilent, KeychainBlocked, "", "silent"},
		{keychain.ErrFailing, KeychainBlocked, "", "failing"},
		{keychain.ErrTooBig, NotSupported, "", "too-big"},
		{errors.New("else"), Internal, "", ""},
	} {
		e := errorOf("prod", tt.failure)
		if e.Kind != tt.kind || e.Code != tt.code || e.Reason != tt.reason || e.Profile != "prod" || !errors.Is(e, tt.failure) {
			t.Errorf("%v is %+v", tt.failure, e)
		}
		if again := errorOf("other", fmt.Errorf("on the way: %w", e)); again != e {
			t.Errorf("%v, wrapped, is %+v", tt.failure, again)
		}
	}
}

func TestErrorForLogs(t *testing.T) {
	e := &Error{Kind: BadRequest, Profile: "prod", Code: UnknownMethod, Detail: "magic"}
	if got, want := e.Error(), "bad-request: prod: unknown-method: magic"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := noProfile("prod").Error(), "not-found: no-profile: prod"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
