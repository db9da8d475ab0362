//go:build !windows && !darwin

// Package bustest is a stand-in for a desktop's session bus, for tests.
package bustest

import (
	"bufio"
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// Start starts a session bus on a socket named bus in dir, until the test ends. Nobody but
// systemd's user manager is on it, which has that environment; nil: not even that.
func Start(tb testing.TB, dir string, environment []string) (address string) {
	tb.Helper()
	path := filepath.Join(dir, "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go serve(conn, environment)
		}
	}()
	return "unix:path=" + path
}

// serve speaks with one program: the D-Bus specification's authentication, then an answer
// to each call.
func serve(conn net.Conn, environment []string) {
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
			answer(conn, in, environment)
			return
		}
		if _, err := conn.Write([]byte(said)); err != nil {
			return
		}
	}
}

// answer answers each call.
func answer(conn net.Conn, in *bufio.Reader, environment []string) {
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		reply := &dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
		}}
		destination, _ := call.Headers[dbus.FieldDestination].Value().(string)
		member, _ := call.Headers[dbus.FieldMember].Value().(string)
		switch {
		case destination == "org.freedesktop.DBus" && member == "Hello":
			reply.Body = []any{":1.1"}
		case destination == "org.freedesktop.systemd1" && member == "Get" && environment != nil:
			reply.Body = []any{dbus.MakeVariant(environment)}
		default:
			reply.Type = dbus.TypeError
			reply.Headers[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.ServiceUnknown")
		}
		if len(reply.Body) > 0 {
			reply.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(reply.Body...))
		}
		if reply.EncodeTo(conn, binary.LittleEndian) != nil {
			return
		}
	}
}
