// Package tray shows the agent's profiles in the desktop's tray. It is a view: it
// computes its menu anew from the profiles each time, and a click calls one of Actions.
package tray

import (
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf16"

	"langkeep/agent/asks"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// The icons, by the need of the profiles' worst state.
const (
	iconFresh     = "fresh"     // nothing
	iconAttention = "attention" // a person is needed
	iconOffline   = "offline"   // nothing to do, it comes back by itself
)

const (
	topQuestions = 3                // lines above the profiles; the next ones come when these are answered
	topProfiles  = 12               // lines in the menu itself
	moreProfiles = 50               // lines in its submenu for the others
	offlineAfter = 10 * time.Minute // of failing: an icon that looks well would hide it while the last token lives
	tooltipLimit = 127              // UTF-16 units, of Windows' NOTIFYICONDATA without its final zero
)

// verb is a click's action.
type verb int

const (
	nothing verb = iota
	allowOnce
	allowInSession
	allowAlways
	deny
	signIn
	cancelSignIn
	openLangflow
	copyToken
	copyKey
	switchProxy
	refresh
	signOut
	newProfile
	controlPage
	switchLock
	startAtLogin
	about
	quit
)

// view is the data for a menu.
type view struct {
	profiles  []client.Profile
	questions []asks.Question
	code      string // that confirms a control page, in words; "" is none
	now       time.Time
	version   string
	can       offers
}

// offers are the optional parts of the menu.
type offers struct {
	page, clipboard, startAtLogin bool
	noClipboard                   string // why there is none; "": the copy entries are left out
	browser                       bool   // a sign-in in the browser
	lock                          bool
	locked                        bool // the check mark
	startsAtLogin                 bool // the check mark
}

// menu is the whole content of the tray.
type menu struct {
	icon      string
	tooltip   string
	code      entry         // at the top
	questions []profileLine // named by their ids
	profiles  []profileLine
	more      []profileLine // in a submenu
	moreLine  entry         // opens it
	beyond    entry         // at its top: the number of profiles on the control page only
	empty     entry         // in the place of profiles, where there are none
	entries   []entry       // below the profiles
}

// profileLine is a profile's line, and its submenu.
type profileLine struct {
	name    string
	title   string
	entries []entry
}

// entry is a line that does something.
type entry struct {
	do       verb
	title    string
	hidden   bool
	disabled bool
	checked  bool
}

// compose makes the menu. Each place has the same verb in every view, so that the tray
// can keep a fixed pool of items.
func compose(v view) menu {
	m := menu{
		icon: worst(v.profiles, v.now), tooltip: tooltip(v),
		code:  entry{title: v.code, hidden: v.code == "", disabled: true},
		empty: entry{title: "No profile yet", hidden: len(v.profiles) > 0, disabled: true},
		entries: []entry{
			{do: newProfile, title: "Add a profile…", hidden: !v.can.page},
			{do: controlPage, title: "Control page…", hidden: !v.can.page},
			{do: switchLock, title: lockTitle(v.can.locked), hidden: !v.can.lock, checked: v.can.locked},
			{do: startAtLogin, title: "Start at login", hidden: !v.can.startAtLogin, checked: v.can.startsAtLogin},
			{do: about, title: strings.TrimSpace("About Langkeep " + v.version), disabled: !v.can.page},
			{do: quit, title: "Quit"},
		},
	}
	for _, q := range v.questions[:min(len(v.questions), topQuestions)] {
		m.questions = append(m.questions, profileLine{name: q.ID, title: strings.TrimSuffix(words.Asks(q), "."), entries: answers(q)})
	}
	if len(v.questions) > 0 {
		m.icon = iconAttention
	}
	profiles := slices.Clone(v.profiles)
	if len(profiles) > topProfiles {
		// A profile that needs a person must not be hidden in a submenu.
		sort.SliceStable(profiles, func(i, j int) bool { return rank(profiles[i], v.now) < rank(profiles[j], v.now) })
	}
	beyond := max(0, len(profiles)-topProfiles-moreProfiles)
	profiles = profiles[:len(profiles)-beyond]
	for i, p := range profiles {
		line := profileLine{name: p.Name, title: words.Safe(p.Name) + " · " + words.Short(p, v.now), entries: offered(p, v.can)}
		if i < topProfiles {
			m.profiles = append(m.profiles, line)
		} else {
			m.more = append(m.more, line)
		}
	}
	m.moreLine = entry{title: fmt.Sprintf("%d more", len(m.more)+beyond), hidden: len(m.more) == 0}
	m.beyond = entry{
		do: controlPage, title: fmt.Sprintf("%d more on the control page…", beyond),
		hidden: beyond == 0, disabled: !v.can.page,
	}
	return m
}

// answers is a question's submenu.
func answers(q asks.Question) []entry {
	entries := []entry{{do: allowOnce, hidden: true}, {do: allowInSession, hidden: true}, {do: allowAlways, hidden: true}, {do: deny, hidden: true}}
	place := map[asks.Answer]int{asks.Once: 0, asks.InSession: 1, asks.AlwaysAllow: 2, asks.Deny: 3}
	for _, c := range words.Choices(q) {
		entries[place[c.Answer]].title, entries[place[c.Answer]].hidden = c.Label, false
	}
	return entries
}

func lockTitle(locked bool) string {
	if locked {
		return "Locked"
	}
	return "Lock"
}

// offered is a profile's submenu.
func offered(p client.Profile, can offers) []entry {
	holds, valid, again := false, false, "Refresh now"
	switch p.State {
	case client.Fresh:
		holds, valid = true, true
	case client.Retrying:
		holds, valid, again = true, true, "Try now"
	case client.Stale:
		holds, again = true, "Try now"
	case client.KeychainLocked:
		again = "Unlock"
	}
	proxy := entry{do: switchProxy, title: "Proxy", hidden: !holds && p.ProxyURL == nil, checked: p.ProxyURL != nil}
	if p.ProxyURL != nil {
		if u, err := url.Parse(*p.ProxyURL); err == nil {
			proxy.title = "Proxy at " + u.Host
		}
	}
	forbidden := p.KeyReason != nil && *p.KeyReason == "keys-forbidden"
	token := entry{do: copyToken, title: "Copy access token", hidden: !valid || !words.HasTokens(p) || can.locked}
	if !can.clipboard {
		token = entry{do: copyToken, title: "Can't copy: " + can.noClipboard, hidden: !valid || can.locked || can.noClipboard == "", disabled: true}
	}
	bySignIn := words.SignInHelps(p) && (can.page || can.browser && words.WantsBrowser(p))
	return []entry{
		{do: signIn, title: "Sign in…", hidden: p.SigningIn || !bySignIn},
		{do: cancelSignIn, title: "Cancel sign-in", hidden: !can.browser || !p.SigningIn},
		{do: openLangflow, title: "Open Langflow", hidden: !browsable(p.ServerURL)},
		token,
		{do: copyKey, title: "Copy API key", hidden: !can.clipboard || !valid || forbidden || can.locked},
		proxy,
		{do: refresh, title: again, hidden: !holds && p.State != client.KeychainLocked},
		{do: signOut, title: "Sign out", hidden: !holds},
	}
}

// browsable tells whether a browser may open the address: profiles' files are edited by
// hand, and other schemes start other programs.
func browsable(server string) bool {
	u, err := url.Parse(server)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// The ranks of profiles, by how much they need a person.
const (
	rankNeedsYou = iota
	rankOffline
	rankRetrying
	rankFresh
	rankSignedOut // on purpose
)

func rank(p client.Profile, now time.Time) int {
	switch {
	case words.NeedsYou(p):
		return rankNeedsYou
	case p.State == client.Stale, p.FailingSince != nil && now.Sub(*p.FailingSince) >= offlineAfter:
		return rankOffline
	case p.State == client.Retrying:
		return rankRetrying
	case p.State == client.Fresh:
		return rankFresh
	}
	return rankSignedOut
}

// worst is the icon for all profiles together. The closed ring means that a session is
// kept; without any session a person is needed.
func worst(profiles []client.Profile, now time.Time) string {
	most := rankSignedOut
	for _, p := range profiles {
		most = min(most, rank(p, now))
	}
	switch most {
	case rankFresh, rankRetrying:
		return iconFresh
	case rankOffline:
		return iconOffline
	}
	return iconAttention
}

// tooltip names the profiles that are not fresh, the worst first, and counts the rest.
func tooltip(v view) string {
	name := "Langkeep"
	if v.can.locked {
		name += " · locked"
	}
	if len(v.questions) > 0 {
		return cut(name + " · " + words.Asks(v.questions[0]))
	}
	switch len(v.profiles) {
	case 0:
		return name + " · " + "no profile yet"
	case 1:
		return cut(name + " · " + words.Safe(v.profiles[0].Name) + ": " + words.Short(v.profiles[0], v.now))
	}
	var parts []string
	fresh, signedOut := 0, 0
	sorted := slices.Clone(v.profiles)
	sort.SliceStable(sorted, func(i, j int) bool { return rank(sorted[i], v.now) < rank(sorted[j], v.now) })
	for _, p := range sorted {
		switch p.State {
		case client.Fresh:
			fresh++
		case client.SignedOut:
			signedOut++
		default:
			parts = append(parts, words.Safe(p.Name)+": "+words.State(p))
		}
	}
	switch {
	case fresh == len(v.profiles):
		parts = append(parts, "all fresh")
	case fresh > 0:
		parts = append(parts, fmt.Sprintf("%d fresh", fresh))
	}
	if signedOut > 0 {
		parts = append(parts, fmt.Sprintf("%d signed out", signedOut))
	}
	return cut(name + " · " + strings.Join(parts, " · "))
}

// cut shortens to tooltipLimit.
func cut(s string) string {
	if len(utf16.Encode([]rune(s))) <= tooltipLimit {
		return s
	}
	units := 1 // the ellipsis
	for i, r := range s {
		units += utf16.RuneLen(r)
		if units > tooltipLimit {
			return s[:i] + "…"
		}
	}
	return s
}
