//go:build !windows && !darwin

package tray

import (
	"context"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// trayHost is the bus name of the panel's watcher, by the StatusNotifierItem
// specification.
const trayHost = "org.kde.StatusNotifierWatcher"

const busLimit = 3 * time.Second // for the session bus to answer

// join joins the session bus with a connection that the caller closes, and never starts a
// bus. there tells whether a panel shows tray icons; changes has the comings and goings of
// panels, and is closed when the bus goes.
func join() (conn *dbus.Conn, changes chan *dbus.Signal, there bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), busLimit)
	defer cancel()
	conn, err = sessionbus.Connect(ctx)
	if err != nil {
		return nil, nil, false, fmt.Errorf("%w: %w", ErrNoDesktop, err)
	}
	changes = make(chan *dbus.Signal, 16)
	conn.Signal(changes)
	err = conn.AddMatchSignalContext(ctx,
		dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"),
		dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, trayHost),
	)
	if err == nil {
		err = conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, trayHost).Store(&there)
	}
	if err != nil {
		conn.Close()
		return nil, nil, false, fmt.Errorf("%w: the session bus: %w", ErrNoDesktop, err)
	}
	return conn, changes, there, nil
}
