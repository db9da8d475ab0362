//go:build real && linux

package tray

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAskingOnThePage has a person answer curl on the control page, in a real Chromium,
// after they have read the code from the real notification.
func TestAskingOnThePage(t *testing.T) {
	d := newDesktop(t)
	d.startDunst()
	k := newAsker(d)
	page := newPage(t)
	link, err := k.client.PageCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page.does(chromedp.Navigate(link.URL.Reveal()))
	got := k.curl()
	page.until("the question", `document.getElementById("asking").innerText.includes("curl")`)
	page.press("Allow in this session")
	page.until("the form for the code", `document.getElementById("confirm") !== null`)
	code := d.code()
	d.picture("asking-on-the-page")
	page.types(code)
	k.gets("curl, allowed on the page,", got(), true)
	k.gets("curl again", k.curl()(), true)

	// A program that opens a page of its own has a code shown that names it, and not the
	// person's page.
	other := newPage(t)
	if link, err = k.client.PageCode(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.does(chromedp.Navigate(link.URL.Reveal()))
	asking := k.begins("sh", k.script("langkeep token prod\n"))
	other.until("the question", `document.getElementById("asking").innerText.includes("job.sh")`)
	other.press("Always")
	other.until("the form for the code", `document.getElementById("confirm") !== null`)
	second := d.code(code)
	for range 3 {
		other.types(wrongCode(second))
		other.until("the refusal", `document.querySelector("#confirm .error").textContent !== ""`)
	}
	other.until("the pause", `document.getElementById("confirm").innerText.includes("Too many wrong codes")`)
	page.press("Deny") // which the first page may
	if out := asking(); !strings.Contains(out, "you have denied job.sh") {
		t.Errorf("the script prints %.300s", out)
	}
	if log, err := os.ReadFile(filepath.Join(k.home, "state", "log")); err != nil || strings.Contains(string(log), code) || strings.Contains(string(log), second) {
		t.Errorf("the log has a code, or can't be read: %v", err)
	}
	k.stopNow(t)
}

func wrongCode(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

var codeInNotification = regexp.MustCompile(`^Langkeep · Code for the control page: (\d{3}) (\d{3}): Type it into the control page in (chromium|chrome), and nowhere else`)

// code is the one in a notification, and none of the earlier ones.
func (d *desktop) code(earlier ...string) (code string) {
	d.t.Helper()
	d.await("a notification with a code", func() bool {
		for _, said := range d.notified() {
			if found := codeInNotification.FindStringSubmatch(said); found != nil && !slices.Contains(earlier, found[1]+found[2]) {
				code = found[1] + found[2]
			}
		}
		return code != ""
	})
	return code
}

// askedPage is a real Chromium's.
type askedPage struct {
	t   *testing.T
	ctx context.Context
}

func newPage(t *testing.T) *askedPage {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &askedPage{t, ctx}
}

func (p *askedPage) does(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// until waits until an expression is true on the page.
func (p *askedPage) until(what, script string) {
	p.t.Helper()
	await(p.t, what, func() bool {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+script+")"))
		return err == nil && ok // an error is of a page that is just loaded
	})
}

// press clicks the button of that text.
func (p *askedPage) press(label string) {
	p.t.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll("button")].find((e) => e.textContent === %q && !e.disabled && e.checkVisibility())`, label)
	p.until("the button "+label, button)
	p.does(chromedp.Evaluate[chromedp.Void](button + ".click()"))
}

// types types a code into the form, and sends it.
func (p *askedPage) types(code string) {
	p.t.Helper()
	p.does(chromedp.Evaluate[chromedp.Void](`document.querySelector("#confirm .error").textContent = ""; document.querySelector("#confirm input").select()`))
	p.does(chromedp.KeyEvent(code + "\r"))
}
