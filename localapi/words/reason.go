package words

import (
	"strconv"
	"strings"

	"langkeep/agent"
	"langkeep/agent/langflow"
	"langkeep/agent/vocabulary"
)

// subject is the part of the way to a session that a reason blames.
type subject int

const (
	theServer  subject = iota // or the way to it: passing
	theSession                // the server's final word on it: only a sign-in helps
	theStore
	theBrowser // of a sign-in in the browser
)

// reasonWords are the words for a reason, for each place where people read one. In the
// texts {host} is the server, {login} the command that signs in, {status} HTTP's status,
// {raw} the server's or the system's own words, and {detail} these in brackets. Of a
// detail that has advice (langflow.SplitDetail) {why} is the fault in brackets, {Fault}
// the fault and {Advice} the advice as sentences, and {advice} the advice.
type reasonWords struct {
	of            subject
	sentence      string // of a profile's state, and of the page
	found, advice string // of an error, lower case, without a dot
	// Of the doctor, as sentences; "" where they are those of an unreachable server.
	checked, mend string
}

// reasons has the words for every reason but those of gateways and of commands, whose
// words depend on the profile: see gateway.go.
var reasons = map[string]reasonWords{
	string(langflow.Unreachable): {
		sentence: "Can't reach {host}{detail}.",
		found:    "can't reach the server{detail}", advice: "check the URL and the network",
		checked: "The server can't be asked{detail}.", mend: "Check the URL, and any proxy or gateway in front of the server.",
	},
	string(langflow.TimedOut): {
		sentence: "Can't reach {host} (timed out).",
		found:    "the server doesn't answer in time", advice: "check the network, or try again later",
		checked: "The server doesn't answer in time.", mend: "Check the network, or try again later.",
	},
	string(langflow.Certificate): {
		sentence: "The certificate isn't trusted{why}. {Advice}",
		found:    "the server's certificate isn't trusted{why}", advice: "{advice}",
		checked: "The certificate isn't trusted{why}.", mend: "{Advice}",
	},
	string(langflow.ForwardProxy): {
		sentence: "The forward proxy is in the way{why}. {Advice}",
		found:    "the forward proxy is in the way{why}", advice: "{advice}",
		checked: "{Fault}", mend: "{Advice}",
	},
	string(langflow.NotLangflow): {
		sentence: "Something answers there, but it isn't Langflow.",
		found:    "something answers there, but it isn't Langflow", advice: "check the URL",
		checked: "Something answers there, but it isn't Langflow.", mend: "Check the URL, and whether this network wants a sign-in of its own.",
	},
	string(langflow.ServerError): {
		sentence: "{host} has a problem of its own{detail}.",
		found:    "the server has a problem of its own{detail}", advice: "try again later",
		checked: "The server has a problem of its own ({status}).", mend: "Try again later, or tell its administrator.",
	},
	string(langflow.RateLimited): {
		sentence: "Too many sign-ins from here.",
		found:    "too many sign-ins from here", advice: "try again later",
		checked: "The server had too many sign-ins from here.", mend: "Try again later.",
	},
	string(langflow.Moved): { // to an address: see reason
		sentence: "The server moved{detail}.",
		found:    "the server moved{detail}", advice: "use that address, if you trust it",
		checked: "The server moved{detail}.", mend: "Use that address, if you trust it.",
	},
	string(langflow.PlainHTTP): {
		sentence: "http:// sends your password unprotected. Use https://, or allow it for this server.",
		found:    "http:// sends the password unprotected", advice: "use https://, or allow it with --allow-http",
	},
	string(langflow.Refused): {
		sentence: "Something in front of Langflow refused{detail}.",
		found:    "the server refused{detail}", advice: "check the URL, and any proxy or gateway in front of the server",
	},
	string(langflow.BadRequest): {
		sentence: "The server did not understand{detail}.",
		found:    "the server refused{detail}", advice: "check the URL, and any proxy or gateway in front of the server",
	},
	string(langflow.TokenRefused): {
		sentence: "The server does not accept this token.",
		found:    "the server refused{detail}", advice: "check the URL, and any proxy or gateway in front of the server",
		checked: "The server does not accept it.", mend: "Sign in again.",
	},

	string(langflow.SessionEnded): {
		of:       theSession,
		sentence: "The server ended this session (its secret key may have changed).",
		found:    "the server ended this session", advice: "{login}",
	},
	string(langflow.WrongPassword): {
		of:       theSession,
		sentence: "That user name and password don't match.",
		found:    "that user name and password don't match", advice: "{login}",
	},
	string(langflow.Inactive): {
		of:       theSession,
		sentence: "This account was deactivated by an administrator.",
		found:    "this account was deactivated by an administrator", advice: "ask them, then {login}",
		checked: "This account was deactivated by an administrator.", mend: "Ask the server's administrator.",
	},
	string(langflow.WaitingForApproval): {
		of:       theSession,
		sentence: "This account waits for an administrator's approval.",
		found:    "this account waits for an administrator's approval", advice: "ask them, then {login}",
	},
	string(langflow.AutoLoginOff): {
		of:       theSession,
		sentence: "This server wants a user name and password.",
		found:    "this server wants a user name and password", advice: "{login} --method password",
	},
	string(langflow.KeyRefused): {
		of:       theSession,
		sentence: "The server does not accept this API key.",
		found:    "the server refused the api key", advice: "{login} --method api-key with a new one",
		checked: "The server does not accept it.", mend: "Sign in again.",
	},

	vocabulary.Locked: {
		of:       theStore,
		sentence: "The keychain is locked, so the saved session can't be read. Unlock it.",
		found:    "the keychain is locked", advice: "unlock it, then try again",
	},
	vocabulary.Missing: {
		of:       theStore,
		sentence: "There is no keychain here, so the saved session can't be read. Start one, or use --store file.",
		found:    "there is no keychain here", advice: "start one, or keep the secrets in a file: langkeep restart --store file",
	},
	vocabulary.Silent: {
		of:       theStore,
		sentence: "The keychain doesn't answer, so the saved session can't be read. Look for its prompt.",
		found:    "the keychain does not answer", advice: "look for its prompt, or restart it",
	},
	vocabulary.Failing: {
		of:       theStore,
		sentence: "The keychain fails, so the saved session can't be read{detail}.",
		found:    "the keychain failed: {raw}",
	},
	vocabulary.TooBig: {
		of:       theStore,
		sentence: "The secret has more than 64 KiB, and the store holds no longer one.",
		found:    "the secret has more than 64 KiB, and the store holds no longer one",
	},

	vocabulary.NoBrowser: {
		of:       theBrowser,
		sentence: "Signing in here needs Chrome, Edge, Brave or Chromium. Or give a header, a command or a refresh token.",
		found:    "signing in in the browser needs Chrome, Edge, Brave or Chromium", advice: withoutBrowser,
	},
	vocabulary.BrowserConfined: {
		of:       theBrowser,
		sentence: "The browser is a snap or a Flatpak, which can't open Langkeep's folder. Name another one in config.toml, or give a header, a command or a refresh token.",
		found:    "the browser is a snap or a Flatpak, which can't open Langkeep's folder", advice: "name another one as browser in config.toml, or " + withoutBrowser,
	},
	vocabulary.BrowserForbidden: {
		of:       theBrowser,
		sentence: "A policy of this computer forbids asking the browser for its cookies. Give a header, a command or a refresh token.",
		found:    "a policy of this computer forbids asking the browser for its cookies", advice: withoutBrowser,
	},
	vocabulary.BrowserSilent: {
		of:       theBrowser,
		sentence: "The browser does not answer. Close it and try again, or name another one in config.toml.",
		found:    "the browser does not answer", advice: "close it and try again, or name another one as browser in config.toml",
	},
	vocabulary.BrowserFailed: {
		of:       theBrowser,
		sentence: "The browser can't be started{detail}.",
		found:    "the browser can't be started{detail}", advice: "name another one as browser in config.toml, or " + withoutBrowser,
	},
	vocabulary.BrowserClosed: {
		of:       theBrowser,
		sentence: "The browser window was closed before you were signed in.",
		found:    "the browser was closed before you were signed in", advice: "try again",
	},
	vocabulary.NoDisplay: {
		of:       theBrowser,
		sentence: "There is no desktop here that a browser could open on. Give a header, a command or a refresh token.",
		found:    "there is no desktop here that a browser could open on", advice: withoutBrowser,
	},
}

const withoutBrowser = "give --header, --header-command or --method refresh-token instead"

// wordsOf returns the words for a reason of a subject; those for instead, if the reason is
// unknown or has another subject.
func wordsOf(reason string, of subject, instead string) reasonWords {
	if w, ok := reasons[reason]; ok && w.of == of {
		return w
	}
	return reasons[instead]
}

// filled fills in a text of reasonWords.
func filled(text, detail string, more ...string) string {
	why, advice := langflow.SplitDetail(detail)
	fields := append([]string{
		"{raw}", detail, "{detail}", bracketed(detail), "{why}", bracketed(why),
		"{Fault}", Sentence(why), "{advice}", advice, "{Advice}", Sentence(advice),
	}, more...)
	return strings.TrimRight(strings.NewReplacer(fields...).Replace(text), " ")
}

// bracketed is a detail behind what it explains.
func bracketed(detail string) string {
	if detail == "" {
		return ""
	}
	return " (" + detail + ")"
}

// reason says in a sentence or two why a profile is not fresh.
func reason(code, detail, host string) string {
	if code == "" {
		code = string(langflow.Unreachable)
	}
	w, known := reasons[code]
	switch isAddress := strings.HasPrefix(detail, "http://") || strings.HasPrefix(detail, "https://"); {
	case code == string(langflow.Moved) && isAddress:
		return "The server moved to " + detail + ". Use that address?"
	case code == commandFailed:
		return ofCommand("The command", detail)
	case known:
		return filled(w.sentence, detail, "{host}", host)
	case detail != "":
		return Safe(code) + ": " + detail + "."
	}
	return Safe(code) + "."
}

// reasonOf returns the finding and the advice of an error, by its reason.
func reasonOf(e *agent.Error) (found, advice string) {
	var w reasonWords
	switch {
	case reasons[e.Reason].of == theBrowser:
		w = reasons[e.Reason]
	case e.Kind == agent.KeychainBlocked, e.Kind == agent.NotSupported:
		w = wordsOf(e.Reason, theStore, vocabulary.Failing)
	case e.Kind == agent.SigningInRequired:
		w = wordsOf(e.Reason, theSession, string(langflow.SessionEnded))
	default:
		why, advice := langflow.SplitDetail(e.Detail)
		if e.Reason == string(langflow.Certificate) && strings.HasPrefix(why, "the client certificate") {
			return why, advice
		}
		w = wordsOf(e.Reason, theServer, string(langflow.Unreachable))
	}
	signIn := "run " + login + e.Profile
	return filled(w.found, e.Detail), filled(w.advice, e.Detail, "{login}", signIn)
}

// Checked returns the doctor's finding and advice, in sentences, for the error of a
// profile's server.
func Checked(e *langflow.Error, profile string) (found, advice string) {
	switch e.Kind {
	case langflow.Gateway:
		return strings.TrimSuffix(Gateway(e.Gateway, "the server"), ".") + bracketed(e.Detail) + ".", Sentence(gatewayAdvice(e.Gateway, profile))
	case langflow.CommandFailed:
		return Sentence(e.Detail), "Run it in a terminal to see why."
	}
	w := reasons[string(e.Kind)]
	if w.checked == "" {
		w = reasons[string(langflow.Unreachable)]
	}
	return filled(w.checked, e.Detail, "{status}", strconv.Itoa(e.Status)), filled(w.mend, e.Detail)
}
