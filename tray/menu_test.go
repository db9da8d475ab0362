package tray

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"langkeep/agent/asks"
	"langkeep/localapi/client"
)

// at is when the tests' menus are made.
var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

var everything = offers{page: true, browser: true, clipboard: true, startAtLogin: true}

// of is a profile whose token lives for another 52 min where it has one.
func of(name string, s client.State) client.Profile {
	p := client.Profile{Name: name, ServerURL: "https://flows.example.org", State: s}
	if s == client.Fresh || s == client.Retrying {
		p.AccessExpiresAt = new(at.Add(52*time.Minute + time.Second))
	}
	return p
}

// text writes a menu as a person sees it.
func text(m menu) string {
	var b strings.Builder
	put := func(indent string, entries []entry) {
		for _, e := range entries {
			if e.hidden {
				continue
			}
			b.WriteString(indent + e.title)
			if e.disabled {
				b.WriteString(" (off)")
			}
			if e.checked {
				b.WriteString(" ✓")
			}
			b.WriteByte('\n')
		}
	}
	lines := func(indent string, lines []profileLine) {
		for _, l := range lines {
			b.WriteString(indent + l.title + "\n")
			put(indent+"  ", l.entries)
		}
	}
	fmt.Fprintf(&b, "[%s] %s\n", m.icon, m.tooltip)
	put("", []entry{m.code})
	lines("", m.questions)
	put("", []entry{m.empty})
	lines("", m.profiles)
	put("", []entry{m.moreLine})
	put("  ", []entry{m.beyond})
	lines("  ", m.more)
	put("", m.entries)
	return b.String()
}

func TestMenu(t *testing.T) {
	key := of("key", client.Fresh)
	key.Method, key.AccessExpiresAt = new(client.APIKey), nil
	noKeychain := of("prod", client.KeychainLocked)
	noKeychain.Reason = new("missing")
	gated := func(name string, s client.State, signingIn bool) client.Profile {
		p := of(name, s)
		p.Reason, p.Gateway, p.SigningIn = new("gateway"), new("cloudflare-access"), signingIn
		return p
	}
	commanded := gated("c", client.Stale, false)
	commanded.HeaderCommand = []string{"cloudflared", "access", "token"}
	odd := of("odd", client.Fresh)
	odd.ServerURL = "file:///etc/passwd"
	for name, c := range map[string]struct {
		view view
		want string
	}{
		"nothing yet": {view{version: "1.0", can: everything}, `
[attention] Langkeep · no profile yet
No profile yet (off)
Add a profile…
Control page…
Start at login
About Langkeep 1.0
Quit
`},
		"nothing offered": {view{profiles: []client.Profile{of("staging", client.SignInRequired), of("prod", client.Fresh)}}, `
[attention] Langkeep · staging: sign in · 1 fresh
staging · sign in
  Open Langflow
prod · fresh, 52 min
  Open Langflow
  Proxy
  Refresh now
  Sign out
About Langkeep (off)
Quit
`},
		"every state": {view{
			profiles: []client.Profile{
				of("a", client.Fresh), of("b", client.Retrying), of("c", client.Stale), of("d", client.SignInRequired),
				of("e", client.KeychainLocked), of("f", client.SignedOut), key,
			},
			version: "1.0", can: offers{page: true, clipboard: true, startAtLogin: true, startsAtLogin: true},
		}, `
[attention] Langkeep · d: sign in · e: keychain locked · c: offline · b: server away · 2 fresh · 1 signed out
a · fresh, 52 min
  Open Langflow
  Copy access token
  Copy API key
  Proxy
  Refresh now
  Sign out
b · fresh, 52 min, server away
  Open Langflow
  Copy access token
  Copy API key
  Proxy
  Try now
  Sign out
c · offline
  Open Langflow
  Proxy
  Try now
  Sign out
d · sign in
  Sign in…
  Open Langflow
e · keychain locked
  Open Langflow
  Unlock
f · not signed in yet
  Sign in…
  Open Langflow
key · fresh
  Open Langflow
  Copy API key
  Proxy
  Refresh now
  Sign out
Add a profile…
Control page…
Start at login ✓
About Langkeep 1.0
Quit
`},
		"behind gateways": {view{
			profiles: []client.Profile{gated("a", client.SignInRequired, false), gated("b", client.SignInRequired, true), commanded, gated("d", client.Retrying, false)},
			can:      offers{browser: true},
		}, `
[attention] Langkeep · a: sign in (gateway) · b: signing in… · c: refused (gateway) · d: sign in (gateway)
a · sign in (gateway)
  Sign in…
  Open Langflow
b · signing in…
  Cancel sign-in
  Open Langflow
c · refused (gateway)
  Open Langflow
  Proxy
  Try now
  Sign out
d · fresh, 52 min, gateway
  Sign in…
  Open Langflow
  Proxy
  Try now
  Sign out
About Langkeep (off)
Quit
`},
		"programs that ask": {view{profiles: []client.Profile{of("prod", client.Fresh)}, questions: []asks.Question{
			{ID: "1", Wish: asks.Wish{Program: asks.Program{Exe: "/usr/bin/curl", Session: "x", Terminal: true}, Profile: "prod", Want: asks.Token}},
			{ID: "2", Wish: asks.Wish{Profile: "prod", Want: asks.Key}},
			{ID: "3", Wish: asks.Wish{Program: asks.Program{Exe: "/bin/sh", Script: "/x/job.sh", Session: "x"}, Profile: "prod", Want: asks.Token}, Proposed: asks.AlwaysAllow},
			{ID: "4", Wish: asks.Wish{Profile: "other", Want: asks.Key}},
		}}, `
[attention] Langkeep · curl, in a terminal, wants an access token for prod.
curl, in a terminal, wants an access token for prod
  Allow once
  Allow in this terminal
  Always
  Deny
A program that can't be told wants an API key for prod
  Allow once
  Deny
job.sh (sh) wants an access token for prod. A command says "always": confirm it
  Always
  Deny
prod · fresh, 52 min
  Open Langflow
  Proxy
  Refresh now
  Sign out
About Langkeep (off)
Quit
`},
		"a page to confirm": {view{profiles: []client.Profile{of("prod", client.Fresh)}, code: "Code for the control page: 123 456"}, `
[fresh] Langkeep · prod: fresh, 52 min
Code for the control page: 123 456 (off)
prod · fresh, 52 min
  Open Langflow
  Proxy
  Refresh now
  Sign out
About Langkeep (off)
Quit
`},
		"no clipboard": {view{profiles: []client.Profile{of("prod", client.Fresh), key}, can: offers{page: true, noClipboard: "install Xwayland"}}, `
[fresh] Langkeep · all fresh
prod · fresh, 52 min
  Open Langflow
  Can't copy: install Xwayland (off)
  Proxy
  Refresh now
  Sign out
key · fresh
  Open Langflow
  Can't copy: install Xwayland (off)
  Proxy
  Refresh now
  Sign out
Add a profile…
Control page…
About Langkeep
Quit
`},
		"locked": {view{profiles: []client.Profile{of("prod", client.Fresh)}, can: offers{page: true, clipboard: true, lock: true, locked: true}}, `
[fresh] Langkeep · locked · prod: fresh, 52 min
prod · fresh, 52 min
  Open Langflow
  Proxy
  Refresh now
  Sign out
Add a profile…
Control page…
Locked ✓
About Langkeep
Quit
`},
		"a server that is no web page": {view{profiles: []client.Profile{odd}, can: everything}, `
[fresh] Langkeep · odd: fresh, 52 min
odd · fresh, 52 min
  Copy access token
  Copy API key
  Proxy
  Refresh now
  Sign out
Add a profile…
Control page…
Start at login
About Langkeep
Quit
`},
		"no keychain": {view{profiles: []client.Profile{noKeychain}}, `
[attention] Langkeep · prod: keychain missing
prod · keychain missing
  Open Langflow
  Unlock
About Langkeep (off)
Quit
`},
	} {
		c.view.now = at
		if got := text(compose(c.view)); got != strings.TrimPrefix(c.want, "\n") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestIcon(t *testing.T) {
	for states, want := range map[string]string{
		"":                                    iconAttention,
		"fresh":                               iconFresh,
		"fresh retrying signed-out":           iconFresh,
		"fresh stale":                         iconOffline,
		"fresh stale sign-in-required":        iconAttention,
		"stale keychain-locked":               iconAttention,
		"signed-out":                          iconAttention,
		"signed-out stale":                    iconOffline,
		"fresh stale/timed-out":               iconOffline,
		"fresh stale/gateway":                 iconAttention,
		"fresh retrying/gateway":              iconFresh,
		"fresh retrying/for-hours":            iconOffline,
		"fresh fresh fresh fresh fresh stale": iconOffline,
	} {
		var profiles []client.Profile
		for i, s := range strings.Fields(states) {
			state, reason, _ := strings.Cut(s, "/")
			profiles = append(profiles, of(fmt.Sprint("p", i), client.State(state)))
			if reason != "" {
				profiles[i].Reason = &reason
			}
			if reason == "for-hours" {
				profiles[i].FailingSince = new(at.Add(-2 * time.Hour))
			}
		}
		got := compose(view{profiles: profiles, now: at}).icon
		if got != want {
			t.Errorf("%q has the icon %s, want %s", states, got, want)
		}
	}
}

func TestManyProfiles(t *testing.T) {
	many := func(n int) []client.Profile {
		var profiles []client.Profile
		for i := range n {
			profiles = append(profiles, of(fmt.Sprintf("p%04d", i), client.Fresh))
		}
		if n > 20 {
			profiles[20].State, profiles[n-1].State = client.Stale, client.SignInRequired
		}
		return profiles
	}
	for n, want := range map[int]struct {
		top, more  int
		line, rest string
		first      string
	}{
		12:   {12, 0, "", "", "p0000 p0001 p0002"},
		13:   {12, 1, "1 more", "", "p0000 p0001 p0002"},
		50:   {12, 38, "38 more", "", "p0049 p0020 p0000"},
		1000: {12, 50, "988 more", "938 more on the control page…", "p0999 p0020 p0000"},
	} {
		m := compose(view{profiles: many(n), now: at, can: everything})
		if len(m.profiles) != want.top || len(m.more) != want.more {
			t.Errorf("%d: %d lines and %d more", n, len(m.profiles), len(m.more))
		}
		for e, title := range map[entry]string{m.moreLine: want.line, m.beyond: want.rest} {
			if e.hidden != (title == "") || !e.hidden && e.title != title {
				t.Errorf("%d: %+v, want %q", n, e, title)
			}
		}
		first := m.profiles[0].name + " " + m.profiles[1].name + " " + m.profiles[2].name
		if first != want.first {
			t.Errorf("%d begins with %s, want %s", n, first, want.first)
		}
	}
}

// TestEntriesKeepTheirPlace holds what the pool of items relies on.
func TestEntriesKeepTheirPlace(t *testing.T) {
	verbs := func(entries []entry) string {
		var all []verb
		for _, e := range entries {
			all = append(all, e.do)
		}
		return fmt.Sprint(all)
	}
	want := verbs(offered(client.Profile{}, offers{}))
	wantBelow := verbs(compose(view{}).entries)
	for _, s := range []client.State{client.Fresh, client.Retrying, client.Stale, client.SignInRequired, client.KeychainLocked, client.SignedOut, "new"} {
		m := compose(view{profiles: []client.Profile{of("p", s)}, now: at, can: everything})
		if got := verbs(m.profiles[0].entries); got != want {
			t.Errorf("%s: %s, want %s", s, got, want)
		}
		if got := verbs(m.entries); got != wantBelow {
			t.Errorf("%s: %s, want %s", s, got, wantBelow)
		}
	}
}

func TestTooltipIsCut(t *testing.T) {
	var profiles []client.Profile
	for i := range 50 {
		profiles = append(profiles, of(fmt.Sprintf("server-%02d", i), client.Stale))
	}
	got := compose(view{profiles: profiles, now: at}).tooltip
	if units := len(utf16.Encode([]rune(got))); units > 127 || units < 126 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d units: %s", units, got)
	}
	for in, want := range map[string]string{
		strings.Repeat("a", 127):            strings.Repeat("a", 127),
		strings.Repeat("a", 128):            strings.Repeat("a", 126) + "…",
		strings.Repeat("a", 125) + "😀😀":     strings.Repeat("a", 125) + "…",
		strings.Repeat("a", 124) + "😀😀":     strings.Repeat("a", 124) + "😀…",
		strings.Repeat("ä", 127):            strings.Repeat("ä", 127),
		"":                                  "",
		strings.Repeat("😀", 63) + "a":       strings.Repeat("😀", 63) + "a",
		strings.Repeat("😀", 64):             strings.Repeat("😀", 63) + "…",
		"a" + strings.Repeat("😀", 63) + "b": "a" + strings.Repeat("😀", 62) + "…",
	} {
		if got := cut(in); got != want {
			t.Errorf("cut(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestActions(t *testing.T) {
	var did string
	failed := errors.New("failed")
	note := func(what string) func(context.Context, string) error {
		return func(_ context.Context, name string) error { did = what + " " + name; return failed }
	}
	actions := Actions{
		OpenURL:  func(url string) error { did = "open " + url; return failed },
		OpenPage: func(fragment string) error { did = "page " + fragment; return failed },
		SignIn: func(ctx context.Context, name string) error {
			did = "browser for " + name
			if _, limited := ctx.Deadline(); limited {
				did += " in a hurry"
			}
			return failed
		},
		CancelSignIn: func(name string) error { did = "cancel " + name; return failed },
		CopyToken:    note("copy"),
		CopyKey:      note("copy key of"),
		SetProxy: func(_ context.Context, name string, on bool) error {
			did = fmt.Sprint("proxy ", name, " ", on)
			return failed
		},
		Refresh:      note("refresh"),
		SignOut:      note("sign out"),
		StartAtLogin: func(on bool) error { did = fmt.Sprint("start ", on); return failed },
		Answer:       func(id string, a asks.Answer) error { did = id + ": " + string(a); return failed },
		SetLocked:    func(on bool) error { did = fmt.Sprint("lock ", on); return failed },
		Quit:         func() { did = "quit" },
	}
	p := of("prod", client.Fresh)
	for e, want := range map[entry]string{
		{do: allowOnce}:                   "prod: once",
		{do: allowInSession}:              "prod: session",
		{do: allowAlways}:                 "prod: always",
		{do: deny}:                        "prod: deny",
		{do: signIn}:                      "page sign-in/prod",
		{do: cancelSignIn}:                "cancel prod",
		{do: openLangflow}:                "open https://flows.example.org",
		{do: copyToken}:                   "copy prod",
		{do: copyKey}:                     "copy key of prod",
		{do: switchProxy}:                 "proxy prod true",
		{do: switchProxy, checked: true}:  "proxy prod false",
		{do: refresh}:                     "refresh prod",
		{do: signOut}:                     "sign out prod",
		{do: newProfile}:                  "page add",
		{do: controlPage}:                 "page ",
		{do: startAtLogin}:                "start true",
		{do: startAtLogin, checked: true}: "start false",
		{do: switchLock}:                  "lock true",
		{do: switchLock, checked: true}:   "lock false",
		{do: about}:                       "page about",
	} {
		if err := actions.act(t.Context(), e, p); did != want || !errors.Is(err, failed) {
			t.Errorf("%+v did %q, %v, want %q", e, did, err, want)
		}
	}
	gated := of("prod", client.SignInRequired)
	gated.Reason, gated.Gateway = new("gateway"), new("oauth2-proxy")
	if err := actions.act(context.Background(), entry{do: signIn}, gated); did != "browser for prod" || !errors.Is(err, failed) {
		t.Errorf("a sign-in at a gateway did %q, %v", did, err)
	}
	if err := actions.act(t.Context(), entry{do: quit}, client.Profile{}); did != "quit" || err != nil {
		t.Errorf("quit did %q, %v", did, err)
	}
	did = ""
	if err := actions.act(t.Context(), entry{do: openLangflow}, client.Profile{Name: "gone"}); did != "" || err == nil {
		t.Errorf("a profile that has gone: %q, %v", did, err)
	}
}
