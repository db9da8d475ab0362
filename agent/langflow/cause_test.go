package langflow

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/clock"
)

func TestCause(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://flows.test/api", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for want, err := range map[string]error{
		fmt.Sprintf(noSuchName, "flwos.test"):   dial(&net.DNSError{Err: "no such host", Name: "flwos.test", IsNotFound: true}),
		fmt.Sprintf(noNameServer, "flows.test"): dial(&net.DNSError{Err: "server misbehaving", Name: "flows.test"}),
		nobodyThere:                             dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		noWay:                                   dial(os.NewSyscallError("connect", syscall.ENETUNREACH)),
		brokeOff:                                errors.Join(io.ErrUnexpectedEOF, errors.New("http2: client connection lost")),
		"no TLS connection comes about: handshake failure": &net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")},
		"too odd": dial(os.NewSyscallError("connect", errors.New("too odd"))),
	} {
		if got := TransportError("op", &url.URL{Scheme: "https", Host: "flows.test"}, err); got.Kind != Unreachable || got.Detail != want {
			t.Errorf("%v: %s %q, want %q", err, got.Kind, got.Detail, want)
		}
	}
}

// Another program's port, and the wrong scheme, are told without the words of Go's packages.
func TestCauseOfAnotherProgram(t *testing.T) {
	for greeting, tt := range map[string]struct{ overHTTP, overTLS string }{
		"SSH-2.0-OpenSSH_9\r\n":   {noHTTP, noTLS},
		"HTTP/1.1 abc OK\r\n\r\n": {noHTTP, noTLS},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					go func() { _, _ = io.Copy(io.Discard, conn) }() // until the other end has had enough
					_, _ = io.WriteString(conn, greeting)
					time.Sleep(100 * time.Millisecond) // as a server that waits for more
				}()
			}
		}()
		for scheme, want := range map[string]string{"http://": tt.overHTTP, "https://": tt.overTLS} {
			res, err := http.Get(scheme + l.Addr().String())
			if err == nil {
				_ = res.Body.Close()
				t.Errorf("%s to %.20q: no error", scheme, greeting)
			} else if got := causeOf(err); got != want {
				t.Errorf("%s to %.20q: %v is %q, want %q", scheme, greeting, err, got, want)
			}
		}
		_ = l.Close()
	}
}

// An answer that breaks the rules of HTTP is told without the words of Go's packages, which
// are for the log.
func TestCauseOfABadAnswer(t *testing.T) {
	const begin, json = "HTTP/1.1 200 OK\r\n", "Content-Type: application/json\r\n"
	for answer, want := range map[string]string{
		begin + json + "Content-Length: abc\r\n\r\n{}":                                    badHTTP,
		begin + json + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}":                 badHTTP,
		begin + json + "Transfer-Encoding: snappy\r\n\r\n{}":                              badHTTP,
		begin + json + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n":                  badHTTP,
		begin + json + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}\r\n":                  badHTTP,
		begin + json + "Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nno gzip here": badHTTP,
		begin + "X: " + strings.Repeat("x", 11<<20) + "\r\n\r\n":                          badHTTP,
		begin + "no colon\r\n\r\n":                                                        badHTTP,
		begin + json + "Content-Length: 9\r\n\r\n{}":                                      brokeOff,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, answer)
				_ = conn.Close()
			}
		}()
		c, err := New("http://"+l.Addr().String(), Options{Transport: http.DefaultTransport, Clock: clock.System()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Version(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Kind != Unreachable || e.Detail != want {
			t.Errorf("%.90q is %v, want %q", answer, err, want)
		} else if want == badHTTP && e.raw == "" {
			t.Errorf("%.90q: the log does not say what is wrong", answer)
		}
		_ = l.Close()
	}
}

// A port at which nobody listens is told from a name that nobody has, on this system too.
func TestCauseOfSystem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = http.Get("http://" + l.Addr().String())
	if got := causeOf(err); got != nobodyThere {
		t.Errorf("%v is %q", err, got)
	}
}
