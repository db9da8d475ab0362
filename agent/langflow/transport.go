package langflow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// An HTTP/2 connection on which nothing came for silenceBeforePing is asked
	// for a sign of life, and given up when none comes within pingTimeout. Without
	// that a connection whose packets are dropped is used until TCP gives up, which
	// takes 15 min on Linux (golang/go#30702).
	silenceBeforePing = 10 * time.Second
	pingTimeout       = 5 * time.Second
	// unackedTimeout is the same for HTTP/1 and WebSockets: how long the kernel
	// waits for the other side to take note of what was sent.
	unackedTimeout = 30 * time.Second
)

// NewTransport makes a transport that trusts the system's roots and those in
// ca (PEM, may be nil). Clients of one CA share one, and with it connections.
// It uses the forward proxies that the environment names: see Forward.
func NewTransport(ca []byte) (*http.Transport, error) {
	forward := forwardFromEnvironment()
	t := &http.Transport{
		Proxy:                  forward.ForRequest,
		OnProxyConnectResponse: forward.connected,
		DialContext:            NewDialer().Dial,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  20 * time.Second, // a login on a busy Langflow takes seconds
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: silenceBeforePing, PingTimeout: pingTimeout},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if len(ca) == 0 {
		return t, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		// A system without roots still has the one it was given.
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(plainText(ca)) {
		return nil, errors.New("the ca file holds no certificate in PEM; export it as Base64 or .pem")
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}

// Streaming is a way to the same servers for requests that the proxy passes on: an
// answer may take as long as a flow runs or come before the request's end, and
// its bytes stay as they are.
func Streaming(t http.RoundTripper) http.RoundTripper {
	plain, ok := t.(*http.Transport)
	if !ok {
		return t
	}
	s := plain.Clone()
	s.ResponseHeaderTimeout, s.DisableCompression = 0, true
	if s.DialContext != nil {
		s.DialContext = asUpstream(s.DialContext)
	}
	s.MaxIdleConns, s.MaxIdleConnsPerHost = 256, 64
	return s
}

// Renewable is a transport whose connections can be given up. It is safe for
// concurrent use.
type Renewable struct {
	mu  sync.Mutex // protects the following
	now http.RoundTripper
}

// NewRenewable makes a Renewable of a transport. Only an *http.Transport has connections to
// give up.
func NewRenewable(t http.RoundTripper) *Renewable { return &Renewable{now: t} }

// RoundTrip implements http.RoundTripper. After a time-out the connections that
// there are may be dead, so the next request gets one of its own.
func (w *Renewable) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	t := w.now
	w.mu.Unlock()
	res, err := sendAgain(t, r)
	if err != nil && timedOut(err) && !dialing(err) {
		w.renew(t)
	}
	return res, err
}

// Renew has later requests make new connections. Requests that are under way
// keep theirs: after a change of the network some still work.
func (w *Renewable) Renew() {
	w.mu.Lock()
	t := w.now
	w.mu.Unlock()
	w.renew(t)
}

func (w *Renewable) renew(old http.RoundTripper) {
	t, ok := old.(*http.Transport)
	if !ok {
		return
	}
	w.mu.Lock()
	renewed := w.now == old
	if renewed { // else somebody else has
		w.now = t.Clone()
	}
	w.mu.Unlock()
	if renewed {
		t.CloseIdleConnections()
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// dialing tells whether there was no connection yet.
func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == opForward)
}
