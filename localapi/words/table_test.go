package words

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"langkeep/localapi/client"
)

func TestTable(t *testing.T) {
	profiles := []client.Profile{
		profile(func(p *client.Profile) { p.ServerURL = "https://flows.example.org" }),
		profile(func(p *client.Profile) { p.Name, p.ServerURL = "staging", "https://stage.example.org" },
			state(client.SignInRequired), noToken, func(p *client.Profile) { p.RefreshExpiresAt = nil }),
		profile(func(p *client.Profile) { p.Name, p.ServerURL = "laptop", "http://127.0.0.1:7860" },
			state(client.Retrying), next(20*time.Second)),
	}
	for name, test := range map[string]struct {
		profiles []client.Profile
		width    int
		want     string
	}{
		"as it is read": {profiles[:1], 80, `
PROFILE  SERVER                     STATE  TOKEN   SESSION   NEXT
prod     https://flows.example.org  fresh  52 min  6 d 23 h  in 41 min
`},
		"short of room": {profiles, 82, `
PROFILE  SERVER                     STATE        SESSION   NEXT
prod     https://flows.example.org  fresh        6 d 23 h  in 41 min
staging  https://stage.example.org  sign in      –         langkeep login staging
laptop   http://127.0.0.1:7860      server away  6 d 23 h  in 20 s
`},
		"shorter of room": {profiles, 60, `
PROFILE  SERVER                     STATE        SESSION
prod     https://flows.example.org  fresh        6 d 23 h
staging  https://stage.example.org  sign in      –
laptop   http://127.0.0.1:7860      server away  6 d 23 h
`},
		"the ends of servers go": {profiles, 55, `
PROFILE  SERVER                   STATE        SESSION
prod     https://flows.example.…  fresh        6 d 23 h
staging  https://stage.example.…  sign in      –
laptop   http://127.0.0.1:7860    server away  6 d 23 h
`},
		"then their schemes": {profiles, 46, `
PROFILE  SERVER          STATE        SESSION
prod     flows.example…  fresh        6 d 23 h
staging  stage.example…  sign in      –
laptop   127.0.0.1:7860  server away  6 d 23 h
`},
		"then names": {[]client.Profile{
			profile(func(p *client.Profile) { p.Name, p.ServerURL = "laboratory-upstairs", "http://127.0.0.1:39109" }, state(client.SignedOut), noToken),
			profiles[0],
		}, 50, `
PROFILE         SERVER        STATE       SESSION
laborat…stairs  127.0.0.1:3…  signed out  –
prod            flows.examp…  fresh       6 d 23 h
`},
		"for programs": {append(profiles[:len(profiles):len(profiles)], profile(func(p *client.Profile) {
			p.ServerURL = "https://flows.example.org/a/root/path/that/is/as/long/as/any/that/was/seen/so/far"
		})), 0, `
PROFILE  SERVER                                                                             STATE        TOKEN   SESSION   NEXT
prod     https://flows.example.org                                                          fresh        52 min  6 d 23 h  in 41 min
staging  https://stage.example.org                                                          sign in      –       –         langkeep login staging
laptop   http://127.0.0.1:7860                                                              server away  52 min  6 d 23 h  in 20 s
prod     https://flows.example.org/a/root/path/that/is/as/long/as/any/that/was/seen/so/far  fresh        52 min  6 d 23 h  in 41 min
`},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Table(&b, test.profiles, now, test.width, false); err != nil {
				t.Fatal(err)
			}
			if got := "\n" + b.String(); got != test.want {
				t.Errorf("got%swant%s", got, test.want)
			}
		})
	}
}

func TestTableFits(t *testing.T) {
	long := profile(func(p *client.Profile) {
		p.Name = strings.Repeat("n", 63)
		p.ServerURL = "https://" + strings.Repeat("s", 200) + "\x1b]0;title\a.example.org"
	})
	all := []client.Profile{long}
	for _, s := range []client.State{client.Fresh, client.Retrying, client.Stale, client.SignInRequired, client.KeychainLocked, client.SignedOut} {
		p := long
		p.State = s
		p.Reason = new("missing")
		p.AccessExpiresAt, p.NextAttemptAt = new(now.Add(9*time.Hour+59*time.Minute)), new(now.Add(9*time.Hour+59*time.Minute))
		p.RefreshExpiresAt = p.AccessExpiresAt
		all = append(all, p)
	}
	var b strings.Builder
	if err := Table(&b, all, now, 80, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\a") {
		t.Errorf("not safe for a terminal: %q", b.String())
	}
}
