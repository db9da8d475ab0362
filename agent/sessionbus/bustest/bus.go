//go:build !windows && !darwin

// Package bustest is a stand-in for a desktop's session bus, for tests.
package bustest

import (
	"bufio"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

const daemon = "org.freedesktop.DBus"

// Bus is a session bus with one service on it, that a test plays.
type Bus struct {
	Address string
	// Sent is called when a call was answered, if it is set before the first.
	Sent func(method string)

	listener net.Listener
	answer   func(service, method string, args []any) []any

	mu    sync.Mutex // protects the following
	conns []net.Conn
}

// Start starts a session bus on a socket named bus in dir, until the test ends. Nobody but
// systemd's user manager is on it, which has that environment; nil: not even that.
func Start(tb testing.TB, dir string, environment []string) (address string) {
	tb.Helper()
	return Serve(tb, dir, func(service, method string, _ []any) []any {
		if service != "org.freedesktop.systemd1" || method != "org.freedesktop.DBus.Properties.Get" || environment == nil {
			return nil
		}
		return []any{dbus.MakeVariant(environment)}
	}).Address
}

// Serve starts a session bus as Start does. answer gives the values of a call's answer;
// without any the caller hears that there is no such service.
func Serve(tb testing.TB, dir string, answer func(service, method string, args []any) []any) *Bus {
	tb.Helper()
	path := filepath.Join(dir, "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	b := &Bus{Address: "unix:path=" + path, listener: listener, answer: answer}
	tb.Cleanup(b.End)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			b.mu.Unlock()
			go b.serve(conn)
		}
	}()
	return b
}

// End ends the bus as a logout does. Another can be started in its place.
func (b *Bus) End() {
	_ = b.listener.Close() // fails the second time
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close() // fails where the program has left
	}
}

// Signal sends a signal of the bus itself to every program. Call it from Sent.
func (b *Bus) Signal(name string, values ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	signal := &dbus.Message{Type: dbus.TypeSignal, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldSender:    dbus.MakeVariant(daemon),
		dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")),
		dbus.FieldInterface: dbus.MakeVariant(daemon),
		dbus.FieldMember:    dbus.MakeVariant(name),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(values...)),
	}}
	for _, conn := range b.conns {
		_ = signal.EncodeTo(conn, binary.LittleEndian) // fails where the program has left
	}
}

// serve speaks with one program: the D-Bus specification's authentication, then an answer
// to each call.
func (b *Bus) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	_, _ = in.Discard(1) // the null byte; a failure shows below
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		said := "OK 0123456789abcdef0123456789abcdef\r\n"
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case word == "AUTH" && rest == "":
			said = "REJECTED EXTERNAL\r\n"
		case word == "NEGOTIATE_UNIX_FD":
			said = "ERROR\r\n"
		case word == "BEGIN":
			b.answerAll(conn, in)
			return
		}
		if _, err := conn.Write([]byte(said)); err != nil {
			return
		}
	}
}

// answerAll answers each call.
func (b *Bus) answerAll(conn net.Conn, in *bufio.Reader) {
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		text := func(field dbus.HeaderField) string { s, _ := call.Headers[field].Value().(string); return s }
		service, method := text(dbus.FieldDestination), text(dbus.FieldInterface)+"."+text(dbus.FieldMember)
		switch {
		case method == daemon+".Hello":
			reply.Body = []any{":1.1"}
		case method == daemon+".AddMatch", method == daemon+".RemoveMatch":
		default:
			if reply.Body = b.answer(service, method, call.Body); reply.Body == nil {
				reply.Type = dbus.TypeError
				reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.ServiceUnknown")
			}
		}
		if len(reply.Body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		}
		if reply.EncodeTo(conn, binary.LittleEndian) != nil {
			return
		}
		if b.Sent != nil {
			b.Sent(method)
		}
	}
}
