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
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
)

// TestFaultsOfTLS has the certificate of a real listener go bad, before the real
// program.
func TestFaultsOfTLS(t *testing.T) {
	t.Parallel() // it waits most of its time
	faultsOf(t, (*faultyPerson).testTLS)
}

// TestFaultsOfLangflow has the users of a real Langflow changed, and then the
// server.
func TestFaultsOfLangflow(t *testing.T) {
	t.Parallel() // it waits most of its time
	faultsOf(t, (*faultyPerson).testLangflow)
}

// faultyPerson is one to whom faults happen, and what came of them.
type faultyPerson struct {
	*person
	rows   [][]string
	byHand int // sign-ins since the last fault
}

// faultsOf has faults happen to a new person, and compares the document with what
// came of them.
func faultsOf(t *testing.T, happen func(*faultyPerson)) {
	f := &faultyPerson{person: newComputer(t).person(t, "f")}
	f.runAgent()
	happen(f)
	f.must(exitDone, "remove", "--all", "--no-start")
	f.must(exitDone, "stop")
	if !t.Failed() {
		casebook.Table(t, "docs/faults.md", t.Name()+" in cmd/trials",
			[]string{"what goes wrong", "state, reason", "`langkeep token` ends with", "what is lost", "when it heals"}, f.rows)
	}
}

// comesTo waits until a profile is in a state, for a reason, and has a row say
// so. Then `langkeep token` must end with what goes with that.
func (f *faultyPerson) comesTo(what, profile string, state client.State, reason string, code int) {
	f.t.Helper()
	f.eventually(time.Minute, profile+" is "+string(state)+" "+reason, func() bool {
		f.do("token", profile, "--no-start") // which has it look
		s := f.profile(profile)
		return s.State == state && (s.Reason == nil && reason == "" || s.Reason != nil && *s.Reason == reason)
	})
	f.must(code, "token", profile, "--no-start")
	f.rows = append(f.rows, []string{what, strings.TrimSpace("`" + string(state) + "` " + reason), strconv.Itoa(code), "nothing", "nothing to heal"})
	f.byHand = 0
}

// heals waits until a profile has its token again, and completes the row.
func (f *faultyPerson) heals(profile, server, how string, limit time.Duration) {
	f.t.Helper()
	took := f.eventually(limit, profile+" is well again", func() bool { return f.do("token", profile, "--no-start").code == exitDone })
	f.say(f.t, "%s: well again after %v", profile, took.Round(10*time.Millisecond))
	if state := f.profile(profile).State; state != client.Fresh {
		f.t.Errorf("%s is %s", profile, state)
	}
	if server != "" {
		f.accepted(profile, server)
	}
	row := f.rows[len(f.rows)-1]
	row[4] = how
	if f.byHand > 0 {
		row[3] = "the session"
	}
}

// whereAsked is when something asks for a token; a slow computer is forgiven.
const whereAsked, forgiven = "in 5 s where something asks", 20 * time.Second

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

// testLangflow has its users changed, and then the server.
func (f *faultyPerson) testLangflow() {
	server := real.Start(f.t, real.Options{AccessLifetime: life})
	const password, another = "first-Password1", "another-Password2"
	f.secret("a user's password", password)
	f.secret("a user's other password", another)
	signIn := func(code int, user, password string, flags ...string) {
		f.t.Helper()
		f.byHand++
		f.mustTyping(password+"\n", code, append([]string{"login", user, server.URL, "--username", user, "--password-stdin", "--no-start"}, flags...)...)
	}
	for _, user := range []string{"inactive", "deleted", "renamed", "changed"} {
		server.AddUser(user, password, true)
		signIn(exitDone, user, password)
		f.accepted(user, server.URL)
	}
	f.signIn("kept", server.URL, server, "--remember-password")

	server.Deactivate("inactive")
	server.RenameUser("renamed", "otherwise")
	server.ChangePassword("changed", another)
	server.DeleteUser("deleted")
	f.comesTo("A user is deactivated, and activated again.", "inactive", client.SignInRequired, "inactive-user", exitSignIn)
	server.Activate("inactive")
	f.must(exitDone, "refresh", "inactive", "--no-start")
	f.heals("inactive", server.URL, "at once with `langkeep refresh`", forgiven)

	f.must(exitDone, "refresh", "renamed", "--no-start")
	f.comesTo("A user is renamed.", "renamed", client.Fresh, "", exitDone)
	f.accepted("renamed", server.URL)

	f.must(exitDone, "refresh", "changed", "--no-start")
	f.comesTo("A password is changed.", "changed", client.Fresh, "", exitDone)
	f.accepted("changed", server.URL)
	signIn(exitSignIn, "changed", password)
	f.accepted("changed", server.URL) // a sign-in that failed costs nothing
	signIn(exitDone, "changed", another)

	// Deleting takes a while, in which the user is inactive.
	f.eventually(time.Minute, "the deleted user's session is over", func() bool {
		return f.do("token", "deleted", "--no-start").code == exitSignIn
	})
	f.do("refresh", "deleted", "--no-start") // which hears the last word
	f.comesTo("A user is deleted.", "deleted", client.SignInRequired, "session-ended", exitSignIn)
	copy(f.rows[len(f.rows)-1][3:], []string{"the session", "with another user's sign-in"})

	server.Stop()
	f.comesTo("The server goes down, and comes back with a new secret key. The password is remembered.", "kept",
		client.Stale, "unreachable", exitUnreachable)
	server.RestartWithNewSecret()
	f.heals("kept", server.URL, "in 2 min: it signs in by itself", 2*time.Minute)
	f.comesTo("The same, and no password is remembered.", "changed", client.SignInRequired, "session-ended", exitSignIn)
	signIn(exitDone, "changed", another)
	f.heals("changed", server.URL, "with a sign-in", forgiven)
}
