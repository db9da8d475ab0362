package langflow

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"
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
		brokeOff:                                fmt.Errorf("read: %w", io.ErrUnexpectedEOF),
		"too odd":                               dial(os.NewSyscallError("connect", errors.New("too odd"))),
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
