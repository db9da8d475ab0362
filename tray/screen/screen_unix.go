//go:build !windows && !darwin

// Package screen tells whether the desktop's screen is locked.
package screen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// savers are the services that lock a desktop's screen, with the object of each. All have
// GetActive, and the signal ActiveChanged: KDE and others by the freedesktop Idle
// Inhibition Service, the rest by GNOME's example.
var savers = map[string]dbus.ObjectPath{
	"org.freedesktop.ScreenSaver": "/org/freedesktop/ScreenSaver",
	"org.gnome.ScreenSaver":       "/org/gnome/ScreenSaver",
	"org.cinnamon.ScreenSaver":    "/org/cinnamon/ScreenSaver",
	"org.mate.ScreenSaver":        "/org/mate/ScreenSaver",
	"org.xfce.ScreenSaver":        "/org/xfce/ScreenSaver",
}

const (
	busLimit = 3 * time.Second // for a service to answer
	logind   = "org.freedesktop.login1"
)

// Watch tells at first, and after each change, whether the screen is locked, until ctx
// ends or the session bus does. It asks the services on the session bus, and logind's
// LockedHint where there is a system bus; a signal only makes it ask, since any program
// can send one.
func Watch(ctx context.Context, tell func(locked bool)) error {
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	w := &watch{session: conn}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	for name := range savers {
		if err := errors.Join(
			conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(name), dbus.WithMatchMember("ActiveChanged")),
			conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)),
		); err != nil {
			return fmt.Errorf("watch the screen's lock: %w", err)
		}
	}
	hints := make(chan *dbus.Signal, 16)
	if system, err := dbus.ConnectSystemBus(); err == nil { // boxes without one have no logind
		defer system.Close()
		system.Signal(hints)
		w.hint(ctx, system)
	}
	for told, was := false, false; ; {
		if now := w.locked(ctx); !told || now != was {
			told, was = true, now
			tell(now)
		}
		select {
		case _, ok := <-signals:
			if !ok {
				return sessionbus.ErrNone
			}
		case _, ok := <-hints:
			if !ok {
				hints = nil // the system bus has gone
			}
		case <-ctx.Done():
			return nil
		}
	}
}

type watch struct {
	session *dbus.Conn
	logind  dbus.BusObject // this session; nil: none
}

// hint finds logind's session, and watches its properties.
func (w *watch) hint(ctx context.Context, system *dbus.Conn) {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	var path dbus.ObjectPath
	if system.Object(logind, "/org/freedesktop/login1").CallWithContext(ctx, logind+".Manager.GetSession", 0, "auto").Store(&path) != nil {
		return // no logind, or none that knows this session
	}
	if system.AddMatchSignalContext(ctx, dbus.WithMatchSender(logind), dbus.WithMatchObjectPath(path), dbus.WithMatchMember("PropertiesChanged")) == nil {
		w.logind = system.Object(logind, path)
	}
}

// locked asks all that know.
func (w *watch) locked(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	for name, path := range savers {
		var active bool
		// Only one that runs: a call would start others.
		err := w.session.Object(name, path).CallWithContext(ctx, name+".GetActive", dbus.FlagNoAutoStart).Store(&active)
		if err == nil && active {
			return true
		}
	}
	if w.logind == nil {
		return false
	}
	var hint bool
	err := w.logind.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, logind+".Session", "LockedHint").Store(&hint)
	return err == nil && hint
}
