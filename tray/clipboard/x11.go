//go:build !windows && !darwin

package clipboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"langkeep/agent/secret"
)

// selectionLimit is the most that goes into one property: the smallest maximum
// request of the X11 protocol, 256 KiB, with room to spare.
const selectionLimit = 200 << 10 // bytes

// clearLimit is for the owner of the selection to hand it out, and for clipboard managers
// to notice that there is nothing to keep.
const clearLimit = 700 * time.Millisecond

// ownSelection owns the selection CLIPBOARD of X11, as ICCCM 2 says, on a
// connection of its own.
func ownSelection(s secret.Text) (func(), error) {
	if len(s.Reveal()) > selectionLimit {
		return nil, fmt.Errorf("can't copy more than %d bytes", selectionLimit)
	}
	x, err := reachX()
	if err != nil {
		return nil, err
	}
	x.text = s
	if err := x.own(); err != nil {
		x.conn.Close()
		return nil, fmt.Errorf("own the clipboard: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.serve(nil)
	}()
	return sync.OnceFunc(func() {
		clearSelection(s)
		x.conn.Close()
		<-ended
	}), nil
}

// clearSelection takes the secret away, also from a clipboard manager that has taken it
// over. GNOME Shell keeps a copy of all text, and becomes the owner as soon as there is
// none; so a selection without text takes the secret's place for a moment.
func clearSelection(s secret.Text) {
	x, err := reachX()
	if err != nil {
		return // with the display its clipboard has gone
	}
	defer x.conn.Close()
	stop := time.AfterFunc(clearLimit, x.conn.Close)
	there, err := x.read()
	if !stop.Stop() || err != nil || there != s.Reveal() {
		return
	}
	if x.own() != nil {
		return // another program has just copied, or the display has gone
	}
	asked, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		x.serve(asked)
	}()
	select {
	case <-asked:
		select {
		case <-time.After(clearLimit / 4): // the manager has its answer, and acts on it
		case <-ended:
		}
	case <-time.After(clearLimit):
	case <-ended:
	}
	x.conn.Close()
	<-ended
}

// selection is one owned CLIPBOARD. Without a text it has only the hint.
type selection struct {
	conn   *xgb.Conn
	text   secret.Text
	window xproto.Window

	clipboard, targets, hint xproto.Atom
	texts                    []xproto.Atom // the targets that give the text
}

// reachX connects to the display, with a window that owns nothing yet.
func reachX() (*selection, error) {
	xgb.Logger.SetOutput(io.Discard) // don't log a display that goes away
	conn, err := xgb.NewConn()
	if err != nil {
		return nil, fmt.Errorf("reach the display: %w", err)
	}
	x := &selection{conn: conn}
	if err := x.prepare(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("reach the display: %w", err)
	}
	return x, nil
}

func (x *selection) prepare() error {
	for name, atom := range map[string]*xproto.Atom{"CLIPBOARD": &x.clipboard, "TARGETS": &x.targets, hintName: &x.hint} {
		var err error
		if *atom, err = intern(x.conn, name); err != nil {
			return err
		}
	}
	for _, name := range textKinds {
		atom, err := intern(x.conn, name)
		if err != nil {
			return err
		}
		x.texts = append(x.texts, atom)
	}
	var err error
	if x.window, err = xproto.NewWindowId(x.conn); err != nil {
		return err
	}
	screen := xproto.Setup(x.conn).DefaultScreen(x.conn)
	return xproto.CreateWindowChecked(x.conn, screen.RootDepth, x.window, screen.Root, 0, 0, 1, 1, 0,
		xproto.WindowClassInputOutput, screen.RootVisual, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange}).Check()
}

// own makes the window the owner.
func (x *selection) own() error {
	since, err := x.now()
	if err != nil {
		return err
	}
	if err := xproto.SetSelectionOwnerChecked(x.conn, x.window, x.clipboard, since).Check(); err != nil {
		return err
	}
	owner, err := xproto.GetSelectionOwner(x.conn, x.clipboard).Reply()
	if err != nil {
		return err
	}
	if owner.Owner != x.window {
		return errors.New("another program keeps it")
	}
	return nil
}

// read is the text on the clipboard, "" for none, or for one longer than we copy.
func (x *selection) read() (string, error) {
	since, err := x.now()
	if err != nil {
		return "", err
	}
	property := x.clipboard // on our window any name does
	err = xproto.ConvertSelectionChecked(x.conn, x.window, x.clipboard, x.texts[1], property, since).Check()
	if err != nil {
		return "", err
	}
	for {
		event, err := x.conn.WaitForEvent()
		if event == nil && err == nil {
			return "", errors.New("the display has gone")
		}
		told, ok := event.(xproto.SelectionNotifyEvent)
		if !ok {
			continue
		}
		if told.Property == xproto.AtomNone {
			return "", nil
		}
		reply, failed := xproto.GetProperty(x.conn, true, x.window, property, xproto.GetPropertyTypeAny, 0, selectionLimit/4+1).Reply()
		if failed != nil {
			return "", failed
		}
		return string(reply.Value), nil
	}
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

// serve answers requests, until another program copies or the connection ends. asked
// receives when one has been told what there is; it may be nil.
func (x *selection) serve(asked chan<- struct{}) {
	defer x.conn.Close()
	for {
		event, err := x.conn.WaitForEvent()
		if event == nil && err == nil {
			return
		}
		switch e := event.(type) {
		case xproto.SelectionRequestEvent:
			x.answer(e)
			if e.Target == x.targets {
				select {
				case asked <- struct{}{}:
				default:
				}
			}
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
		kinds := []xproto.Atom{x.targets, x.hint}
		if x.text != (secret.Text{}) {
			kinds = append(kinds, x.texts...)
		}
		for _, atom := range kinds {
			list = binary.NativeEndian.AppendUint32(list, uint32(atom))
		}
		put(xproto.AtomAtom, 32, list)
	case e.Target == x.hint:
		put(x.hint, 8, []byte(hintSecret))
	case x.text != (secret.Text{}) && slices.Contains(x.texts, e.Target):
		put(e.Target, 8, []byte(x.text.Reveal()))
	default:
		property = xproto.AtomNone
	}
	told := xproto.SelectionNotifyEvent{
		Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: property,
	}
	xproto.SendEvent(x.conn, false, e.Requestor, 0, string(told.Bytes()))
}
