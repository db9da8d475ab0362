package notify

import (
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/config"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/words"
)

func TestPolicy(t *testing.T) {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	is := func(s agent.State, reason string) agent.Snapshot {
		return agent.Snapshot{Profile: config.Profile{Name: "p", ServerURL: "https://flows.example.org"}, State: s, Reason: reason}
	}
	fresh, refused := is(agent.Fresh, ""), is(agent.SignInRequired, "session-ended")
	away := func(left time.Duration) agent.Snapshot {
		s := is(agent.Stale, "unreachable")
		s.FailingSince, s.RefreshExpires = start, start.Add(left)
		return s
	}
	loading := is(agent.Stale, "")
	loading.RefreshExpires = start.Add(time.Hour)
	ahead := away(25 * time.Hour)
	ahead.Offset = 2 * time.Hour
	silent := is(agent.Stale, "session-ended") // waits for a silent sign-in
	silent.RefreshExpires = start.Add(time.Hour)
	off := func(change func(*config.Notify)) config.Notify {
		c := all()
		change(&c)
		return c
	}
	noSignIn := off(func(c *config.Notify) { c.SignInRequired = false })
	noOffline := off(func(c *config.Notify) { c.Offline = false })
	noNormal := off(func(c *config.Notify) { c.BackToNormal = false })

	behind := is(agent.Retrying, "gateway")
	behind.FailingSince, behind.Gateway = start, vocabulary.CloudflareAccess
	longBehind := behind
	longBehind.State = agent.Stale
	const (
		gated = "Cloudflare Access in front of flows.example.org wants you to sign in. Your Langflow session is kept."
		kept  = "sign in (gateway) | " + gated + " [Sign in]"
	)

	cookiesEnded := is(agent.SignInRequired, "gateway")
	cookiesEnded.Gateway = vocabulary.CloudflareAccess
	commanded := behind
	commanded.HeaderCommand = config.NewArgv([]string{"cloudflared", "access", "token"})
	failing := is(agent.Stale, "command-failed")
	failing.FailingSince, failing.Detail = start, "the command oidc-token printed nothing"
	failing.Method, failing.TokenCommand = "external", config.NewArgv([]string{"oidc-token"})
	failingYet := failing
	failingYet.State = agent.Retrying
	const failed = "command failed | The token's command failed: oidc-token printed nothing. [Try now]"
	const revoked = "tokens revoked | " + words.ProxyExposed + " [Open]"

	type step struct {
		at     time.Duration // since start
		is     agent.Snapshot
		want   string        // what is told
		again  time.Duration // since start; 0 never
		wanted *config.Notify
	}
	exposed := fresh
	exposed.ProxyReason = vocabulary.PortOfAnotherUser
	for name, steps := range map[string][]step{
		"another user has the proxy's port": {{0, exposed, revoked, 0, nil}, {1, exposed, "", 0, nil}, {2, fresh, "", 0, nil}, {3, exposed, revoked, 0, nil}},
		"refused, once":                     {{0, fresh, "", 0, nil}, {1, refused, ended, 0, nil}, {time.Hour, refused, "", 0, nil}},
		"and signed in again":               {{0, refused, ended, 0, nil}, {time.Minute, fresh, normal, 0, nil}, {time.Hour, fresh, "", 0, nil}},
		"well all the time":                 {{0, loading, "", 0, nil}, {1, fresh, "", 0, nil}, {2, is(agent.Retrying, "unreachable"), "", 0, nil}, {3, fresh, "", 0, nil}},
		"away, end is near": {
			{0, fresh, "", 0, nil},
			{0, away(22*time.Hour + time.Minute), "offline | Can't reach the server; the session ends in 22 h. [Try now]", 0, nil},
			{time.Hour, away(22 * time.Hour), "", 0, nil}, {2 * time.Hour, fresh, normal, 0, nil},
		},
		"a gateway in the way": {
			{0, behind, "", time.Minute, nil}, {time.Minute, behind, kept, 0, nil},
			{time.Hour, longBehind, "", 0, nil}, {2 * time.Hour, fresh, normal, 0, nil},
		},
		"a network's own sign-in page":         {{0, behind, "", time.Minute, nil}, {30 * time.Second, fresh, "", 0, nil}},
		"refused, then behind a gateway":       {{0, refused, ended, 0, nil}, {time.Hour, longBehind, "", 0, nil}},
		"behind a gateway, where none is told": {{time.Hour, longBehind, "", 0, &noSignIn}},
		"the browser's cookies ended":          {{0, fresh, "", 0, nil}, {1, cookiesEnded, "sign in (gateway) | " + gated + " Sign in from the tray menu. [Sign in]", 0, nil}, {2, cookiesEnded, "", 0, nil}, {time.Hour, longBehind, "", 0, nil}, {2 * time.Hour, fresh, normal, 0, nil}},
		"behind a gateway, then its cookies":   {{time.Hour, longBehind, kept, 0, nil}, {time.Hour + 1, cookiesEnded, "", 0, nil}, {2 * time.Hour, fresh, normal, 0, nil}},
		"a gateway refuses a command's":        {{0, commanded, "", time.Minute, nil}, {time.Minute, commanded, "refused (gateway) | The gateway refused what `cloudflared access token` gave. [Open]", 0, nil}},
		"a command fails":                      {{0, failingYet, "", 0, nil}, {30 * time.Second, failing, "", time.Minute, nil}, {time.Minute, failing, failed, 0, nil}, {time.Hour, failing, "", 0, nil}, {2 * time.Hour, fresh, normal, 0, nil}},
		"away, end is far": {
			{0, away(30 * time.Hour), "", 6*time.Hour + time.Second, nil},
			{6*time.Hour + time.Second, away(30 * time.Hour), "offline | Can't reach the server; the session ends in 23 h. [Try now]", 0, nil},
		},
		"by the server's clock":      {{0, ahead, "offline | Can't reach the server; the session ends in 23 h. [Try now]", 0, nil}},
		"away, and over":             {{0, away(-time.Second), "", 0, nil}},
		"away, then refused":         {{0, away(time.Hour), "offline | Can't reach the server; the session ends in 1 h. [Try now]", 0, nil}, {1, refused, ended, 0, nil}, {2, away(time.Hour), "", 0, nil}, {3, fresh, normal, 0, nil}},
		"not while a sign-in waits":  {{0, fresh, "", 0, nil}, {1, silent, "", 0, nil}, {2, fresh, "", 0, nil}},
		"signing out is no news":     {{0, refused, ended, 0, nil}, {1, is(agent.SignedOut, ""), "over", 0, nil}, {2, fresh, "", 0, nil}},
		"at most every 10 minutes":   {{0, refused, ended, 0, nil}, {1, fresh, normal, 0, nil}, {2, refused, "", pause, nil}, {pause - 1, refused, "", pause, nil}, {pause, refused, ended, 0, nil}, {pause + 1, fresh, normal, 0, nil}},
		"over before it may be told": {{0, refused, ended, 0, nil}, {pause - 2, fresh, normal, 0, nil}, {pause, refused, ended, 0, nil}, {pause + 1, fresh, "over", 2*pause - 2, nil}, {pause + 2, fresh, "", 2*pause - 2, nil}},
		"not what is over by then":   {{0, refused, ended, 0, nil}, {1, fresh, normal, 0, nil}, {2, refused, "", pause, nil}, {3, fresh, "", 0, nil}, {time.Hour, fresh, "", 0, nil}},
		"kinds don't share a limit":  {{0, refused, ended, 0, nil}, {1, fresh, normal, 0, nil}, {2, away(time.Hour), "offline | Can't reach the server; the session ends in 59 min. [Try now]", 0, nil}},
		"a clock set back":           {{time.Hour, refused, ended, 0, nil}, {time.Hour + 1, fresh, normal, 0, nil}, {0, refused, ended, 0, nil}},
		"sign-in off":                {{0, refused, "", 0, &noSignIn}, {1, fresh, "", 0, nil}, {2, refused, ended, 0, nil}},
		"turned on when it is late":  {{0, refused, "", 0, &noSignIn}, {1, refused, "", 0, nil}},
		"offline off":                {{0, away(time.Hour), "", 0, &noOffline}, {1, fresh, "", 0, &noOffline}},
		"back to normal off":         {{0, refused, ended, 0, &noNormal}, {1, fresh, "over", 0, &noNormal}, {2, fresh, "", 0, nil}},
		"another reason":             {{0, is(agent.SignInRequired, "inactive-user"), "account deactivated | This account was deactivated by an administrator. [Open]", 0, nil}},
		"keychain locked is no news": {{0, is(agent.KeychainLocked, "locked"), "", 0, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := all()
			o := newPolicy(func() config.Notify { return wanted }, fromTray)
			for i, s := range steps {
				wanted = all()
				if s.wanted != nil {
					wanted = *s.wanted
				}
				o.take(agent.Event{Snapshot: s.is})
				tell, again := o.due(start.Add(s.at))
				var got string
				if len(tell) > 0 {
					got = said(tell[0])
				}
				if got != s.want || len(tell) > 1 || len(tell) == 1 && tell[0].Subject != "p" {
					t.Errorf("step %d tells %v, want %q", i, tell, s.want)
				}
				if want := start.Add(s.again); s.again == 0 && !again.IsZero() || s.again != 0 && !again.Equal(want) {
					t.Errorf("step %d is looked at again at %v, want %v", i, again, want)
				}
			}
		})
	}
}

func TestARemovedProfileIsForgotten(t *testing.T) {
	o := newPolicy(all, fromTray)
	refused := agent.Event{Snapshot: agent.Snapshot{Profile: config.Profile{Name: "p"}, State: agent.SignInRequired, Reason: "session-ended"}}
	o.take(refused)
	if tell, _ := o.due(time.Now()); len(tell) != 1 {
		t.Errorf("tells %v", tell)
	}
	o.take(agent.Event{Snapshot: agent.Snapshot{Profile: config.Profile{Name: "p"}}, Removed: true})
	o.take(refused)
	if tell, _ := o.due(time.Now()); len(tell) != 2 || !tell[0].Over || tell[1].Over {
		t.Errorf("of a new profile of that name it tells %v", tell)
	}
}
