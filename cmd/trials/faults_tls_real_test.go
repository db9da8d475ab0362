//go:build real && linux

package trials

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// TestFaultsOfTLS has the certificate of a real listener go bad, before the real
// program.
func TestFaultsOfTLS(t *testing.T) {
	t.Parallel() // it waits most of its time
	faultsOf(t, (*faultyPerson).testTLS)
}

// testTLS has a listener's certificate go bad in all ways.
func (f *faultyPerson) testTLS() {
	standIn := langflowtest.NewInProcess(langflowtest.Options{AccessLifetime: 4 * time.Second})
	defer standIn.Close()
	ca, other := langflowtest.NewAuthority(), langflowtest.NewAuthority()
	var cert atomic.Pointer[tls.Certificate]
	present := func(by *langflowtest.Authority, host string, from, until time.Duration) {
		c := by.Issue(host, time.Now().Add(from), time.Now().Add(until))
		cert.Store(&c)
	}
	const day = 24 * time.Hour
	present(ca, "localhost", -day, day)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	server := &http.Server{
		Handler: standIn, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }},
	}
	server.SetKeepAlivesEnabled(false) // so that each request looks at the certificate
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			f.t.Error(err)
		}
	}()
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	url := "https://localhost:" + port

	caFile := filepath.Join(f.tmp, "ca.pem")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		f.t.Fatal(err)
	}
	password := langflowtest.Admin().Password
	f.secret("the stand-in's password", password)
	f.mustTyping(password+"\n", exitDone, "login", "tls", url, "--username", "admin", "--password-stdin", "--ca-file", caFile, "--no-start")

	good := func() { present(ca, "localhost", -day, day) }
	present(ca, "localhost", -2*day, -day)
	f.comesTo("The server's certificate has expired, and is renewed.", "tls", client.Stale, "certificate", exitUnreachable)
	good()
	f.heals("tls", "", whereAsked, forgiven)
	present(ca, "elsewhere.test", -day, day)
	f.comesTo("It is for another host.", "tls", client.Stale, "certificate", exitUnreachable)
	good()
	f.heals("tls", "", whereAsked, forgiven)
	present(other, "localhost", -day, day)
	f.comesTo("It is of an unknown authority, whose certificate is then made the profile's `ca_file`.", "tls",
		client.Stale, "certificate", exitUnreachable)
	otherFile := filepath.Join(f.tmp, "other.pem")
	if err := os.WriteFile(otherFile, other.PEM(), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.changeCA("tls", otherFile)
	f.heals("tls", "", "at once", forgiven)
}

// changeCA edits a profile's file, as a person does.
func (f *faultyPerson) changeCA(profile, caFile string) {
	f.t.Helper()
	path := filepath.Join(f.paths.Config, "profiles", profile+".toml")
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "ca_file") {
			line = "ca_file = '" + caFile + "'\n"
		}
		lines = append(lines, line)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		f.t.Fatal(err)
	}
}
