//go:build cgo || !darwin

package tray

import (
	"context"
	"log"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	"fyne.io/systray"

	"langkeep/assets"
	"langkeep/localapi/client"
)

const (
	refreshEvery = 15 * time.Second // for the times left; the menu is also made anew when it opens
	exitLimit    = 4 * time.Second  // Windows ends a program 5 s after it was told that the session ends
)

// Run shows the tray until stopped is closed. It must be called on main's goroutine, at
// most once in a process. Without a desktop it returns ErrNoDesktop at once. If the
// desktop goes away later Run says so once, and goes on.
//
// When the desktop session ends Run calls Actions.Quit, and delays the session's end
// until stopped is closed.
func Run(c Config, stopped <-chan struct{}) error {
	gone := make(chan struct{})
	shown := sync.OnceFunc(func() {
		if c.Shown != nil {
			c.Shown()
		}
	})
	leave, err := watch(watcher{
		shown: shown,
		absent: func() {
			c.Say("no tray on this desktop yet: the icon shows when there is one")
		},
		gone: func() { close(gone) },
	})
	if err != nil {
		return err
	}
	defer leave()
	// Send systray's messages to the log, not to people.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(c.Log.Handler(), slog.LevelInfo).Writer())
	t := &binding{Config: c, clicks: make(chan click), stopped: stopped, gone: gone}
	prepare(t.compose())
	begun, endLoop := make(chan struct{}), loopEnder()
	go func() {
		<-stopped
		select {
		case <-begun: // Quit ends it, below
		default:
			endLoop()
		}
	}()
	ready := func() {
		close(begun)
		t.build()
		go t.loop()
		go func() {
			<-stopped
			systray.Quit()
		}()
	}
	exit := func() {
		c.Actions.Quit()
		select {
		case <-stopped:
		case <-time.After(exitLimit):
		}
	}
	// Without a connection to the bus Run ends in a nil dereference (v1.12.2); the bus
	// may have gone since watch looked.
	defer func() {
		if r := recover(); r != nil {
			c.Log.Warn("the tray ended", "reason", r)
		}
	}()
	systray.Run(ready, exit)
	return nil
}

// startTime is how long systray takes to start at most: on Linux an icon or
// tooltip that is set during that is lost (v1.12.2).
const startTime = 2 * time.Second

// binding puts menus on the desktop. Everything but build happens in loop.
type binding struct {
	Config
	clicks  chan click
	stopped <-chan struct{}
	gone    <-chan struct{} // closed when the desktop has gone

	icon, tooltip string
	empty         *line
	top, more     []*profileItems
	moreItem      *line
	beyond        *line
	entries       []*line
}

// line is one item of the fixed pool, with its present content. Items are never
// removed, since that races with clicks.
type line struct {
	item *systray.MenuItem
	entry
}

// profileItems are a profile's line and submenu.
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

// build makes the pool.
func (t *binding) build() {
	m := t.compose()
	t.empty = t.add(nil, m.empty, nil)
	for range topProfiles {
		t.top = append(t.top, t.addProfile(nil))
	}
	t.moreItem = t.add(nil, m.moreLine, nil)
	t.beyond = t.add(t.moreItem.item, m.beyond, nil)
	for _, e := range m.entries {
		if e.do == addServer && !e.hidden || e.do == switchLock {
			systray.AddSeparator()
		}
		t.entries = append(t.entries, t.add(nil, e, nil))
	}
	t.show(m)
}

// addProfile adds a line for a profile to a submenu, or to the menu.
func (t *binding) addProfile(parent *systray.MenuItem) *profileItems {
	p := &profileItems{head: t.add(parent, entry{title: "–", hidden: true}, nil)}
	for _, e := range offered(client.Profile{}, offers{}) {
		p.entries = append(p.entries, t.add(p.head.item, e, p))
	}
	return p
}

// add adds one item, and a goroutine that receives its clicks. systray
// drops clicks that come while that one waits for the loop.
func (t *binding) add(parent *systray.MenuItem, e entry, in *profileItems) *line {
	l := &line{entry: e}
	title := label(e.title)
	switch {
	case e.do == switchProxy:
		l.item = parent.AddSubMenuItemCheckbox(title, "", e.checked)
	case parent != nil:
		l.item = parent.AddSubMenuItem(title, "")
	case e.do == startAtLogin, e.do == switchLock:
		l.item = systray.AddMenuItemCheckbox(title, "", e.checked)
	default:
		l.item = systray.AddMenuItem(title, "")
	}
	if e.hidden {
		l.item.Hide()
	}
	if e.disabled {
		l.item.Disable()
	}
	go func() {
		for range l.item.ClickedCh {
			select {
			case t.clicks <- click{l, in}:
			case <-t.stopped:
				return
			}
		}
	}()
	return l
}

// set shows an entry in a line. It changes only differences, since each call is a
// message to the panel.
func (l *line) set(e entry) {
	if e.title != l.title {
		l.item.SetTitle(label(e.title))
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
	if e.hidden != l.hidden {
		if e.hidden {
			l.item.Hide()
		} else {
			l.item.Show()
		}
	}
	l.entry = e
}

func (p *profileItems) set(line profileLine) {
	for i, e := range line.entries {
		p.entries[i].set(e)
	}
	p.name = line.name
	p.head.set(entry{title: line.title})
}

func (p *profileItems) hide() {
	hidden := p.head.entry
	hidden.hidden = true
	p.head.set(hidden)
}

func (t *binding) compose() menu {
	return compose(view{profiles: t.Profiles(), now: t.Clock.Now(), version: t.Version, can: t.Actions.offers()})
}

// show puts a menu on the desktop.
func (t *binding) show(m menu) {
	if m.icon != t.icon {
		setIcon(m.icon)
		t.icon = m.icon
	}
	if m.tooltip != t.tooltip {
		systray.SetTooltip(m.tooltip)
		t.tooltip = m.tooltip
	}
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
	place(m.profiles, t.top)
	for len(t.more) < len(m.more) {
		t.more = append(t.more, t.addProfile(t.moreItem.item))
	}
	place(m.more, t.more)
	t.moreItem.set(m.moreLine)
	t.beyond.set(m.beyond)
	for i, e := range m.entries {
		t.entries[i].set(e)
	}
}

// loop makes every change to the tray, until the agent has stopped.
func (t *binding) loop() {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	again := time.After(startTime)
	for {
		select {
		case <-t.stopped:
			return
		case <-again:
			t.icon, t.tooltip = "", ""
		case <-t.gone:
			t.Log.Warn("the desktop's session bus has gone; going on without the tray")
			t.Say("the desktop has gone: going on without the tray icon")
			return
		case c := <-t.clicks:
			t.click(ctx, c)
			continue
		case <-t.Changes:
		case <-ticker.C:
		case <-systray.TrayOpenedCh:
		}
		t.show(t.compose())
	}
}

func setIcon(name string) {
	icon, template, err := assets.TrayIcon(name)
	if err != nil {
		panic(err) // can't fail: the three files are embedded, and a test reads them
	}
	systray.SetTemplateIcon(template, icon)
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
	}()
}

// label escapes the sign that marks a menu's access key: & on Windows, _ in
// com.canonical.dbusmenu.
func label(title string) string {
	switch runtime.GOOS {
	case "windows":
		return strings.ReplaceAll(title, "&", "&&")
	case "darwin":
		return title
	}
	return strings.ReplaceAll(title, "_", "__")
}
