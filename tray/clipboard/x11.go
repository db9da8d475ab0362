//go:build !windows && !darwin

package clipboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"langkeep/agent/secret"
)

// selectionLimit is the most that goes into one property: the smallest maximum
// request of the X11 protocol, 256 KiB, with room to spare.
const selectionLimit = 200 << 10 // bytes

// hintName and its content tell clipboard managers not to keep what is copied
// (KDE's Klipper, and those that follow it).
const hintName, hintSecret = "x-kde-passwordManagerHint", "secret"

// ownSelection owns the selection CLIPBOARD of X11, as ICCCM 2 says, on a
// connection of its own. As long as it owns it, the secret is there.
func ownSelection(s secret.Text) (func(), error) {
	if len(s.Reveal()) > selectionLimit {
		return nil, fmt.Errorf("can't copy more than %d bytes", selectionLimit)
	}
	xgb.Logger.SetOutput(io.Discard) // don't log a display that goes away
	conn, err := xgb.NewConn()
	if err != nil {
		return nil, fmt.Errorf("reach the display: %w", err)
	}
	x, err := newSelection(conn, s)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("own the clipboard: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.serve()
	}()
	return sync.OnceFunc(func() {
		// The selection ends with its window, and that with the connection.
		conn.Close()
		<-ended
	}), nil
}

// selection is one owned CLIPBOARD.
type selection struct {
	conn   *xgb.Conn
	text   secret.Text
	window xproto.Window

	clipboard, targets, hint xproto.Atom
	texts                    []xproto.Atom // the targets that give the text
}

func newSelection(conn *xgb.Conn, s secret.Text) (*selection, error) {
	x := &selection{conn: conn, text: s}
	for name, atom := range map[string]*xproto.Atom{"CLIPBOARD": &x.clipboard, "TARGETS": &x.targets, hintName: &x.hint} {
		var err error
		if *atom, err = intern(conn, name); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "STRING", "TEXT"} {
		atom, err := intern(conn, name)
		if err != nil {
			return nil, err
		}
		x.texts = append(x.texts, atom)
	}
	var err error
	if x.window, err = xproto.NewWindowId(conn); err != nil {
		return nil, err
	}
	screen := xproto.Setup(conn).DefaultScreen(conn)
	err = xproto.CreateWindowChecked(conn, screen.RootDepth, x.window, screen.Root, 0, 0, 1, 1, 0,
		xproto.WindowClassInputOutput, screen.RootVisual, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange}).Check()
	if err != nil {
		return nil, err
	}
	since, err := x.now()
	if err != nil {
		return nil, err
	}
	if err := xproto.SetSelectionOwnerChecked(conn, x.window, x.clipboard, since).Check(); err != nil {
		return nil, err
	}
	owner, err := xproto.GetSelectionOwner(conn, x.clipboard).Reply()
	if err != nil {
		return nil, err
	}
	if owner.Owner != x.window {
		return nil, errors.New("another program keeps it")
	}
	return x, nil
}

func intern(conn *xgb.Conn, name string) (xproto.Atom, error) {
	reply, err := xproto.InternAtom(conn, false, uint16(len(name)), name).Reply()
	if err != nil {
		return 0, err
	}
	return reply.Atom, nil
}

// now is the server's time, which an owner must name (ICCCM 2.1): that of a
// change to a property of one's own.
func (x *selection) now() (xproto.Timestamp, error) {
	err := xproto.ChangePropertyChecked(x.conn, xproto.PropModeReplace, x.window, xproto.AtomWmName, xproto.AtomString, 8, 8, []byte("langkeep")).Check()
	if err != nil {
		return 0, err
	}
	for {
		event, err := x.conn.WaitForEvent()
		if event == nil && err == nil {
			return 0, errors.New("the display has gone")
		}
		if changed, ok := event.(xproto.PropertyNotifyEvent); ok && changed.Window == x.window {
			return changed.Time, nil
		}
	}
}

// serve answers requests for the text, until another program copies or the connection
// ends.
func (x *selection) serve() {
	defer x.conn.Close()
	for {
		event, err := x.conn.WaitForEvent()
		if event == nil && err == nil {
			return
		}
		switch e := event.(type) {
		case xproto.SelectionRequestEvent:
			x.answer(e)
		case xproto.SelectionClearEvent:
			if e.Selection == x.clipboard {
				return
			}
		}
	}
}

// answer puts the requested text into the requestor's property, and names the property;
// None refuses.
func (x *selection) answer(e xproto.SelectionRequestEvent) {
	property := e.Property
	if property == xproto.AtomNone {
		property = e.Target // an old client, ICCCM 2.2
	}
	put := func(kind xproto.Atom, format byte, data []byte) {
		xproto.ChangeProperty(x.conn, xproto.PropModeReplace, e.Requestor, property, kind, format,
			uint32(len(data)/int(format/8)), data)
	}
	switch {
	case e.Target == x.targets:
		var list []byte
		for _, atom := range append([]xproto.Atom{x.targets, x.hint}, x.texts...) {
			list = binary.NativeEndian.AppendUint32(list, uint32(atom))
		}
		put(xproto.AtomAtom, 32, list)
	case e.Target == x.hint:
		put(x.hint, 8, []byte(hintSecret))
	case slices.Contains(x.texts, e.Target):
		put(e.Target, 8, []byte(x.text.Reveal()))
	default:
		property = xproto.AtomNone
	}
	told := xproto.SelectionNotifyEvent{
		Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: property,
	}
	xproto.SendEvent(x.conn, false, e.Requestor, 0, string(told.Bytes()))
}
