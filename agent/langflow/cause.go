package langflow

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
)

// The causes that keep a request from a server, in words that tell a misspelt name from
// a server that is not running.
const (
	noSuchName   = "no server is named %s; check its spelling"
	noNameServer = "the name %s can't be looked up; there may be no network"
	nobodyThere  = "nothing accepts connections there; it may not be running"
	brokeOff     = "the connection broke off"
	noWay        = "no network leads there"
	noTLS        = "what answers there speaks no TLS; the address may begin with http://"
	noHTTP       = "what answers there is no web server, or wants an address that begins with https://"
	badHTTP      = "its answer breaks the rules of HTTP"
	badTLS       = "no TLS connection comes about: %s"
)

// The same of Windows Sockets, whose numbers package syscall lacks.
const (
	wsaNetUnreachable  = syscall.Errno(10051)
	wsaReset           = syscall.Errno(10054)
	wsaRefused         = syscall.Errno(10061)
	wsaHostUnreachable = syscall.Errno(10065)
)

// causeOf says in a few words why a request did not get through.
func causeOf(err error) string {
	is := func(all ...error) bool {
		for _, one := range all {
			if errors.Is(err, one) {
				return true
			}
		}
		return false
	}
	says := func(parts ...string) bool { // where net/http has no type
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(err.Error(), part) })
	}
	unknown, ofName := errors.AsType[*net.DNSError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case ofName && unknown.IsNotFound:
		return fmt.Sprintf(noSuchName, unknown.Name)
	case ofName:
		return fmt.Sprintf(noNameServer, unknown.Name)
	case is(syscall.ECONNREFUSED, wsaRefused):
		return nobodyThere
	case is(syscall.ENETUNREACH, syscall.EHOSTUNREACH, wsaNetUnreachable, wsaHostUnreachable):
		return noWay
	case is(syscall.ECONNRESET, syscall.EPIPE, wsaReset, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed),
		says("closed idle connection", "http2: ", "stream error: ", "connection error: "):
		return brokeOff
	case isRecord || is(http.ErrSchemeMismatch):
		return noTLS
	case says("malformed HTTP", "readLoopPeekFailLocked"):
		return noHTTP
	}
	// The innermost text, without the addresses and calls around it. The system's texts are
	// made for people; those of net/http and its kind are not.
	ofSystem := false
	for {
		if of, ok := errors.AsType[*url.Error](err); ok && of.Err != nil {
			err = of.Err
		} else if of, ok := errors.AsType[*net.OpError](err); ok && of.Err != nil {
			err, ofSystem = of.Err, true
		} else if of, ok := errors.AsType[*os.SyscallError](err); ok && of.Err != nil {
			err, ofSystem = of.Err, true
		} else {
			break
		}
	}
	if alert, ok := strings.CutPrefix(err.Error(), "tls: "); ok {
		return fmt.Sprintf(badTLS, alert)
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok || ofSystem {
		return err.Error()
	}
	return badHTTP
}
