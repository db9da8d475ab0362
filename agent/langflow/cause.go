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
	case is(syscall.ECONNRESET, syscall.EPIPE, wsaReset, io.EOF, io.ErrUnexpectedEOF):
		return brokeOff
	case isRecord || is(http.ErrSchemeMismatch):
		return noTLS
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "readLoopPeekFailLocked"):
		return noHTTP // net/http has no type for these
	}
	// The innermost text, without the addresses and calls around it.
	for {
		if of, ok := errors.AsType[*url.Error](err); ok && of.Err != nil {
			err = of.Err
		} else if of, ok := errors.AsType[*net.OpError](err); ok && of.Err != nil {
			err = of.Err
		} else if of, ok := errors.AsType[*os.SyscallError](err); ok && of.Err != nil {
			err = of.Err
		} else {
			return err.Error()
		}
	}
}
