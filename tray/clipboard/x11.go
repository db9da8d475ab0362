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
	window uint32

	clipboard, targets, hint uint32   // atoms
	texts                    []uint32 // the targets that give the text
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
	for name, atom := range map[string]*uint32{"CLIPBOARD": &x.clipboard, "TARGETS": &x.targets, hintName: &x.hint} {
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
	if x.window, err = x.conn.NewId(); err != nil {
		return err
	}
	return createWindow(x.conn, x.window)
}

// own makes the window the owner.
func (x *selection) own() error {
	since, err := x.now()
	if err != nil {
		return err
	}
	if err := do(x.conn, request(setSelectionOwner, 0, nil, x.window, x.clipboard, since)); err != nil {
		return err
	}
	reply, err := ask(x.conn, request(getSelectionOwner, 0, nil, x.clipboard))
	if err != nil {
		return err
	}
	if owner := xgb.Get32(reply[8:]); owner != x.window {
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
	err = do(x.conn, request(convertSelection, 0, nil, x.window, x.clipboard, x.texts[1], property, since))
	if err != nil {
		return "", err
	}
	for {
		e, err := x.event()
		if err != nil {
			return "", err
		}
		if e.code() != selectionNotify {
			continue
		}
		if e.word(20) == none {
			return "", nil
		}
		return takeProperty(x.conn, x.window, property)
	}
}

// event waits for the next event.
func (x *selection) event() (event, error) {
	for {
		e, refused := x.conn.WaitForEvent()
		if e, ok := e.(event); ok {
			return e, nil
		}
		if refused == nil {
			return nil, errors.New("the display has gone")
		}
	}
}

func intern(conn *xgb.Conn, name string) (uint32, error) {
	reply, err := ask(conn, request(internAtom, 0, []byte(name), uint32(len(name))))
	if err != nil {
		return 0, err
	}
	return xgb.Get32(reply[8:]), nil
}

// now is the server's time, which an owner must name (ICCCM 2.1): that of a
// change to a property of one's own.
func (x *selection) now() (uint32, error) {
	if err := do(x.conn, setProperty(x.window, atomWMName, atomString, 8, []byte("langkeep"))); err != nil {
		return 0, err
	}
	for {
		e, err := x.event()
		if err != nil {
			return 0, err
		}
		if e.code() == propertyNotify && e.word(4) == x.window {
			return e.word(12), nil
		}
	}
}

// serve answers requests, until another program copies or the connection ends. asked
// receives when one has been told what there is; it may be nil.
func (x *selection) serve(asked chan<- struct{}) {
	defer x.conn.Close()
	for {
		e, err := x.event()
		if err != nil {
			return
		}
		switch e.code() {
		case selectionRequest:
			x.answer(e)
			if e.word(20) == x.targets {
				select {
				case asked <- struct{}{}:
				default:
				}
			}
		case selectionClear:
			if e.word(12) == x.clipboard {
				return
			}
		}
	}
}

// answer puts the requested text into the requestor's property, and names the property;
// None refuses.
func (x *selection) answer(e event) {
	since, requestor, selection, target, property := e.word(4), e.word(12), e.word(16), e.word(20), e.word(24)
	if property == none {
		property = target // an old client, ICCCM 2.2
	}
	put := func(kind uint32, bits byte, data []byte) {
		tell(x.conn, setProperty(requestor, property, kind, bits, data))
	}
	switch {
	case target == x.targets:
		var list []byte
		kinds := []uint32{x.targets, x.hint}
		if x.text != (secret.Text{}) {
			kinds = append(kinds, x.texts...)
		}
		for _, atom := range kinds {
			list = binary.LittleEndian.AppendUint32(list, atom)
		}
		put(atomAtom, 32, list)
	case target == x.hint:
		put(x.hint, 8, []byte(hintSecret))
	case x.text != (secret.Text{}) && slices.Contains(x.texts, target):
		put(target, 8, []byte(x.text.Reveal()))
	default:
		property = none
	}
	// An event has the form of a request; the display puts its own number into it.
	told := request(selectionNotify, 0, make([]byte, 8), since, requestor, selection, target, property)
	tell(x.conn, request(sendEvent, 0, told, requestor, 0))
}
