package langflow_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

// front stands before the stand-in with a certificate, and is asked for its version
// by a client that trusts ca as well.
func front(t *testing.T, cert tls.Certificate, ca []byte) error {
	t.Helper()
	s := langflowtest.NewInProcess(langflowtest.Options{})
	defer s.Close()
	https := httptest.NewUnstartedServer(s)
	https.Config.ErrorLog = discard()
	https.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	https.StartTLS()
	defer https.Close()
	transport, err := langflow.NewTransport(ca)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	c, err := langflow.New(strings.Replace(https.URL, "127.0.0.1", "localhost", 1), langflow.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	return err
}

// Each way in which a certificate is wrong has its own words, and only what a CA
// would mend advises one.
func TestCertificatesInWords(t *testing.T) {
	now := time.Now()
	date := func(d time.Duration) string { return now.Add(d).UTC().Format("2 Jan 2006") }
	const day = 24 * time.Hour
	ca := langflowtest.NewAuthority()
	aged := langflowtest.NewAuthorityWith(func(c *x509.Certificate) { c.NotAfter = now.Add(-day / 2) })
	noAuthority := langflowtest.NewAuthorityWith(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	alone := langflowtest.NewAuthorityWith(func(c *x509.Certificate) { c.IsCA, c.DNSNames = false, []string{"localhost"} })
	same := func(*x509.Certificate) {}
	for name, c := range map[string]struct {
		cert          tls.Certificate
		ca            *langflowtest.Authority // that is trusted; nil is none
		found, advice string                  // parts of what is said
		advisesCA     bool
	}{
		"expired": {ca.Issue("localhost", now.Add(-3*day), now.Add(-2*day)), ca,
			"it expired on " + date(-2*day) + ", and this computer's clock has " + date(0), "have the server's administrator renew it", false},
		"not yet valid": {ca.Issue("localhost", now.Add(2*day), now.Add(3*day)), ca,
			"it is not valid before " + date(2*day) + ", and this computer's clock has " + date(0), "set the clock", false},
		"for another name": {ca.IssueWith("a.test", func(c *x509.Certificate) { c.DNSNames = []string{"a.test", "b.test", "c.test", "d.test"} }), ca,
			"it is for a.test, b.test and 2 more, not for localhost", "use such a name in the url", false},
		"with a common name alone": {ca.IssueWith("localhost", func(c *x509.Certificate) { c.DNSNames = nil }), ca,
			"it names localhost as its common name alone", "localhost as a subject alternative name", false},
		"not for servers": {ca.IssueWith("localhost", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), ca,
			"incompatible key usage", "ask the server's administrator", false},
		"of an unknown authority": {ca.IssueWith("localhost", same), nil,
			"issued by O=Langkeep test authority, which is no authority known here", "add its CA with --ca-file", true},
		"of an authority that has expired": {aged.IssueWith("localhost", same), aged,
			"O=Langkeep test authority", "renew", false},
		"of what is no authority": {noAuthority.IssueWith("localhost", same), noAuthority,
			"O=Langkeep test authority, which issued it, is not an authority's certificate", "name that of the authority with --ca-file", true},
		"without a name": {noAuthority.Own(), noAuthority, "it names no host", "localhost as a subject alternative name", false},
		"signed by itself": {alone.Own(), nil,
			"issued by O=Langkeep test authority, which is itself", "add it with --ca-file", true},
	} {
		t.Run(name, func(t *testing.T) {
			var pem []byte
			if c.ca != nil {
				pem = c.ca.PEM()
			}
			e := wantKind(t, front(t, c.cert, pem), langflow.Certificate)
			found, advice := langflow.SplitDetail(e.Detail)
			if !strings.Contains(found, c.found) || !strings.Contains(advice, c.advice) || strings.Contains(e.Error(), "--ca-file") != c.advisesCA {
				t.Errorf("it says %q, and advises %q", found, advice)
			}
		})
	}
	e := langflow.CAFileError(errors.New("no such file"))
	if found, advice := langflow.SplitDetail(e.Detail); e.Kind != langflow.Certificate || found != "the ca file can't be used (no such file)" || !strings.Contains(advice, "--ca-file") {
		t.Errorf("%q, %q", found, advice)
	}
}

// CA files come from Windows' tools as well.
func TestCAFilesOfWindows(t *testing.T) {
	ca := langflowtest.NewAuthority()
	cert := ca.IssueWith("localhost", func(*x509.Certificate) {})
	text := strings.ReplaceAll(string(ca.PEM()), "\n", "\r\n")
	wide := func(order binary.ByteOrder) []byte {
		var b []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			b = append(b, 0, 0)
			order.PutUint16(b[len(b)-2:], unit)
		}
		return b
	}
	for name, file := range map[string][]byte{
		"CRLF": []byte(text), "UTF-8 with a byte order mark": []byte("\ufeff" + text),
		"UTF-16, little-endian": wide(binary.LittleEndian), "UTF-16, big-endian": wide(binary.BigEndian),
	} {
		if err := front(t, cert, file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := front(t, cert, []byte("\xff\xfe")); err == nil {
		t.Error("a byte order mark alone is a CA")
	}
}
