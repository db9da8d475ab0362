package words

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"langkeep/agent"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// Error is an error for a line of a program: lower case, with the profile and what to
// do next. Other errors than those of packages agent and langflow keep their text.
func Error(err error) string {
	found, advice := Advice(err)
	if advice != "" {
		found += ": " + advice
	}
	var e *agent.Error
	if errors.As(err, &e) && e.Profile != "" {
		return fmt.Sprintf("profile %q: %s", e.Profile, found)
	}
	return found
}

// ErrorSentence is an error as a sentence of text, without the profile.
func ErrorSentence(err error) string {
	found, advice := Advice(err)
	if advice != "" {
		found += ": " + advice
	}
	return Sentence(found)
}

// Advice splits an error into its finding and its advice; "" if there is none.
func Advice(err error) (found, advice string) {
	var e *agent.Error
	var lf *langflow.Error
	switch {
	case errors.As(err, &e):
		return told(e)
	case errors.As(err, &lf):
		return ofServer(&agent.Error{Reason: string(lf.Kind), Detail: lf.Detail, Gateway: lf.Gateway})
	}
	return err.Error(), ""
}

// told returns an error's finding and advice, without the profile.
func told(e *agent.Error) (found, advice string) {
	switch e.Code {
	case agent.NoProfile:
		return fmt.Sprintf("no profile %q", e.Detail), "run langkeep login " + e.Detail + " URL"
	case agent.ProfileExists:
		return "it exists already", "choose another name, or change it"
	case agent.FileUnreadable:
		return "its file exists but can't be read", "mend or delete it"
	case agent.FileUnwritable:
		return "can't write its file: " + e.Detail, ""
	case agent.FileUndeletable:
		return "can't delete its file: " + e.Detail, ""
	case agent.CAFileUnusable:
		return "can't use its ca file: " + e.Detail, ""
	case agent.UnknownMethod:
		return fmt.Sprintf("unknown method %q", e.Detail), "use password, auto-login, refresh-token, api-key or external"
	case agent.MethodNeeds:
		needs := map[string]string{"password": "a user name and a password", "refresh-token": "a refresh token", "api-key": "an api key"}
		return "method " + e.Detail + " needs " + needs[e.Detail], ""
	case agent.Unsendable:
		return "can't send that secret: " + e.Detail, ""
	case agent.NoAccessTokens:
		return "it signs in with an api key, so there is no access token", "ask for the key"
	case agent.SigningInAgain:
		return fmt.Sprintf("the server ended this session; signing in again by itself in %d s", int(e.RetryAfter.Seconds())), ""
	case agent.Stopping:
		return "the agent is stopping", "try again"
	case agent.KeyTooShort:
		return "its keys don't live that long", "ask for at most " + e.MaxValid.String() + ", or raise its key_lifetime"
	case agent.NoSuchKey:
		return "the account has no key with that id", "langkeep keys lists them"
	case agent.WindowOpen:
		return "a browser is open already for its sign-in", "finish there, or close that window"
	case agent.NoWindow:
		return "no browser is open for its sign-in", ""
	case agent.ChangedMeanwhile:
		return "it was changed during the sign-in in the browser", "sign in again"
	case agent.NoKeysOfProvider:
		return "the server makes no api keys for accounts of an identity provider" + bracketed(e.Detail),
			"use langkeep exec or the proxy, which send the token instead and run workflows (/api/v2/workflows), or ask the server's administrator"
	case agent.KeyUnwritten:
		return "can't write down the key to be made: " + e.Detail, ""
	}
	if found, advice := ofBrowser(e); found != "" {
		return found, advice
	}
	switch e.Kind {
	case agent.LifetimeTooShort:
		return "the server's tokens don't live that long", "ask for at most " + e.MaxValid.Truncate(time.Second).String()
	case agent.KeychainBlocked:
		return ofStore(e)
	case agent.SigningInRequired:
		return ofSignIn(e)
	case agent.NotSupported:
		if e.Reason == vocabulary.KeysForbidden {
			return "the server makes no api keys for this account" + bracketed(e.Detail), "ask its administrator, or use one of your own with --method api-key"
		}
		return ofStore(e)
	case agent.Internal:
		return e.Detail, ""
	}
	if e.Reason == "" {
		return e.Detail, ""
	}
	return ofServer(e)
}

// ofStore says why the store is in the way.
func ofStore(e *agent.Error) (found, advice string) {
	switch {
	case errors.Is(e, keychain.ErrLocked):
		return "the keychain is locked", "unlock it, then try again"
	case errors.Is(e, keychain.ErrMissing):
		return "there is no keychain here", "start one, or run langkeep with --store file"
	case errors.Is(e, keychain.ErrSilent):
		return "the keychain does not answer", "look for its prompt, or restart it"
	case errors.Is(e, keychain.ErrTooBig):
		return "the secret has more than 64 KiB, and the store holds no longer one", ""
	}
	return "the keychain failed: " + e.Detail, ""
}

// ofBrowser says why a sign-in in the browser came to nothing; "" if the error is another.
func ofBrowser(e *agent.Error) (found, advice string) {
	const otherwise = "give --header, --header-command or --method refresh-token instead"
	switch e.Reason {
	case vocabulary.NoBrowser:
		return "signing in in the browser needs Chrome, Edge, Brave or Chromium", otherwise
	case vocabulary.BrowserConfined:
		return "the browser is a snap or a Flatpak, which can't open Langkeep's folder", "name another one as browser in config.toml, or " + otherwise
	case vocabulary.BrowserForbidden:
		return "a policy of this computer forbids asking the browser for its cookies", otherwise
	case vocabulary.BrowserSilent:
		return "the browser does not answer", "close it and try again, or name another one as browser in config.toml"
	case vocabulary.BrowserFailed:
		return "the browser can't be started" + bracketed(e.Detail), "name another one as browser in config.toml, or " + otherwise
	case vocabulary.NoDisplay:
		return "there is no desktop here that a browser could open on", otherwise
	case vocabulary.BrowserClosed:
		return "the browser was closed before you were signed in", "try again"
	case string(langflow.TimedOut):
		if e.Kind == agent.SigningInRequired {
			return "nobody finished signing in in the browser within 10 min", "try again"
		}
	}
	return "", ""
}

// ofSignIn says why a session, or an attempt to sign in, was refused.
func ofSignIn(e *agent.Error) (found, advice string) {
	login := "run langkeep login " + e.Profile
	switch langflow.Kind(e.Reason) {
	case "":
		return "signed out", login
	case langflow.Gateway:
		return lowerArticle(strings.TrimSuffix(Gateway(e.Gateway, "the server"), ".")), login + " --browser"
	case langflow.WrongPassword:
		return "that user name and password don't match", login
	case langflow.WaitingForApproval:
		return "this account waits for an administrator's approval", "ask them, then " + login
	case langflow.Inactive:
		return "this account was deactivated by an administrator", "ask them, then " + login
	case langflow.AutoLoginOff:
		return "this server wants a user name and password", login + " --method password"
	case langflow.KeyRefused:
		return "the server refused the api key", login + " --method api-key with a new one"
	}
	return "the server ended this session", login
}

// ofServer says why the server could not be asked.
func ofServer(e *agent.Error) (found, advice string) {
	// advised takes the advice from the detail.
	advised := func(found string) (string, string) {
		why, todo := langflow.SplitDetail(e.Detail)
		return found + bracketed(why), todo
	}
	switch langflow.Kind(e.Reason) {
	case langflow.RateLimited:
		return "too many sign-ins from here", "try again later"
	case langflow.Certificate:
		if why, todo := langflow.SplitDetail(e.Detail); strings.HasPrefix(why, "the client certificate") {
			return why, todo
		}
		return advised("the server's certificate isn't trusted")
	case langflow.ForwardProxy:
		return advised("the forward proxy is in the way")
	case langflow.Gateway:
		found := lowerArticle(strings.TrimSuffix(Gateway(e.Gateway, "the server"), "."))
		return found + bracketed(e.Detail), GatewayAdvice(e.Gateway, e.Profile)
	case langflow.CommandFailed:
		if e.Detail == "" {
			return "the profile's command failed", "run it in a terminal to see why"
		}
		return e.Detail, "run it in a terminal to see why"
	case langflow.NotLangflow:
		return "something answers there, but it isn't Langflow", "check the URL"
	case langflow.Moved:
		return "the server moved" + bracketed(e.Detail), "use that address, if you trust it"
	case langflow.PlainHTTP:
		return "http:// sends the password unprotected", "use https://, or allow it with --allow-http"
	case langflow.TimedOut:
		return "the server doesn't answer in time", "check the network, or try again later"
	case langflow.ServerError:
		return "the server has a problem of its own" + bracketed(e.Detail), "try again later"
	case langflow.BadRequest, langflow.Refused, langflow.TokenRefused:
		return "the server refused" + bracketed(e.Detail), "check the URL, and any proxy or gateway in front of the server"
	}
	return "can't reach the server" + bracketed(e.Detail), "check the URL and the network"
}

// lowerArticle makes a sentence's beginning lower case, where it is no name.
func lowerArticle(s string) string {
	if rest, ok := strings.CutPrefix(s, "A "); ok {
		return "a " + rest
	}
	return s
}

// bracketed is a detail behind what it explains.
func bracketed(detail string) string {
	if detail == "" {
		return ""
	}
	return " (" + detail + ")"
}
