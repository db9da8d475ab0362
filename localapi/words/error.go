package words

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"langkeep/agent"
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
		return told(&agent.Error{Reason: string(lf.Kind), Detail: lf.Detail, Gateway: lf.Gateway})
	}
	return err.Error(), ""
}

// told returns an error's finding and advice, without the profile.
func told(e *agent.Error) (found, advice string) {
	switch e.Code {
	case agent.NoProfile:
		return fmt.Sprintf("no profile %q", e.Detail), "langkeep status lists them, langkeep login " + e.Detail + " URL adds it"
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
		if e.Detail == vocabulary.External {
			return "the profile names no command that prints an access token", "name one with --token-command"
		}
		needs := map[string]string{"password": "a user name and a password", "refresh-token": "a refresh token", "api-key": "an api key"}
		return "method " + e.Detail + " needs " + needs[e.Detail], ""
	case agent.Unsendable:
		return "can't send that secret: " + e.Detail, ""
	case agent.NoAccessTokens:
		if e.Detail == vocabulary.External {
			return "the gateway's cookies sign it in, so there is no access token", "ask for a key, or use the proxy"
		}
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
	run := "run " + login + e.Profile
	switch reason := langflow.Kind(e.Reason); {
	case reasons[e.Reason].of == theBrowser:
		return reasonOf(e)
	case reason == langflow.TimedOut && e.Kind == agent.SigningInRequired:
		return "nobody finished signing in in the browser within 10 min", "try again"
	case e.Kind == agent.LifetimeTooShort:
		return "the server's tokens don't live that long", "ask for at most " + e.MaxValid.Truncate(time.Second).String()
	case e.Kind == agent.NotSupported && e.Reason == vocabulary.KeysForbidden:
		return "the server makes no api keys for this account" + bracketed(e.Detail), "ask its administrator, or use one of your own with --method api-key"
	case e.Kind == agent.KeychainBlocked, e.Kind == agent.NotSupported:
		return reasonOf(e)
	case e.Kind == agent.SigningInRequired && reason == "":
		return "signed out", run
	case e.Kind == agent.SigningInRequired && reason == langflow.Gateway:
		return lowerArticle(strings.TrimSuffix(Gateway(e.Gateway, "the server"), ".")), run + " --browser"
	case e.Kind == agent.SigningInRequired:
		return reasonOf(e)
	case e.Kind == agent.Locked:
		return "the agent is locked and hands nothing out", "run langkeep unlock"
	case e.Kind == agent.Internal, reason == "" && e.Kind != "":
		return e.Detail, ""
	case reason == langflow.Gateway:
		return lowerArticle(strings.TrimSuffix(Gateway(e.Gateway, "the server"), ".")) + bracketed(e.Detail), gatewayAdvice(e.Gateway, e.Profile)
	case reason == langflow.CommandFailed:
		return cmp.Or(e.Detail, "the profile's command failed"), "run it in a terminal to see why"
	}
	return reasonOf(e)
}

// lowerArticle makes a sentence's beginning lower case, where it is no name.
func lowerArticle(s string) string {
	if rest, ok := strings.CutPrefix(s, "A "); ok {
		return "a " + rest
	}
	return s
}
