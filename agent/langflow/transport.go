package langflow

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"
)

// NewTransport makes a transport that trusts the system's roots and those in
// ca (PEM, may be nil). Clients of one CA share one, and with it connections.
// It honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
func NewTransport(ca []byte) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  20 * time.Second, // a login on a busy Langflow takes seconds
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
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
	if !roots.AppendCertsFromPEM(ca) {
		return nil, errors.New("the ca file holds no certificate in PEM; export it as Base64 or .pem")
	}
	t.TLSClientConfig.RootCAs = roots
	return t, nil
}

// Streaming is a way to the same servers for what is passed on to them: an
// answer may take as long as a flow runs, and its bytes stay as they are.
func Streaming(t http.RoundTripper) http.RoundTripper {
	plain, ok := t.(*http.Transport)
	if !ok {
		return t
	}
	s := plain.Clone()
	s.ResponseHeaderTimeout, s.DisableCompression = 0, true
	s.MaxIdleConns, s.MaxIdleConnsPerHost = 256, 64
	return s
}
