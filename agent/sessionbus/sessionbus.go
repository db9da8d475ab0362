//go:build !windows && !darwin

// Package sessionbus joins the desktop's session bus, where there is one.
package sessionbus

import (
	"context"
	"errors"
	"fmt"

	"github.com/godbus/dbus/v5"
)

// ErrNone means that there is no session bus.
var ErrNone = errors.New("no session bus")

// Connect makes a connection of the caller's own, who closes it; it closes with
// ctx only until it is made. It never starts a bus: one that nobody else is on
// has no tray, no notifications and an empty keychain.
func Connect(ctx context.Context) (*dbus.Conn, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(life))
	if err != nil {
		end()
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	stop := context.AfterFunc(ctx, end)
	err = conn.Auth(nil)
	if err == nil {
		err = conn.Hello()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		end()
		conn.Close()
		return nil, fmt.Errorf("join the session bus: %w", err)
	}
	return conn, nil
}
