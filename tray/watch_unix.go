//go:build !windows && !darwin

package tray

import (
	"context"
	"fmt"
	"time"

	"fyne.io/systray"
	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// trayHost is the bus name of the panel's watcher, by the StatusNotifierItem
// specification.
const trayHost = "org.kde.StatusNotifierWatcher"

const busLimit = 3 * time.Second // for the session bus to answer

// watcher has callbacks about the panel that shows the icon: shown each time there is
// one, absent if there is none at first, gone at the end of the session bus.
type watcher struct{ shown, absent, gone func() }

// watch checks for a session bus, on a connection of its own that never starts one:
// without a bus systray blocks, and then panics at its end.
func watch(w watcher) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), busLimit)
	defer cancel()
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDesktop, err)
	}
	changes := make(chan *dbus.Signal, 16)
	conn.Signal(changes)
	err = conn.AddMatchSignalContext(ctx,
		dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, trayHost),
	)
	var there bool
	if err == nil {
		err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, trayHost).Store(&there)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("%w: the session bus: %w", ErrNoDesktop, err)
	}
	left := make(chan struct{})
	go func() {
		if there {
			w.shown()
		} else {
			w.absent()
		}
		for sig := range changes {
			if len(sig.Body) == 3 && sig.Body[0] == trayHost && sig.Body[2] != "" {
				w.shown()
			}
		}
		select {
		case <-left:
		default:
			w.gone()
		}
	}()
	return func() {
		close(left)
		conn.Close()
	}, nil
}

// prepare sets the menu that systray exports at its start; panels may not see a later
// menu before startTime is over. The title becomes the item's id, by which panels keep
// its place.
func prepare(m menu) {
	systray.SetTitle("langkeep")
	systray.SetTooltip(m.tooltip)
	setIcon(m.icon)
}
