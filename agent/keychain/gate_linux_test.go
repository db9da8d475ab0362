package keychain

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus/bustest"
)

// askingBus is a bus with a Secret Service that asks before it unlocks, if it is locked, or
// else before it keeps an item. It has none yet. asked runs when its question is on the
// screen.
func askingBus(t *testing.T, dir string, locked bool, asked func(*bustest.Bus)) *bustest.Bus {
	const prompt = secretsPath + "/prompt"
	bus := bustest.Serve(t, dir, func(service, method string, args []any) []any {
		switch {
		case service != secretsName:
			return nil
		case method == "org.freedesktop.DBus.Properties.Get" && args[1] == "Locked":
			return []any{dbus.MakeVariant(locked)}
		case method == "org.freedesktop.DBus.Properties.Get":
			return []any{dbus.MakeVariant([]dbus.ObjectPath{loginCollection})}
		case method == serviceInterface+".OpenSession":
			return []any{dbus.MakeVariant(""), secretsPath + "/session"}
		case method == serviceInterface+".Unlock" && locked:
			return []any{[]dbus.ObjectPath{}, prompt}
		case method == serviceInterface+".Unlock":
			return []any{args[0], noObject}
		case method == collectionIface+".SearchItems":
			return []any{[]dbus.ObjectPath{}}
		case method == collectionIface+".CreateItem":
			return []any{noObject, prompt}
		}
		return []any{}
	})
	bus.Sent = func(method string) {
		if method == promptInterface+".Prompt" {
			asked(bus)
		}
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", bus.Address)
	return bus
}

// busDir is short enough for a socket in it.
func busDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// The session bus may end while the keychain's question is on the screen, and come back.
// go-keyring panics then.
func TestBusEndsWhileAsking(t *testing.T) {
	dir := busDir(t)
	askingBus(t, dir, false, (*bustest.Bus).End)
	s := NewOS("langkeep", slog.New(slog.DiscardHandler))
	defer s.Close()
	err := s.Set(t.Context(), account, everything)
	if !errors.Is(err, ErrFailing) || !strings.Contains(err.Error(), "cut off in the middle") {
		t.Errorf("the call in flight: %v", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("without a bus: %v", err)
	}
	askingBus(t, dir, false, nil)
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("when it is there again: %v", err)
	}
}

// The bus or the keychain's program may end while it asks for its password: nobody waits
// for an answer that can't come.
func TestEndWhileUnlocking(t *testing.T) {
	for name, end := range map[string]func(*bustest.Bus){
		"the program": func(b *bustest.Bus) { b.Signal("NameOwnerChanged", secretsName, ":1.7", "") },
		"the bus":     (*bustest.Bus).End,
	} {
		t.Run(name, func(t *testing.T) {
			askingBus(t, busDir(t), true, end)
			s := newOS(osConfig{service: "langkeep", ring: goKeyring{}, gate: newGate(), quick: quickLimit, ask: 5 * time.Second, log: slog.New(slog.DiscardHandler)})
			defer s.Close()
			if err := s.Unlock(t.Context()); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "ended") {
				t.Errorf("got %v", err)
			}
		})
	}
}
