// Package words turns the local API's data into words for people, the same in the
// terminal, the tray and the page. Foreign text goes through Safe.
package words

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"langkeep/agent/langflow"
	"langkeep/localapi/client"
)

// None stands for an absent value.
const None = "–"

// Safe makes foreign text fit for a terminal: control and format characters,
// which could move the cursor or turn the direction of writing, become spaces
// or go.
func Safe(s string) string {
	return langflow.Printable(s)
}

// Remaining formats a time left, rounded down: 20 s, 52 min, 5 h 10 min, 22 h, 6 d 4 h,
// 359 d.
func Remaining(d time.Duration) string {
	const day = 24 * time.Hour
	two := func(first, second int, unit, subunit string) string {
		if first >= 10 || second == 0 {
			return fmt.Sprintf("%d %s", first, unit)
		}
		return fmt.Sprintf("%d %s %d %s", first, unit, second, subunit)
	}
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < day:
		return two(int(d/time.Hour), int(d%time.Hour/time.Minute), "h", "min")
	default:
		return two(int(d/day), int(d%day/time.Hour), "d", "h")
	}
}

// In tells when a client or a key ends, as "in 30 d". It rounds to the nearest unit: what
// lives for 30 days would else read "in 29 d" a second later.
func In(d time.Duration) string {
	unit := time.Second
	switch {
	case d >= 10*24*time.Hour:
		unit = 24 * time.Hour
	case d >= 10*time.Hour:
		unit = time.Hour
	case d >= time.Minute:
		unit = time.Minute
	}
	return "in " + Remaining(d.Round(unit))
}

// TokenLeft is how long the access token lives, by the server's clock; None if
// there is none, if that is not known, or if the server may have ended it.
func TokenLeft(p client.Profile, now time.Time) string { return left(p, p.AccessExpiresAt, now) }

// SessionLeft is how long the session could go without a refresh; None if that
// is not known.
func SessionLeft(p client.Profile, now time.Time) string { return left(p, p.RefreshExpiresAt, now) }

func left(p client.Profile, end *time.Time, now time.Time) string {
	switch p.State {
	case client.SignInRequired, client.KeychainLocked, client.SignedOut:
		return None
	}
	if end == nil {
		return None
	}
	if p.ClockOffsetSeconds != nil {
		now = now.Add(time.Duration(*p.ClockOffsetSeconds) * time.Second)
	}
	if d := end.Sub(now); d >= time.Second {
		return Remaining(d)
	}
	return None
}

// TokenShare is the part of the access token's life that is left, 0 to 1; false
// if that is not known.
func TokenShare(p client.Profile, now time.Time) (float64, bool) {
	if p.AccessExpiresAt == nil || p.LastRefreshAt == nil {
		return 0, false
	}
	var offset time.Duration
	if p.ClockOffsetSeconds != nil {
		offset = time.Duration(*p.ClockOffsetSeconds) * time.Second
	}
	life := p.AccessExpiresAt.Sub(p.LastRefreshAt.Add(offset))
	if life <= 0 {
		return 0, false
	}
	rest := p.AccessExpiresAt.Sub(now.Add(offset))
	return min(1, max(0, float64(rest)/float64(life))), true
}

// NeedsYou tells whether a profile waits for a person: nothing gets better by itself.
func NeedsYou(p client.Profile) bool {
	switch p.State {
	case client.SignInRequired, client.KeychainLocked:
		return true
	case client.Stale:
		return behindGateway(p) || text(p.Reason) == commandFailed
	}
	return false
}

// State is the state in two words, for a table that tells the rest beside it.
func State(p client.Profile) string {
	switch {
	case p.SigningIn:
		return "signing in…"
	case SignInHelps(p) && behindGateway(p):
		return "sign in (gateway)"
	case behindGateway(p):
		return "refused (gateway)"
	case text(p.Reason) == commandFailed:
		return "command failed"
	}
	switch p.State {
	case client.Fresh:
		return "fresh"
	case client.Retrying:
		return "server away"
	case client.Stale:
		return "offline"
	case client.SignInRequired:
		return "sign in"
	case client.KeychainLocked:
		return "keychain " + keychainState(p)
	case client.SignedOut:
		if neverSignedIn(p) {
			return "not signed in yet"
		}
		return "signed out"
	}
	return Safe(string(p.State)) // from a newer agent
}

// neverSignedIn tells a new profile from one that a person has signed out.
func neverSignedIn(p client.Profile) bool { return p.State == client.SignedOut && p.Method == nil }

// Label is the state in a few words that begin a line: Signed in; Server away. Signed in
// is said of every session that still works, and the minutes of its token are not.
func Label(p client.Profile) string {
	switch {
	case p.State == client.Fresh && !p.SigningIn:
		return "Signed in"
	case p.State == client.Retrying && !p.SigningIn:
		return "Signed in, " + State(p)
	}
	state := State(p)
	first, size := utf8.DecodeRuneInString(state)
	return string(unicode.ToUpper(first)) + state[size:]
}

func keychainState(p client.Profile) string {
	switch text(p.Reason) {
	case "missing", "silent", "failing":
		return text(p.Reason)
	}
	return "locked"
}

// Short is the state in a few words, for the tray and for lists of changes: fresh, 52
// min.
func Short(p client.Profile, now time.Time) string {
	token := TokenLeft(p, now)
	switch {
	case p.SigningIn:
	case p.State == client.Fresh && token != None:
		return "fresh, " + token
	case p.State == client.Retrying && token != None:
		away := State(p)
		if behindGateway(p) {
			away = "gateway"
		}
		return "fresh, " + token + ", " + away
	}
	return State(p)
}

// login is the command that signs in, up to the profile's name.
const login = "langkeep login "

// Next is the time till the agent's next attempt, or the command for a person: in 41
// min.
func Next(p client.Profile, now time.Time) string {
	switch {
	case p.SigningIn:
		return "the browser"
	case WantsBrowser(p) && NeedsYou(p):
		return login + Safe(p.Name) + " --browser"
	case p.State == client.SignInRequired, p.State == client.SignedOut:
		return login + Safe(p.Name)
	case p.NextAttemptAt == nil:
		return None
	}
	return in(*p.NextAttemptAt, now)
}

func in(at, now time.Time) string {
	if d := at.Sub(now); d >= time.Second {
		return "in " + Remaining(d)
	}
	return "now"
}

// Long is the state in sentences, for a page about one profile. Clock times are
// in now's location.
func Long(p client.Profile, now time.Time) string {
	if p.SigningIn {
		return "Finish signing in in the browser window."
	}
	switch p.State {
	case client.Fresh:
		return joined(fresh(p, now), aboutKeys(p), Proxy(p), NotSaved(p))
	case client.Retrying:
		again := "trying again by itself"
		if p.NextAttemptAt != nil {
			again = "trying again " + in(*p.NextAttemptAt, now)
		}
		switch token := TokenLeft(p, now); {
		case byCommand(p):
			again = Sentence(again)
		case token != None:
			again = "Still valid for " + token + "; " + again + "."
		default:
			again = "Still valid; " + again + "."
		}
		return joined(Reason(p), again, NotSaved(p))
	case client.Stale:
		reason := Reason(p)
		switch {
		case byCommand(p) && p.NextAttemptAt != nil:
			return joined(reason, "Trying again "+in(*p.NextAttemptAt, now)+".")
		case byCommand(p), behindGateway(p):
			return reason // which says what is needed
		}
		if away(p) && p.FailingSince != nil {
			reason = fmt.Sprintf("Can't reach %s since %s%s.", Host(p), Clock(*p.FailingSince, now), bracketed(Safe(text(p.ReasonDetail))))
		}
		return joined(reason, "Nothing is lost; it comes back by itself.")
	case client.SignInRequired:
		if behindGateway(p) {
			return Reason(p)
		}
		return joined(Reason(p), "Sign in again.")
	case client.KeychainLocked:
		return Reason(p)
	case client.SignedOut:
		said := "Signed out."
		if neverSignedIn(p) {
			said = "Not signed in yet."
		}
		return joined(said, KeysLeft(p, now))
	}
	return Safe(string(p.State)) + "."
}

func fresh(p client.Profile, now time.Time) string {
	who := "Signed in"
	if name := Safe(text(p.Username)); name != "" {
		who += " as " + name
	}
	switch {
	case p.Method != nil && *p.Method == client.APIKey:
		return who + " with an API key."
	case byGateway(p):
		return who + " by the gateway."
	case isExternal(p):
		who += " with the tokens of " + command(p.TokenCommand)
	}
	who += ". Refreshes by itself"
	if left := lasts(p, now); left != None {
		return who + "; lasts " + left + " without the server."
	}
	return who + "."
}

// lasts is how long a session lives without a refresh: some have an access token alone.
func lasts(p client.Profile, now time.Time) string {
	if left := SessionLeft(p, now); left != None {
		return left
	}
	return TokenLeft(p, now)
}

// aboutKeys tells the unusual facts about the profile's API keys; "" if there are none.
func aboutKeys(p client.Profile) string {
	switch text(p.KeyReason) {
	case "keys-forbidden":
		if isExternal(p) {
			return "It makes no API keys for accounts of an identity provider. The proxy sends the token instead, which runs workflows (/api/v2/workflows)."
		}
		return "It makes no API keys for this account."
	case "expiry-ignored":
		return "It gives API keys no end; Langkeep deletes its own after their use."
	}
	return ""
}

// ProxyExposed is the sentence for a proxy whose port another user holds.
const ProxyExposed = "Another user of this computer holds the proxy's port. The tokens that it may have been sent are revoked. Switch the proxy on again for another port."

// Proxy says why a proxy that should be open is closed; "" if it is not.
func Proxy(p client.Profile) string {
	switch text(p.ProxyReason) {
	case "port-taken":
		return "Another program holds the proxy's port."
	case "port-of-another-user":
		return ProxyExposed
	}
	return ""
}

// KeysLeft says which of our API keys could not be deleted on the server; "" if
// none are left there.
func KeysLeft(p client.Profile, now time.Time) string {
	if p.KeysLeft == 0 || p.KeysLeftUntil == nil {
		return ""
	}
	what, it := "An API key still works", "it is"
	if p.KeysLeft > 1 {
		what, it = fmt.Sprintf("%d API keys still work", p.KeysLeft), "they are"
	}
	return fmt.Sprintf("%s there until %s; %s deleted at the next sign-in.", what, Clock(*p.KeysLeftUntil, now), it)
}

// NotSaved says that the store does not have the session, or what a gateway wants of it,
// and why; "" if it has.
func NotSaved(p client.Profile) string {
	if p.Saved {
		return ""
	}
	why := ""
	switch text(p.Reason) {
	case "locked", "missing", "silent", "failing":
		why = " (keychain " + text(p.Reason) + ")"
	case "too-big":
		why = " (too long for the store)"
	}
	return "Not saved yet" + why + ": if the agent ends now, you have to sign in again."
}

func joined(sentences ...string) string {
	var kept []string
	for _, s := range sentences {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, " ")
}

// Clock is a local time: 14:05 if it is less than a day away, else with its
// date.
func Clock(at, now time.Time) string {
	at = at.In(now.Location())
	if at.Sub(now).Abs() < 24*time.Hour {
		return at.Format("15:04")
	}
	return at.Format("2 Jan 2006 15:04")
}

// Host is the server's name and port.
func Host(p client.Profile) string {
	if u, err := url.Parse(p.ServerURL); err == nil && u.Host != "" {
		return Safe(u.Host)
	}
	return Safe(p.ServerURL)
}

// byCommand tells whether the profile waits for one of its commands to give another
// answer.
func byCommand(p client.Profile) bool {
	return text(p.Reason) == commandFailed || behindGateway(p) && len(p.HeaderCommand) > 0
}

// tokenRefused tells whether the server refused the session for good.
func tokenRefused(p client.Profile) bool {
	switch text(p.Reason) {
	case "token-refused", "session-ended", "refused":
		return p.State == client.SignInRequired
	}
	return false
}

// away tells whether the server did not answer at all.
func away(p client.Profile) bool {
	switch text(p.Reason) {
	case "", "unreachable", "timed-out":
		return true
	}
	return false
}

// Reason says why a profile is not fresh, in one or two sentences. For an unknown
// reason, from a newer agent, it uses the server's own words.
func Reason(p client.Profile) string {
	switch {
	case behindGateway(p):
		return ofGateway(p)
	case text(p.Reason) == commandFailed:
		return profilesCommand(p)
	case isExternal(p) && !byGateway(p) && tokenRefused(p):
		return "The server does not accept the token that the profile's command prints."
	}
	return reason(text(p.Reason), Safe(text(p.ReasonDetail)), Host(p))
}

// Sentence makes a sentence from a program's line, which is lower case and has no dot.
func Sentence(line string) string {
	line = Safe(line)
	if line == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(line)
	return string(unicode.ToUpper(first)) + strings.TrimRight(line[size:], ".") + "."
}

// Failure says why a request to a server failed, in a sentence or two; "" for a problem
// without a reason. detail is the server's or the system's text.
func Failure(p *client.Problem, detail, host string) string {
	if p.Reason == "" {
		return ""
	}
	switch {
	case p.Reason == gateway:
		return Gateway(p.Gateway, Safe(host))
	case p.Reason == "timed-out" && p.Kind() == client.TypeSignInRequired:
		return "Nobody finished signing in in the browser within 10 min."
	case p.Reason == commandFailed:
		return ofCommand("The command", Safe(detail))
	}
	said := reason(p.Reason, Safe(detail), Safe(host))
	if p.Reason == "rate-limited" && p.RetryAfter != nil && *p.RetryAfter > 0 {
		said += " Try again in " + Remaining(time.Duration(*p.RetryAfter)*time.Second) + "."
	}
	return said
}

// Change tells the change of a profile between two snapshots, in a sentence; "" if it
// does not matter to a person.
func Change(before, after client.Profile) string {
	// A session that was not loaded yet is stale without a reason.
	starting := before.State == client.Stale && before.Reason == nil
	switch {
	case before.State == after.State:
		if after.State == client.Fresh && after.LastRefreshAt != nil && !same(before.LastRefreshAt, after.LastRefreshAt) {
			return "Refreshed."
		}
		return ""
	case after.State == client.Fresh:
		switch {
		case before.State == client.SignedOut || before.State == client.SignInRequired:
			if name := Safe(text(after.Username)); name != "" {
				return "Signed in as " + name + "."
			}
			return "Signed in."
		case starting:
			return "Refreshed."
		}
		return "Back to normal."
	case after.State == client.SignedOut:
		if starting {
			return ""
		}
		return "Signed out."
	case after.State == client.Stale && after.Reason == nil:
		return ""
	}
	return Reason(after)
}

func same(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }

// Refused says why a sign-in failed, or "" if the problem is of another kind.
func Refused(p *client.Problem) string {
	switch {
	case p.Reason == string(langflow.SessionEnded):
		return reasons[string(langflow.TokenRefused)].sentence
	case p.Reason == string(langflow.TokenRefused), reasons[p.Reason].of == theSession:
		return reason(p.Reason, "", "")
	}
	return ""
}

// Problem is an error of the API as one line, lower case, with the times that the token
// route adds. The detail has the longest life of a token already.
func Problem(p *client.Problem) string {
	line := Safe(p.Error())
	seconds := func(n *int64) string { return Remaining(time.Duration(*n) * time.Second) }
	if p.HeldValid != nil && *p.HeldValid > 0 {
		line += "; the token held lives " + seconds(p.HeldValid)
	}
	if p.RetryAfter != nil && *p.RetryAfter > 0 {
		line += "; next try in " + seconds(p.RetryAfter)
	}
	return line
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
