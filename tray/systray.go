//go:build windows || (darwin && cgo)

package tray

import (
	"log"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"fyne.io/systray"

	"langkeep/assets"
)

const exitLimit = 4 * time.Second // Windows ends a program 5 s after it was told that the session ends

// Run shows the tray until stopped is closed. It must be called on main's goroutine, at
// most once in a process. Without a desktop it returns ErrNoDesktop at once.
//
// When the desktop session ends Run calls Actions.Quit, and delays the session's end
// until stopped is closed.
func Run(c Config, stopped <-chan struct{}) error {
	if c.Shown != nil {
		c.Shown() // these systems always have a tray
	}
	// Send systray's messages to the log, not to people.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(c.Log.Handler(), slog.LevelInfo).Writer())
	t := newBinding(c, stopped, nil)
	endLoop, menuIsOpen := ofLoop()
	t.surface = library{menuIsOpen}
	begun, ended := make(chan struct{}), make(chan struct{})
	go endUnbegun(stopped, begun, ended, endLoop)
	ready := func() {
		close(begun)
		t.build()
		go t.loop()
		go func() {
			for {
				select {
				case <-systray.TrayOpenedCh:
					t.tell(opens)
				case <-stopped:
					systray.Quit()
					return
				}
			}
		}()
	}
	exit := func() {
		c.Actions.Quit()
		select {
		case <-stopped:
		case <-time.After(exitLimit):
		}
	}
	systray.Run(ready, exit)
	close(ended)
	return nil
}

// endUnbegun ends a loop that is stopped before systray has called ready, and returns when
// either has happened. From then on systray.Quit can end it. What is posted to a loop while
// Windows still fails to make its window may be lost (seen on Wine 8), so it is posted again.
func endUnbegun(stopped, begun, ended <-chan struct{}, endLoop func()) {
	<-stopped
	for {
		select {
		case <-begun:
			return
		case <-ended:
			return
		default:
		}
		endLoop()
		select {
		case <-begun:
		case <-ended:
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// library is the surface of systray, which keeps the one tray of the process.
type library struct{ menuIsOpen func() bool }

// add adds an item, and a goroutine that receives its clicks. systray drops clicks that
// come while that one waits.
func (library) add(parent item, title string, box bool, clicked func()) item {
	var added *systray.MenuItem
	above, _ := parent.(libraryItem)
	switch title = label(title); {
	case above.MenuItem != nil && box:
		added = above.AddSubMenuItemCheckbox(title, "", false)
	case above.MenuItem != nil:
		added = above.AddSubMenuItem(title, "")
	case box:
		added = systray.AddMenuItemCheckbox(title, "", false)
	default:
		added = systray.AddMenuItem(title, "")
	}
	go func() {
		for range added.ClickedCh {
			clicked()
		}
	}()
	return libraryItem{added}
}

func (l library) isOpen() bool      { return l.menuIsOpen() }
func (library) separator()          { systray.AddSeparator() }
func (library) setTooltip(s string) { systray.SetTooltip(s) }
func (library) setIcon(name string) {
	icon, template, err := assets.TrayIcon(name)
	if err != nil {
		panic(err) // can't fail: the three files are embedded, and a test reads them
	}
	systray.SetTemplateIcon(template, icon)
}

// libraryItem is an item of systray's menu.
type libraryItem struct{ *systray.MenuItem }

func (i libraryItem) SetTitle(title string) { i.MenuItem.SetTitle(label(title)) }

// label escapes the sign that marks a menu's access key on Windows.
func label(title string) string {
	if runtime.GOOS == "windows" {
		return strings.ReplaceAll(title, "&", "&&")
	}
	return title
}
