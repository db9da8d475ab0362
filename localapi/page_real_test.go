//go:build real && linux

package localapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

// TestPage is the control page as a person has it: the real program, Chromium,
// and a Langflow.
func TestPage(t *testing.T) {
	c := newChromium(t)
	t.Run("real Langflow", func(t *testing.T) {
		t.Parallel()
		s := real.Start(t, real.Options{AccessLifetime: 15 * time.Second, RefreshLifetime: 5 * time.Minute})
		c.journey(t, startAgent(t), s.URL, s.Username, s.Password)
	})
	t.Run("stand-in", func(t *testing.T) {
		t.Parallel()
		s := langflowtest.New(langflowtest.Options{Version: "1.13", AccessLifetime: 10 * time.Second})
		t.Cleanup(s.Close)
		c.journey(t, startAgent(t), s.URL, langflowtest.Admin().Name, langflowtest.Admin().Password)
	})
	t.Run("keyboard alone", func(t *testing.T) {
		t.Parallel()
		c.keyboard(t)
	})
	t.Run("words for every problem", func(t *testing.T) {
		t.Parallel()
		c.problems(t)
	})
	t.Run("codes", func(t *testing.T) {
		t.Parallel()
		c.codes(t)
	})
	t.Run("strangers", func(t *testing.T) {
		t.Parallel()
		c.strangers(t)
	})
	t.Run("forged", func(t *testing.T) {
		t.Parallel()
		c.forged(t)
	})
	t.Run("accessible in every state", func(t *testing.T) {
		t.Parallel()
		c.accessible(t)
	})
}

// ---- The agent

// program builds the program, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "langkeep-page")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "langkeep")
	out, err := exec.Command("go", "build", "-o", exe, "../cmd/langkeep").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %v\n%s", err, out)
	}
	return exe, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if exe, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(exe))
	}
	os.Exit(code)
}

// running is an agent in the background with nothing in it.
type running struct {
	t    *testing.T
	exe  string
	home string
	url  string
}

func startAgent(t *testing.T) *running {
	t.Helper()
	a := startAgentToKill(t)
	t.Cleanup(func() { a.command("stop") })
	return a
}

// startAgentToKill starts one that its test ends.
func startAgentToKill(t *testing.T) *running {
	t.Helper()
	exe, err := program()
	if err != nil {
		t.Fatal(err)
	}
	a := &running{t: t, exe: exe, home: t.TempDir()}
	a.command("start", "--headless", "--store", "memory", "--listen", "127.0.0.1:0")
	found, err := client.ReadRunning(paths.Paths{State: filepath.Join(a.home, "state")})
	if err != nil {
		t.Fatal(err)
	}
	a.url = found.URL
	return a
}

// command runs the program and returns its stdout.
func (a *running) command(args ...string) string {
	a.t.Helper()
	cmd := exec.Command(a.exe, args...)
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+a.home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=", "LANGKEEP_PROFILE=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		a.t.Fatalf("langkeep %v: %v: %s", args, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// link opens the page once.
func (a *running) link() string {
	a.t.Helper()
	return a.command("open", "--print")
}

// client asks the agent as its owner.
func (a *running) client() *client.Client {
	a.t.Helper()
	c, err := client.New(client.Options{Socket: paths.Paths{Run: filepath.Join(a.home, "run")}.Socket()})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// add makes a profile, signed in to a stand-in's user.
func (a *running) add(name string, s *langflowtest.Server) {
	a.t.Helper()
	c := a.client()
	defer c.Close()
	if _, err := c.AddProfile(a.t.Context(), client.NewProfile{Name: name, ServerURL: s.URL}); err != nil {
		a.t.Fatal(err)
	}
	cmd := exec.Command(a.exe, "login", name, "--username", langflowtest.Admin().Name, "--password-stdin")
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+a.home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=")
	cmd.Stdin = strings.NewReader(langflowtest.Admin().Password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("sign in: %v: %s", err, out)
	}
}

// ---- The browser

// chromium is one browser for all tests; each has tabs of its own.
type chromium struct {
	ctx context.Context
	axe string // axe-core's source
}

func newChromium(t *testing.T) *chromium {
	t.Helper()
	axe, err := os.ReadFile(axeFile())
	if err != nil {
		t.Fatalf("read axe-core (npm install --prefix .cache/axe axe-core, or name axe.min.js in LANGKEEP_TEST_AXE): %v", err)
	}
	// Without these, Chromium looks up its maker's hosts; evil.test is a foreign
	// name that leads to this computer.
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1"),
		chromedp.Flag("force-color-profile", "srgb"),
	)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &chromium{ctx: ctx, axe: string(axe)}
}

// axeFile is where the set-up of the tests puts it.
func axeFile() string {
	if path := os.Getenv("LANGKEEP_TEST_AXE"); path != "" {
		return path
	}
	return filepath.Join("..", ".cache", "axe", "node_modules", "axe-core", "axe.min.js")
}

// tab is a tab of a profile of its own, so that nothing is shared. At its end it
// is checked that it asked nobody but the agent for anything, that nobody set a
// cookie, and that nothing was complained about in the console.
type tab struct {
	t   *testing.T
	ctx context.Context
	axe string

	mu       sync.Mutex // protects the following
	asked    []string
	answers  map[string]int64 // status by URL
	cookies  []string
	complain []string
}

// patience is how long something may take to show.
const patience = 20 * time.Second

func (c *chromium) tab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, axe: c.axe, answers: map[string]int64{}}
	// The first action is bound to no limit, for the tab ends with its context.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			b.asked = append(b.asked, e.Request.URL)
		case *network.EventResponseReceived:
			b.answers[e.Response.URL] = e.Response.Status
		case *network.EventResponseReceivedExtraInfo:
			for name, value := range e.Headers {
				if strings.EqualFold(name, "Set-Cookie") {
					b.cookies = append(b.cookies, fmt.Sprint(value))
				}
			}
		case *runtime.EventExceptionThrown:
			b.complain = append(b.complain, fmt.Sprintf("%+v", e.ExceptionDetails))
		case *runtime.EventConsoleAPICalled:
			for _, arg := range e.Args {
				b.complain = append(b.complain, string(arg.Value))
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	return b
}

// run does what it can within patience.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%v; the page says:\n%s", err, b.text())
	}
}

// call sends a command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// text is what a person can read.
func (b *tab) text() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, _ = chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`)) // empty will do
	return text
}

// value evaluates a script's expression.
func value[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%v: %.300s; the page says:\n%s", err, script, b.text())
	}
	return v
}

// script runs one for what it does.
func (b *tab) script(script string) {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
}

// until waits until an expression is true.
func (b *tab) until(script string) {
	b.t.Helper()
	b.within(patience, script)
}

func (b *tab) within(limit time.Duration, script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// An error is of a page that is just being replaced.
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+script+")"))
		if ok && err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("not within %v: %s: %v; the page says:\n%s", limit, script, err, b.text())
		}
	}
}

// reads waits until a text can be read anywhere.
func (b *tab) reads(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// card is a script's expression for a profile's card.
func card(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("article")].find((a) => a.querySelector("h2").textContent === %q)`, name)
}

// says waits until a card has a text.
func (b *tab) says(name, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s?.innerText.includes(%q)", card(name), text))
}

// press clicks the button of that text, in whatever is shown.
func (b *tab) press(text string) {
	b.t.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll("button, a.button")].find((e) => e.textContent === %q && e.checkVisibility())`, text)
	b.until(button)
	b.script(button + ".click()")
}

// fill types into the field of that label.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	field := fmt.Sprintf(`[...document.querySelectorAll("label")].find((e) => e.textContent.trim() === %q && e.checkVisibility() && e.control?.type !== "radio")?.control`, label)
	b.until(field)
	b.script("(" + field + ").focus()")
	b.script("document.activeElement.select?.()")
	b.run(chromedp.KeyEvent(text))
}

// open goes to the page by a link.
func (b *tab) open(link string) {
	b.t.Helper()
	b.run(chromedp.Navigate(link))
	b.until(`!document.getElementById("content").hidden || !document.getElementById("shut").hidden`)
	if hash := value[string](b, "location.href"); strings.Contains(hash, "#") {
		b.t.Errorf("the code is still in the address")
	}
}

// innocent checks what the tab did.
func (b *tab) innocent(a *running) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		if !strings.HasPrefix(url, a.url+"/") {
			b.t.Errorf("the page asked %s", url)
		}
		if i := strings.Index(url, "lk_"); i >= 0 && !strings.Contains(url, "/#code=") {
			b.t.Errorf("a secret was sent in a URL")
		}
	}
	if len(b.asked) == 0 {
		b.t.Error("nothing was seen of the network")
	}
	for _, c := range b.cookies {
		b.t.Errorf("a cookie was set: %s", c)
	}
	for _, c := range b.complain {
		b.t.Errorf("the console says: %s", c)
	}
}

// noCookies checks that the browser keeps none, for any port of this computer.
func (b *tab) noCookies() {
	b.t.Helper()
	all := call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{"http://127.0.0.1/", "http://localhost/"}}).Cookies
	const script = `(() => { try { return document.cookie; } catch { return ""; } })()` // a sandboxed page has none
	if len(all) != 0 || value[string](b, script) != "" {
		b.t.Errorf("there are %d cookies", len(all))
	}
}

// check runs axe-core on what is shown. Nothing may be serious, and what it finds
// beside that is told.
func (b *tab) check(state string) {
	b.t.Helper()
	type finding struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	value[int](b, b.axe+"; 0")
	found := value[[]finding](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations)`)
	for _, f := range found {
		for _, n := range f.Nodes {
			b.t.Errorf("%s: axe-core: %s: %s: %s: %s: %s", state, f.Impact, f.ID, f.Help, n.HTML, n.FailureSummary)
		}
	}
}

// look is how a person may have the page.
type look struct {
	width, height int64
	scale         float64
	dark          bool
}

var looks = map[string]look{
	"wide-light-1x":   {1200, 800, 1, false},
	"wide-dark-1x":    {1200, 800, 1, true},
	"wide-light-2x":   {1200, 800, 2, false},
	"wide-dark-2x":    {1200, 800, 2, true},
	"narrow-light-2x": {375, 760, 2, false},
	"narrow-dark-2x":  {375, 760, 2, true},
	"narrow-light-1x": {375, 760, 1, false},
}

func (b *tab) look(l look) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: l.width, Height: l.height, DeviceScaleFactor: l.scale, Mobile: l.width < 500,
	})
	call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.width < 500})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// shots checks a state in every look, and writes pictures of it for people where
// LANGKEEP_TEST_SHOTS names a folder.
func (b *tab) shots(state string) {
	b.t.Helper()
	for name, l := range looks {
		b.look(l)
		if l.scale == 2 {
			b.check(state + ", " + name)
		}
		if over := value[float64](b, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
			b.t.Errorf("%s, %s: it is %v pixels too wide", state, name, over)
		}
		if l.width < 500 {
			b.targets(state + ", " + name)
		}
		dir := os.Getenv("LANGKEEP_TEST_SHOTS")
		if dir == "" {
			continue
		}
		shot := page.CaptureScreenshotParams{CaptureBeyondViewport: new(l.width < 500)}
		png := call(b, page.CaptureScreenshot, shot).Data
		if err := os.WriteFile(filepath.Join(dir, state+"-"+name+".png"), png, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	b.look(looks["wide-light-1x"])
}

// targets checks that what is touched is large enough.
func (b *tab) targets(state string) {
	b.t.Helper()
	small := value[[]string](b, `[...document.querySelectorAll("button, a, select, input:not([type=checkbox], [type=radio]), label.check")]
		.filter((e) => e.checkVisibility())
		.map((e) => [e, e.getBoundingClientRect()])
		.filter(([, r]) => r.height < 43.9 || r.width < 43.9)
		.map(([e, r]) => e.outerHTML + " " + r.width + "x" + r.height)`)
	for _, s := range small {
		b.t.Errorf("%s: too small to touch: %s", state, s)
	}
}

// ---- The tests

// journey is a person's first day: from an empty agent to a session that is kept,
// and back.
func (c *chromium) journey(t *testing.T, a *running, server, username, password string) {
	b := c.tab(t)
	b.open(a.link())
	b.reads("sign in once")
	b.fill("Address of your Langflow", server)
	b.reads("answers there")
	b.fill("Name for it here", "prod")
	b.press("Add")
	b.says("prod", "Signed out.")
	b.fill("User name", username)
	b.fill("Password", "not the password")
	b.press("Sign in")
	b.says("prod", "That user name and password don't match.")
	if got := value[string](b, "document.activeElement.name + '=' + document.activeElement.value"); got != "password=" {
		t.Errorf("after a wrong password the focus is on %q", got)
	}
	b.says("prod", "Signed out.")
	b.fill("Password", password)
	b.press("Sign in")
	b.says("prod", "Signed in as "+username+". Refreshes by itself")
	b.says("prod", "fresh")
	b.reads("Signed in as " + username + ".")
	b.reads("All is well.")

	// A refresh is seen by itself: the bar goes down and is full again, and it is
	// among the events.
	share := card("prod") + `.querySelector("[role=meter]").getAttribute("aria-valuenow")`
	b.until(share + " < 80")
	low := value[string](b, share)
	b.until(share + " > 90")
	b.until(`/Refreshed[.,]/.test(document.getElementById("recent").innerText)`) // once, or "2 times"
	t.Logf("the bar went from %s back to the full while the page was looked at", low)

	// The account's keys: ours goes when it is told to twice.
	a.command("key", "prod")
	b.press("API keys")
	b.says("prod", "Made by Langkeep, in use now.")
	revoke := card("prod") + `.querySelector("[aria-label^='Revoke langkeep ']")`
	b.script(revoke + ".click()")
	b.says("prod", "Revoke now?")
	b.script(revoke + ".click()")
	b.until("!" + card("prod") + `.innerText.includes("in use now")`)
	b.press("Close")
	b.press("Open the proxy")
	b.says("prod", "http://127.0.0.1:17")
	b.press("Close the proxy")
	b.until("!" + card("prod") + `.innerText.includes("http://127.0.0.1:17")`)
	// The programs that may ask, without their tokens.
	a.command("client", "add", "ci", "--profile", "prod", "--scope", "run")
	b.press("Programs")
	b.reads("may run flows with inputs: prod. Ends ")
	b.press("Revoke")
	b.press("Revoke now?")
	b.reads("langkeep client add lets one in")
	b.press("Done")

	b.press("Refresh now")
	b.until(`/Refreshed, [0-9]+ times/.test(document.getElementById("recent").innerText)`)
	b.press("Sign out")
	b.says("prod", "Signed out.")
	b.press("Remove")
	b.says("prod", "Remove prod?")
	b.press("Keep")
	b.says("prod", "Signed out.")
	b.press("Remove")
	b.script(card("prod") + `.querySelector(".danger").click()`)
	b.reads("sign in once")
	b.reads("Removed.")
	b.noCookies()
	b.innocent(a)
	if all := value[[]string](b, "[...Object.keys(localStorage), ...Object.keys(sessionStorage)]"); len(all) != 1 {
		t.Errorf("the page keeps %v", all)
	}
}

// keyboard does the journey without a pointer.
func (c *chromium) keyboard(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a, b := startAgent(t), c.tab(t)
	key := func(keys ...string) {
		t.Helper()
		for _, k := range keys {
			b.run(chromedp.KeyEvent(k))
		}
	}
	// to presses Tab until the focus is on what has that name, and sees that the
	// focus shows.
	to := func(name string) {
		t.Helper()
		for range 40 {
			key(kb.Tab)
			got := value[string](b, `(() => { const e = document.activeElement;
				return e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim() || e.textContent.trim(); })()`)
			if got == name {
				if outline := value[string](b, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
					t.Errorf("the focus on %s does not show", name)
				}
				return
			}
		}
		t.Fatalf("Tab does not lead to %q; the page says:\n%s", name, b.text())
	}
	focused := func(want string) {
		t.Helper()
		b.until(fmt.Sprintf(`(document.activeElement.getAttribute("aria-label") || document.activeElement.labels?.[0]?.textContent.trim() ||
			document.activeElement.textContent.trim()) === %q`, want))
	}
	b.open(a.link())
	b.reads("sign in once")
	to("Address of your Langflow")
	key(s.URL, kb.Enter)
	b.reads("answers there")
	key(kb.Enter)
	focused("User name")
	key(langflowtest.Admin().Name, kb.Tab, langflowtest.Admin().Password, kb.Enter)
	b.says("local", "Signed in as")
	focused("local") // its title
	to("Refresh now local")
	to("Sign out local")
	key(kb.Enter)
	b.says("local", "Signed out.")
	focused("Sign in local")
	key(kb.Enter)
	focused("Password") // the user name is known
	key(kb.Escape)
	focused("local")
	to("Remove local")
	key(kb.Enter)
	focused("Keep")
	key(kb.Escape)
	focused("local")
	to("Remove local")
	key(kb.Enter)
	focused("Keep")
	b.run(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift)))
	focused("Remove")
	key(kb.Enter)
	b.reads("sign in once")
	b.innocent(a)
}

// problems sees that each problem has its own words, and what can be done.
func (c *chromium) problems(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13", Users: []langflowtest.User{
		langflowtest.Admin(), {Name: "new", Password: "x", Waiting: true}, {Name: "gone", Password: "x", Inactive: true},
	}})
	t.Cleanup(s.Close)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<h1>hi</h1>") }))
	t.Cleanup(other.Close)
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+r.URL.Path, http.StatusPermanentRedirect)
	}))
	t.Cleanup(moved.Close)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()

	a, b := startAgent(t), c.tab(t)
	b.open(a.link())
	for _, test := range []struct{ address, words string }{
		{other.URL, "Something answers there, but it isn't Langflow."},
		{tls.URL, "The certificate isn't trusted"},
		{"http://" + dead.Addr().String(), "Can't reach " + dead.Addr().String() + "."},
		{"http://flows.example.org", "http:// sends your password unprotected."},
		{"https://user:pw@flows.example.org", "must not hold a user name or password"},
		{moved.URL, "The server moved to " + s.URL + ". Use that address?"},
	} {
		b.fill("Address of your Langflow", test.address)
		b.until(fmt.Sprintf(`document.getElementById("add-said").textContent.includes(%q)`, test.words))
		switch test.address {
		case tls.URL:
			b.fill("CA file (--ca-file)", "/nonexistent.pem")
			b.press("Trust this CA")
			b.reads("Can't use its ca file")
			b.until(`document.querySelector("#add-remedy input").value === "/nonexistent.pem"`)
			b.shots("problem")
		case "http://flows.example.org":
			b.press("Allow http:// for this server")
			b.until(`!document.getElementById("add-said").textContent.includes("http://")`)
		}
	}
	b.press("Use " + s.URL)
	b.reads("answers there")
	b.fill("Name for it here", "No Name")
	b.press("Add")
	b.until(`document.getElementById("add-error").textContent !== ""`)
	b.fill("Name for it here", "lab")
	b.press("Add")
	for user, words := range map[string]string{
		"new": "This account waits for an administrator's approval.", "gone": "This account was deactivated by an administrator.",
	} {
		b.fill("User name", user)
		b.fill("Password", "x")
		b.press("Sign in")
		b.says("lab", words)
	}
	s.Fault("/login", langflowtest.Busy(429, "42"))
	b.fill("Password", "x")
	b.press("Sign in")
	b.says("lab", "Too many sign-ins from here. Try again in 42 s.")
	s.ClearFaults()
	b.script(`document.querySelector("input[value=refresh-token]").click()`)
	b.fill("Refresh token", "eyJ.no.pe")
	b.press("Sign in")
	b.says("lab", "The server does not accept this token.")
	b.script(`document.querySelector("input[value=api-key]").click()`)
	b.fill("API key", "sk-no")
	b.press("Sign in")
	b.says("lab", "The server does not accept this API key.")
	b.press("Cancel")
	s.Stop()
	b.press("Sign in")
	b.says("lab", "Can't reach")
	s.Start()
	b.press("Try again")
	b.says("lab", "Password")
	b.innocent(a)
}

// codes sees that a code opens the page once, in time, and that a page's access
// ends.
func (c *chromium) codes(t *testing.T) {
	a := startAgent(t)
	old := a.link()
	begin := time.Now()
	first := c.tab(t)
	link := a.link()
	first.open(link)
	first.reads("sign in once")
	// In another tab, whose sessionStorage is its own, the code is used.
	for _, used := range []string{link, a.url + "/#code=lk_" + strings.Repeat("A", 43), a.url + "/#nothing", a.url + "/"} {
		b := c.tab(t)
		b.open(used)
		b.reads("Open this page from Langkeep")
		if n := value[int](b, "sessionStorage.length"); n != 0 {
			t.Errorf("%.30s: it got something", used)
		}
		b.check("shut")
	}
	// A new code in a tab that is open already.
	first.script(fmt.Sprintf("location.hash = %q", strings.TrimPrefix(a.link(), a.url+"/")))
	first.until(`location.hash === ""`)
	first.reads("sign in once")
	first.run(chromedp.Reload())
	first.reads("sign in once") // it keeps its token

	time.Sleep(time.Until(begin.Add(31 * time.Second)))
	b := c.tab(t)
	b.open(old)
	b.reads("works once, and for 30 seconds")
	b.shots("shut")

	// With the agent's end the token's has come.
	a.command("restart", "--headless", "--store", "memory", "--listen", strings.TrimPrefix(a.url, "http://"))
	first.reads("access has ended")
	first.noCookies()
}

// intrusion is what a page of another origin tries, with a token and a code that
// it should not have: a script that tells what it has got.
type intrusion struct {
	tried, happens string
	script         string // the body of an async function of target, token and code
}

// intrusions are all of them. Whether a change was made shows at the end.
var intrusions = []intrusion{
	{"`fetch` reads: the status, a token, the events, the settings, without a token and with the page's", "nothing can be read", `
		return attempts(["/v1/status", "/v1/profiles/prod/token", "/v1/page/events", "/v1/events/recent", "/v1/settings", "/metrics", "/"].flatMap((path) =>
			[{}, {Authorization: "Bearer " + token}].map((headers) => ["GET", path, headers])));`},
	{"`fetch` writes: sign-out, removal, settings, stop, a client, and the exchange of a code", "nothing is changed, and the code is not used up", `
		const auth = {Authorization: "Bearer " + token};
		return attempts([
			["POST", "/v1/profiles/prod/logout", auth], ["POST", "/v1/profiles/prod/logout", {}], ["DELETE", "/v1/profiles/prod", auth],
			["PATCH", "/v1/settings", auth, '{"log_level":"debug"}'], ["POST", "/v1/stop", auth], ["POST", "/v1/stop", {}],
			["POST", "/v1/clients", auth, '{"name":"evil","scopes":["read"],"profiles":["prod"]}'],
			["POST", "/v1/page/token", {}, JSON.stringify({code})], ["POST", "/v1/page/code", auth],
		]);`},
	{"`fetch` in the mode `navigate`, or with headers that only browsers set: `Host`, `Origin`, `Sec-Fetch-Site`", "the browser does not let it", `
		return attempts([["GET", "/v1/status", {Authorization: "Bearer " + token, Host: "127.0.0.1", Origin: target, "Sec-Fetch-Site": "same-origin"}],
			["GET", "/", {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}]]);`},
	{"`sendBeacon` and a form's POST with a body that could be JSON", "nothing is changed", `
		navigator.sendBeacon(target + "/v1/profiles/prod/logout", "{}");
		navigator.sendBeacon(target + "/v1/page/token", JSON.stringify({code}));
		for (const path of ["/v1/profiles/prod/logout", "/v1/stop", "/v1/page/token"]) {
			const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
			frame.name = "frame" + Math.random();
			field.name = '{"code":"' + code + '","x":"'; field.value = '"}';
			Object.assign(form, {method: "post", enctype: "text/plain", target: frame.name, action: target + path});
			form.append(field); document.body.append(frame, form); form.submit();
		}
		await new Promise((done) => setTimeout(done, 300));
		return [];`},
	{"an image, a script, a stylesheet, a sound, an object, a preload, of the page's files and of the API", "none of them loads", `
		const got = [];
		const load = (tag, set, path) => new Promise((done) => {
			const e = document.createElement(tag);
			e.onload = e.oncanplay = e.onloadeddata = () => { got.push(tag + " " + path); done(); };
			e.onerror = done; setTimeout(done, 3000);
			set(e, target + path); document.body.append(e);
		});
		await Promise.all(["/ui/icon.svg", "/ui/app.js", "/ui/style.css", "/v1/status", "/v1/openapi.yaml"].flatMap((path) => [
			load("img", (e, url) => { e.src = url; }, path), load("script", (e, url) => { e.src = url; }, path),
			load("link", (e, url) => { e.rel = "stylesheet"; e.href = url; }, path), load("link", (e, url) => { e.rel = "preload"; e.as = "image"; e.href = url; }, path),
			load("audio", (e, url) => { e.src = url; }, path), load("object", (e, url) => { e.data = url; }, path),
		]));
		return got;`},
	{"a `WebSocket`, with the token in the address and as a protocol", "it does not open", `
		const got = [], ws = target.replace("http", "ws");
		await Promise.all([[ws + "/v1/events"], [ws + "/v1/events?x-api-key=" + token], [ws + "/v1/page/events", [token]]].map((to) => new Promise((done) => {
			const s = new WebSocket(...to);
			s.onopen = () => { got.push("WebSocket " + to[0]); done(); };
			s.onerror = done; setTimeout(done, 3000);
		})));
		return got;`},
	{"an `EventSource`, with and without credentials", "it does not open", `
		const got = [];
		await Promise.all(["/v1/events", "/v1/page/events", "/v1/audit"].flatMap((path) => [true, false].map((withCredentials) => new Promise((done) => {
			const s = new EventSource(target + path, {withCredentials});
			s.onopen = s.onmessage = () => { got.push("EventSource " + path); done(); };
			s.onerror = () => { s.close(); done(); }; setTimeout(done, 3000);
		}))));
		return got;`},
	{"a worker and a module of the page's script", "neither loads", `
		const got = [];
		try { await import(target + "/ui/app.js"); got.push("import"); } catch {}
		await new Promise((done) => {
			try {
				const w = new Worker(URL.createObjectURL(new Blob(["importScripts('" + target + "/ui/app.js'); postMessage(1)"])));
				w.onmessage = () => { got.push("importScripts"); done(); };
				w.onerror = done;
			} catch { done(); }
			setTimeout(done, 3000);
		});
		return got;`},
	{"the control page in a frame", "403: there is nothing to click on", `
		const frame = document.createElement("iframe");
		frame.src = target + "/";
		document.body.append(frame);
		await new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
		return [];`},
}

// attempts is what the scripts have in common: requests, of which those that can
// be read are told.
const attempts = `
	const attempts = async (all) => {
		const got = [];
		await Promise.all(all.flatMap(([method, path, headers, body]) => ["cors", "no-cors", "same-origin"].map(async (mode) => {
			for (const credentials of ["omit", "include"]) {
				try {
					const r = await fetch(target + path, {method, headers, body, mode, credentials, signal: AbortSignal.timeout(3000)});
					if (r.ok) got.push(method + " " + path + " " + (await r.text()).slice(0, 100));
				} catch {}
			}
		})));
		return got;
	};`

// strangers are pages of other origins, with the page's own token even: they
// neither read nor change anything.
func (c *chromium) strangers(t *testing.T) {
	var rows [][]string
	for _, i := range intrusions {
		rows = append(rows, []string{i.tried, i.happens})
	}
	casebook.Table(t, "docs/attacks.md", "TestPage in localapi", []string{"what is tried", "what happens"}, rows)

	a := startAgent(t)
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a.add("prod", s)
	own := c.tab(t)
	own.open(a.link())
	own.says("prod", "Signed in")
	token := value[string](own, "sessionStorage[Object.keys(sessionStorage)[0]]")
	if !strings.HasPrefix(token, "lk_") {
		t.Fatal("the page has no token")
	}
	const hello = "<!doctype html><title>evil</title><p>hello"
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/null" {
			w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-forms")
		}
		_, _ = io.WriteString(w, hello)
	}))
	t.Cleanup(site.Close)
	file := filepath.Join(t.TempDir(), "evil.html")
	if err := os.WriteFile(file, []byte(hello), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(site.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, agentPort, err := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	rebound := "http://evil.test:" + agentPort // the browser takes the agent for the attacker's site
	for where, origin := range map[string]string{
		"http://127.0.0.1:" + port: "", "http://localhost:" + port: "", "http://evil.test:" + port: "", rebound: "",
		"http://127.0.0.1:" + port + "/null": "null", "file://" + file: "null",
	} {
		b := c.tab(t)
		b.run(chromedp.Navigate(where))
		if where != rebound {
			b.reads("hello")
		}
		if got := value[string](b, "self.origin"); origin != "" && got != origin {
			t.Errorf("the origin of %s is %s", where, got)
		}
		for _, target := range []string{a.url, "http://localhost:" + agentPort, rebound} {
			code := strings.TrimPrefix(a.link(), a.url+"/#code=") // which lives for 30 s
			for _, i := range intrusions {
				script := fmt.Sprintf("(async (target, token, code) => {%s %s})(%q, %q, %q)", attempts, i.script, target, token, code)
				if got := value[[]string](b, script); len(got) != 0 {
					t.Errorf("%s: a page of %s gets from %s: %v", i.tried, where, target, got)
				}
			}
			if !a.opens(code) {
				t.Errorf("a page of %s has used up the code at %s", where, target)
			}
		}
		b.noCookies()
		b.mu.Lock()
		for _, url := range []string{a.url + "/", a.url + "/ui/icon.svg"} { // what it did has reached the agent
			if status, asked := b.answers[url]; !asked || status != http.StatusForbidden {
				t.Errorf("to a page of %s %s answers %d, asked %v", where, url, status, asked)
			}
		}
		b.mu.Unlock()
	}
	// Nothing has changed.
	own.says("prod", "Signed in")
	if got := value[string](own, `document.getElementById("recent").innerText`); strings.Contains(got, "Signed out") {
		t.Errorf("a stranger changed something: %s", got)
	}
	if level := a.logLevel(); level != "info" {
		t.Errorf("a stranger set the log level to %s", level)
	}
	if clients := a.command("client", "list"); clients != "" {
		t.Errorf("a stranger made a client: %s", clients)
	}
}

// opens tells whether a code is good, and uses it.
func (a *running) opens(code string) bool {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, a.url+"/v1/page/token", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Origin", a.url)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// logLevel is the agent's, asked for with the owner's token.
func (a *running) logLevel() string {
	a.t.Helper()
	token, err := os.ReadFile(filepath.Join(a.home, "run", "token"))
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.url+"/v1/settings", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	var settings client.Settings
	if err := json.NewDecoder(res.Body).Decode(&settings); err != nil {
		a.t.Fatal(err)
	}
	return settings.LogLevel
}

// accessible goes through the states, in every look.
func (c *chromium) accessible(t *testing.T) {
	a, b := startAgent(t), c.tab(t)
	b.open(a.link())
	b.reads("sign in once")
	b.shots("empty")

	servers := map[string]*langflowtest.Server{}
	for _, name := range []string{"prod", "staging", "laptop", "offline", "archive"} {
		o := langflowtest.Options{Version: "1.13"}
		switch name {
		case "laptop":
			o.AccessLifetime = 40 * time.Minute
		case "offline":
			o.AccessLifetime = 2 * time.Second
		}
		s := langflowtest.New(o)
		t.Cleanup(s.Close)
		servers[name] = s
		a.add(name, s)
	}
	servers["staging"].RotateSecret()
	servers["laptop"].Stop()
	servers["offline"].Stop()
	a.command("logout", "archive")
	b.says("archive", "Signed out.")
	owner := a.client()
	defer owner.Close()
	for _, name := range []string{"staging", "laptop", "offline"} {
		if _, err := owner.Refresh(t.Context(), name); err == nil {
			t.Errorf("%s: refreshed", name)
		}
	}
	b.says("staging", "The server ended this session")
	b.says("offline", "Nothing is lost")
	b.says("laptop", "Still valid for")
	if order := value[[]string](b, `[...document.querySelectorAll("article h2")].map((e) => e.textContent)`); !slices.Equal(order, []string{"staging", "archive", "laptop", "offline", "prod"}) {
		t.Errorf("the order is %v", order)
	}
	b.shots("all")
	b.script(card("staging") + `.querySelector(".primary").click()`)
	b.says("staging", "Password")
	b.shots("sign-in")
	b.press("Cancel")
	b.script(card("archive") + `.querySelector(".last").click()`)
	b.says("archive", "Remove archive?")
	b.shots("remove")
	b.press("Keep")
	a.command("key", "prod")
	servers["prod"].AddAPIKey(langflowtest.Admin().Name)
	b.script(card("prod") + `.querySelector("[aria-label='API keys prod']").click()`)
	b.says("prod", "Never ends.")
	b.shots("keys")
	b.press("Close")
	a.command("client", "add", "editor", "--profile", "prod", "--scope", "run")
	b.press("Programs")
	b.reads("may run flows with inputs: prod. Ends ")
	b.shots("programs")
	b.press("Done")
	b.press("Add a server")
	b.fill("Address of your Langflow", servers["prod"].URL)
	b.reads("answers there")
	b.shots("add")
	b.press("Cancel")
	// As the tray's menu opens it.
	b.script(fmt.Sprintf("location.hash = %q", strings.TrimPrefix(a.link(), a.url+"/")+"&at=sign-in/archive"))
	b.says("archive", "Password")
	b.press("Cancel")
	b.press("Settings")
	b.until(`document.getElementById("log-level").value === "info"`)
	b.shots("settings")
	b.script(`document.querySelector("[name=offline]").click()`)
	b.reads("Saved.")
	if text, err := os.ReadFile(filepath.Join(a.home, "config", "config.toml")); err != nil || !strings.Contains(string(text), "notify.offline = false") {
		t.Errorf("config.toml is %q, %v", text, err)
	}
	b.press("Done")
	a.command("stop")
	b.reads("Langkeep doesn't answer")
	b.shots("away")
	a.command("start", "--headless", "--store", "memory", "--listen", strings.TrimPrefix(a.url, "http://"))
	b.reads("access has ended")
}

// forger listens where an agent was that has been killed, and answers as whoever
// reads this program would. It has everything that it was sent.
type forger struct {
	*httptest.Server
	mu   sync.Mutex // protects sent
	sent []string
}

// forge takes the address once it is free, and answers with the handler.
func forge(t *testing.T, address string, answer http.HandlerFunc) *forger {
	t.Helper()
	f := &forger{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.sent = append(f.sent, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header, " ", string(body)))
		f.mu.Unlock()
		answer(w, r)
	}))
	_ = f.Listener.Close()
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			f.Listener = l
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	f.Start()
	t.Cleanup(func() {
		f.CloseClientConnections() // a page that was fooled keeps one
		f.Close()
	})
	return f
}

// took is all that it was sent.
func (f *forger) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

// kill ends the agent as a crash does.
func (a *running) kill() {
	a.t.Helper()
	found, err := client.ReadRunning(paths.Paths{State: filepath.Join(a.home, "state")})
	if err != nil {
		a.t.Fatal(err)
	}
	agent, err := os.FindProcess(found.PID)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := agent.Kill(); err != nil {
		a.t.Fatal(err)
	}
}

// forgedCard is an event of a page that shows what a forger wants to be typed.
const forgedCard = `event: card` + "\n" + `data: {"name":"prod","server_url":"https://forged.example","state":"sign-in-required","method":"password","username":"ana",` +
	`"short":"Forged.","long":"Forged: sign in again.","token_left":"–","session_left":"–","last_refresh":"–","server_version":null,"proxy_url":null,"share":null,"needs_you":true}` +
	"\n\nevent: ready\ndata: {}\n\n"

// plainly answers as the agent would if nothing were sealed.
func plainly(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, forgedCard)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case r.URL.Path == "/v1/probe":
		_, _ = io.WriteString(w, `{"server_url":"https://forged.example","version":"1.13.0","methods":["password"],"name":"prod"}`)
	default:
		_, _ = io.WriteString(w, `{"token":"lk_forged","status":200}`+"\n")
	}
}

// forgeries are what those do who have taken the port of an agent that was
// killed while its page was open.
var forgeries = []struct {
	tried, happens string
	answer         http.HandlerFunc
}{
	{"answers everything as the agent would, with a card that wants a password", "no request has the token or what is typed; nothing of it is shown, and the page closes", plainly},
	{"answers in the form of sealed answers, with keys of its own", "the same", func(w http.ResponseWriter, _ *http.Request) {
		shared := proof.Of(secret.New("lk_forged"))
		a := shared.Answer(make([]byte, proof.SaltSize))
		_, _ = w.Write(a.Seal([]byte(`{"status":200}`), false))
		_, _ = w.Write(a.Seal([]byte(forgedCard), true))
	}},
	{"says that the token has ended, that there is an error, or redirects", "the same", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/status")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}},
	{"accepts the connections and never answers", "the same, after 10 s", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	{"closes each connection", "the same, after 10 s", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
}

// forged sees that a page tells nothing to whoever takes the port of an agent that
// was killed, and shows nothing of what they answer.
func (c *chromium) forged(t *testing.T) {
	rows := [][]string{}
	for _, f := range forgeries {
		rows = append(rows, []string{f.tried, f.happens})
	}
	rows = append(rows, []string{"listens before the page has exchanged its code", "no request has the code, and the page opens nothing"})
	casebook.Table(t, "docs/attacks.md", "TestPage/forged in localapi", []string{"who has taken the port", "what happens"}, rows)
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	const typed = "what-was-typed"
	for _, f := range forgeries {
		t.Run(f.tried, func(t *testing.T) {
			a, b := startAgentToKill(t), c.tab(t)
			a.add("prod", s)
			a.command("logout", "prod")
			b.open(a.link())
			b.says("prod", "Signed out.")
			token := value[string](b, "sessionStorage[Object.keys(sessionStorage)[0]]")
			b.script(card("prod") + `.querySelector(".primary").click()`)
			b.fill("User name", "ana")
			b.fill("Password", typed)
			a.kill()
			forger := forge(t, strings.TrimPrefix(a.url, "http://"), f.answer)
			// As a hasty person does, before the page has closed.
			b.script(`[...document.querySelectorAll("button[type=submit]")].find((e) => e.textContent === "Sign in")?.click()`)
			b.reads("access has ended")
			for what, script := range map[string]string{
				"a field":        `[...document.querySelectorAll("input, select, textarea")].filter((e) => e.checkVisibility()).length`,
				"what was typed": `[...document.querySelectorAll("input")].filter((e) => e.value.includes("` + typed + `")).length`,
				"a card":         `document.querySelectorAll("article").length`,
				"the token":      `sessionStorage.length`,
				"forged words":   `document.body.innerText.includes("orged") ? 1 : 0`,
			} {
				if n := value[int](b, script); n != 0 {
					t.Errorf("the page still has %s", what)
				}
			}
			took := forger.took()
			if len(took) == 0 {
				t.Error("nothing was asked of the forger")
			}
			for _, request := range took {
				for _, secret := range []string{token, typed, "uthorization:", "ana\"", "lk_"} {
					if strings.Contains(request, secret) {
						t.Errorf("the forger has %q: %s", secret, request)
					}
				}
			}
		})
	}
	t.Run("before the exchange", func(t *testing.T) {
		a, b := startAgentToKill(t), c.tab(t)
		b.run(chromedp.Navigate(a.url + "/"))
		b.reads("Open this page from Langkeep")
		code := strings.TrimPrefix(a.link(), a.url+"/")
		a.kill()
		forger := forge(t, strings.TrimPrefix(a.url, "http://"), plainly)
		b.script(fmt.Sprintf("location.hash = %q", code))
		b.reads("works once, and for 30 seconds")
		took := forger.took()
		if all := strings.Join(took, "\n"); !strings.Contains(all, "/v1/page/sealed") || strings.Contains(all, "lk_") {
			t.Errorf("the forger was sent %s", all)
		}
		if n := value[int](b, "sessionStorage.length"); n != 0 {
			t.Error("the page keeps a token of the forger's")
		}
	})
}
