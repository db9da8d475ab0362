//go:build !windows && !darwin

package doctor

import (
	"context"
	"slices"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// Desktop are the checks of the tray, notifications and the clipboard, which clipboard
// looks for.
func Desktop(clipboard func() error) []Check {
	checks := desktopChecks(func(ctx context.Context) (bus, error) {
		conn, err := sessionbus.Connect(ctx)
		if err != nil {
			return nil, err
		}
		return realBus{conn}, nil
	})
	return append(checks, Clipboard(clipboard))
}

type realBus struct{ conn *dbus.Conn }

func (b realBus) close() { _ = b.conn.Close() } // nothing was written that could be lost

func (b realBus) owned(ctx context.Context, name string) (owned bool, err error) {
	err = b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned)
	return owned, err
}

func (b realBus) startable(ctx context.Context, name string) (bool, error) {
	var names []string
	err := b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.ListActivatableNames", 0).Store(&names)
	return slices.Contains(names, name), err
}

func (b realBus) trayHost(ctx context.Context) (registered bool, err error) {
	var v dbus.Variant
	err = b.conn.Object(watcherName, "/StatusNotifierWatcher").CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get",
		dbus.FlagNoAutoStart, watcherName, "IsStatusNotifierHostRegistered").Store(&v)
	if err == nil {
		err = v.Store(&registered)
	}
	return registered, err
}
