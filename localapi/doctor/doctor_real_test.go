//go:build real && linux

package doctor

import (
	"log/slog"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"

	"langkeep/agent/keychain"
	"langkeep/agent/keychain/keychaintest"
)

func realKeychain(t *testing.T) Check {
	t.Helper()
	store := keychain.NewOS("langkeep", slog.New(slog.DiscardHandler))
	t.Cleanup(func() { store.Close() })
	return Keychain(store)
}

func TestRealKeychain(t *testing.T) {
	session := keychaintest.Start(t)
	session.Enter(t)
	check := realKeychain(t)
	for range 2 {
		f := look(t, check)
		t.Log(f.Found)
		wants(t, "open", f, OK, "900 bytes was written to the keychain")
	}
	session.Lock()
	wants(t, "locked", look(t, check), Failed, "locked")
	session.Unlock()
	wants(t, "unlocked", look(t, check), OK, "")
	session.StopDaemon()
	wants(t, "gone", look(t, check), Failed, "no keychain")
	if n := session.Prompts(); n > 0 {
		t.Errorf("%d prompts", n)
	}
}

func TestRealDesktop(t *testing.T) {
	session := keychaintest.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", session.Address())
	desktop := Desktop(func() error { return nil })
	bus, tray, notifications := desktop[0], desktop[1], desktop[2]
	wants(t, "bus", look(t, bus), OK, "answers")
	wants(t, "no panel", look(t, tray), Warning, "shows no tray icons")
	wants(t, "no daemon", look(t, notifications), Warning, "No program")

	conn, err := dbus.Connect(session.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	properties, err := prop.Export(conn, "/StatusNotifierWatcher", prop.Map{
		watcherName: {"IsStatusNotifierHostRegistered": {Value: false, Writable: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{watcherName, notificationsName} {
		if _, err := conn.RequestName(name, 0); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, "no host", look(t, tray), Warning, "no panel")
	wants(t, "a daemon", look(t, notifications), OK, "shows notifications")
	properties.SetMust(watcherName, "IsStatusNotifierHostRegistered", true)
	wants(t, "a host", look(t, tray), OK, "shows tray icons")

	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	wants(t, "no bus", look(t, bus), Warning, "no session bus")
	wants(t, "no bus for the tray", look(t, tray), Warning, "no session bus")
}
