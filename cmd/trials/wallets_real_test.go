//go:build real && linux

package trials

import (
	"encoding/json"
	"fmt"
	"html"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// wallets are the Secret Services, as the columns of the table in docs/keychains.md.
var wallets = []string{"GNOME Keyring", "KWallet", "KeePassXC"}

// walletRows are the table's rows, which the services' tests fill side by side.
type walletRows struct {
	mu    sync.Mutex                   // protects the following
	cells map[string]map[string]string // by row and service
}

func (r *walletRows) note(row, wallet, cell string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cells[row] == nil {
		r.cells[row] = map[string]string{}
	}
	r.cells[row][wallet] = cell
}

// walletSteps are the rows' names, in the table's order.
var walletSteps = []string{
	"the first sign-in",
	"the agent starts anew",
	"it is locked while the agent runs, and the question of `refresh` is closed",
	"`refresh` again, and the question gets its answer",
	"it is locked when the agent starts",
	"`refresh`, and the question is closed",
	"the same, and the question gets its answer",
	"it quits while the agent runs",
	"it is there again, and `refresh` has it unlocked",
	"it is killed while the agent runs",
	"it is there again after that, and `refresh` has it unlocked",
	"it is killed a moment after a sign-in, comes back, and the agent starts anew",
	"the same with the agent, as when the power fails",
	"`logout`",
	"`remove --all`",
}

// TestWallets takes the program through a session's life on each Secret Service that people
// have, which a person unlocks in its own window.
func TestWallets(t *testing.T) {
	program := buildProgram(t)
	rows := &walletRows{cells: map[string]map[string]string{}}
	t.Run("side by side", func(t *testing.T) {
		for _, name := range wallets {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				switch name {
				case "GNOME Keyring":
					liveWith(t, program, rows, name, keychaintest.StartGNOME(t), nil)
				case "KWallet":
					liveWith(t, program, rows, name, keychaintest.StartKWallet(t), nil)
				case "KeePassXC":
					w := keychaintest.StartKeePassXC(t)
					liveWith(t, program, rows, name, w.Wallet, w)
				}
			})
		}
		t.Run("a slow person", func(t *testing.T) {
			t.Parallel()
			slowPerson(t, program)
		})
	})
	if t.Failed() || len(rows.cells) == 0 {
		return
	}
	var all [][]string
	for _, step := range walletSteps {
		row := []string{step}
		for _, name := range wallets {
			if rows.cells[step][name] == "" {
				t.Skipf("not every service is installed: %s has no %q", name, step)
			}
			row = append(row, rows.cells[step][name])
		}
		all = append(all, row)
	}
	casebook.Table(t, "docs/keychains.md", "TestWallets in cmd/trials", append([]string{"what happens"}, wallets...), all)
}

// answering runs a command whose question a person answers, once more if it is asked again.
func (h *home) answering(w *keychaintest.Wallet, yes bool, args ...string) done {
	h.t.Helper()
	ended := make(chan done, 1)
	go func() { ended <- h.do(args...) }()
	w.Answer(yes)
	for {
		select {
		case d := <-ended:
			return d
		case <-time.After(time.Second):
			if w.Asks() {
				h.t.Logf("%v: asked again", args)
				w.Answer(yes)
			}
		}
	}
}

// meanwhile runs a command, and what a person does until it ends.
func meanwhile(person func(), command func() done) done {
	ended := make(chan done, 1)
	go func() { ended <- command() }()
	person()
	return <-ended
}

// liveWith is a session's life on one service. keepass is nil but for KeePassXC.
func liveWith(t *testing.T, program string, rows *walletRows, name string, w *keychaintest.Wallet, keepass *keychaintest.KeePassXC) {
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	h := newHome(t, program, filepath.Join(shortDir(t), "home"))
	h.write(h.paths.ConfigFile(), "schema = 1\nlisten = '127.0.0.1:0'\nstore = 'keychain'\n")
	h.env = append(w.Env(), "LANGKEEP_HOME="+h.dir)
	begin := time.Now()
	note := func(step string, d done) {
		t.Helper()
		if !slices.Contains(walletSteps, step) {
			t.Fatalf("no such row: %s", step)
		}
		cell := fmt.Sprintf("`%s`, exit code %d", h.shown(), d.code)
		t.Logf("%5s  %s: %s  %s", time.Since(begin).Round(100*time.Millisecond), step, cell, strings.TrimSpace(d.stderr))
		rows.note(step, name, cell)
	}
	// KeePassXC asks when an agent, or another KeePassXC, replaces an entry that is there.
	allowed := 0
	access := func() {
		t.Helper()
		if keepass != nil {
			allowed = keepass.AwaitAllowed(allowed)
		}
	}
	stop := h.start()
	restart := func() { stop(); stop = h.start() }
	saved := func(what string) {
		t.Helper()
		h.within(30*time.Second, what+": it is stored", func() bool { p := h.profile(); return p.State == client.Fresh && p.Saved })
	}

	login := func(profile string) done {
		admin := langflowtest.Admin()
		return h.typing(admin.Password+"\n", "login", profile, langflow.URL, "--username", admin.Name, "--password-stdin", "--remember-password", "--no-start")
	}
	var d done
	if w.First == nil {
		d = login("prod")
	} else {
		d = meanwhile(w.First, func() done { return login("prod") })
	}
	note("the first sign-in", d)
	h.doctorSays(client.CheckOK, "written to the keychain")

	stored := func() string { t.Helper(); return w.Content(h.paths.KeychainService(), "prod/refresh-token") }
	before := stored()
	time.Sleep(time.Second) // tokens of the same second are the same
	restart()
	// It renews the session. A write in whose middle the keychain is locked would ask.
	h.eventually("it has stored the new session", func() bool { return stored() != before })
	saved("started")
	note("the agent starts anew", h.do("token", "prod", "--no-start"))
	if n := h.shown(); n != "fresh" {
		t.Fatal(n)
	}

	access()
	w.Shut()
	d = h.answering(w, false, "refresh", "prod", "--no-start")
	note("it is locked while the agent runs, and the question of `refresh` is closed", d)
	h.doctorSays(client.CheckFailed, "The keychain is locked.")
	d = h.answering(w, true, "refresh", "prod", "--no-start")
	note("`refresh` again, and the question gets its answer", d)
	saved("unlocked")

	w.Shut()
	restart()
	h.eventually("it is locked at the start", func() bool { return strings.HasPrefix(h.shown(), "keychain-locked") })
	note("it is locked when the agent starts", h.do("token", "prod", "--no-start"))
	if w.Asks() {
		t.Error("it asks without an action of a person's")
	}
	note("`refresh`, and the question is closed", h.answering(w, false, "refresh", "prod", "--no-start"))
	note("the same, and the question gets its answer", h.answering(w, true, "refresh", "prod", "--no-start"))
	saved("unlocked after the start")
	access()

	for _, end := range []struct {
		how        func()
		when, back string
	}{
		{w.Quit, "it quits while the agent runs", "it is there again, and `refresh` has it unlocked"},
		{w.Kill, "it is killed while the agent runs", "it is there again after that, and `refresh` has it unlocked"},
	} {
		end.how()
		d = h.do("refresh", "prod", "--no-start")
		h.eventually("the service is missed", func() bool { p := h.profile(); return !p.Saved && p.Reason != nil })
		note(end.when, d)
		h.doctorSays(client.CheckFailed, "There is no keychain here.")
		w.Begin()
		h.doctorSays(client.CheckFailed, "The keychain is locked.")
		note(end.back, h.answering(w, true, "refresh", "prod", "--no-start"))
		saved("back")
		access()
	}

	// Killed a moment after a sign-in. What KeePassXC loses before it has saved is lost.
	signIn := func(profile string) {
		t.Helper()
		if w.SavesAfter > 0 {
			time.Sleep(w.SavesAfter + time.Second) // so that the others are saved
		}
		if d := login(profile); d.code != exitDone {
			t.Fatal(d.stderr)
		}
		if keepass == nil {
			return
		}
		begin := time.Now()
		h.eventually("KeePassXC saves "+profile, func() bool {
			export := keepass.Export()
			return strings.Contains(export, profile+"/refresh-token") && strings.Contains(export, profile+"/password")
		})
		t.Logf("saved within %v", time.Since(begin))
	}
	signIn("second")
	w.Kill()
	w.Begin()
	h.answering(w, true, "refresh", "prod", "--no-start")
	h.within(30*time.Second, "second is stored", func() bool { return w.Content(h.paths.KeychainService(), "second/refresh-token") != "" })
	h.within(30*time.Second, "prod is stored", func() bool { return stored() != "" })
	restart()
	h.settles()
	d = h.do("token", "second", "--no-start")
	note("it is killed a moment after a sign-in, comes back, and the agent starts anew", d)
	if d.code != exitDone {
		t.Errorf("second is lost: %s", d.stderr)
	}
	signIn("third")
	w.Kill()
	stop()
	w.Begin()
	stop = h.start()
	h.eventually("it is locked at the second start", func() bool { return strings.HasPrefix(h.shown(), "keychain-locked") })
	h.answering(w, true, "refresh", "prod", "--no-start")
	h.eventually("all profiles are loaded", func() bool {
		return !slices.ContainsFunc(h.status().Profiles, func(p client.Profile) bool { return p.State == client.KeychainLocked || p.State == client.Stale })
	})
	note("the same with the agent, as when the power fails", h.do("token", "third", "--no-start"))

	var secrets []string
	if keepass != nil {
		secrets = secretsIn(t, keepass.Export())
	}
	note("`logout`", h.do("logout", "prod", "--no-start"))
	note("`remove --all`", h.do("remove", "--all", "--yes"))
	stop()
	for _, account := range []string{"prod/refresh-token", "prod/password", "second/refresh-token", "third/refresh-token"} {
		if w.Content(h.paths.KeychainService(), account) != "" {
			t.Errorf("%s still has %s", name, account)
		}
	}
	if w.SavesAfter > 0 {
		w.Kill()
		w.Begin()
		left := w.All()
		found := w.Content(h.paths.KeychainService(), "prod/password")
		t.Logf("killed a moment after that it has %d items; prod/password is found: %v", len(left), found != "")
		if !strings.Contains(strings.Join(left, " "), langflowtest.Admin().Password) || found != "" {
			t.Error("it has saved the deletion in time, or the deleted item is found, and docs/keychains.md says otherwise")
		}
	}
	if keepass == nil {
		return
	}
	if keepass.Allowed() == 0 {
		t.Error("it did not ask for access, as docs/keychains.md says")
	}
	keepass.Quit()
	export := keepass.Export()
	if !strings.Contains(export, "<Name>Recycle Bin</Name>") {
		t.Error("it deleted for good, and did not keep entries in its recycle bin, as docs/keychains.md says")
	}
	present := regexp.MustCompile(`(?s)<History>.*?</History>`).ReplaceAllString(export, "")
	now, past := 0, 0
	for _, secret := range secrets {
		switch {
		case strings.Contains(present, secret):
			now++
		case strings.Contains(export, secret):
			past++
		}
	}
	t.Logf("of %d secrets %d are in the database, and %d in its history", len(secrets), now, past)
	if now+past > 0 {
		t.Error("it keeps secrets that were deleted")
	}
}

// slowPerson takes longer for KWallet's assistant than most programs wait for an answer.
func slowPerson(t *testing.T, program string) {
	w := keychaintest.StartKWallet(t)
	langflow := langflowtest.New(langflowtest.Options{})
	defer langflow.Close()
	h := newHome(t, program, filepath.Join(shortDir(t), "home"))
	h.write(h.paths.ConfigFile(), "schema = 1\nlisten = '127.0.0.1:0'\nstore = 'keychain'\n")
	h.env = append(w.Env(), "LANGKEEP_HOME="+h.dir)
	h.start()
	begin := time.Now()
	d := meanwhile(func() {
		h.eventually("the assistant is on the screen", w.Asks)
		time.Sleep(65 * time.Second)
		w.First()
	}, func() done { return h.signIn(langflow.URL) })
	if d.code != exitDone || w.Content(h.paths.KeychainService(), "prod/refresh-token") == "" {
		t.Errorf("after %v: exit code %d: %s", time.Since(begin), d.code, d.stderr)
	}
}

// secretsIn are the secrets of the items in a database's export, also of those that were
// replaced. It fails the test if the remembered password is none of them.
func secretsIn(t *testing.T, export string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`"secret":"([^"]+)"`).FindAllStringSubmatch(html.UnescapeString(export), -1) {
		all = append(all, m[1])
	}
	if !slices.Contains(all, langflowtest.Admin().Password) {
		t.Fatalf("the remembered password is none of %d secrets in the database", len(all))
	}
	return all
}

// doctorSays runs the doctor, and looks at what it says of the keychain.
func (h *home) doctorSays(verdict client.Verdict, found string) {
	h.t.Helper()
	d := h.do("doctor", "--json", "--no-start")
	var report client.Report
	if err := json.Unmarshal([]byte(d.stdout), &report); err != nil {
		h.t.Fatalf("doctor: %v: %s%s", err, d.stdout, d.stderr)
	}
	for _, c := range report.Checks {
		if c.Check == "keychain" {
			if c.Verdict != verdict || !strings.Contains(c.Found, found) {
				h.t.Errorf("doctor says %s: %s", c.Verdict, c.Found)
			}
			return
		}
	}
	h.t.Errorf("doctor says nothing of the keychain: %s", d.stdout)
}
