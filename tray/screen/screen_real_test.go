//go:build real && linux

package screen

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/keychain/keychaintest"
)

// service stands in for a screen saver and for logind: it answers whether the screen is
// locked.
type service struct{ locked atomic.Bool }

func (s *service) GetActive() (bool, *dbus.Error) { return s.locked.Load(), nil }

func (s *service) GetSession(string) (dbus.ObjectPath, *dbus.Error) {
	return "/org/freedesktop/login1/session/_31", nil
}

func (s *service) Get(_, _ string) (dbus.Variant, *dbus.Error) {
	return dbus.MakeVariant(s.locked.Load()), nil
}

// join connects to a bus.
func join(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func own(t *testing.T, conn *dbus.Conn, name string) {
	t.Helper()
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(name, reply, err)
	}
}

func TestWatch(t *testing.T) {
	session, system := keychaintest.StartBus(t), keychaintest.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", session.Address())
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", system.Address())

	logins := join(t, system.Address())
	var hint service
	for path, iface := range map[dbus.ObjectPath]string{
		"/org/freedesktop/login1": logind + ".Manager", "/org/freedesktop/login1/session/_31": "org.freedesktop.DBus.Properties",
	} {
		if err := logins.Export(&hint, path, iface); err != nil {
			t.Fatal(err)
		}
	}
	own(t, logins, logind)

	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan bool, 8)
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, func(locked bool) { told <- locked }) }()
	wants := func(locked bool, when string) {
		t.Helper()
		select {
		case got := <-told:
			if got != locked {
				t.Errorf("%s: locked is %v", when, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing is told", when)
		}
	}
	wants(false, "at first")

	saver := join(t, session.Address())
	var gnome service
	if err := saver.Export(&gnome, savers["org.gnome.ScreenSaver"], "org.gnome.ScreenSaver"); err != nil {
		t.Fatal(err)
	}
	gnome.locked.Store(true)
	own(t, saver, "org.gnome.ScreenSaver")
	wants(true, "when a locked one comes")
	active := func(by *dbus.Conn, on bool) {
		t.Helper()
		if err := by.Emit(savers["org.gnome.ScreenSaver"], "org.gnome.ScreenSaver.ActiveChanged", on); err != nil {
			t.Fatal(err)
		}
	}
	active(join(t, session.Address()), false) // a stranger's word
	gnome.locked.Store(false)
	active(saver, false)
	wants(false, "when it is unlocked")
	if len(told) != 0 {
		t.Error("a stranger's signal is believed")
	}

	hint.locked.Store(true)
	if err := logins.Emit("/org/freedesktop/login1/session/_31", "org.freedesktop.DBus.Properties.PropertiesChanged",
		logind+".Session", map[string]dbus.Variant{"LockedHint": dbus.MakeVariant(true)}, []string{}); err != nil {
		t.Fatal(err)
	}
	wants(true, "by logind's hint")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
}
