package words_test

import (
	"errors"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/words"
)

func TestError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("something else"), "something else"},
		{&agent.Error{Kind: agent.NotFound, Code: agent.NoProfile, Detail: "x"}, `no profile "x": langkeep status lists them, langkeep login x URL adds it`},
		{&agent.Error{Kind: agent.Conflict, Code: agent.ProfileExists, Profile: "prod"}, `profile "prod": it exists already: choose another name, or change it`},
		{&agent.Error{Kind: agent.Conflict, Code: agent.FileUnreadable, Profile: "prod"}, `profile "prod": its file exists but can't be read: mend or delete it`},
		{&agent.Error{Kind: agent.Internal, Code: agent.FileUnwritable, Profile: "prod", Detail: "disk full"}, `profile "prod": can't write its file: disk full`},
		{&agent.Error{Kind: agent.Internal, Code: agent.FileUndeletable, Profile: "prod", Detail: "busy"}, `profile "prod": can't delete its file: busy`},
		{&agent.Error{Kind: agent.BadRequest, Code: agent.CAFileUnusable, Profile: "prod", Detail: "empty"}, `profile "prod": can't use its ca file: empty`},
		{&agent.Error{Kind: agent.BadRequest, Code: agent.UnknownMethod, Profile: "prod", Detail: "sso"}, `profile "prod": unknown method "sso": use password, auto-login, refresh-token, api-key or external`},
		{&agent.Error{Kind: agent.Locked, Profile: "prod"}, `profile "prod": the agent is locked and hands nothing out: run langkeep unlock`},
		{&agent.Error{Kind: agent.BadRequest, Code: agent.MethodNeeds, Profile: "prod", Detail: "api-key"}, `profile "prod": method api-key needs an api key`},
		{&agent.Error{Kind: agent.BadRequest, Code: agent.MethodNeeds, Profile: "prod", Detail: "external"}, `profile "prod": the profile names no command that prints an access token: name one with --token-command`},
		{&agent.Error{Kind: agent.BadRequest, Code: agent.Unsendable, Profile: "prod", Detail: "it has a line break"}, `profile "prod": can't send that secret: it has a line break`},
		{&agent.Error{Kind: agent.NotSupported, Code: agent.NoAccessTokens, Profile: "prod"}, `profile "prod": it signs in with an api key, so there is no access token: ask for the key`},
		{&agent.Error{Kind: agent.ServerUnreachable, Code: agent.SigningInAgain, Profile: "prod", RetryAfter: 7 * time.Second}, `profile "prod": the server ended this session; signing in again by itself in 7 s`},
		{&agent.Error{Kind: agent.Internal, Code: agent.Stopping}, `the agent is stopping: try again`},
		{&agent.Error{Kind: agent.LifetimeTooShort, Profile: "prod", MaxValid: time.Hour + time.Millisecond}, `profile "prod": the server's tokens don't live that long: ask for at most 1h0m0s`},
		{&agent.Error{Kind: agent.LifetimeTooShort, Code: agent.KeyTooShort, Profile: "prod", MaxValid: time.Hour}, `profile "prod": its keys don't live that long: ask for at most 1h0m0s, or raise its key_lifetime`},
		{&agent.Error{Kind: agent.NotFound, Code: agent.NoSuchKey, Profile: "prod"}, `profile "prod": the account has no key with that id: langkeep keys lists them`},
		{&agent.Error{Kind: agent.Internal, Code: agent.KeyUnwritten, Profile: "prod", Detail: "disk full"}, `profile "prod": can't write down the key to be made: disk full`},
		{&agent.Error{Kind: agent.NotSupported, Reason: vocabulary.KeysForbidden, Profile: "prod", Detail: "no"}, `profile "prod": the server makes no api keys for this account (no): ask its administrator, or use one of your own with --method api-key`},
		{&agent.Error{Kind: agent.KeychainBlocked, Profile: "prod", Reason: vocabulary.Locked}, `profile "prod": the keychain is locked: unlock it, then try again`},
		{&agent.Error{Kind: agent.KeychainBlocked, Profile: "prod", Reason: vocabulary.Missing}, `profile "prod": there is no keychain here: start one, or keep the secrets in a file: langkeep restart --store file`},
		{&agent.Error{Kind: agent.KeychainBlocked, Profile: "prod", Reason: vocabulary.Silent}, `profile "prod": the keychain does not answer: look for its prompt, or restart it`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.TooBig}, `profile "prod": the secret has more than 64 KiB, and the store holds no longer one`},
		{&agent.Error{Kind: agent.KeychainBlocked, Profile: "prod", Reason: vocabulary.Failing, Detail: "broken"}, `profile "prod": the keychain failed: broken`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod"}, `profile "prod": signed out: run langkeep login prod`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod", Reason: string(langflow.SessionEnded)}, `profile "prod": the server ended this session: run langkeep login prod`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod", Reason: string(langflow.AutoLoginOff)}, `profile "prod": this server wants a user name and password: run langkeep login prod --method password`},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.Unreachable), Detail: "connection refused"}, `profile "prod": can't reach the server (connection refused): check the URL and the network`},
		{&langflow.Error{Op: "ask for the version", Kind: langflow.NotLangflow}, "something answers there, but it isn't Langflow: check the URL"},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.Gateway), Gateway: "cloudflare-access"}, `profile "prod": Cloudflare Access in front of the server wants you to sign in: run langkeep login prod --browser, or with a service token: --header CF-Access-Client-Id --header CF-Access-Client-Secret`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod", Reason: string(langflow.TimedOut)}, `profile "prod": nobody finished signing in in the browser within 10 min: try again`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod", Reason: vocabulary.BrowserClosed}, `profile "prod": the browser was closed before you were signed in: try again`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.NoBrowser}, `profile "prod": signing in in the browser needs Chrome, Edge, Brave or Chromium: give --header, --header-command or --method refresh-token instead`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.BrowserConfined}, `profile "prod": the browser is a snap or a Flatpak, which can't open Langkeep's folder: name another one as browser in config.toml, or give --header, --header-command or --method refresh-token instead`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.BrowserForbidden}, `profile "prod": a policy of this computer forbids asking the browser for its cookies: give --header, --header-command or --method refresh-token instead`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.BrowserSilent}, `profile "prod": the browser does not answer: close it and try again, or name another one as browser in config.toml`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.BrowserFailed, Detail: "/x is not a program"}, `profile "prod": the browser can't be started (/x is not a program): name another one as browser in config.toml, or give --header, --header-command or --method refresh-token instead`},
		{&agent.Error{Kind: agent.NotSupported, Profile: "prod", Reason: vocabulary.NoDisplay}, `profile "prod": there is no desktop here that a browser could open on: give --header, --header-command or --method refresh-token instead`},
		{&agent.Error{Kind: agent.Conflict, Code: agent.WindowOpen, Profile: "prod"}, `profile "prod": a browser is open already for its sign-in: finish there, or close that window`},
		{&agent.Error{Kind: agent.NotFound, Code: agent.NoWindow, Profile: "prod"}, `profile "prod": no browser is open for its sign-in`},
		{&agent.Error{Kind: agent.Conflict, Code: agent.ChangedMeanwhile, Profile: "prod"}, `profile "prod": it was changed during the sign-in in the browser: sign in again`},
		{&langflow.Error{Op: "ask for the version", Kind: langflow.Gateway, Gateway: "oauth2-proxy", Detail: "it wants a sign-in"}, "oauth2-proxy in front of the server wants you to sign in (it wants a sign-in): run langkeep login NAME --browser, or with --header or --header-command if it lets programs in"},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.Gateway), Gateway: "basic"}, `profile "prod": a web server in front of the server wants a user name and password of its own: run langkeep login prod --header Authorization, and give Basic and the base64 of NAME:PASSWORD`},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.Gateway), Gateway: "client-certificate"}, `profile "prod": a gateway in front of the server wants a client certificate: run langkeep login prod --client-cert FILE --client-key FILE`},
		{&agent.Error{Kind: agent.SigningInRequired, Profile: "prod", Reason: string(langflow.Gateway), Gateway: "iap"}, `profile "prod": Google's Identity-Aware Proxy in front of the server wants you to sign in: run langkeep login prod --browser`},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.CommandFailed), Detail: "the command mint ended with exit code 1"}, `profile "prod": the command mint ended with exit code 1: run it in a terminal to see why`},
		{&agent.Error{Kind: agent.NotSupported, Code: agent.NoKeysOfProvider, Reason: vocabulary.KeysForbidden, Profile: "prod", Detail: "no"}, `profile "prod": the server makes no api keys for accounts of an identity provider (no): use langkeep exec or the proxy, which send the token instead and run workflows (/api/v2/workflows), or ask the server's administrator`},
		{&agent.Error{Kind: agent.ServerUnreachable, Profile: "prod", Reason: string(langflow.ServerError)}, `profile "prod": the server has a problem of its own: try again later`},
		{&agent.Error{Kind: agent.BadRequest, Profile: "prod", Reason: string(langflow.PlainHTTP)}, `profile "prod": http:// sends the password unprotected: use https://, or allow it with --allow-http`},
		{&agent.Error{Kind: agent.BadRequest, Detail: `the name "con" is a device's on Windows`}, `the name "con" is a device's on Windows`},
		{&agent.Error{Kind: agent.TooManyRequests, Profile: "prod", Reason: string(langflow.RateLimited)}, `profile "prod": too many sign-ins from here: try again later`},
	} {
		if got := words.Error(tt.err); got != tt.want {
			t.Errorf("%#v\nis said as %s\nwant       %s", tt.err, got, tt.want)
		}
	}
}

// Every kind of a server's error has words of its own, and says what to do.
func TestEveryKindHasWords(t *testing.T) {
	seen := map[string]langflow.Kind{}
	for _, k := range []langflow.Kind{
		langflow.Unreachable, langflow.TimedOut, langflow.NotLangflow, langflow.ServerError,
		langflow.RateLimited, langflow.Moved, langflow.PlainHTTP, langflow.Refused, langflow.Gateway, langflow.CommandFailed,
	} {
		found, advice := words.Advice(&langflow.Error{Op: "sign in", Kind: k})
		if other, ok := seen[found]; ok || found == "" || advice == "" {
			t.Errorf("%s: %q, %q, as %s", k, found, advice, other)
		}
		seen[found] = k
	}
}

func TestErrorSentence(t *testing.T) {
	err := &agent.Error{Kind: agent.SigningInRequired, Profile: "prod"}
	if got, want := words.ErrorSentence(err), "Signed out: run langkeep login prod."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
