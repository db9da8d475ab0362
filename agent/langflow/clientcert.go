package langflow

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"langkeep/agent/paths"
)

// ClientCert is a certificate that a gateway wants of its clients, and its key, in two PEM
// files. They are read anew for each connection, since short-lived certificates are
// replaced while the program runs. While the files can't be used, as when only one of
// them has been replaced yet, the pair from before stays in force till its end. It is
// safe for concurrent use.
type ClientCert struct {
	certFile, keyFile string

	mu        sync.Mutex // protects the following
	cert, key []byte     // the files' contents that pair was made of
	pair      *tls.Certificate
}

// NewClientCert makes a ClientCert of a file with a certificate, and those of the
// authorities that lead to it, and a file with its key, which may be the same. It reads
// nothing yet.
func NewClientCert(certFile, keyFile string) *ClientCert {
	return &ClientCert{certFile: certFile, keyFile: keyFile}
}

// hiddenProxy ends the host name of a forward proxy whose TLS net/http does not see.
const hiddenProxy = ".tls-forward-proxy.invalid"

// Use has a transport show the certificate to the servers that ask for it. It must come
// before the transport's first request. A forward proxy with TLS does not see the
// certificate: net/http has one TLS configuration for both, so it is told of a plain proxy,
// and dialing makes the connection to that one secure.
func (c *ClientCert) Use(t *http.Transport) {
	dial, proxyOf := t.DialContext, t.Proxy
	toProxy := t.TLSClientConfig.Clone()
	t.TLSClientConfig.GetClientCertificate = c.forConnection
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := proxyOf(r)
		if u == nil || u.Scheme != "https" {
			return u, err
		}
		hidden := *u
		hidden.Scheme, hidden.Host = "http", net.JoinHostPort(u.Hostname()+hiddenProxy, cmp.Or(u.Port(), "443"))
		return &hidden, err
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		proxy, isHidden := strings.CutSuffix(host, hiddenProxy)
		if err != nil || !isHidden {
			return dial(ctx, network, address)
		}
		conn, err := dial(ctx, network, net.JoinHostPort(proxy, port))
		if err != nil {
			return nil, err
		}
		config := toProxy.Clone()
		config.ServerName = proxy
		ctx, cancel := context.WithTimeout(ctx, t.TLSHandshakeTimeout)
		defer cancel()
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return secure, nil
	}
}

// forConnection is a tls.Config's GetClientCertificate. It fails with an *Error, of kind
// Certificate, rather than make a connection without the certificate.
func (c *ClientCert) forConnection(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := c.read()
	if pair == nil || err != nil && time.Now().After(pair.Leaf.NotAfter) {
		return nil, clientCertError(err)
	}
	return pair, nil
}

// Read reads the files. It returns the certificate in force, nil if there is none, and an
// *Error of kind Certificate if the files can't be used.
func (c *ClientCert) Read() (*x509.Certificate, error) {
	pair, err := c.read()
	if err != nil {
		err = clientCertError(err)
	}
	if pair == nil {
		return nil, err
	}
	return pair.Leaf, err
}

// clientCertError is the error of files that can't be used.
func clientCertError(err error) *Error {
	return &Error{Op: "use the client certificate", Kind: Certificate, cause: err,
		Detail: "the client certificate can't be used (" + clip(err.Error(), 300) + "): mend its files, or name others"}
}

// read returns the pair in force, nil if there is none, and why the files can't be used.
func (c *ClientCert) read() (*tls.Certificate, error) {
	const most = 1 << 20 // bytes
	// The files may be on a network disk that does not answer: hold no lock.
	cert, err := paths.ReadFile(c.certFile, most)
	var key []byte
	if err == nil {
		key, err = paths.ReadPrivate(c.keyFile, most)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return c.pair, err
	}
	if c.pair != nil && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return c.pair, nil
	}
	pair, err := c.parse(plainText(cert), plainText(key))
	if err != nil {
		return c.pair, err
	}
	c.pair, c.cert, c.key = pair, cert, key
	return pair, nil
}

// parse makes a pair. Its errors quote nothing of the files.
func (c *ClientCert) parse(cert, key []byte) (*tls.Certificate, error) {
	if blockOf(cert, func(b *pem.Block) bool { return b.Type == "CERTIFICATE" }) == nil {
		return nil, errors.New(c.certFile + " has no certificate in PEM")
	}
	block := blockOf(key, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") })
	switch {
	case block == nil:
		return nil, errors.New(c.keyFile + " has no private key in PEM")
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, errors.New(c.keyFile + " is encrypted, which is not supported; openssl pkey can decrypt it")
	case block.Type == "OPENSSH PRIVATE KEY":
		return nil, errors.New(c.keyFile + " is a key of OpenSSH, not of a certificate")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil && strings.Contains(err.Error(), "does not match") {
		return nil, fmt.Errorf("the key in %s is not that of the certificate in %s", c.keyFile, c.certFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%s or %s can't be read: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// blockOf is the first block of a PEM file that fits; nil if there is none.
func blockOf(data []byte, fits func(*pem.Block) bool) *pem.Block {
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil || fits(b) {
			return b
		}
	}
}
