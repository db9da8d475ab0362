//go:build real && linux

package tray

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// signIn adds a profile and signs it in.
func (k *agentProcess) signIn(name, server string) {
	k.d.t.Helper()
	ctx := k.d.t.Context()
	if _, err := k.client.Profile(ctx, name); err != nil {
		if _, err := k.client.AddProfile(ctx, client.NewProfile{Name: name, ServerURL: server}); err != nil {
			k.d.t.Fatal(err)
		}
	}
	user := langflowtest.Admin()
	_, err := k.client.Login(ctx, name, client.Login{Method: client.Password, Username: user.Name, Password: secret.New(user.Password)})
	if err != nil {
		k.d.t.Fatal(err)
	}
}

// awaitState waits for a profile's state, by the API.
func (k *agentProcess) awaitState(name string, want client.State) {
	k.d.t.Helper()
	k.d.await(name+" "+string(want), func() bool {
		p, err := k.client.Profile(k.d.t.Context(), name)
		return err == nil && p.State == want
	})
}

// TestTray goes through a person's day on a real panel.
func TestTray(t *testing.T) {
	d := newDesktop(t)
	program := build(t)
	home := d.path("langkeep")
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()

	// Before the panel is there.
	k := d.runAgent(program, home)
	d.await("word of the missing tray", func() bool { return strings.Contains(k.stderr.String(), "no tray on this desktop yet") })
	d.startPanel()
	k.awaitTray()
	k.awaitIcon(iconAttention)
	d.await("the control page at the first start", func() bool { return len(d.opened()) == 1 })
	if link := d.opened()[0]; !strings.Contains(link, "/#code=") || !strings.HasSuffix(link, "&at=add") {
		t.Errorf("the browser was sent to %s", link)
	}
	d.await("the empty menu", func() bool {
		return labels(k.menu()) == "No profile yet | — | Add a profile… | Control page… | — | Lock | Start at login | About Langkeep dev | Quit"
	})
	d.picture("tray-attention")

	k.signIn("prod", server.URL)
	k.awaitIcon(iconFresh)
	want := "prod · fresh, 59 min [Open Langflow | Copy access token | Copy API key | Proxy | Refresh now | Sign out] | — | Add a profile… | Control page… | — | Lock | Start at login | About Langkeep dev | Quit"
	d.await("the menu", func() bool { return labels(k.menu()) == want })
	d.openMenu(1)
	d.picture("tray-fresh")
	d.closeMenu()

	k.click("prod", "Open Langflow")
	d.await("Langflow in the browser", func() bool { return slices.Contains(d.opened(), server.URL) })
	before := server.Count("/refresh")
	k.click("prod", "Refresh now")
	d.await("a refresh", func() bool { return server.Count("/refresh") > before })
	k.click("prod", "Copy access token")
	copied := ""
	d.await("a token on the clipboard", func() bool {
		if !strings.Contains(d.run("xclip", "-o", "-selection", "clipboard", "-t", "TARGETS"), "x-kde-passwordManagerHint") {
			return false
		}
		copied = d.run("xclip", "-o", "-selection", "clipboard")
		return copied != ""
	})
	if got := whoAmI(t, server.URL, copied); got != http.StatusOK {
		t.Errorf("what was copied is answered with %d", got)
	}
	k.click("prod", "Copy API key")
	d.await("a key on the clipboard", func() bool {
		// There is none while one takes the other's place.
		return strings.HasPrefix(d.run("sh", "-c", "xclip -o -selection clipboard || true"), "sk-")
	})
	k.click("prod", "Proxy")
	d.await("an open proxy", func() bool {
		item := find(k.menu(), "prod", "Proxy at 127.0.0.1:")
		return item != nil && item.checked
	})
	k.click("prod", "Proxy at 127.0.0.1:")
	d.await("a closed proxy", func() bool { item := find(k.menu(), "prod", "Proxy"); return item != nil && !item.checked })
	for n, entry := range []string{"Add a profile…", "Control page…", "About"} {
		k.click(entry)
		d.await(entry, func() bool { return len(d.opened()) == n+3 })
	}
	k.click("Start at login")
	d.await("the check mark", func() bool { item := find(k.menu(), "Start at login"); return item != nil && item.checked })
	entries, err := filepath.Glob(d.path("config/autostart/langkeep*.desktop"))
	if err != nil || len(entries) != 1 {
		t.Errorf("autostart has %v, %v", entries, err)
	}
	k.click("Start at login")
	d.await("no check mark", func() bool { item := find(k.menu(), "Start at login"); return item != nil && !item.checked })

	// The panel crashes.
	d.killPanel()
	d.startPanel()
	k.awaitTray()
	d.picture("tray-after-panel-restart")

	k.click("prod", "Sign out")
	k.awaitState("prod", client.SignedOut)
	k.awaitIcon(iconAttention)
	opened := len(d.opened())
	k.click("prod", "Sign in…")
	d.await("the sign-in in the browser", func() bool { return len(d.opened()) > opened })
	if link := d.opened()[opened]; !strings.HasSuffix(link, "&at=sign-in/prod") {
		t.Errorf("the browser was sent to %s", link)
	}

	k.click("Quit")
	k.awaitEnd()
	if said := k.stderr.String(); strings.Count(said, "\n") != 2 {
		t.Errorf("it said more than where it listens and that there was no tray yet:\n%s", said)
	}

	// The page opened once, and not at the second start.
	opened = len(d.opened())
	if _, err := os.Stat(k.paths().Welcomed()); err != nil {
		t.Error(err)
	}
	k = d.runAgent(program, home)
	if _, err := k.client.RemoveProfile(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	k.stopNow(t)
	k = d.runAgent(program, home)
	k.awaitTray()
	k.stopNow(t)
	if got := d.opened()[opened:]; len(got) != 0 {
		t.Errorf("the browser was sent to %v", got)
	}
}

// stopNow ends the agent as langkeep stop does.
func (k *agentProcess) stopNow(t *testing.T) {
	t.Helper()
	if err := k.client.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	k.awaitEnd()
}

// whoAmI tells how the server answers to a token.
func whoAmI(t *testing.T, server, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/api/v1/users/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// TestNotifications sees each kind arrive once, and the icon change with them.
func TestNotifications(t *testing.T) {
	d := newDesktop(t)
	server := langflowtest.New(langflowtest.Options{AccessLifetime: 6 * time.Second, RefreshLifetime: 23*time.Hour + 30*time.Second})
	defer server.Close()
	d.startPanel()
	d.startDunst()
	k := d.runAgent(build(t), d.path("langkeep"))
	k.awaitTray()
	k.signIn("prod", server.URL)
	k.awaitIcon(iconFresh)

	server.Fault("", langflowtest.Fault{Reset: true})
	k.awaitIcon(iconOffline)
	d.await("word of being offline", func() bool { return d.run("dunstctl", "count", "displayed") == "1\n" })
	d.picture("notification-offline")
	k.awaitState("prod", client.Stale)
	d.tries(server, func() client.Profile {
		p, err := k.client.Profile(t.Context(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}, func() { d.choose("Try now") })
	server.ClearFaults()
	if _, err := k.client.Refresh(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	k.awaitIcon(iconFresh)
	// It takes the place of the other.
	d.await("word of being back", func() bool {
		return d.last() == "Langkeep · prod: back to normal: Signed in, and refreshes by itself."
	})

	server.RotateSecret()
	k.awaitIcon(iconAttention)
	d.await("word of the sign-in", func() bool { return d.run("dunstctl", "count", "displayed") == "1\n" })
	shown := len(d.history())
	d.picture("notification-sign-in")
	d.run("dunstctl", "action", "0") // a click on the text
	d.await("the page at the card", func() bool {
		return slices.ContainsFunc(d.opened(), func(link string) bool { return strings.HasSuffix(link, "&at=card/prod") })
	})
	k.signIn("prod", server.URL)
	k.awaitIcon(iconFresh) // back to normal again, but within 10 min
	d.await("the end of the message", func() bool { return d.run("dunstctl", "count", "displayed") == "0\n" })
	server.RotateSecret()
	k.awaitState("prod", client.SignInRequired)
	time.Sleep(2 * time.Second) // anything that should not come would be there by then
	if got := d.last(); got != "Langkeep · prod: sign in: The server ended this session. Sign in from the tray menu." || len(d.history()) != shown+1 {
		t.Errorf("dunst has shown %q", d.history())
	}
	k.stopNow(t)
}

// TestStartAtLoginIsOffered sees the offer a minute after the first sign-in, and takes it.
func TestStartAtLoginIsOffered(t *testing.T) {
	d := newDesktop(t)
	d.isNew = true
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	d.startPanel()
	d.startDunst()
	k := d.runAgent(build(t), d.path("langkeep"))
	k.awaitTray()
	k.signIn("prod", server.URL)
	k.awaitIcon(iconFresh)
	began := time.Now()
	for d.run("dunstctl", "count", "displayed") != "1\n" {
		if time.Sleep(100 * time.Millisecond); time.Since(began) > time.Minute+patience {
			t.Fatal("the start at login is not offered")
		}
	}
	if took := time.Since(began); took < 50*time.Second {
		t.Errorf("it says after %v: %s", took, d.last())
	}
	d.picture("notification-start-at-login")
	d.choose("Start at login")
	d.await("the check mark", func() bool {
		item := find(k.menu(), "Start at login")
		return item != nil && item.checked
	})
	if said := d.last(); said != "Langkeep · Start at login?: Langkeep keeps you signed in while it runs. The tray's menu has “Start at login” at any time." {
		t.Errorf("it says %s", said)
	}
	if settings, err := k.client.Settings(t.Context()); err != nil || settings.OfferStart || settings.StartAtLogin == nil || !*settings.StartAtLogin {
		t.Errorf("the settings are %+v, %v", settings, err)
	}
	k.stopNow(t)
}

// TestTheBusDies: the agent goes on, and says so once.
func TestTheBusDies(t *testing.T) {
	d := newDesktop(t)
	server := langflowtest.New(langflowtest.Options{AccessLifetime: 4 * time.Second})
	defer server.Close()
	d.startPanel()
	k := d.runAgent(build(t), d.path("langkeep"))
	k.awaitTray()
	k.signIn("prod", server.URL)
	k.awaitIcon(iconFresh)
	end(d.bus)
	d.await("word of it", func() bool { return strings.Contains(k.stderr.String(), "going on without the tray icon") })
	end(d.x)
	before := server.Count("/refresh")
	d.await("two refreshes", func() bool { return server.Count("/refresh") >= before+2 })
	if token, err := k.client.Token(t.Context(), "prod", 0); err != nil || whoAmI(t, server.URL, token.AccessToken.Reveal()) != http.StatusOK {
		t.Errorf("the API gives no token: %v", err)
	}
	if said := k.stderr.String(); strings.Count(said, "\n") != 2 {
		t.Errorf("it said:\n%s", said)
	}
	k.stopNow(t)
}

// TestNoBus: with a display alone there is no tray.
func TestNoBus(t *testing.T) {
	d := newDesktop(t)
	end(d.bus)
	k := d.runAgent(build(t), d.path("langkeep"))
	d.await("word of it", func() bool { return strings.Contains(k.stderr.String(), "no tray icon: there is no desktop here") })
	k.stopNow(t)
}

// TestEveryEndIsTheSame is the end by a signal; those from the menu and by
// langkeep stop are in TestTray.
func TestEveryEndIsTheSame(t *testing.T) {
	// Where the tests themselves run under nohup(1), the agent would inherit that
	// SIGHUP or SIGINT may be ignored; one that is caught here is back to normal there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT)
	defer signal.Stop(caught)
	d := newDesktop(t)
	d.startPanel()
	program := build(t)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		k := d.runAgent(program, d.path("langkeep"))
		k.awaitTray()
		if err := k.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		k.awaitEnd()
		d.await("the icon to go", func() bool { return !d.owned(k.item().Destination()) })
	}
}

// TestACommandOpensNoPage: an agent that a command starts has a tray, but does
// not open the page on its own.
func TestACommandOpensNoPage(t *testing.T) {
	d := newDesktop(t)
	d.startPanel()
	program := build(t)
	d.write("langkeep/config/config.toml", 0o600, "listen = '127.0.0.1:0'\nstore = 'memory'\n")
	langkeep := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env = append(d.env(), "LANGKEEP_HOME="+d.path("langkeep"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("langkeep %v: %v: %s", args, err, out)
		}
	}
	t.Cleanup(func() { langkeep("stop") })
	langkeep("open")
	d.await("the tray", func() bool {
		var names []string
		if err := d.conn.BusObject().Call("org.freedesktop.DBus.ListNames", 0).Store(&names); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "org.kde.StatusNotifierItem-") })
	})
	time.Sleep(time.Second) // a second page would be there by then
	if got := d.opened(); len(got) != 1 || strings.Contains(got[0], "&at=") {
		t.Errorf("the browser was sent to %v", got)
	}
}

// TestFiftyProfiles looks at a long menu as a person does.
func TestFiftyProfiles(t *testing.T) {
	d := newDesktop(t)
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	d.light = true
	d.startPanel()
	k := d.runAgent(build(t), d.path("langkeep"))
	k.awaitTray()
	for i := range 50 {
		name := fmt.Sprintf("flows_%02d", i)
		if i%7 == 3 {
			if _, err := k.client.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: server.URL}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		k.signIn(name, server.URL)
	}
	d.await("the menu", func() bool {
		menu := k.menu()
		more := find(menu, "38 more")
		return more != nil && len(more.children) == 38 && len(menu) == 12+1+8 && find(menu, "flows__00 ·") != nil
	})
	before := server.Count("/refresh")
	k.click("38 more", "flows__40", "Refresh now")
	d.await("a refresh", func() bool { return server.Count("/refresh") > before })

	d.openMenu(13)
	d.picture("tray-fifty")
	d.closeMenu()
	k.stopNow(t)
}
