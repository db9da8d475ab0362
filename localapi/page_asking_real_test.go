//go:build real && linux

package localapi_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/godbus/dbus/v5"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// notifications stand in for a desktop's daemon. TestAskingOnThePage in tray has a real one.
type notifications struct {
	can []string

	mu    sync.Mutex // protects the following
	last  uint32
	shown map[uint32]string // title and text
}

// GetCapabilities and the methods below are the Desktop Notifications Specification's.
func (n *notifications) GetCapabilities() ([]string, *dbus.Error) { return n.can, nil }

func (n *notifications) GetServerInformation() (string, string, string, string, *dbus.Error) {
	return "stand-in", "test", "1", "1.2", nil
}

func (n *notifications) Notify(_ string, replaces uint32, _, title, text string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if replaces == 0 {
		n.last++
		replaces = n.last
	}
	n.shown[replaces] = title + ": " + text
	return replaces, nil
}

func (n *notifications) CloseNotification(id uint32) *dbus.Error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.shown, id)
	return nil
}

var shownCode = regexp.MustCompile(`^Code for the control page: (\d{3} \d{3}): Type it into the control page in chromium,`)

// code is the one that is shown; "" for none.
func (n *notifications) code() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, said := range n.shown {
		if found := shownCode.FindStringSubmatch(said); found != nil {
			return found[1]
		}
	}
	return ""
}

// says tells whether something is shown that begins so.
func (n *notifications) says(words string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, said := range n.shown {
		if strings.HasPrefix(said, words) {
			return true
		}
	}
	return false
}

// newNotifications puts a daemon on a bus.
func newNotifications(t *testing.T, session *keychaintest.Session, can ...string) *notifications {
	t.Helper()
	conn, err := dbus.Connect(session.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	n := &notifications{can: can, shown: map[uint32]string{}}
	if err := conn.Export(n, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return n
}

// wants has a program, which the agent takes for this test, ask for prod's token. The
// returned function waits for what it gets.
func (a *running) wants() func() error {
	got := make(chan error, 1)
	go func() {
		c := a.client()
		defer c.Close()
		_, err := c.Token(a.t.Context(), "prod", client.AnyLifetime)
		got <- err
	}()
	return func() error {
		a.t.Helper()
		select {
		case err := <-got:
			return err
		case <-time.After(patience):
			a.t.Fatal("the program waits")
			return nil
		}
	}
}

// bearer asks the agent with a client's token, and returns the answer's status.
func (a *running) bearer(token, path string) int {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.url+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// asking has a person answer programs on the page, with the code that the desktop shows.
func (c *chromium) asking(t *testing.T) {
	session := keychaintest.StartBus(t)
	desktop := newNotifications(t, session, "body", "actions")
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a := startAgentOn(t, "schema = 1\nask = \"new\"\n", "DBUS_SESSION_BUS_ADDRESS="+session.Address(), "DISPLAY=", "WAYLAND_DISPLAY=")
	b := c.tab(t)
	a.add("prod", s)
	b.open(a.link())
	b.says("prod", "Signed in as")
	const section, dialog = `document.getElementById("asking")`, `document.getElementById("confirm")`
	if value[bool](b, section+".checkVisibility()") {
		t.Error("nobody asks, and the page says so")
	}

	// A program asks: the page shows it, and wants the code before it answers.
	got := a.wants()
	b.reads("wants an access token for prod.")
	b.reads("A program waits for your answer.")
	b.shots("asking")
	b.press("Allow once")
	b.reads("Confirm that this is you")
	code := ""
	await(t, "a code in a notification", func() bool { code = desktop.code(); return code != "" })
	if strings.Contains(b.text(), code) || value[bool](b, "document.documentElement.outerHTML.includes('"+strings.ReplaceAll(code, " ", "")+"')") {
		t.Error("the page has the code")
	}
	b.shots("asking-code")
	b.fill("Code", "000 00x")
	b.press("Confirm")
	b.reads("This is not the code that is shown")
	b.fill("Code", code)
	b.press("Confirm")
	b.until(dialog + " === null")
	if err := got(); err != nil {
		t.Errorf("the program gets %v", err)
	}
	b.until("!" + section + ".checkVisibility()")
	await(t, "the notification's end", func() bool { return desktop.code() == "" })

	// Once: the next answers need no code, and none of the page's keepings has the token.
	got = a.wants()
	b.reads("wants an access token for prod.")
	b.press("Deny")
	if err := got(); err == nil || !strings.Contains(err.Error(), "you have denied") {
		t.Errorf("denied, the program gets %v", err)
	}
	if n := value[int](b, "sessionStorage.length + localStorage.length"); n != 1 {
		t.Errorf("the browser keeps %d things of the page", n)
	}
	b.press("Apps")
	b.reads("is denied an access token for prod, until")
	b.shots("asking-remembered")
	b.press("Take back")
	b.until(`document.getElementById("remembered").hidden`)
	b.press("Done")

	// A confirmed page adds an app, with rights that it has not got itself. The token is shown
	// this once, and the desktop tells of it.
	b.press("Apps")
	b.script(`document.querySelector("#app summary").click()`)
	b.fill("Its name", "nightly")
	b.script(`document.querySelector("#app [value=token]").click()`)
	b.press("Add app")
	b.reads("Token of nightly, which is shown this once")
	b.until(`document.activeElement.getAttribute("aria-label") === "Copy: Token of nightly, which is shown this once"`)
	b.reads("may get access tokens and run flows with inputs: prod.")
	b.shots("apps-added")
	token := value[string](b, `document.querySelector("#app-made code").textContent`)
	if status := a.bearer(token, "/v1/profiles/prod/token"); status != http.StatusOK {
		t.Errorf("the app gets %d", status)
	}
	if status := a.bearer(token, "/v1/clients"); status != http.StatusForbidden {
		t.Errorf("the app gets the clients: %d", status)
	}
	await(t, "a notification of the app", func() bool {
		return desktop.says("App added: nightly: It may get access tokens and run flows with inputs, of prod, until ")
	})
	b.press("Done")
	b.until(`!document.documentElement.outerHTML.includes("lk_")`)
	b.noSecret(a, token)
	b.press("Apps")
	b.reads("Last asked") // the list is the new one
	b.press("Revoke")
	b.press("Revoke now?")
	b.reads("No program has a token of its own.")
	if status := a.bearer(token, "/v1/profiles/prod/token"); status != http.StatusUnauthorized {
		t.Errorf("revoked, the app gets %d", status)
	}
	b.press("Done")
	got = a.wants()
	b.press("Always")
	if err := got(); err != nil {
		t.Error(err)
	}
	if err := a.wants()(); err != nil {
		t.Errorf("allowed always, it gets %v", err)
	}

	// Loaded again, the page is anybody's: a no needs nobody, and its end the code.
	b.run(chromedp.Reload())
	b.says("prod", "Signed in as")
	b.press("Apps")
	b.press("Take back")
	b.until(`document.getElementById("remembered").hidden`)
	b.press("Done")
	got = a.wants()
	b.press("Deny")
	if err := got(); err == nil {
		t.Error("denied, it gets the token")
	}
	b.press("Apps")
	b.press("Take back")
	b.reads("Confirm that this is you")
	b.press("Show another code")
	code = ""
	await(t, "another code", func() bool { code = desktop.code(); return code != "" })
	b.press("Cancel")
	b.reads("is denied an access token")
	b.script(`document.querySelector("#app summary").click()`)
	b.fill("Its name", "nightly")
	b.press("Add app")
	b.reads("Confirm that this is you")
	b.press("Cancel")
	b.until(dialog + ` === null && document.getElementById("app-add").textContent === "Add app"`)
	if list := a.command("client", "list"); list != "" {
		t.Errorf("an unconfirmed page has added %s", list)
	}
	b.press("Done")
	b.noSecret(a, code)
	b.innocent(a)

	// Without a desktop the page says where answers are written.
	headless, b := startAgentWith(t, "schema = 1\nask = \"new\"\n"), c.tab(t)
	b.open(headless.link())
	b.reads("since no desktop here can ask you. Write those that may have one into " + filepath.Join(headless.home, "state", "allowed.json"))
	b.innocent(headless)
}

// noSecret looks for a code in all that the agent writes and that programs can ask for.
func (b *tab) noSecret(a *running, code string) {
	b.t.Helper()
	code = strings.ReplaceAll(code, " ", "")
	err := filepath.WalkDir(a.home, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), code) {
			b.t.Errorf("%s has the code", path)
		}
		return err
	})
	if err != nil {
		b.t.Error(err)
	}
	for _, args := range [][]string{{"asks", "--json"}, {"status", "--json"}, {"audit", "--json"}} {
		if strings.Contains(a.command(args...), code) {
			b.t.Errorf("langkeep %v has the code", args)
		}
	}
}

// await waits until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); !so(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
