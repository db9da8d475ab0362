package langflow_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

// mutual is a server that wants certificates of its clients, and a client whose files it
// has.
type mutual struct {
	*testing.T
	ca        *langflowtest.Authority
	cert, key string // paths
	its       *langflow.ClientCert
	address   string
	version   func() error // asks the server over a connection of its own
	seen      func() string
}

func newMutual(t *testing.T) *mutual {
	t.Helper()
	m := &mutual{T: t, ca: langflowtest.NewAuthority()}
	s := langflowtest.NewInProcess(langflowtest.Options{})
	t.Cleanup(s.Close)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(m.ca.PEM())
	https := httptest.NewUnstartedServer(s)
	https.Config.ErrorLog = discard()
	seen := make(chan string, 1)
	https.TLS = &tls.Config{
		Certificates: []tls.Certificate{m.ca.IssueWith("localhost", func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "flows.test") })},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
		VerifyConnection: func(state tls.ConnectionState) error {
			seen <- state.PeerCertificates[0].Subject.CommonName
			return nil
		},
	}
	https.StartTLS()
	t.Cleanup(https.Close)
	m.address = https.Listener.Addr().String()
	dir := t.TempDir()
	m.cert, m.key = filepath.Join(dir, "me.pem"), filepath.Join(dir, "me.key")
	m.its = langflow.NewClientCert(m.cert, m.key)
	transport, err := langflow.NewTransport(m.ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	m.its.Use(transport)
	transport.DisableKeepAlives = true
	c, err := langflow.New(strings.Replace(https.URL, "127.0.0.1", "localhost", 1), langflow.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	m.version = func() error {
		_, err := c.Version(t.Context())
		return err
	}
	m.seen = func() string {
		select {
		case name := <-seen:
			return name
		default:
			return ""
		}
	}
	return m
}

// issue makes the files' contents of a certificate with a name.
func (m *mutual) issue(name string, change func(*x509.Certificate)) (cert, key []byte) {
	m.Helper()
	made := m.ca.IssueWith(name, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		change(c)
	})
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		m.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (m *mutual) write(path string, data []byte) {
	m.Helper()
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, 0o600)); err != nil {
		m.Fatal(err)
	}
}

// A forward proxy with TLS that asks for a certificate gets none, and the server behind it
// gets it.
func TestClientCertificateIsNotTheProxys(t *testing.T) {
	m := newMutual(t)
	cert, key := m.issue("me", same)
	m.write(m.cert, cert)
	m.write(m.key, key)
	var asked, shown atomic.Int32
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		shown.Add(int32(len(r.TLS.PeerCertificates)))
		if r.Header.Get("Proxy-Authorization") == "" {
			t.Error("the proxy's password is not sent")
		}
		server, err := net.Dial("tcp", m.address)
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(server, client) }()
		_, _ = io.Copy(client, server) // the end of the connection ends both
	}))
	proxy.TLS = &tls.Config{
		Certificates: []tls.Certificate{m.ca.IssueWith("localhost", func(*x509.Certificate) {})},
		ClientAuth:   tls.RequestClientCert,
	}
	proxy.Config.ErrorLog = discard()
	proxy.StartTLS()
	t.Cleanup(proxy.Close)
	for _, name := range []string{"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToLower(name), "")
	}
	_, port, _ := net.SplitHostPort(proxy.Listener.Addr().String())
	t.Setenv("https_proxy", "https://ann:secret@localhost:"+port)
	for name, streaming := range map[string]bool{"calls": false, "streams": true} {
		transport, err := langflow.NewTransport(m.ca.PEM())
		if err != nil {
			t.Fatal(err)
		}
		m.its.Use(transport)
		var way http.RoundTripper = transport
		if streaming {
			way = langflow.Streaming(transport)
		}
		c, err := langflow.New("https://flows.test", langflow.Options{Transport: langflow.NewRenewable(way)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Version(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := m.seen(); got != "me" {
			t.Errorf("%s: the server saw %q", name, got)
		}
		langflow.NewRenewable(way).Renew() // ends the connections
	}
	if asked.Load() != 2 || shown.Load() != 0 {
		t.Errorf("the proxy was asked %d times, and shown %d certificates", asked.Load(), shown.Load())
	}
	// The person reads of a proxy that they don't trust as of any other one.
	transport, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	m.its.Use(transport)
	c, err := langflow.New("https://flows.test", langflow.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	// Windows' variables have one name in all letters.
	if e := wantKind(t, err, langflow.ForwardProxy); !strings.Contains(strings.ToLower(e.Detail), "the proxy localhost:"+port+" of https_proxy can't be used") {
		t.Errorf("it says %q", e.Detail)
	}
}

func same(*x509.Certificate) {}

// passes checks that the server lets the client in, as somebody.
func (m *mutual) passes(when, name string) {
	m.Helper()
	if err := m.version(); err != nil {
		m.Errorf("%s: %v", when, err)
	}
	if got := m.seen(); got != name {
		m.Errorf("%s: the server saw %q, want %q", when, got, name)
	}
}

// fails checks that no connection is made, and what is said.
func (m *mutual) fails(when, says string) {
	m.Helper()
	err := m.version()
	var e *langflow.Error
	if !errors.As(err, &e) || e.Kind != langflow.Certificate || !strings.Contains(e.Detail, says) {
		m.Errorf("%s: %v, want %q", when, err, says)
	}
	if _, advice := langflow.SplitDetail(e.Detail); advice != "mend its files, or name others" {
		m.Errorf("%s: the advice is %q", when, advice)
	}
	if _, read := m.its.Read(); read == nil || !strings.Contains(read.Error(), says) {
		m.Errorf("%s: Read says %v", when, read)
	}
	if got := m.seen(); got != "" {
		m.Errorf("%s: the server saw %q", when, got)
	}
}

// A certificate that is replaced below a running session is used for the next
// connection. While the new one is half-written, the old one is.
func TestClientCertIsReplaced(t *testing.T) {
	m := newMutual(t)
	if leaf, err := m.its.Read(); leaf != nil || err == nil {
		t.Errorf("before there is any: %v", err)
	}
	m.fails("before there is any", m.cert)
	cert, key := m.issue("one", same)
	m.write(m.cert, cert)
	m.fails("the certificate alone", m.key)
	m.write(m.key, key)
	m.passes("both", "one")
	m.passes("again", "one")

	// Of the same size and time as the first, which hides the change from a look at those.
	info, err := os.Stat(m.cert)
	if err != nil {
		t.Fatal(err)
	}
	cert2, key2 := m.issue("two", same)
	m.write(m.cert, cert2)
	if err := os.Chtimes(m.cert, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	m.passes("the new certificate alone", "one")
	if leaf, err := m.its.Read(); leaf == nil || leaf.Subject.CommonName != "one" || err == nil || !strings.Contains(err.Error(), "is not that of the certificate") {
		t.Errorf("the new certificate alone: %v", err)
	}
	m.write(m.key, key2[:len(key2)/2])
	m.passes("half the new key", "one")
	m.write(m.key, key2)
	m.passes("both new", "two")
	if leaf, err := m.its.Read(); leaf == nil || leaf.Subject.CommonName != "two" || err != nil {
		t.Errorf("both new: %v", err)
	}
	if err := os.Remove(m.cert); err != nil {
		t.Fatal(err)
	}
	m.passes("deleted, before it comes anew", "two")
	m.write(m.cert, append(cert2, key2...))
	whole := langflow.NewClientCert(m.cert, m.cert)
	if leaf, err := whole.Read(); err != nil || leaf.Subject.CommonName != "two" {
		t.Errorf("both in one file: %v", err)
	}
}

// A certificate that has ended is not offered in place of a new one that can't be used.
func TestClientCertEnds(t *testing.T) {
	m := newMutual(t)
	cert, key := m.issue("ended", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	m.write(m.cert, cert)
	m.write(m.key, key)
	if leaf, err := m.its.Read(); err != nil || leaf.Subject.CommonName != "ended" {
		t.Errorf("%v", err)
	}
	if err := m.version(); err == nil || strings.Contains(err.Error(), m.cert) {
		t.Errorf("the server's word on it: %v", err)
	}
	m.write(m.cert, nil)
	m.fails("ended, and its successor empty", "has no certificate")
	cert, key = m.issue("fresh", same)
	m.write(m.cert, cert)
	m.write(m.key, key)
	m.passes("its successor", "fresh")
}

// Files that can't be used say why, and a key never shows.
func TestClientCertRefuses(t *testing.T) {
	ca := &mutual{T: t, ca: langflowtest.NewAuthority()}
	cert, key := ca.issue("me", same)
	_, otherKey := ca.issue("other", same)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, headers map[string]string, data []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: data})
	}
	old := map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00112233445566778899AABBCCDDEEFF"}
	utf16 := []byte{0xff, 0xfe}
	for _, b := range cert {
		utf16 = append(utf16, b, 0)
	}
	for name, tc := range map[string]struct {
		cert, key []byte
		mode      os.FileMode
		says      string // "" is taken
	}{
		"good":                       {cert, key, 0o600, ""},
		"UTF-16, of PowerShell":      {utf16, key, 0o600, ""},
		"with text around":           {append([]byte("subject=me\n"), cert...), append([]byte("Bag Attributes\n"), key...), 0o600, ""},
		"EC parameters before it":    {cert, append(block("EC PARAMETERS", nil, []byte{6, 8}), key...), 0o600, ""},
		"no certificate":             {key, key, 0o600, "me.pem has no certificate"},
		"an empty certificate":       {nil, key, 0o600, "me.pem has no certificate"},
		"DER":                        {[]byte{0x30, 0x82, 1, 2}, key, 0o600, "me.pem has no certificate"},
		"no key":                     {cert, cert, 0o600, "me.key has no private key"},
		"encrypted":                  {cert, block("ENCRYPTED PRIVATE KEY", nil, der), 0o600, "me.key is encrypted"},
		"encrypted, the old way":     {cert, block("EC PRIVATE KEY", old, der), 0o600, "me.key is encrypted"},
		"of OpenSSH":                 {cert, block("OPENSSH PRIVATE KEY", nil, der), 0o600, "OpenSSH"},
		"another's key":              {cert, otherKey, 0o600, "me.key is not that of the certificate in"},
		"a key of another kind":      {cert, block("EC PRIVATE KEY", nil, der), 0o600, "is not that of the certificate in"},
		"a broken key":               {cert, block("PRIVATE KEY", nil, der[:20]), 0o600, "can't be read"},
		"a broken certificate":       {block("CERTIFICATE", nil, der), key, 0o600, "can't be read"},
		"a key that all can read":    {cert, key, 0o644, "me.key is open to every user; run chmod 600"},
		"a key that its group reads": {cert, key, 0o640, "me.key is open to its group; run chmod 600"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && tc.mode != 0o600 {
				return // a file has no mode there
			}
			t.Chdir(t.TempDir()) // short names, so that nothing of the error is cut off
			if err := errors.Join(os.WriteFile("me.pem", tc.cert, 0o644), os.WriteFile("me.key", tc.key, 0o600), os.Chmod("me.key", tc.mode)); err != nil {
				t.Fatal(err)
			}
			leaf, err := langflow.NewClientCert("me.pem", "me.key").Read()
			if tc.says == "" {
				if err != nil || leaf.Subject.CommonName != "me" {
					t.Error(err)
				}
				return
			}
			var e *langflow.Error
			if !errors.As(err, &e) || leaf != nil || !strings.Contains(e.Detail, tc.says) {
				t.Errorf("%v, want %q", err, tc.says)
			}
		})
	}
}
