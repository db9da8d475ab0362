//go:build real && linux

package keychain

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	secretservice "github.com/zalando/go-keyring/secret_service"

	"langkeep/agent/keychain/keychaintest"
)

// unwilling is a Secret Service that unlocks nothing and shows no question, as KeePassXC
// does while one is on the screen.
type unwilling struct{}

func (unwilling) Unlock([]dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return []dbus.ObjectPath{}, "/", nil
}

// go-keyring has no value for what such a service does, so its words are read.
func TestRealUnwilling(t *testing.T) {
	session := keychaintest.StartBus(t)
	session.Enter(t)
	conn, err := dbus.Connect(session.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Export(unwilling{}, secretsPath, serviceInterface); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(secretsName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	service, err := secretservice.NewSecretService()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Unlock(loginCollection); err == nil || !errors.Is(systemError(err), ErrLocked) {
		t.Errorf("it is %v: %v", systemError(err), err)
	}
}

// asking is a Secret Service that asks before it keeps an item, as KeePassXC does, and gets
// no answer.
type asking struct{ asked chan struct{} }

func (asking) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) { return loginCollection, nil }

func (asking) Get(_, name string) (dbus.Variant, *dbus.Error) {
	if name == "Locked" {
		return dbus.MakeVariant(false), nil
	}
	return dbus.MakeVariant([]dbus.ObjectPath{loginCollection}), nil
}

func (asking) Unlock(all []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return all, noObject, nil
}

func (asking) SearchItems(map[string]string) ([]dbus.ObjectPath, *dbus.Error) { return nil, nil }

func (asking) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), secretsPath + "/session", nil
}

func (asking) Close() *dbus.Error { return nil }

func (asking) CreateItem(map[string]dbus.Variant, secretservice.Secret, bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return noObject, secretsPath + "/prompt", nil
}

func (a asking) Prompt(string) *dbus.Error { close(a.asked); return nil }

// TestRealEndWhileAsking kills the Secret Service while its question is on the screen. The
// store must not wait for the answer for ever, since no other call can be made meanwhile.
func TestRealEndWhileAsking(t *testing.T) {
	session := keychaintest.StartBus(t)
	session.Enter(t)
	conn, err := dbus.Connect(session.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a := asking{make(chan struct{})}
	for path, ifaces := range map[dbus.ObjectPath][]string{
		secretsPath:              {serviceInterface, "org.freedesktop.DBus.Properties"},
		loginCollection:          {collectionIface, "org.freedesktop.DBus.Properties"},
		secretsPath + "/prompt":  {promptInterface},
		secretsPath + "/session": {"org.freedesktop.Secret.Session"},
	} {
		for _, iface := range ifaces {
			if err := conn.Export(a, path, iface); err != nil {
				t.Fatal(err)
			}
		}
	}
	if reply, err := conn.RequestName(secretsName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	store := NewOS("langkeep-test", slog.New(slog.DiscardHandler))
	defer store.Close()
	ended := make(chan error, 1)
	go func() { ended <- store.Set(t.Context(), "prod/api-key", Item{Origin: "https://langflow.example"}) }()
	select {
	case <-a.asked:
	case err := <-ended:
		t.Fatalf("it asked nothing: %v", err)
	}
	conn.Close()
	select {
	case err := <-ended:
		// Silent: it ended before it had said that it asks.
		if !errors.Is(err, ErrMissing) && !errors.Is(err, ErrSilent) {
			t.Errorf("the call in flight: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the call in flight does not end")
	}
	if err := store.Ready(t.Context()); !errors.Is(err, ErrMissing) {
		t.Errorf("the next call: %v", err)
	}
}
