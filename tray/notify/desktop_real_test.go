//go:build real && linux

package notify

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/asks"
	"langkeep/agent/keychain/keychaintest"
	"langkeep/assets"
)

// daemonOf stands in for a notification daemon.
type daemonOf struct {
	conn *dbus.Conn
	name string
	can  []string

	mu     sync.Mutex // protects the following
	last   uint32
	events []string
	delay  time.Duration
}

func (d *daemonOf) GetCapabilities() ([]string, *dbus.Error) { return d.can, nil }

func (d *daemonOf) GetServerInformation() (string, string, string, string, *dbus.Error) {
	return d.name, "test", "1", "1.2", nil
}

func (d *daemonOf) Notify(app string, replaces uint32, _, title, text string, actions []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := replaces
	if id == 0 {
		d.last++
		id = d.last
	}
	time.Sleep(d.delay)
	_, image := hints["image-data"]
	d.events = append(d.events, fmt.Sprint(app, " ", id, " ", title, " | ", text, " ", actions, " ", image))
	return id, nil
}

func (d *daemonOf) CloseNotification(id uint32) *dbus.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, fmt.Sprint("close ", id))
	return nil
}

func (d *daemonOf) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := d.events
	d.events = nil
	return events
}

func (d *daemonOf) emit(t *testing.T, by *dbus.Conn, signal string, id uint32, what any) {
	t.Helper()
	if err := by.Emit(daemonPath, daemon+"."+signal, id, what); err != nil {
		t.Fatal(err)
	}
}

func join(t *testing.T, session *keychaintest.Session) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(session.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// serve starts a daemon on the bus.
func serve(t *testing.T, session *keychaintest.Session, name string, can ...string) *daemonOf {
	t.Helper()
	d := &daemonOf{conn: join(t, session), name: name, can: can}
	if err := d.conn.Export(d, daemonPath, daemon); err != nil {
		t.Fatal(err)
	}
	if reply, err := d.conn.RequestName(daemon, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return d
}

func TestDesktop(t *testing.T) {
	session := keychaintest.StartBus(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", session.Address())
	pressed := make(chan string, 8)
	show, end := Desktop(assets.AppIcon(), func(subject, do string) { pressed <- subject + " " + do })
	defer end()
	d := serve(t, session, "dunst", "actions", "body")
	shows := func(m Message, want ...string) {
		t.Helper()
		if err := show(m); err != nil {
			t.Error(err)
		}
		if got := d.take(); !slices.Equal(got, want) {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
	presses := func(want string) {
		t.Helper()
		select {
		case got := <-pressed:
			if got != want {
				t.Errorf("pressed is %q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing is pressed, want %q", want)
		}
	}
	prod := Message{Subject: "prod", Title: "prod: sign in", Text: "a <b>", Buttons: []Button{SignIn}}
	shows(prod, "Langkeep 1 prod: sign in | a ‹b› [default Open sign-in Sign in] true")
	shows(Message{Subject: "other", Title: "other: offline", Text: "b", Buttons: []Button{Open}}, "Langkeep 2 other: offline | b [default Open open Open] true")
	d.emit(t, d.conn, "ActionInvoked", 1, "sign-in")
	presses("prod sign-in")
	d.emit(t, d.conn, "ActionInvoked", 2, onText)
	presses("other open")
	d.emit(t, d.conn, "ActionInvoked", 2, Open.Do)
	presses("other open")
	// Signals about other messages, or from a stranger on the bus.
	d.emit(t, d.conn, "ActionInvoked", 9, onText)
	d.emit(t, join(t, session), "ActionInvoked", 1, "sign-in")
	d.emit(t, d.conn, "NotificationClosed", 2, uint32(1))
	d.emit(t, d.conn, "ActionInvoked", 2, onText)
	d.emit(t, d.conn, "ActionInvoked", 1, onText)
	presses("prod open")

	shows(Message{Subject: "prod", Title: "prod: back to normal", Text: "c"}, "Langkeep 1 prod: back to normal | c [default Open] true")
	shows(Message{Subject: "prod", Over: true}, "close 1")
	shows(Message{Subject: "prod", Over: true})
	shows(Message{Subject: "other", Title: "other: sign in", Text: "d", Buttons: []Button{SignIn}}, "Langkeep 3 other: sign in | d [default Open sign-in Sign in] true")
	d.delay = 4 * time.Second // as where it starts on a busy computer
	shows(Message{Subject: "slow", Title: "slow: sign in", Text: "e"}, "Langkeep 4 slow: sign in | e [default Open] true")
	if len(pressed) != 0 {
		t.Errorf("also pressed: %q", <-pressed)
	}

	// Another daemon, which has no buttons and shows no sender.
	_ = d.conn.Close()
	d = serve(t, session, "mako", "body")
	shows(prod, "Langkeep 1 Langkeep · prod: sign in | a ‹b› [] true")
	// It does not know the third message of the other, which has no end of its own here.
	shows(Message{Subject: "other", Title: "other: back to normal", Text: "e"}, "Langkeep 2 Langkeep · other: back to normal | e [] true")
	if err := show(Message{Subject: Asking, Title: "curl asks", Urgent: true}); err != errNoButtons {
		t.Errorf("a question without buttons: %v", err)
	}

	// One that shows three buttons: the way to say no is among them.
	_ = d.conn.Close()
	d = serve(t, session, "gnome-shell", "actions", "body")
	q := asks.Question{Wish: asks.Wish{Program: asks.Program{Exe: "/usr/bin/curl"}, Profile: "prod", Want: asks.Token}, ID: "7"}
	shows(asked([]asks.Question{q}),
		"Langkeep 1 Langkeep · curl asks | curl wants an access token for prod. [default Open once 7 Allow once session 7 Allow in this session deny 7 Deny] true")
}

// Without a bus nothing is shown, and none is started.
func TestNoBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	show, end := Desktop(assets.AppIcon(), nil)
	defer end()
	if err := show(Message{Subject: "prod", Title: "a", Text: "b"}); err == nil {
		t.Error("it is shown")
	}
}
