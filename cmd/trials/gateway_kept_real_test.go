//go:build real && linux

package trials

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
)

// testBasic keeps a session behind nginx with basic authentication, which takes
// Authorization for itself and passes it on.
func (g *gateways) testBasic(t *testing.T) {
	p := g.c.person(t, "basic")
	p.runAgent()
	address := freeAddress(t)
	passwords := filepath.Join(t.TempDir(), "passwords")
	header := func(password string) string {
		p.secret("the gateway's password", password)
		writeFile(t, passwords, "ana:{PLAIN}"+password+"\n") // nginx reads it for each request
		value := "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+password))
		p.secret("the gateway's header", value)
		return value
	}
	first := header("only-for-the-first-gateway")
	g.nginx(t, map[string]string{address: "auth_basic flows; auth_basic_user_file " + passwords + ";"})
	p.secret("the password", g.server.Password)
	p.mustTyping("Authorization: "+first+"\n\n"+g.server.Password+"\n", exitDone,
		"login", "basic", "http://"+address, "--username", g.server.Username, "--headers-stdin", "--password-stdin", "--no-start")
	g.through(p, "basic")
	if n := g.reads(p, "basic", 40*time.Second); n < 3 {
		t.Errorf("%d tokens in 40 s", n)
	}

	// The password changes, and Langkeep is told it: nothing of the session was lost.
	second := header("only-for-the-second-gateway")
	p.eventually(time.Minute, "the gateway refuses", func() bool {
		now := p.profile("basic")
		return now.State == client.Stale && now.Gateway != nil && *now.Gateway == vocabulary.BasicGateway
	})
	p.must(exitUnreachable, "token", "basic", "--no-start")
	if stored := strings.Join(p.stored(), " "); !strings.Contains(stored, "basic/refresh-token") || !strings.Contains(stored, "basic/headers") {
		t.Errorf("the store has %s", stored)
	}
	p.mustTyping("Authorization: "+second+"\n\n"+g.server.Password+"\n", exitDone,
		"login", "basic", "--username", g.server.Username, "--headers-stdin", "--password-stdin", "--no-start")
	p.accepted("basic", g.server.URL)
	g.echoed(p, "basic")
	p.killAgent()
	p.runAgent()
	p.accepted("basic", g.server.URL)
	g.echoed(p, "basic")

	// nginx passes on its own header, and Langflow's token beside it.
	odd := arrived(g.front, func(r recorded) bool {
		values := r.header.Values("Authorization")
		return len(values) != 1 || values[0] != first && values[0] != second
	})
	if len(odd) != 0 {
		t.Errorf("not with the gateway's header: %q", odd)
	}
	odd = arrived(g.front, func(r recorded) bool {
		if !strings.HasSuffix(r.path, "/whoami") {
			return false
		}
		_, err := r.cookie("access_token_lf")
		return err != nil && r.header.Get("X-Api-Key") == ""
	})
	if len(odd) != 0 {
		t.Errorf("without a credential of Langflow's: %q", odd)
	}
}

// testHeaderCommand keeps a session behind nginx with basic authentication whose header
// comes from a command, and changes.
func (g *gateways) testHeaderCommand(t *testing.T) {
	p := g.c.person(t, "command")
	p.runAgent()
	address, dir := freeAddress(t), t.TempDir()
	passwords, printed := filepath.Join(dir, "passwords"), filepath.Join(dir, "printed")
	command := filepath.Join(dir, "header")
	writeProgram(t, command, "#!/bin/sh\necho run >>"+dir+"/runs\ncat "+printed+"\n")
	runs := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "runs")) // none has run yet
		return strings.Count(string(text), "run\n")
	}
	gives := func(password string) {
		value := "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+password))
		p.secret("the command's output", value)
		writeFile(t, printed, fmt.Sprintf(`{"headers":{"Authorization":%q},"expires_at":%q}`, value, time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	}
	wants := func(password string) {
		p.secret("the gateway's password", password)
		writeFile(t, passwords, "ana:{PLAIN}"+password+"\n")
	}
	wants("only-for-the-command-1")
	gives("only-for-the-command-1")
	g.nginx(t, map[string]string{address: "auth_basic flows; auth_basic_user_file " + passwords + ";"})
	p.secret("the password", g.server.Password)
	p.mustTyping(g.server.Password+"\n", exitDone,
		"login", "command", "http://"+address, "--username", g.server.Username, "--header-command", command, "--password-stdin", "--no-start")
	g.through(p, "command")
	if n := runs(); n != 1 {
		t.Errorf("the command ran %d times, and its output lives an hour", n)
	}

	// The gateway refuses the command's output: the command runs again at once, and nobody sees anything.
	events := p.watch()
	p.eventually(20*time.Second, "the watcher follows", func() bool { return len(events.of("command")) > 0 })
	wants("only-for-the-command-2")
	gives("only-for-the-command-2")
	g.echoed(p, "command")
	g.reads(p, "command", 20*time.Second)
	for _, e := range events.of("command") {
		if e.State != client.Fresh {
			t.Errorf("it was %s", e.State)
		}
	}
	if n := runs(); n != 2 {
		t.Errorf("the command ran %d times, want 2", n)
	}

	// It gives what the gateway refuses: that passes, and is tried without haste.
	wants("only-for-the-command-3")
	before, begin := runs(), time.Now()
	p.eventually(time.Minute, "the gateway refuses", func() bool {
		now := p.profile("command")
		return now.State == client.Stale && now.Gateway != nil && *now.Gateway == vocabulary.BasicGateway
	})
	p.must(exitUnreachable, "token", "command", "--no-start")
	if n, most := runs()-before, int(time.Since(begin)/(10*time.Second))+1; n > most {
		t.Errorf("the command ran %d times in %v", n, time.Since(begin))
	}
	gives("only-for-the-command-3")
	p.eventually(150*time.Second, "it goes on", func() bool { return p.profile("command").State == client.Fresh })
	p.accepted("command", g.server.URL)
}

// testCertificate keeps a session behind nginx that wants a client certificate, which is
// replaced below it, and a header.
func (g *gateways) testCertificate(t *testing.T) {
	p := g.c.person(t, "certificate")
	p.runAgent()
	address := freeAddress(t)
	const gatewayKey = "only-for-the-gateway-0123456789"
	p.secret("the gateway's header", gatewayKey)
	cert, key := g.certificate(t)
	g.nginx(t, map[string]string{address: fmt.Sprintf(`ssl_certificate %s; ssl_certificate_key %s;
	ssl_client_certificate %s; ssl_verify_client on; keepalive_timeout 0;
	if ($http_x_gateway_key != "%s") { return 403 "<html>no</html>"; }`, cert, key, g.caFile, gatewayKey)})

	ours := t.TempDir()
	clientCert, clientKey := filepath.Join(ours, "cert.pem"), filepath.Join(ours, "key.pem")
	const lives = 30 * time.Second
	replace := func() {
		cert, key := g.certificateWith(t, func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(lives)
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})
		// As a tool that renews them does: each beside, and renamed.
		for from, to := range map[string]string{cert: clientCert, key: clientKey} {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace()
	p.secret("the password", g.server.Password)
	p.mustTyping("X-Gateway-Key: "+gatewayKey+"\n\n"+g.server.Password+"\n", exitDone,
		"login", "certificate", "https://"+address, "--ca-file", g.caFile, "--client-cert", clientCert, "--client-key", clientKey,
		"--username", g.server.Username, "--headers-stdin", "--password-stdin", "--no-start")
	events := p.watch()
	for range 3 { // certificates
		g.reads(p, "certificate", lives*2/3)
		replace()
	}
	g.through(p, "certificate")
	for _, e := range events.of("certificate") {
		if e.State != client.Fresh {
			t.Errorf("it was %s", e.State)
		}
	}

	// Nobody replaces it: the session waits for the next one.
	p.eventually(2*time.Minute, "the gateway refuses", func() bool {
		now := p.profile("certificate")
		return now.State == client.Stale && now.Gateway != nil && *now.Gateway == vocabulary.ClientCertificate
	})
	if d := p.must(exitUnreachable, "token", "certificate", "--no-start"); !strings.Contains(d.stderr, "wants a client certificate") {
		t.Errorf("token says %s", d.stderr)
	}
	replace()
	took := p.eventually(time.Minute, "it goes on", func() bool { return p.do("token", "certificate", "--no-start").code == exitDone })
	p.say(t, "a client certificate that had ended: the session goes on %v after the next", took.Round(time.Second))
	if !slices.Contains(p.stored(), "certificate/headers") {
		t.Error("the header is not stored")
	}
}
