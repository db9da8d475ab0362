//go:build real && linux

package localapi_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// many has one profile, then 8 and 50: rows that open, and a search.
func (c *chromium) many(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	ended := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(ended.Close)
	a, b := startAgent(t), c.tab(t)
	owner := a.client()
	defer owner.Close()
	a.add("prod", s)
	b.open(a.link())
	b.says("prod", "Signed in as")
	b.shots("one")
	// A card was 268 pixels high.
	if height := value[float64](b, card("prod")+".offsetHeight"); height > 178 {
		t.Errorf("a card is %v pixels high", height)
	}
	if n := value[int](b, card("prod")+`.querySelectorAll(".head .actions > *").length`); n != 3 {
		t.Errorf("a card has %d actions, want one, Use it and a menu", n)
	}

	a.add("zebra", ended)
	ended.RotateSecret()
	if _, err := owner.Refresh(t.Context(), "zebra"); err == nil {
		t.Error("zebra is refreshed")
	}
	b.says("zebra", "The server ended this session")
	add := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			name := fmt.Sprintf("team-%02d", i)
			if i%5 != 0 {
				a.add(name, s)
				continue
			}
			if _, err := owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: s.URL}); err != nil {
				t.Fatal(err)
			}
		}
		b.until(fmt.Sprintf(`document.querySelectorAll("article").length === %d`, to+2))
	}
	add(0, 6)
	b.shots("eight")
	add(6, 48)
	b.shots("fifty")

	names := `[...document.querySelectorAll("article:not([hidden]) h2")].map((e) => e.textContent)`
	order := value[[]string](b, names)
	if order[0] != "zebra" || order[1] != "prod" || order[49] != "team-45" {
		t.Errorf("the order is %v", order)
	}
	if height := value[float64](b, "document.documentElement.scrollHeight"); height > 4000 {
		t.Errorf("50 profiles are %v pixels high", height)
	}
	b.reads("zebra needs you.")
	// A row opens by its button, and closes.
	row := card("team-02")
	b.until("!" + row + `.querySelector(".long").checkVisibility()`)
	b.script(row + `.querySelector(".toggle").click()`)
	b.until(row + `.querySelector(".long").checkVisibility() && ` + row + `.querySelector(".toggle").getAttribute("aria-expanded") === "true"`)
	b.script(row + `.querySelector(".toggle").click()`)
	b.until("!" + row + `.querySelector(".long").checkVisibility()`)

	// The slash leads to the search, Escape ends it. A key's event alone, since DevTools
	// types what a page has prevented.
	b.script(`document.activeElement.blur()`)
	b.script(`document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true }))`)
	b.until(`document.activeElement.id === "search"`)
	b.run(chromedp.KeyEvent("team-1"))
	b.until(names + `.length === 10`)
	b.reads("10 of 50")
	b.shots("found")
	b.run(chromedp.KeyEvent(" not signed"))
	b.until(names + `.join() === "team-10,team-15"`)
	b.run(chromedp.KeyEvent(kb.Escape))
	b.until(names + `.length === 50`)
	b.innocent(a)
}
