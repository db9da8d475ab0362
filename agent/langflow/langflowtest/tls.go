package langflowtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// Authority issues certificates, as a company's private one does.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes one that lives for ten years.
func NewAuthority() *Authority { return NewAuthorityWith(func(*x509.Certificate) {}) }

// NewAuthorityWith makes one whose certificate a function changes beforehand.
func NewAuthorityWith(change func(*x509.Certificate)) *Authority {
	a := &Authority{}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Langkeep test authority"}},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	change(template)
	var der []byte
	a.key, der = sign(template, template, nil)
	a.cert, _ = x509.ParseCertificate(der) // which was just made
	return a
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Own is the authority's own certificate for a server to use.
func (a *Authority) Own() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}
}

// Issue makes a certificate for a host's name.
func (a *Authority) Issue(host string, from, until time.Time) tls.Certificate {
	return a.IssueWith(host, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, until })
}

// IssueWith makes a certificate for a host's name, good for a day, which a function
// changes beforehand.
func (a *Authority) IssueWith(host string, change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	key, der := sign(template, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// sign makes a key and a certificate of it, which it signs itself without a
// parent's key.
func sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	return key, der
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic("langflowtest: " + err.Error())
	}
	return n
}
