package langflow

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// certificateDetail returns a certificate's fault, a colon, and the advice; false for
// an error of another kind.
func certificateDetail(err error, now time.Time) (string, bool) {
	var verification *tls.CertificateVerificationError
	var leaf *x509.Certificate
	if errors.As(err, &verification) && len(verification.UnverifiedCertificates) > 0 {
		leaf = verification.UnverifiedCertificates[0]
	}
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		roots     x509.SystemRootsError
	)
	switch {
	case errors.As(err, &hostname):
		return wrongName(hostname), true
	case errors.As(err, &invalid):
		return invalidCertificate(invalid, leaf, now), true
	case errors.As(err, &authority):
		if leaf == nil {
			leaf = authority.Cert
		}
		return unknownAuthority(leaf, authority.Error()), true
	case errors.As(err, &roots):
		return "this computer has no certificates of authorities: install them (ca-certificates), or add the CA with --ca-file", true
	case verification != nil:
		return otherwiseWrong(verification.Err), true
	}
	return "", false
}

func wrongName(e x509.HostnameError) string {
	c := e.Certificate
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	host := clip(e.Host, 50)
	if len(names) == 0 && c.Subject.CommonName == "" {
		return fmt.Sprintf("it names no host: have the server's administrator renew it with %s as a subject alternative name", clip(host, 30))
	}
	if len(names) == 0 {
		return fmt.Sprintf("it names %s as its common name alone, which counts no more: have the server's administrator renew it with %s as a subject alternative name",
			clip(c.Subject.CommonName, 30), clip(host, 30))
	}
	more := ""
	if n := len(names) - 2; n > 0 {
		names, more = names[:2], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("it is for %s%s, not for %s: use such a name in the url, or have the server's administrator renew it", clip(strings.Join(names, ", "), 60), more, clip(host, 30))
}

func invalidCertificate(e x509.CertificateInvalidError, leaf *x509.Certificate, now time.Time) string {
	const day = "2 Jan 2006"
	whose, renew := "it", "have the server's administrator renew it"
	if c := e.Cert; c != nil && leaf != nil && !c.Equal(leaf) {
		whose, renew = "the certificate of its authority "+clip(c.Subject.String(), 40), "have the server's administrator renew the chain"
	}
	switch {
	case e.Reason == x509.Expired && e.Cert != nil && now.Before(e.Cert.NotBefore):
		return fmt.Sprintf("%s is not valid before %s, and this computer's clock has %s: set the clock, or ask the server's administrator",
			whose, e.Cert.NotBefore.UTC().Format(day), now.UTC().Format(day))
	case e.Reason == x509.Expired && e.Cert != nil:
		return fmt.Sprintf("%s expired on %s, and this computer's clock has %s: %s",
			whose, e.Cert.NotAfter.UTC().Format(day), now.UTC().Format(day), renew)
	case e.Reason == x509.Expired:
		return "it has expired or is not valid yet: " + renew + ", or set this computer's clock"
	case e.Reason == x509.NotAuthorizedToSign:
		return notAnAuthority(leaf)
	}
	return otherwiseWrong(e)
}

func unknownAuthority(leaf *x509.Certificate, said string) string {
	issuer := "an authority"
	if leaf != nil {
		issuer = clip(leaf.Issuer.String(), 50)
	}
	switch {
	// x509 names a rejected candidate only in the error's text.
	case strings.Contains(said, "has expired or is not yet valid"):
		return fmt.Sprintf("the certificate of %s, which issued it, has expired or is not valid yet: get the authority's new certificate, and name it with --ca-file", issuer)
	case strings.Contains(said, "not authorized to sign"), strings.Contains(said, "parent certificate cannot sign"):
		return notAnAuthority(leaf)
	case leaf != nil && bytes.Equal(leaf.RawIssuer, leaf.RawSubject):
		return fmt.Sprintf("issued by %s, which is itself: if it is your own, add it with --ca-file", issuer)
	}
	return fmt.Sprintf("issued by %s, which is no authority known here: if it is your company's or your own, add its CA with --ca-file", issuer)
}

func notAnAuthority(leaf *x509.Certificate) string {
	issuer := "what"
	if leaf != nil {
		issuer = clip(leaf.Issuer.String(), 50) + ", which"
	}
	return fmt.Sprintf("%s issued it, is not an authority's certificate: name that of the authority with --ca-file, or ask the server's administrator", issuer)
}

func otherwiseWrong(err error) string {
	return clip(strings.TrimPrefix(err.Error(), "x509: "), 120) + ": ask the server's administrator"
}

// CAFileError is the error of a CA file that can't be used.
func CAFileError(err error) *Error {
	return &Error{Op: "read the CA", Kind: Certificate, cause: err,
		Detail: "the ca file can't be used (" + clip(err.Error(), 120) + "): put the CA's certificate there, or name another with --ca-file"}
}

// SplitDetail splits the detail of an error of kind Certificate or ForwardProxy into
// the fault and the advice, "" if there is none.
func SplitDetail(detail string) (found, advice string) {
	if i := strings.LastIndex(detail, ": "); i >= 0 {
		return detail[:i], detail[i+len(": "):]
	}
	return detail, ""
}

// plainText is a text file's content in UTF-8 without a byte order mark: Windows'
// own tools write one, PowerShell's > in UTF-16.
func plainText(b []byte) []byte {
	if rest, marked := bytes.CutPrefix(b, []byte("\xef\xbb\xbf")); marked {
		return rest
	}
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return b
	}
	var units []uint16
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return []byte(string(utf16.Decode(units)))
}
