//go:build real && linux

package keychain

import (
	"errors"
	"testing"

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
