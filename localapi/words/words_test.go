package words

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"langkeep/localapi/client"
)

var now = time.Date(2026, 3, 5, 14, 20, 0, 0, time.FixedZone("", 3600))

// profile makes one that is signed in as ana, changed by the functions given.
func profile(change ...func(*client.Profile)) client.Profile {
	p := client.Profile{
		Name: "prod", ServerURL: "https://flows.example.org/team/a", Username: new("ana"), Method: new(client.Password),
		State: client.Fresh, Saved: true,
		AccessExpiresAt:  new(now.Add(52*time.Minute + 30*time.Second).UTC()),
		RefreshExpiresAt: new(now.Add(6*24*time.Hour + 23*time.Hour).UTC()),
		NextAttemptAt:    new(now.Add(41 * time.Minute).UTC()),
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func state(s client.State) func(*client.Profile) { return func(p *client.Profile) { p.State = s } }

func because(code, detail string) func(*client.Profile) {
	return func(p *client.Profile) {
		p.Reason = &code
		if detail != "" {
			p.ReasonDetail = &detail
		}
	}
}

func named(gateway string) func(*client.Profile) {
	return func(p *client.Profile) { p.Gateway = &gateway }
}

// gatewayAsks gives a profile a command for its gateway.
func gatewayAsks(command string) func(*client.Profile) {
	return func(p *client.Profile) { p.HeaderCommand = strings.Fields(command) }
}

// external has a command print the profile's tokens.
func external(command string) func(*client.Profile) {
	return func(p *client.Profile) { p.Method, p.TokenCommand = new(client.External), strings.Fields(command) }
}

func noToken(p *client.Profile) { p.AccessExpiresAt = nil }

func next(d time.Duration) func(*client.Profile) {
	return func(p *client.Profile) { p.NextAttemptAt = new(now.Add(d)) }
}

// The life of a session that the server has ended, or that can't be read, is not told.
func TestNoLifeIsLeft(t *testing.T) {
	for _, s := range []client.State{client.SignInRequired, client.KeychainLocked, client.SignedOut} {
		p := profile(state(s))
		if token, session := TokenLeft(p, now), SessionLeft(p, now); token != None || session != None {
			t.Errorf("%s: the token has %s left, the session %s", s, token, session)
		}
	}
}

func TestLabel(t *testing.T) {
	for want, p := range map[string]client.Profile{
		"Signed in": profile(), "Signed in, server away": profile(state(client.Retrying)), "Offline": profile(state(client.Stale)),
		"Sign in": profile(state(client.SignInRequired)), "Keychain locked": profile(state(client.KeychainLocked)),
		"Signed out": profile(state(client.SignedOut)), "Not signed in yet": profile(state(client.SignedOut), func(p *client.Profile) { p.Method = nil }),
		"Signing in…": profile(func(p *client.Profile) { p.SigningIn = true }),
	} {
		if got := Label(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRemaining(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Hour:                       "0 s",
		999 * time.Millisecond:           "0 s",
		20 * time.Second:                 "20 s",
		59*time.Second + 999*1e6:         "59 s",
		time.Minute:                      "1 min",
		52*time.Minute + 59*time.Second:  "52 min",
		time.Hour:                        "1 h",
		5*time.Hour + 10*time.Minute:     "5 h 10 min",
		9*time.Hour + 59*time.Minute:     "9 h 59 min",
		22*time.Hour + 50*time.Minute:    "22 h",
		day:                              "1 d",
		6*day + 4*time.Hour:              "6 d 4 h",
		7 * day:                          "7 d",
		359*day + 23*time.Hour:           "359 d",
		time.Duration(1<<63 - 1):         "106751 d",
		10*day + 23*time.Hour + 1:        "10 d",
		23*time.Hour + 59*time.Minute:    "23 h",
		time.Hour + 59*time.Second:       "1 h",
		time.Hour + time.Minute + 1:      "1 h 1 min",
		day + 59*time.Minute:             "1 d",
		day + time.Hour + 59*time.Minute: "1 d 1 h",
	} {
		if got := Remaining(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestIn(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		30*day - time.Second:              "in 30 d",
		29*day + 13*time.Hour:             "in 30 d",
		29*day + 11*time.Hour:             "in 29 d",
		7*day - time.Minute:               "in 7 d",
		day - time.Second:                 "in 1 d",
		8*time.Hour - 2*time.Second:       "in 8 h",
		5*time.Hour + 10*time.Minute - 1:  "in 5 h 10 min",
		20*time.Second + time.Millisecond: "in 20 s",
		-time.Second:                      "in 0 s",
	} {
		if got := In(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestStates(t *testing.T) {
	for name, test := range map[string]struct {
		p                        client.Profile
		state, short, next, long string
	}{
		"fresh": {profile(), "fresh", "fresh, 52 min", "in 41 min",
			"Signed in as ana. Refreshes by itself; lasts 6 d 23 h without the server."},
		"fresh, the server's clock ahead": {profile(func(p *client.Profile) { p.ClockOffsetSeconds = new(int64(600)) }),
			"fresh", "fresh, 42 min", "in 41 min", "Signed in as ana. Refreshes by itself; lasts 6 d 22 h without the server."},
		"fresh, nobody's name, no schedule": {profile(func(p *client.Profile) { p.Username, p.NextAttemptAt = nil, nil }),
			"fresh", "fresh, 52 min", "–", "Signed in. Refreshes by itself; lasts 6 d 23 h without the server."},
		"fresh, an access token alone": {profile(func(p *client.Profile) { p.RefreshExpiresAt = nil }),
			"fresh", "fresh, 52 min", "in 41 min", "Signed in as ana. Refreshes by itself; lasts 52 min without the server."},
		"fresh, not saved": {profile(because("locked", ""), func(p *client.Profile) { p.Saved = false }),
			"fresh", "fresh, 52 min", "in 41 min",
			"Signed in as ana. Refreshes by itself; lasts 6 d 23 h without the server. Not saved yet (keychain locked): if the agent ends now, you have to sign in again."},
		"fresh, too long to save": {profile(because("too-big", ""), func(p *client.Profile) { p.Saved = false }),
			"fresh", "fresh, 52 min", "in 41 min",
			"Signed in as ana. Refreshes by itself; lasts 6 d 23 h without the server. Not saved yet (too long for the store): if the agent ends now, you have to sign in again."},
		"api key": {profile(noToken, func(p *client.Profile) { p.Method = new(client.APIKey) }),
			"fresh", "fresh", "in 41 min", "Signed in as ana with an API key."},
		"retrying": {profile(state(client.Retrying), because("timed-out", ""), next(20*time.Second)),
			"server away", "fresh, 52 min, server away", "in 20 s",
			"Can't reach flows.example.org (timed out). Still valid for 52 min; trying again in 20 s."},
		"retrying, right now": {profile(state(client.Retrying), because("server-error", "HTTP 502"), next(-time.Second)),
			"server away", "fresh, 52 min, server away", "now",
			"flows.example.org has a problem of its own (HTTP 502). Still valid for 52 min; trying again now."},
		"retrying, api key": {profile(state(client.Retrying), noToken, because("unreachable", "connection refused"), func(p *client.Profile) { p.NextAttemptAt = nil }),
			"server away", "server away", "–", "Can't reach flows.example.org (connection refused). Still valid; trying again by itself."},
		"stale": {profile(state(client.Stale), noToken, because("unreachable", ""), func(p *client.Profile) { p.FailingSince = new(now.Add(-15 * time.Minute).UTC()) }, next(90*time.Second)),
			"offline", "offline", "in 1 min", "Can't reach flows.example.org since 14:05. Nothing is lost; it comes back by itself."},
		"stale since yesterday": {profile(state(client.Stale), noToken, because("timed-out", ""), func(p *client.Profile) { p.FailingSince = new(now.Add(-25 * time.Hour).UTC()) }),
			"offline", "offline", "in 41 min", "Can't reach flows.example.org since 4 Mar 2026 13:20. Nothing is lost; it comes back by itself."},
		"stale for another reason": {profile(state(client.Stale), noToken, because("not-langflow", ""), func(p *client.Profile) { p.FailingSince = new(now) }),
			"offline", "offline", "in 41 min", "Something answers there, but it isn't Langflow. Nothing is lost; it comes back by itself."},
		"retrying, behind a gateway": {profile(state(client.Retrying), because("gateway", ""), named("cloudflare-access"), next(20*time.Second)),
			"sign in (gateway)", "fresh, 52 min, gateway", "in 20 s",
			"Cloudflare Access in front of flows.example.org wants you to sign in. Your Langflow session is kept. Still valid for 52 min; trying again in 20 s."},
		"stale, behind a gateway": {profile(state(client.Stale), noToken, because("gateway", ""), named("cloudflare-access"), next(20*time.Second)),
			"sign in (gateway)", "sign in (gateway)", "langkeep login prod --browser",
			"Cloudflare Access in front of flows.example.org wants you to sign in. Your Langflow session is kept."},
		"the browser's cookies ended": {profile(state(client.SignInRequired), noToken, because("gateway", ""), named("cloudflare-access")),
			"sign in (gateway)", "sign in (gateway)", "langkeep login prod --browser",
			"Cloudflare Access in front of flows.example.org wants you to sign in. Your Langflow session is kept."},
		"a gateway refused what a command gave": {profile(state(client.Retrying), because("gateway", ""), named("cloudflare-access"), gatewayAsks("cloudflared access token -app=https://x"), next(40*time.Second)),
			"refused (gateway)", "fresh, 52 min, gateway", "in 40 s",
			"The gateway refused what `cloudflared access token` gave. Trying again in 40 s."},
		"and the token has ended": {profile(state(client.Stale), noToken, because("gateway", ""), named("iap"), gatewayAsks("/opt/bin/mint secret123"), next(40*time.Second)),
			"refused (gateway)", "refused (gateway)", "in 40 s",
			"The gateway refused what `mint` gave. Trying again in 40 s."},
		"a gateway refused kept headers": {profile(state(client.Stale), noToken, because("gateway", ""), named("basic"), func(p *client.Profile) { p.GatewayHeaders = []string{"Authorization"} }, next(40*time.Second)),
			"sign in (gateway)", "sign in (gateway)", "in 40 s",
			"A web server in front of flows.example.org refused the headers that Langkeep keeps for it. Your Langflow session is kept."},
		"a gateway refused a certificate": {profile(state(client.Stale), noToken, because("gateway", "expired certificate"), named("client-certificate"), func(p *client.Profile) { p.ClientCert = new("/me.pem") }, next(40*time.Second)),
			"sign in (gateway)", "sign in (gateway)", "in 40 s",
			"A gateway in front of flows.example.org refused the client certificate. Your Langflow session is kept."},
		"a gateway's command fails": {profile(state(client.Retrying), because("command-failed", "the command cloudflared ended with exit code 1; it says: log in first"), gatewayAsks("cloudflared access token"), next(40*time.Second)),
			"command failed", "fresh, 52 min, command failed", "in 40 s",
			"The gateway's command failed: cloudflared ended with exit code 1; it says: log in first. Trying again in 40 s."},
		"a token's command fails": {profile(state(client.Stale), noToken, because("command-failed", "the command oidc-token printed nothing"), external("oidc-token flows"), next(40*time.Second)),
			"command failed", "command failed", "in 40 s",
			"The token's command failed: oidc-token printed nothing. Trying again in 40 s."},
		"the gateway's command of two fails": {profile(state(client.Stale), noToken, because("command-failed", "the command cloudflared printed nothing"), external("oidc-token flows"), gatewayAsks("cloudflared access token"), func(p *client.Profile) { p.NextAttemptAt = nil }),
			"command failed", "command failed", "–",
			"The gateway's command failed: cloudflared printed nothing."},
		"no command for a token": {profile(state(client.Stale), noToken, because("command-failed", "the profile names no token_command"), external(""), next(40*time.Second)),
			"command failed", "command failed", "in 40 s",
			"The profile names no token_command. Trying again in 40 s."},
		"signing in": {profile(state(client.SignInRequired), noToken, because("gateway", ""), func(p *client.Profile) { p.SigningIn = true }),
			"signing in…", "signing in…", "the browser",
			"Finish signing in in the browser window."},
		"external": {profile(external("gcloud auth print-identity-token --audiences=x")),
			"fresh", "fresh, 52 min", "in 41 min",
			"Signed in as ana with the tokens of `gcloud auth print-identity-token`. Refreshes by itself; lasts 6 d 23 h without the server."},
		"by the gateway": {profile(noToken, external("")),
			"fresh", "fresh", "in 41 min",
			"Signed in as ana by the gateway."},
		"external, without keys": {profile(external("oidc-token flows"), func(p *client.Profile) { p.KeyReason = new("keys-forbidden") }),
			"fresh", "fresh, 52 min", "in 41 min",
			"Signed in as ana with the tokens of `oidc-token flows`. Refreshes by itself; lasts 6 d 23 h without the server. It makes no API keys for accounts of an identity provider. The proxy sends the token instead, which runs workflows (/api/v2/workflows)."},
		"external, refused": {profile(state(client.SignInRequired), external("oidc-token flows"), because("refused", "Invalid token")),
			"sign in", "sign in", "langkeep login prod",
			"The server does not accept the token that the profile's command prints. Sign in again."},
		"sign in": {profile(state(client.SignInRequired), because("session-ended", "Invalid refresh token")),
			"sign in", "sign in", "langkeep login prod", "The server ended this session (its secret key may have changed). Sign in again."},
		"keychain locked": {profile(state(client.KeychainLocked), noToken, because("locked", ""), func(p *client.Profile) { p.NextAttemptAt = nil }),
			"keychain locked", "keychain locked", "–", "The keychain is locked, so the saved session can't be read. Unlock it."},
		"keychain missing": {profile(state(client.KeychainLocked), noToken, because("missing", ""), next(20*time.Second)),
			"keychain missing", "keychain missing", "in 20 s", "There is no keychain here, so the saved session can't be read. Start one, or use --store file."},
		"signed out": {profile(state(client.SignedOut), noToken), "signed out", "signed out", "langkeep login prod", "Signed out."},
		"new": {profile(state(client.SignedOut), noToken, func(p *client.Profile) { p.Method = nil }), "not signed in yet", "not signed in yet", "langkeep login prod",
			"Not signed in yet."},
		"a newer agent's": {profile(state("half\x1b[31m-asleep")), "half[31m-asleep", "half[31m-asleep", "in 41 min", "half[31m-asleep."},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct{ what, got, want string }{
				{"State", State(test.p), test.state},
				{"Short", Short(test.p, now), test.short},
				{"Next", Next(test.p, now), test.next},
				{"Long", Long(test.p, now), test.long},
			} {
				if c.got != c.want {
					t.Errorf("%s is\n%q, want\n%q", c.what, c.got, c.want)
				}
			}
		})
	}
}

func TestReason(t *testing.T) {
	for code, want := range map[string]string{
		"unreachable":          "Can't reach flows.example.org (issuer X).",
		"timed-out":            "Can't reach flows.example.org (timed out).",
		"certificate":          "The certificate isn't trusted (issuer X).",
		"forward-proxy":        "The forward proxy is in the way (issuer X).",
		"gateway":              "A gateway in front of flows.example.org wants you to sign in. Your Langflow session is kept.",
		"not-langflow":         "Something answers there, but it isn't Langflow.",
		"server-error":         "flows.example.org has a problem of its own (issuer X).",
		"rate-limited":         "Too many sign-ins from here.",
		"moved":                "The server moved (issuer X).",
		"plain-http":           "http:// sends your password unprotected. Use https://, or allow it for this server.",
		"refused":              "Something in front of Langflow refused (issuer X).",
		"session-ended":        "The server ended this session (its secret key may have changed).",
		"wrong-password":       "That user name and password don't match.",
		"inactive-user":        "This account was deactivated by an administrator.",
		"waiting-for-approval": "This account waits for an administrator's approval.",
		"auto-login-off":       "This server wants a user name and password.",
		"token-refused":        "The server does not accept this token.",
		"key-refused":          "The server does not accept this API key.",
		"bad-request":          "The server did not understand (issuer X).",
		"locked":               "The keychain is locked, so the saved session can't be read. Unlock it.",
		"missing":              "There is no keychain here, so the saved session can't be read. Start one, or use --store file.",
		"silent":               "The keychain doesn't answer, so the saved session can't be read. Look for its prompt.",
		"failing":              "The keychain fails, so the saved session can't be read (issuer X).",
		"too-big":              "The secret has more than 64 KiB, and the store holds no longer one.",
		"no-browser":           "Signing in here needs Chrome, Edge, Brave or Chromium. Or give a header, a command or a refresh token.",
		"browser-forbidden":    "A policy of this computer forbids asking the browser for its cookies. Give a header, a command or a refresh token.",
		"browser-confined":     "The browser is a snap or a Flatpak, which can't open Langkeep's folder. Name another one in config.toml, or give a header, a command or a refresh token.",
		"browser-closed":       "The browser window was closed before you were signed in.",
		"browser-silent":       "The browser does not answer. Close it and try again, or name another one in config.toml.",
		"browser-failed":       "The browser can't be started (issuer X).",
		"no-display":           "There is no desktop here that a browser could open on. Give a header, a command or a refresh token.",
		"command-failed":       "Issuer X.",
		"a-newer-one":          "a-newer-one: issuer X.",
	} {
		if got := Reason(profile(because(code, "issuer\x1b X"))); got != want {
			t.Errorf("%s is %q, want %q", code, got, want)
		}
		if got := Reason(profile(because(code, ""))); strings.Contains(got, "(") && strings.Contains(got, "()") || !strings.HasSuffix(got, ".") && !strings.HasSuffix(got, "?") {
			t.Errorf("%s without a detail is %q", code, got)
		}
	}
	for code, want := range map[string]string{
		"certificate":   "The certificate isn't trusted (it expired: long ago). Have it renewed.",
		"forward-proxy": "The forward proxy is in the way (it expired: long ago). Have it renewed.",
	} {
		if got := Reason(profile(because(code, "it expired: long ago: have it renewed"))); got != want {
			t.Errorf("%s is %q, want %q", code, got, want)
		}
	}
	moved := "The server moved to https://new.example.org. Use that address?"
	if got := Reason(profile(because("moved", "https://new.example.org"))); got != moved {
		t.Errorf("moved is %q, want %q", got, moved)
	}
}

func TestProblem(t *testing.T) {
	for want, p := range map[string]*client.Problem{
		"ask again":       {Detail: "ask again"},
		"not-found (404)": {Type: client.ProblemBase + "not-found", Status: 404},
		"away; the token held lives 12 min; next try in 42 s": {Detail: "away", HeldValid: new(int64(720)), RetryAfter: new(int64(42))},
		"away":     {Detail: "away", HeldValid: new(int64(0)), RetryAfter: new(int64(0))},
		"a[2J b c": {Detail: "a\x1b[2J b\nc\u202e"},
	} {
		if got := Problem(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Where a gateway refuses, the browser is opened only for what a person can sign in to
// there, and where nothing else is set up.
func TestSignInAtAGateway(t *testing.T) {
	header := func(p *client.Profile) { p.GatewayHeaders = []string{"X-Pass"} }
	behind := because("gateway", "")
	for name, test := range map[string]struct {
		p              client.Profile
		browser, helps bool
	}{
		"fresh":                     {profile(), false, false},
		"signed out":                {profile(state(client.SignedOut)), false, true},
		"ended":                     {profile(state(client.SignInRequired), because("session-ended", "")), false, true},
		"away":                      {profile(state(client.Stale), because("timed-out", "")), false, false},
		"retrying at a gateway":     {profile(state(client.Retrying), behind, named("other")), true, true},
		"stale at a gateway":        {profile(state(client.Stale), behind, named("oauth2-proxy")), true, true},
		"the browser's cookies":     {profile(state(client.SignInRequired), behind, named("basic")), true, true},
		"basic authentication":      {profile(state(client.Stale), behind, named("basic")), false, true},
		"a client certificate":      {profile(state(client.Stale), behind, named("client-certificate")), false, true},
		"with a header":             {profile(state(client.Stale), behind, named("cloudflare-access"), header), false, true},
		"with a command":            {profile(state(client.Stale), behind, named("cloudflare-access"), gatewayAsks("mint")), false, false},
		"a command that has failed": {profile(state(client.Stale), because("command-failed", ""), gatewayAsks("mint")), false, false},
	} {
		if browser, helps := WantsBrowser(test.p), SignInHelps(test.p); browser != test.browser || helps != test.helps {
			t.Errorf("%s: browser %v, helps %v", name, browser, helps)
		}
	}
}

func TestRefused(t *testing.T) {
	for code, want := range map[string]string{
		"wrong-password": "That user name and password don't match.",
		"session-ended":  "The server does not accept this token.",
		"unreachable":    "",
		"":               "",
	} {
		if got := Refused(&client.Problem{Reason: code}); got != want {
			t.Errorf("%q is %q, want %q", code, got, want)
		}
	}
}

func TestColourIsNeverAlone(t *testing.T) {
	all := []client.Profile{profile(), profile(state(client.Stale)), profile(state(client.SignInRequired)), profile(state(client.SignedOut))}
	var plain, coloured strings.Builder
	_ = Table(&plain, all, now, 80, false)
	_ = Table(&coloured, all, now, 80, true)
	strip := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[0m", "")
	if got := strip.Replace(coloured.String()); got != plain.String() || coloured.String() == plain.String() {
		t.Errorf("without its colours it is\n%s, want\n%s", got, plain.String())
	}
}

func TestChange(t *testing.T) {
	later := func(p *client.Profile) { p.LastRefreshAt = new(now.Add(time.Minute)) }
	starting := func(p *client.Profile) { p.State, p.Reason = client.Stale, nil }
	for name, test := range map[string]struct {
		before, after client.Profile
		want          string
	}{
		"nothing":           {profile(), profile(), ""},
		"a refresh":         {profile(), profile(later), "Refreshed."},
		"after the start":   {profile(starting), profile(), "Refreshed."},
		"out at the start":  {profile(starting), profile(state(client.SignedOut)), ""},
		"a sign-in":         {profile(state(client.SignedOut)), profile(), "Signed in as ana."},
		"a sign-in again":   {profile(state(client.SignInRequired)), profile(), "Signed in as ana."},
		"back":              {profile(state(client.Stale), because("timed-out", "")), profile(), "Back to normal."},
		"back from away":    {profile(state(client.Retrying)), profile(), "Back to normal."},
		"signed out":        {profile(), profile(state(client.SignedOut)), "Signed out."},
		"away":              {profile(), profile(state(client.Retrying), because("timed-out", "")), "Can't reach flows.example.org (timed out)."},
		"ended":             {profile(), profile(state(client.SignInRequired), because("session-ended", "")), "The server ended this session (its secret key may have changed)."},
		"locked":            {profile(starting), profile(state(client.KeychainLocked), because("locked", "")), "The keychain is locked, so the saved session can't be read. Unlock it."},
		"still away":        {profile(state(client.Stale), because("timed-out", "")), profile(state(client.Stale), because("unreachable", "")), ""},
		"stale for nothing": {profile(), profile(starting), ""},
	} {
		if got := Change(test.before, test.after); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestTokenShare(t *testing.T) {
	for name, test := range map[string]struct {
		ago, left time.Duration
		offset    *int64
		want      float64
	}{
		"new":            {0, time.Hour, nil, 1},
		"half":           {30 * time.Minute, 30 * time.Minute, nil, .5},
		"ended":          {time.Hour, -time.Minute, nil, 0},
		"another clock":  {30 * time.Minute, 90 * time.Minute, new(int64(3600)), .5},
		"clock set back": {-time.Minute, time.Hour, nil, 1},
	} {
		p := profile(func(p *client.Profile) {
			p.LastRefreshAt, p.AccessExpiresAt, p.ClockOffsetSeconds = new(now.Add(-test.ago)), new(now.Add(test.left)), test.offset
		})
		if got, ok := TokenShare(p, now); !ok || got != test.want {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, test.want)
		}
	}
	if _, ok := TokenShare(profile(noToken), now); ok {
		t.Error("a share of no token")
	}
}

func TestFailure(t *testing.T) {
	for want, p := range map[string]*client.Problem{
		"": {},
		"oauth2-proxy in front of flows.test wants you to sign in.": {Reason: "gateway", Gateway: "oauth2-proxy"},
		"Can't reach flows.test.":                                   {Reason: "unreachable", RetryAfter: new(int64(1))},
		"Too many sign-ins from here. Try again in 42 s.":           {Reason: "rate-limited", RetryAfter: new(int64(42))},
		"The server moved to https://new.test. Use that address?":   {Reason: "moved"},
	} {
		detail := ""
		if p.Reason == "moved" {
			detail = "https://new.test"
		}
		if got := Failure(p, detail, "flows.test"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{"": "", "no name": "No name.", "über.": "Über.", "a\x1b[2Jb": "A[2Jb."} {
		if got := Sentence(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestKeysInWords(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	until := now.Add(2 * time.Hour)
	for want, p := range map[string]client.Profile{
		"Signed out.": {State: client.SignedOut, Method: new(client.Password)},
		"Signed out. An API key still works there until 14:00; it is deleted at the next sign-in.":            {State: client.SignedOut, Method: new(client.Password), KeysLeft: 1, KeysLeftUntil: &until},
		"Signed out. 3 API keys still work there until 14:00; they are deleted at the next sign-in.":          {State: client.SignedOut, Method: new(client.Password), KeysLeft: 3, KeysLeftUntil: &until},
		"Signed in. Refreshes by itself. It makes no API keys for this account.":                              {State: client.Fresh, Saved: true, KeyReason: new("keys-forbidden")},
		"Signed in. Refreshes by itself. It gives API keys no end; Langkeep deletes its own after their use.": {State: client.Fresh, Saved: true, KeyReason: new("expiry-ignored")},
	} {
		if got := Long(p, now); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

// Safe makes of any text of a server's one line of visible characters, which moves
// neither the cursor nor the direction of writing.
func FuzzSafe(f *testing.F) {
	for _, s := range []string{
		"1.13.0", "\x1b[2J\x1b]0;pwned\x07", "\u009b31mred", "a\r\nlangkeep: all is well", "\u202egnp.exe", "\u2066a\u2069", "\u200b", "\xff\xfe", "\u2028x\u2029", "\t\v\f\x00", "\U000e0041",
	} {
		f.Add(s)
	}
	now := time.Unix(1760000000, 0)
	f.Fuzz(func(t *testing.T, said string) {
		p := client.Profile{
			Name: "prod", ServerURL: "https://x.test/" + said, State: client.Stale, Username: &said, Reason: &said, ReasonDetail: &said, ServerVersion: &said,
			ProxyReason: &said, KeyReason: &said,
		}
		lines := []string{Safe(said), Long(p, now), Short(p, now), State(p), Next(p, now), Host(p), Reason(p), Sentence(said), Proxy(p), Change(client.Profile{State: client.Fresh}, p)}
		p.State = client.State(said)
		lines = append(lines, Long(p, now), State(p))
		problem := client.NewProblem(client.TypeServerUnreachable, said)
		problem.Reason = said
		lines = append(lines, Problem(problem), Failure(problem, said, said), Refused(problem))
		for _, line := range lines {
			if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' }); i >= 0 || !utf8.ValidString(line) {
				t.Errorf("%q is said as %q", said, line)
			}
		}
		var table strings.Builder
		p.State = client.Stale
		if err := Table(&table, []client.Profile{p, p}, now, 80, false); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(table.String(), "\n"); n != 3 {
			t.Errorf("a table of two has %d lines: %q", n, table.String())
		}
		if i := strings.IndexFunc(table.String(), func(r rune) bool { return r != '\n' && (!unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ') }); i >= 0 {
			t.Errorf("%q is in a table as %q", said, table.String())
		}
	})
}
