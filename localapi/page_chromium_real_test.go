//go:build real && linux

package localapi_test

import (
	"context"
	"fmt"
	"os"
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
)

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

// script runs a script for its effect.
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
	button := fmt.Sprintf(`[...document.querySelectorAll("button, a.button")].find((e) => e.textContent === %q && !e.disabled && e.checkVisibility())`, text)
	b.until(button)
	b.script(button + ".click()")
}

// choose presses an entry of a card's menu.
func (b *tab) choose(name, entry string) {
	b.t.Helper()
	b.until(card(name) + `?.querySelector(".more")`)
	b.script(card(name) + `.querySelector(".more").click()`)
	item := fmt.Sprintf(`[...%s.querySelectorAll("[role=menuitem]")].find((e) => e.textContent === %q && e.checkVisibility())`, card(name), entry)
	b.until(item)
	b.script(item + ".click()")
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

// check runs axe-core on the page. A serious finding is an error; others are logged.
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
	"1280-light":    {1280, 800, 1, false},
	"1280-dark":     {1280, 800, 1, true},
	"1280-light-2x": {1280, 800, 2, false},
	"768-light":     {768, 1024, 1, false},
	"768-dark":      {768, 1024, 1, true},
	"360-light-2x":  {360, 740, 2, false},
	"360-dark-2x":   {360, 740, 2, true},
	"320-light":     {320, 640, 1, false},
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
	b.look(looks["1280-light"])
}

// targets checks that everything to touch is large enough.
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

func (c *chromium) tab(t *testing.T, options ...chromedp.CreateBrowserContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext(options...))
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
