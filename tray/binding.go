package tray

import (
	"context"
	"time"

	"langkeep/agent/asks"
	"langkeep/localapi/client"
)

const (
	refreshEvery = 15 * time.Second       // for the times left; the menu is also made anew when it opens
	closedFor    = 300 * time.Millisecond // from the end of an open menu to changes, since the click may come after it
	openLimit    = 2 * time.Minute        // for a panel that ends with its menu open
	askedLimit   = 30 * time.Second       // for a panel that tells of no end; each menu that opens is made anew there
)

// surface is the desktop's side of the tray: its icon, and a menu to which items are
// added and never removed, since a removal races with clicks.
type surface interface {
	// add adds an item to a submenu, or with nil to the menu. It shows at once, and box
	// tells whether it can have a check mark.
	add(parent item, title string, box bool, clicked func()) item
	separator()
	setIcon(name string)
	setTooltip(string)
	// isOpen tells whether the menu is open, where the desktop tells neither its beginning
	// nor its end.
	isOpen() bool
}

// item is one line of the desktop's menu. On Windows (systray v1.12.2) every method but
// Hide puts an item that is hidden back into the menu, none works while the line that its
// submenu hangs on has never been shown, and Hide fails for an item that is hidden.
type item interface {
	SetTitle(string)
	Enable()
	Disable()
	Check()
	Uncheck()
	Show()
	Hide()
}

// menuEvent is an event of the whole menu. seen is closed when the menu is as it should be.
type menuEvent struct {
	now  menuState
	seen chan struct{}
}

type menuState int

const (
	opens  menuState = iota // it opens now; the surface's isOpen knows the rest
	asked                   // it opens in a moment; its end may not be told, as waybar doesn't
	opened                  // it opens now, and its end is told
	closed
)

// tell tells loop of an event, and waits until it is seen.
func (t *binding) tell(now menuState) {
	e := menuEvent{now, make(chan struct{})}
	select {
	case t.events <- e:
		<-e.seen
	case <-t.stopped:
	case <-t.gone:
	}
}

func newBinding(c Config, stopped, gone <-chan struct{}) *binding {
	return &binding{
		Config: c, clicks: make(chan click), events: make(chan menuEvent), acted: make(chan struct{}),
		stopped: stopped, gone: gone,
	}
}

// binding puts menus on the desktop. Everything but build happens in loop.
type binding struct {
	Config
	clicks  chan click
	events  chan menuEvent
	acted   chan struct{} // receives after a click's action
	stopped <-chan struct{}
	gone    <-chan struct{} // closed when the desktop has gone

	surface       surface
	icon, tooltip string
	code          *line
	questions     []*profileItems
	empty         *line
	top, more     []*profileItems
	moreItem      *line
	beyond        *line
	entries       []*line
}

// line is one item of the fixed pool. While it is hidden it keeps the content with which
// it was last seen.
type line struct {
	item item
	entry
}

// profileItems are the line and submenu of a profile, or of a question, whose name is its
// id.
type profileItems struct {
	name    string
	head    *line
	entries []*line
}

// click is a click on an item. in is the profile's items that the item belongs to, nil
// for none.
type click struct {
	line *line
	in   *profileItems
}

// build makes the pool. Each head gets its lines before it is hidden.
func (t *binding) build() {
	m := t.compose()
	t.code = t.add(nil, m.code, nil)
	for range topQuestions {
		t.questions = append(t.questions, t.addHead(nil, answers(asks.Question{})))
	}
	t.empty = t.add(nil, m.empty, nil)
	for range topProfiles {
		t.top = append(t.top, t.addProfile(nil))
	}
	t.moreItem = t.add(nil, entry{title: m.moreLine.title}, nil)
	t.beyond = t.add(t.moreItem.item, m.beyond, nil)
	t.moreItem.set(m.moreLine)
	for _, e := range m.entries {
		if e.do == newProfile && !e.hidden || e.do == switchLock {
			t.surface.separator()
		}
		t.entries = append(t.entries, t.add(nil, e, nil))
	}
	t.show(m)
}

// addProfile adds a line for a profile to a submenu, or to the menu.
func (t *binding) addProfile(parent item) *profileItems {
	return t.addHead(parent, offered(client.Profile{}, offers{}))
}

// addHead adds a hidden line with a submenu.
func (t *binding) addHead(parent item, below []entry) *profileItems {
	p := &profileItems{head: t.add(parent, entry{title: "–"}, nil)}
	for _, e := range below {
		p.entries = append(p.entries, t.add(p.head.item, e, p))
	}
	p.hide()
	return p
}

// add adds one item.
func (t *binding) add(parent item, e entry, in *profileItems) *line {
	l := &line{entry: entry{title: e.title}}
	l.item = t.surface.add(parent, e.title, box(e.do), func() {
		select {
		case t.clicks <- click{l, in}:
		case <-t.stopped:
		}
	})
	l.change(e)
	l.set(e)
	return l
}

// box tells whether entries of a verb can have a check mark.
func box(do verb) bool { return do == switchProxy || do == switchLock || do == startAtLogin }

// set shows an entry in a line, or hides the line.
func (l *line) set(e entry) {
	if e.hidden {
		if !l.hidden {
			l.item.Hide()
			l.hidden = true
		}
		return
	}
	if l.hidden {
		l.item.Show()
	}
	l.change(e)
}

// change changes an item that shows. It changes only differences, since each call is a
// message to the panel.
func (l *line) change(e entry) {
	if e.title != l.title {
		l.item.SetTitle(e.title)
	}
	if e.disabled != l.disabled {
		if e.disabled {
			l.item.Disable()
		} else {
			l.item.Enable()
		}
	}
	if e.checked != l.checked {
		if e.checked {
			l.item.Check()
		} else {
			l.item.Uncheck()
		}
	}
	e.hidden = false
	l.entry = e
}

// set shows a profile: the head first, since an item of a hidden submenu can't be changed.
func (p *profileItems) set(line profileLine) {
	p.name = line.name
	p.head.set(entry{title: line.title})
	for i, e := range line.entries {
		p.entries[i].set(e)
	}
}

func (p *profileItems) hide() { p.head.set(entry{hidden: true}) }

func (t *binding) compose() menu {
	return compose(view{profiles: t.Profiles(), questions: t.Questions(), code: t.Code(), now: t.Clock.Now(), version: t.Version, can: t.Actions.offers()})
}

// show puts a menu on the desktop.
func (t *binding) show(m menu) {
	t.showIcon(m)
	t.code.set(m.code)
	t.empty.set(m.empty)
	place := func(lines []profileLine, items []*profileItems) {
		for i, p := range items {
			if i < len(lines) {
				p.set(lines[i])
			} else {
				p.hide()
			}
		}
	}
	place(m.questions, t.questions)
	place(m.profiles, t.top)
	t.moreItem.set(m.moreLine)
	if !m.moreLine.hidden {
		for len(t.more) < len(m.more) {
			t.more = append(t.more, t.addProfile(t.moreItem.item))
		}
		place(m.more, t.more)
		t.beyond.set(m.beyond)
	}
	for i, e := range m.entries {
		t.entries[i].set(e)
	}
}

func (t *binding) showIcon(m menu) {
	if m.icon != t.icon {
		t.surface.setIcon(m.icon)
		t.icon = m.icon
	}
	if m.tooltip != t.tooltip {
		t.surface.setTooltip(m.tooltip)
		t.tooltip = m.tooltip
	}
}

// loop makes every change to the tray, until the agent has stopped or the desktop has gone.
// Nothing in the menu changes while it is open, since lines that move under the pointer are
// clicked in error; the icon does.
func (t *binding) loop() {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	state := closed
	var still <-chan time.Time // nil: the menu may change
	for {
		select {
		case <-t.stopped:
			return
		case <-t.gone:
			t.Log.Warn("the desktop's session bus has gone; going on without the tray")
			t.Say("the desktop has gone: going on without the tray icon")
			return
		case c := <-t.clicks:
			t.click(ctx, c)
			if state != closed { // some panels don't say that a click has closed the menu
				state, still = closed, time.After(closedFor)
			}
			continue
		case e := <-t.events:
			if e.now != closed && state != opened {
				t.show(t.compose())
			}
			switch {
			case e.now == closed && state != closed:
				state, still = closed, time.After(closedFor)
			case e.now == asked && state != opened:
				state, still = asked, time.After(askedLimit)
			case e.now == opened:
				state, still = opened, time.After(openLimit)
			}
			close(e.seen)
			continue
		case <-still:
			state, still = closed, nil
		case <-t.acted:
		case <-t.Changes:
		case <-ticker.C:
		}
		if still == nil && t.surface.isOpen() {
			still = time.After(closedFor) // to look again
		}
		if still == nil {
			t.show(t.compose())
		} else {
			t.showIcon(t.compose())
		}
	}
}

func (t *binding) click(ctx context.Context, c click) {
	p := client.Profile{}
	if c.in != nil {
		p.Name = c.in.name
		for _, known := range t.Profiles() {
			if known.Name == p.Name {
				p = known
			}
		}
	}
	e := c.line.entry
	go func() {
		if err := t.Actions.act(ctx, e, p); err != nil {
			t.Log.Warn("a click in the tray's menu failed", "entry", e.title, "profile", p.Name, "error", err)
		}
		select { // a check mark shows what the click has done
		case t.acted <- struct{}{}:
		case <-ctx.Done():
		}
	}()
}
