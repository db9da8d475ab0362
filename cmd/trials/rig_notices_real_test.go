//go:build real && linux

package trials

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// notices are the notifications of a desktop, which the test takes in a real
// daemon's place.
type notices struct {
	mu  sync.Mutex // protects the following
	all []notice
}

type notice struct{ title, text string }

// showNotices takes the notifications of the computer's session from now on.
func (c *computer) showNotices(t *testing.T) *notices {
	t.Helper()
	conn, err := dbus.Connect(c.session.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const name, path = "org.freedesktop.Notifications", dbus.ObjectPath("/org/freedesktop/Notifications")
	n := &notices{}
	if err := conn.Export(n, path, name); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("%s: %v, %v", name, reply, err)
	}
	return n
}

// Notify is the method of the bus.
func (n *notices) Notify(_ string, _ uint32, _, summary, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, notice{summary, body})
	return uint32(len(n.all)), nil
}

// of are those so far whose title names a profile.
func (n *notices) of(profile string) (texts []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, one := range n.all {
		if slices.Contains(strings.Fields(one.title), profile+":") {
			texts = append(texts, one.text)
		}
	}
	return texts
}
