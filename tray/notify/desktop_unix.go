//go:build !windows && !darwin

package notify

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"slices"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"langkeep/agent/sessionbus"
)

// The Desktop Notifications Specification 1.2.
const (
	daemon     = "org.freedesktop.Notifications"
	daemonPath = dbus.ObjectPath("/org/freedesktop/Notifications")
	onText     = "default" // the action of a click on the text
)

const busLimit = 10 * time.Second // for the notification daemon to answer, which may have to start: Plasma's took 3 s

// gnomeButtons is the most that GNOME Shell (43) shows; it leaves out the last ones.
const gnomeButtons = 3

// nameless are daemons that show no sender, so the title begins with it.
var nameless = []string{"mako", "gnome-shell", "fnott"}

// Desktop shows messages on the desktop, until close. It calls act in a goroutine of its
// own when a person presses a message's button, or its text, which is Open. Where the
// notification daemon can't be asked itself, beeep shows what it can.
func Desktop(icon any, act func(subject, do string)) (show func(Message) error, close func()) {
	data, _ := icon.([]byte)
	b := &board{act: act, icon: pixels(data), shown: map[uint32]Message{}}
	simple := plainly(icon)
	return func(m Message) error {
		err := b.show(m)
		if err == nil || m.Over {
			return err
		}
		// beeep would start a bus where there is none.
		if !sessionbus.Reachable(context.Background()) {
			return err
		}
		return simple(m)
	}, b.close
}

// board shows messages by the notification daemon.
type board struct {
	act  func(subject, do string)
	icon any // the hint image-data; nil: none

	mu    sync.Mutex // protects the following; held while the daemon answers
	conn  *dbus.Conn // nil before the first message, and after a fault
	owner string     // the daemon that has shown them
	shown map[uint32]Message
}

func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave()
}

// leave gives the connection up. The caller holds mu.
func (b *board) leave() {
	if b.conn != nil {
		b.conn.Close()
	}
	b.conn = nil
	clear(b.shown)
}

func (b *board) show(m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.showLocked(m)
	if err != nil {
		b.leave()
	}
	return err
}

func (b *board) showLocked(m Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), busLimit)
	defer cancel()
	if err := b.join(ctx); err != nil {
		return err
	}
	if m.Over && len(b.shown) == 0 {
		return nil
	}
	object := b.conn.Object(daemon, daemonPath)
	var can []string
	if err := object.CallWithContext(ctx, daemon+".GetCapabilities", 0).Store(&can); err != nil { // the bus may start it
		return err
	}
	var owner string
	if err := b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, daemon).Store(&owner); err != nil {
		return err
	}
	if owner != b.owner { // restarted, it counts anew: an id of before is none, or is another message's
		clear(b.shown)
		b.owner = owner
	}
	var before uint32 // 0: none
	for id, shown := range b.shown {
		if shown.Subject == m.Subject {
			before = id
		}
	}
	delete(b.shown, before)
	if m.Over {
		if before == 0 {
			return nil
		}
		return object.CallWithContext(ctx, daemon+".CloseNotification", 0, before).Err
	}
	var name, vendor, version, spec string
	_ = object.CallWithContext(ctx, daemon+".GetServerInformation", 0).Store(&name, &vendor, &version, &spec) // a nicety
	title := plain(m.Title)
	if slices.Contains(nameless, name) {
		title = "Langkeep · " + title
	}
	actions := []string{}
	if m.asks() && !slices.Contains(can, "actions") {
		return errNoButtons
	}
	if slices.Contains(can, "actions") {
		actions = append(actions, onText, Open.Label)
		buttons := m.Buttons
		if name == "gnome-shell" && len(buttons) > gnomeButtons {
			// The last is the way to say no. The tray and the page have the rest.
			buttons = append(slices.Clone(buttons[:gnomeButtons-1]), buttons[len(buttons)-1])
		}
		for _, button := range buttons {
			actions = append(actions, button.Do, button.Label)
		}
	}
	urgency, expires := byte(1), int32(-1) // normal, and as the desktop likes
	if m.Urgent {
		urgency, expires = 2, 0
	}
	hints := map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency), "desktop-entry": dbus.MakeVariant("langkeep")}
	if m.Passing {
		hints["transient"] = dbus.MakeVariant(true)
	}
	if b.icon != nil {
		hints["image-data"] = dbus.MakeVariant(b.icon)
	}
	var id uint32
	err := object.CallWithContext(ctx, daemon+".Notify", 0, "Langkeep", before, "", title, plain(m.Text), actions, hints, expires).Store(&id)
	if err == nil {
		b.shown[id] = m
	}
	return err
}

// join joins the session bus, if that is not done yet. The caller holds mu.
func (b *board) join(ctx context.Context) error {
	if b.conn != nil && b.conn.Connected() {
		return nil
	}
	b.leave()
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return err
	}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(daemon), dbus.WithMatchInterface(daemon), dbus.WithMatchObjectPath(daemonPath)); err != nil {
		conn.Close()
		return fmt.Errorf("watch the notifications: %w", err)
	}
	b.conn = conn
	go func() {
		for s := range signals {
			b.heard(conn, s)
		}
	}()
	return nil
}

// heard handles a signal of the daemon.
func (b *board) heard(conn *dbus.Conn, s *dbus.Signal) {
	if len(s.Body) != 2 {
		return
	}
	id, ok := s.Body[0].(uint32)
	if !ok {
		return
	}
	// The bus delivers a signal that is addressed to us whoever sends it.
	var owner string
	if conn.BusObject().Call("org.freedesktop.DBus.GetNameOwner", 0, daemon).Store(&owner) != nil || owner != s.Sender {
		return
	}
	b.mu.Lock()
	m, ours := b.shown[id]
	pressed, action := s.Body[1].(string)
	if ours && b.conn == conn && s.Name == daemon+".NotificationClosed" {
		delete(b.shown, id)
	}
	b.mu.Unlock()
	if !ours || !action || s.Name != daemon+".ActionInvoked" {
		return
	}
	if pressed == onText {
		pressed = Open.Do
	}
	go b.act(m.Subject, pressed)
}

// pixels is a PNG with 8 bits a channel and transparency as the hint image-data has it; nil
// for anything else.
func pixels(data []byte) any {
	img, err := png.Decode(bytes.NewReader(data))
	rgba, ok := img.(*image.NRGBA)
	if err != nil || !ok {
		return nil
	}
	const bits, channels = 8, 4
	return struct {
		Width, Height, Stride int32
		Alpha                 bool
		Bits, Channels        int32
		Data                  []byte
	}{int32(rgba.Rect.Dx()), int32(rgba.Rect.Dy()), int32(rgba.Stride), true, bits, channels, rgba.Pix}
}
