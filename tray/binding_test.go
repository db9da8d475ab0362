//go:build !darwin || cgo

package tray

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/asks"
	"langkeep/agent/clock"
	"langkeep/localapi/client"
)

// panel is a surface that behaves as systray does on Windows, and writes down each call
// that would go wrong there.
type panel struct {
	mu            sync.Mutex // protects the following, and the items
	items         []*panelItem
	wrong         []string
	changes       int
	icon, tooltip string
	open          bool // and it does not say so
}

type panelItem struct {
	panel            *panel
	parent           *panelItem
	title            string
	disabled, hidden bool
	checked          bool
	clicked          func()
}

func (p *panel) add(parent item, title string, _ bool, clicked func()) item {
	p.mu.Lock()
	defer p.mu.Unlock()
	above, _ := parent.(*panelItem)
	i := &panelItem{panel: p, parent: above, title: title, clicked: clicked}
	p.items = append(p.items, i)
	i.seen("add")
	return i
}

func (p *panel) separator() {}

func (p *panel) isOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

func (p *panel) setOpen(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = open
}

func (p *panel) setIcon(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.icon = name
}

func (p *panel) setTooltip(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tooltip = s
}

// seen is called with mu held: a call that the item must be in the menu for.
func (i *panelItem) seen(call string) {
	i.panel.changes++
	for at := i; at != nil; at = at.parent {
		if at.hidden {
			i.panel.wrong = append(i.panel.wrong, fmt.Sprintf("%s %q while %q is hidden", call, i.title, at.title))
		}
	}
}

func (i *panelItem) change(call string, make func()) {
	i.panel.mu.Lock()
	defer i.panel.mu.Unlock()
	if call == "show" && i.hidden {
		i.hidden = false
	}
	i.seen(call)
	make()
}

func (i *panelItem) SetTitle(s string) { i.change("retitle", func() { i.title = s }) }
func (i *panelItem) Enable()           { i.change("enable", func() { i.disabled = false }) }
func (i *panelItem) Disable()          { i.change("disable", func() { i.disabled = true }) }
func (i *panelItem) Check()            { i.change("check", func() { i.checked = true }) }
func (i *panelItem) Uncheck()          { i.change("uncheck", func() { i.checked = false }) }
func (i *panelItem) Show()             { i.change("show", func() {}) }
func (i *panelItem) Hide()             { i.change("hide", func() { i.hidden = true }) }

// text is the menu as a person sees it, in the form of text(menu).
func (p *panel) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s\n", p.icon, p.tooltip)
	p.write(&b, nil, "")
	return b.String()
}

// lines is it without the icon and the tooltip.
func (p *panel) lines() string {
	_, lines, _ := strings.Cut(p.text(), "\n")
	return lines
}

func (p *panel) write(b *strings.Builder, parent *panelItem, indent string) {
	for _, i := range p.items {
		if i.parent != parent || i.hidden {
			continue
		}
		b.WriteString(indent + i.title)
		if i.disabled {
			b.WriteString(" (off)")
		}
		if i.checked {
			b.WriteString(" ✓")
		}
		b.WriteString("\n")
		p.write(b, i, indent+"  ")
	}
}

// item is the item of that title that a person can see.
func (p *panel) item(title string) *panelItem {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.items {
		if i.title == title && !i.hidden && (i.parent == nil || !i.parent.hidden) {
			return i
		}
	}
	return nil
}

// On Windows an item that is hidden must be left alone, and its submenu too.
func TestNothingIsDoneToWhatIsHidden(t *testing.T) {
	var profiles []client.Profile
	can := Actions{OpenPage: func(string) error { return nil }}
	p := &panel{}
	b := newBinding(Config{Profiles: func() []client.Profile { return profiles }, Questions: noQuestions, Code: noCode, Clock: clock.System(), Actions: can}, nil, nil)
	b.surface = p
	b.build()
	many := func(n int) (all []client.Profile) {
		for i := range n {
			all = append(all, of(fmt.Sprintf("p%02d", i), []client.State{client.Fresh, client.SignedOut, client.Stale, client.SignInRequired}[i%4]))
		}
		return all
	}
	for i, now := range [][]client.Profile{
		nil, {of("a", client.SignedOut)}, {of("a", client.Fresh)}, {of("a", client.KeychainLocked), of("b", client.Fresh)},
		many(14), {of("b", client.Stale)}, many(80), nil, many(13), many(3),
	} {
		profiles = now
		m := b.compose()
		b.show(m)
		if got, want := p.text(), text(m); got != want {
			t.Errorf("step %d shows\n%s\nwant\n%s", i, got, want)
		}
	}
	for _, wrong := range p.wrong {
		t.Error(wrong)
	}
}

// trial runs a tray on a panel, in a bubble of its own time.
func trial(t *testing.T, actions Actions, do func(b *binding, p *panel, set func(client.State))) {
	synctest.Test(t, func(t *testing.T) {
		stopped, changed := make(chan struct{}), make(chan struct{}, 1)
		var state atomic.Value
		state.Store(client.SignedOut)
		p := &panel{}
		b := newBinding(Config{
			Questions: noQuestions, Code: noCode,
			Profiles: func() []client.Profile { return []client.Profile{of("prod", state.Load().(client.State))} },
			Changes:  changed, Clock: clock.System(), Actions: actions, Log: slog.New(slog.DiscardHandler),
		}, stopped, nil)
		b.surface = p
		b.build()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.loop()
		}()
		do(b, p, func(s client.State) {
			state.Store(s)
			changed <- struct{}{}
			synctest.Wait()
		})
		close(stopped)
		<-ended
	})
}

// In a menu that is open nothing moves, whatever happens; the icon tells it.
func TestAnOpenMenuHoldsStill(t *testing.T) {
	trial(t, Actions{}, func(b *binding, p *panel, set func(client.State)) {
		b.tell(opened)
		b.tell(asked) // as panels that say both do
		before := p.lines()
		set(client.Stale)
		time.Sleep(4 * refreshEvery)
		synctest.Wait()
		if got := p.lines(); got != before {
			t.Errorf("the open menu became\n%s\nfrom\n%s", got, before)
		}
		if p.icon != iconOffline {
			t.Errorf("the icon is %s", p.icon)
		}
		b.tell(closed)
		time.Sleep(closedFor + 1)
		synctest.Wait()
		if got := p.lines(); got == before {
			t.Error("the closed menu stays as it was")
		}

		// A panel that says that a menu opens, and not that it closes.
		b.tell(asked)
		before = p.lines()
		set(client.SignedOut)
		if got := p.lines(); got != before {
			t.Errorf("the menu that may be open became\n%s\nfrom\n%s", got, before)
		}
		for i, again := range []menuState{asked, opened} { // so it was closed
			if b.tell(again); p.lines() == before {
				t.Errorf("a menu that opens again, %d, stays as it was", again)
			}
			b.tell(closed)
			time.Sleep(closedFor + 1)
			b.tell(asked)
			before = p.lines()
			set([]client.State{client.Stale, client.SignedOut}[i])
		}
		time.Sleep(askedLimit + 1)
		synctest.Wait()
		if got := p.lines(); got == before {
			t.Error("a menu that may be closed for long stays as it was")
		}

		// A panel that ends while its menu is open.
		before = p.lines()
		b.tell(opened)
		set(client.Stale)
		time.Sleep(openLimit + 1)
		synctest.Wait()
		if got := p.lines(); got == before {
			t.Error("a menu whose end nobody tells stays as it was")
		}

		// Windows, which tells nothing by itself.
		before = p.lines()
		p.setOpen(true)
		set(client.SignedOut)
		time.Sleep(4 * refreshEvery)
		synctest.Wait()
		if got := p.lines(); got != before {
			t.Errorf("the menu that is open on Windows became\n%s\nfrom\n%s", got, before)
		}
		p.setOpen(false)
		time.Sleep(closedFor + 1)
		synctest.Wait()
		if got := p.lines(); got == before {
			t.Error("the menu that was open on Windows stays as it was")
		}
	})
}

// A check mark shows what a click has done, so that the next click undoes it.
func TestACheckMarkFollowsItsClick(t *testing.T) {
	on := false
	var set []bool
	actions := Actions{StartsAtLogin: func() bool { return on }, StartAtLogin: func(want bool) error {
		on = want
		set = append(set, want)
		return nil
	}}
	trial(t, actions, func(b *binding, p *panel, _ func(client.State)) {
		for i := range 2 {
			b.tell(opened)
			p.item("Start at login").clicked()
			time.Sleep(closedFor + 1)
			synctest.Wait()
			if got := p.item("Start at login").checked; got != (i == 0) {
				t.Errorf("after %d clicks the check mark is %v", i+1, got)
			}
		}
		if fmt.Sprint(set) != "[true false]" {
			t.Errorf("it was set to %v", set)
		}
	})
}

func noQuestions() []asks.Question { return nil }

func noCode() string { return "" }
