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
