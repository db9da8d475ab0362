//go:build real && linux

package localapi_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// focusName is a script's expression for the name of what has the focus.
const focusName = `(() => { const e = document.activeElement; const text = (of) => of?.textContent.trim();
	return e.getAttribute("aria-label") || text(document.getElementById(e.getAttribute("aria-labelledby"))) || text(e.labels?.[0]) || text(e); })()`

// key presses keys.
func (b *tab) key(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.run(chromedp.KeyEvent(k))
	}
}

// tabTo presses Tab until the focus is on what has that name, which may still be on its
// way from the agent, and sees that the focus shows.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	var passed []string
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		b.key(kb.Tab)
		got := value[string](b, focusName)
		if got == name {
			if outline := value[string](b, "getComputedStyle(document.activeElement).outlineStyle"); outline == "none" {
				b.t.Errorf("the focus on %s does not show", name)
			}
			return
		}
		passed = append(passed, fmt.Sprintf("%.40s", got))
	}
	b.t.Fatalf("Tab does not lead to %q but to %q; the page says:\n%s", name, passed[:min(60, len(passed))], b.text())
}

// focused waits until the focus is on what has that name.
func (b *tab) focused(name string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s === %q", focusName, name))
}

// keyboard does the journey without a pointer.
func (c *chromium) keyboard(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	a, b := startAgent(t), c.tab(t)
	b.open(a.link())
	b.reads("sign in once")
	b.tabTo("Address of your Langflow")
	b.key(s.URL, kb.Enter)
	b.reads("answers there")
	b.key(kb.Enter)
	b.focused("User name")
	b.key(langflowtest.Admin().Name, kb.Tab, langflowtest.Admin().Password, kb.Enter)
	b.says("local", "Signed in as")
	b.focused("local") // its title
	b.tabTo("Use it local")
	b.tabTo("More for local")
	b.key(kb.ArrowDown)
	b.focused("Refresh now")
	b.key(kb.End)
	b.focused("Remove")
	b.key(kb.Escape)
	b.focused("More for local")
	b.key(kb.Enter, kb.ArrowUp, kb.ArrowUp) // from the first to the last but one
	b.focused("Sign out")
	b.key(kb.Enter)
	b.says("local", "Signed out.")
	b.focused("Sign in local")
	b.key(kb.Enter)
	b.focused("Password") // the user name is known
	b.key(kb.Escape)
	b.focused("local")
	remove := func() {
		t.Helper()
		b.tabTo("More for local")
		b.key(kb.Enter, kb.End, kb.Enter)
		b.focused("Keep")
	}
	remove()
	b.key(kb.Escape)
	b.focused("local")
	remove()
	b.run(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift)))
	b.focused("Remove")
	b.key(kb.Enter)
	b.reads("sign in once")
	b.innocent(a)
}

// everywhere uses what the journey leaves out: tabs, dialogs, settings and their undo, the
// search and the rows.
func (c *chromium) everywhere(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	home, _ := toolsHome(t)
	a, b := startAgentWith(t, "", "HOME="+home, "XDG_CONFIG_HOME=", "PATH=", "DISPLAY=:none"), c.tab(t)
	b.look(looks["1280-light"]) // with less motion: axe-core must not look at what is just appearing
	a.add("prod", s)
	b.open(a.link())
	b.says("prod", "Signed in as")

	// Tabs: the arrow keys go round, and Tab leads on into the panel.
	b.tabTo("Use it prod")
	b.key(kb.Enter)
	b.focused("Shell")
	for _, step := range []struct{ key, name string }{
		{kb.ArrowRight, "Python"}, {kb.ArrowLeft, "Shell"}, {kb.ArrowLeft, "URL and token"}, {kb.ArrowRight, "Shell"}, {kb.End, "URL and token"}, {kb.Home, "Shell"},
	} {
		b.key(step.key)
		b.focused(step.name)
		if got := value[[]string](b, `[...document.querySelectorAll("[role=tab][aria-selected=true], [role=tab][tabindex='0']")].map((e) => e.textContent)`); !slices.Equal(got, []string{step.name}) {
			t.Errorf("at %s chosen are %v", step.name, got)
		}
	}
	b.check("tabs")
	b.tabTo("Copy: Ask the server as you")
	b.key(kb.Enter)
	b.focused("Copy: Ask the server as you")
	b.tabTo("Close")
	b.key(kb.Escape)
	b.focused("prod")
	b.tabTo("Use it prod")
	b.key(kb.Enter)
	b.focused("Shell")
	b.key(kb.End)
	b.tabTo("Add an app")
	b.key(kb.Enter)

	// Apps, from there: the profile is chosen. Without a desktop there is the command.
	b.focused("Its name")
	b.key("nightly")
	b.tabTo("get access tokens")
	b.key(" ")
	b.check("an app")
	b.tabTo("Add app")
	b.key(kb.Enter)
	b.reads("No desktop here can show you a code")
	b.until(`document.getElementById("app-made").innerText.includes("langkeep client add nightly --profile prod --scope token --scope run --expires 30d")`)
	b.focused("Add app")
	b.key(kb.Escape)
	b.focused("Add an app")
	b.tabTo("Close")
	b.key(kb.Enter)
	b.focused("prod")
	a.command("client", "add", "editor", "--profile", "prod", "--scope", "run")
	b.tabTo("Apps")
	b.key(kb.Enter)
	b.tabTo("Revoke editor")
	b.key(kb.Enter, kb.Enter)
	b.focused("Done")
	b.reads("No program has a token of its own.")
	b.key(kb.Enter)
	b.focused("Apps")

	// A setting, and its undo.
	b.tabTo("Settings")
	b.key(kb.Enter)
	b.focused("a profile needs me to sign in again")
	b.tabTo("its server is away and the session ends within a day")
	b.key(" ")
	b.reads("Saved.")
	offline := `document.querySelector("[name=offline]").checked`
	if value[bool](b, offline) {
		t.Error("the setting is as before")
	}
	b.check("a setting")
	b.tabTo("Undo: Saved.")
	b.key(kb.Enter)
	b.until(offline)
	b.reads("As it was before.")
	b.until(`document.querySelector("dialog[open]").contains(document.activeElement)`)
	b.key(kb.Escape)
	b.focused("Settings")

	// Rows, and the search.
	owner := a.client()
	defer owner.Close()
	for i := range 8 {
		if _, err := owner.AddProfile(t.Context(), client.NewProfile{Name: fmt.Sprintf("team-%d", i), ServerURL: s.URL}); err != nil {
			t.Fatal(err)
		}
	}
	b.until(`document.querySelectorAll("article.row").length === 9`)
	// A key's press alone, since DevTools types what a page has prevented.
	call(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeRawKeyDown, Key: "/", Code: "Slash"})
	b.focused("Find a profile")
	b.key("team-7")
	b.reads("1 of 9")
	b.check("a search")
	row := card("team-7")
	b.tabTo("Details of team-7")
	b.key(kb.Enter)
	b.until(row + `.querySelector(".long").checkVisibility()`)
	b.focused("Details of team-7")
	b.check("a row")
	b.key(" ")
	b.until("!" + row + `.querySelector(".long").checkVisibility()`)
	b.tabTo("Find a profile")
	b.key(kb.Escape)
	b.until(`document.querySelectorAll("article:not([hidden])").length === 9`)
	b.focused("Find a profile")
	b.tabTo("Details of prod")
	b.key(kb.Enter, kb.Tab) // on to what the row shows by now
	b.focused("Open Langflow of prod in a new tab")
	b.tabTo("More for prod")
	b.key(kb.Enter)
	b.focused("Refresh now")
	b.key(kb.ArrowDown)
	b.focused("Details")
	b.key(kb.Enter)
	b.focused("Close")
	b.key(kb.Escape)
	b.focused("prod")
	b.innocent(a)
}
