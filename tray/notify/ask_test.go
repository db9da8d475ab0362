package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/guard"
)

// A profile's messages must not be taken for it.
func TestAskingIsNoProfile(t *testing.T) {
	if vocabulary.ValidName(Asking) == nil {
		t.Errorf("a profile can be named %q", Asking)
	}
}

// One question has the buttons for it; many are one message with a list.
func TestAsked(t *testing.T) {
	curl := asks.Question{ID: "1", Wish: asks.Wish{Program: asks.Program{Exe: "/usr/bin/curl", Session: "x", Terminal: true}, Profile: "prod", Want: asks.Token}}
	script := asks.Question{ID: "2", Wish: asks.Wish{Program: asks.Program{Exe: "/usr/bin/python3", Script: "/home/ana/job.py", Session: "x"}, Profile: "prod", Want: asks.Lease}}
	proposed, unknown := curl, asks.Question{ID: "4", Wish: asks.Wish{Profile: "prod", Want: asks.Key}}
	proposed.Proposed = asks.AlwaysAllow
	var many []asks.Question
	for range 8 {
		many = append(many, curl)
	}
	for name, c := range map[string]struct {
		all  []asks.Question
		want string
	}{
		"none":              {nil, "over"},
		"one":               {[]asks.Question{curl}, "curl asks | curl, in a terminal, wants an access token for prod. [Allow once] [Allow in this terminal] [Always] [Deny]"},
		"a script":          {[]asks.Question{script}, "job.py asks | job.py (python3) wants to use the account while it runs for prod. [Allow once] [Allow in this session] [Always] [Deny]"},
		"a command's":       {[]asks.Question{proposed}, `curl asks | curl, in a terminal, wants an access token for prod. A command says "always": confirm it. [Confirm] [Deny]`},
		"one without names": {[]asks.Question{unknown}, "A program that can't be told asks | A program that can't be told wants an API key for prod. [Allow once] [Deny]"},
		"two":               {[]asks.Question{curl, unknown}, "2 programs ask | curl, in a terminal, wants an access token for prod. A program that can't be told wants an API key for prod. [Allow all once] [Deny all]"},
		"many":              {many, "8 programs ask | " + strings.Repeat("curl, in a terminal, wants an access token for prod. ", 5) + "And 3 more. [Allow all once] [Deny all]"},
	} {
		if got := said(asked(c.all)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestWeakened(t *testing.T) {
	m := Weakened([]asks.Weakened{{Was: asks.ModeNew, Is: asks.ModeNever}, {Profile: "prod", Was: asks.ModeAlways, Is: asks.ModeNew}})
	const want = "Programs are asked about less | For all profiles: never, was new. For prod: new, was always. " +
		"If you have not changed the settings, a program has: langkeep audit says when. [Open]"
	if got := said(m); got != want || m.Subject != Weakening || vocabulary.ValidName(Weakening) == nil {
		t.Error(got)
	}
}

// The code is where it can be read at a glance, and for the page alone.
func TestCode(t *testing.T) {
	m := Code(guard.ShownCode{Code: secret.New("123456"), Program: asks.Program{Exe: "/usr/lib/firefox/firefox"}})
	const want = "Code for the control page: 123 456 | Type it into the control page in firefox, and nowhere else: it lets that page answer programs and add apps for you. " +
		"If you have not asked for it, a program has: let it be."
	if got := said(m); got != want || !m.Urgent || !m.Passing || m.Subject != Confirming || vocabulary.ValidName(Confirming) == nil {
		t.Errorf("%+v", m)
	}
	if got := said(Code(guard.ShownCode{Code: secret.New("123456")})); !strings.Contains(got, "Type it into the control page that you have open, and nowhere else") {
		t.Error(got)
	}
	if err := plainly(nil)(m); err == nil {
		t.Error("a code is among a program's arguments")
	}
}

// An app that a page has added is told of, with its rights and its end.
func TestAdded(t *testing.T) {
	now := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	m := Added(clients.Client{Name: "nightly", Scopes: []string{"run", "token"}, Profiles: []string{"prod", "lab"}, Expires: now.Add(30 * 24 * time.Hour)}, now)
	const want = "App added: nightly | It may run flows with inputs and get access tokens, of prod, lab, until 29 Dec 2026 03:00. " +
		"If you have not added it on the control page, a program has: revoke it under Apps. [Open]"
	if got := said(m); got != want || !m.Urgent || m.Subject != Adding || vocabulary.ValidName(Adding) == nil {
		t.Error(got)
	}
}

// A button answers the questions that its message has shown, and no later one.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		desk := asks.New(asks.Config{Clock: clock.System(), Log: log, Alive: func(string) bool { return true }})
		ctx, stop := context.WithCancel(t.Context())
		var shown Message
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Ask(ctx, desk, func(m Message) error { shown = m; return nil }, func() bool { return false }, log)
		}()
		synctest.Wait()
		asking := func(program string) func() error {
			got := make(chan error, 1)
			go func() {
				got <- desk.Ask(t.Context(), asks.Request{Mode: asks.ModeNew, Wish: asks.Wish{Program: asks.Program{Exe: program, Session: "x"}, Profile: "prod", Want: asks.Token}})
			}()
			synctest.Wait()
			return func() error { return <-got }
		}
		press := func(label string) {
			t.Helper()
			for _, b := range shown.Buttons {
				if b.Label == label {
					if err := Answer(desk, b.Do); err != nil {
						t.Error(err)
					}
					synctest.Wait()
					return
				}
			}
			t.Fatalf("%+v has no button %s", shown, label)
		}
		one := asking("/usr/bin/one")
		old := shown
		two := asking("/usr/bin/two")
		shown = old // what the person sees
		press("Allow once")
		if err := one(); err != nil {
			t.Error(err)
		}
		if left := desk.Open(); len(left) != 1 || left[0].Program.Exe != "/usr/bin/two" {
			t.Errorf("left is %v", left)
		}
		press("Always")
		if err := two(); err != nil || !shown.Over {
			t.Error(err, shown)
		}
		if err := asking("/usr/bin/two")(); err != nil {
			t.Error("asked again:", err)
		}
		three, four := asking("/usr/bin/three"), asking("/usr/bin/four")
		press("Deny all")
		for _, got := range []func() error{three, four} {
			if err := got(); !errors.Is(err, asks.ErrDenied) {
				t.Error(err)
			}
		}
		if err := Answer(desk, Open.Do); err != nil {
			t.Error(err)
		}
		stop()
		<-ended
		if err := asking("/usr/bin/five")(); !errors.Is(err, asks.ErrNobody) {
			t.Error("it attends after its end:", err)
		}
	})
}
