package keychaintest

import (
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Asking is a small Secret Service that asks before it deletes an item, as
// KeePassXC can and gnome-keyring does not. It is never locked.
type Asking struct {
	conn *dbus.Conn

	mu       sync.Mutex // protects the following
	consents bool
	asked    int
	made     int
	items    map[dbus.ObjectPath]*askingItem
}

type askingItem struct {
	service    *Asking
	path       dbus.ObjectPath
	attributes map[string]string
	secret     askingSecret
}

// askingSecret is a Secret of the specification, (oayays).
type askingSecret struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

const (
	promptPath  = secretsPath + "/prompt/delete"
	sessionPath = secretsPath + "/session/only"
	nothing     = dbus.ObjectPath("/")
)

// StartAsking starts the service on a bus without a keyring daemon. The person
// dismisses every question.
func (s *Session) StartAsking() *Asking {
	s.tb.Helper()
	a := &Asking{conn: connectAsking(s.tb, s.address), items: map[dbus.ObjectPath]*askingItem{}}
	for _, e := range []struct {
		object any
		path   dbus.ObjectPath
		iface  string
	}{
		{askingService{a}, secretsPath, service},
		{askingProperties{}, secretsPath, "org.freedesktop.DBus.Properties"},
		{askingCollection{a}, Login, "org.freedesktop.Secret.Collection"},
		{askingProperties{}, Login, "org.freedesktop.DBus.Properties"},
		{askingSession{}, sessionPath, "org.freedesktop.Secret.Session"},
	} {
		if err := a.conn.Export(e.object, e.path, e.iface); err != nil {
			s.tb.Fatal(err)
		}
	}
	if _, err := a.conn.RequestName(secretsName, dbus.NameFlagDoNotQueue); err != nil {
		s.tb.Fatal(err)
	}
	s.awaitOwner(true)
	return a
}

func connectAsking(tb testing.TB, address string) *dbus.Conn {
	tb.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// Consent has the person let items be deleted from now on.
func (a *Asking) Consent() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.consents = true
}

// Asked is how often the person was asked.
func (a *Asking) Asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

type askingService struct{ a *Asking }

func (askingService) OpenSession(string, dbus.Variant) (dbus.Variant, dbus.ObjectPath, *dbus.Error) {
	return dbus.MakeVariant(""), sessionPath, nil
}

func (askingService) Unlock(objects []dbus.ObjectPath) ([]dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	return objects, nothing, nil
}

func (askingService) ReadAlias(string) (dbus.ObjectPath, *dbus.Error) { return Login, nil }

type askingSession struct{}

func (askingSession) Close() *dbus.Error { return nil }

type askingProperties struct{}

func (askingProperties) Get(_, name string) (dbus.Variant, *dbus.Error) {
	if name == "Collections" {
		return dbus.MakeVariant([]dbus.ObjectPath{Login}), nil
	}
	return dbus.MakeVariant(false), nil // Locked
}

type askingCollection struct{ a *Asking }

func (c askingCollection) SearchItems(attributes map[string]string) ([]dbus.ObjectPath, *dbus.Error) {
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	found := []dbus.ObjectPath{}
	for path, item := range c.a.items {
		if maps.Equal(item.attributes, attributes) {
			found = append(found, path)
		}
	}
	return found, nil
}

func (c askingCollection) CreateItem(properties map[string]dbus.Variant, secret askingSecret, _ bool) (dbus.ObjectPath, dbus.ObjectPath, *dbus.Error) {
	attributes, _ := properties["org.freedesktop.Secret.Item.Attributes"].Value().(map[string]string)
	c.a.mu.Lock()
	defer c.a.mu.Unlock()
	for path, item := range c.a.items {
		if maps.Equal(item.attributes, attributes) {
			item.secret = secret
			return path, nothing, nil
		}
	}
	c.a.made++
	item := &askingItem{c.a, dbus.ObjectPath(fmt.Sprintf("%s/%d", Login, c.a.made)), attributes, secret}
	c.a.items[item.path] = item
	if err := c.a.conn.Export(item, item.path, "org.freedesktop.Secret.Item"); err != nil {
		return nothing, nothing, dbus.MakeFailedError(err)
	}
	return item.path, nothing, nil
}

// GetSecret is of the specification.
func (i *askingItem) GetSecret(session dbus.ObjectPath) (askingSecret, *dbus.Error) {
	i.service.mu.Lock()
	defer i.service.mu.Unlock()
	secret := i.secret
	secret.Session = session
	return secret, nil
}

// Delete returns the question that goes before it.
func (i *askingItem) Delete() (dbus.ObjectPath, *dbus.Error) {
	err := i.service.conn.Export(askingPrompt{i}, promptPath, "org.freedesktop.Secret.Prompt")
	if err != nil {
		return nothing, dbus.MakeFailedError(err)
	}
	return promptPath, nil
}

type askingPrompt struct{ item *askingItem }

// Prompt has the person answer at once.
func (p askingPrompt) Prompt(string) *dbus.Error {
	a := p.item.service
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.consents {
		delete(a.items, p.item.path)
	}
	if err := a.conn.Emit(promptPath, "org.freedesktop.Secret.Prompt.Completed", !a.consents, dbus.MakeVariant("")); err != nil {
		return dbus.MakeFailedError(err)
	}
	return nil
}
