//go:build !windows && !darwin

package clipboard

import (
	"encoding/binary"
	"fmt"

	"github.com/jezek/xgb"
)

// The part of X11's protocol that a clipboard needs (its specification, appendix B), on the
// connections of package xgb. Package xproto, which has all of the protocol, would make the
// program 2 % bigger: the linker can't tell which of its events and errors may come.

// Codes of requests.
const (
	createWindowCode  = 1
	internAtom        = 16
	changeProperty    = 18
	getProperty       = 20
	setSelectionOwner = 22
	getSelectionOwner = 23
	convertSelection  = 24
	sendEvent         = 25
)

// Codes of events.
const (
	propertyNotify   = 28
	selectionClear   = 29
	selectionRequest = 30
	selectionNotify  = 31
)

// Atoms that every display has.
const (
	none       = 0
	atomAtom   = 4
	atomString = 31
	atomWMName = 39
)

func init() {
	for code := propertyNotify; code <= selectionNotify; code++ {
		xgb.NewEventFuncs[code] = func(buf []byte) xgb.Event { return event(buf) }
	}
	const lastError = 17
	for code := range lastError + 1 {
		xgb.NewErrorFuncs[code] = func(buf []byte) xgb.Error { return refusal(buf) }
	}
}

// event is an event as it came.
type event []byte

// Bytes implements xgb.Event.
func (e event) Bytes() []byte { return e }

// String implements xgb.Event.
func (e event) String() string { return fmt.Sprintf("event %d", e.code()) }

// code is the event's, also if another client has sent it.
func (e event) code() byte { return e[0] &^ 0x80 }

func (e event) word(at int) uint32 { return xgb.Get32(e[at:]) }

// refusal is an error as it came.
type refusal []byte

// SequenceId implements xgb.Error.
func (r refusal) SequenceId() uint16 { return xgb.Get16(r[2:]) }

// BadId implements xgb.Error.
func (r refusal) BadId() uint32 { return xgb.Get32(r[4:]) }

// Error implements error.
func (r refusal) Error() string {
	return fmt.Sprintf("the display refuses request %d with error %d", r[10], r[1])
}

// request is a request, in the byte order of xgb: its code, the byte beside it, its words, and
// what follows them.
func request(code, detail byte, tail []byte, words ...uint32) []byte {
	b := []byte{code, detail, 0, 0}
	for _, word := range words {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	b = append(b, tail...)
	b = append(b, make([]byte, xgb.Pad(len(b))-len(b))...)
	xgb.Put16(b[2:], uint16(len(b)/4))
	return b
}

// ask sends a request and waits for the display's answer.
func ask(conn *xgb.Conn, request []byte) ([]byte, error) {
	cookie := conn.NewCookie(true, true)
	conn.NewRequest(request, cookie)
	return cookie.Reply()
}

// do sends a request that has no answer, and waits until the display has taken or refused it.
func do(conn *xgb.Conn, request []byte) error {
	cookie := conn.NewCookie(true, false)
	conn.NewRequest(request, cookie)
	return cookie.Check()
}

// tell sends a request that has no answer, and waits for nothing.
func tell(conn *xgb.Conn, request []byte) { conn.NewRequest(request, conn.NewCookie(false, false)) }

// createWindow makes a window that is never shown and hears of its properties.
func createWindow(conn *xgb.Conn, window uint32) error {
	const (
		vendorLength, formats, vendor = 24, 29, 40         // places in the display's greeting
		size, class                   = 1 | 1<<16, 2 << 16 // 1 × 1, without a border; InputOnly
		copied                        = 0
		eventMask, propertyChange     = 1 << 11, 1 << 22
	)
	greeting := conn.SetupBytes
	root := vendor + xgb.Pad(int(xgb.Get16(greeting[vendorLength:]))) + 8*int(greeting[formats])
	if root+4 > len(greeting) {
		return fmt.Errorf("the display has no screen")
	}
	return do(conn, request(createWindowCode, copied, nil,
		window, xgb.Get32(greeting[root:]), 0, size, class, copied, eventMask, propertyChange))
}

// setProperty is a request that sets a property to data of so many bits each.
func setProperty(window, property, kind uint32, bits byte, data []byte) []byte {
	return request(changeProperty, 0, data, window, property, kind, uint32(bits), uint32(len(data)/int(bits/8)))
}

// takeProperty reads a property of at most selectionLimit and deletes it.
func takeProperty(conn *xgb.Conn, window, property uint32) (string, error) {
	const anyType, from = 0, 0
	reply, err := ask(conn, request(getProperty, 1, nil, window, property, anyType, from, selectionLimit/4+1))
	if err != nil {
		return "", err
	}
	length := int(xgb.Get32(reply[16:])) * int(reply[1]/8)
	return string(reply[32:][:min(length, len(reply)-32)]), nil
}
