//go:build real && linux

package trials

import (
	"net/http"
	"os"
	"strings"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/localapi/client"
)

// testNewKey restarts a server with a new secret key, which ends every session.
// Its limit of five sign-ins a minute is on.
func testNewKey(p *person) {
	server := real.Start(p.t, real.Options{AccessLifetime: life, RateLimit: true})
	p.runAgent()
	p.signIn("one", server.URL, server, "--remember-password")
	p.signIn("two", server.URL, server, "--remember-password")
	p.signIn("asked", server.URL, server)
	events := p.watch()
	for _, profile := range []string{"one", "two", "asked"} {
		p.accepted(profile, server.URL)
	}
	restarted := time.Now()
	server.RestartWithNewSecret()
	up := time.Now()

	// Two silent sign-ins a minute for all profiles, the first spread over a
	// minute when many wait.
	var when []time.Time
	waiting := map[string]bool{"one": true, "two": true}
	p.eventually(110*time.Second, "both are signed in again", func() bool {
		for profile := range waiting {
			d := p.do("token", profile, "--no-start")
			token := strings.TrimSpace(d.stdout)
			p.secret("an access token", token)
			switch status, _ := whoami(http.DefaultClient, server.URL, token); {
			case d.code != exitDone && d.code != exitUnreachable:
				p.t.Errorf("%s: exit code %d: %s", profile, d.code, d.stderr)
			case status == http.StatusOK:
				when = append(when, time.Now())
				delete(waiting, profile)
			}
		}
		return len(waiting) == 0
	})
	p.say(p.t, "remembered passwords: signed in again %v and %v after the server was there",
		when[0].Sub(up).Round(time.Second), when[1].Sub(up).Round(time.Second))
	if apart := when[1].Sub(when[0]); apart < 25*time.Second {
		p.t.Errorf("two silent sign-ins %v apart, want at most two a minute", apart)
	}
	log, err := os.ReadFile(p.paths.Log())
	if err != nil {
		p.t.Fatal(err)
	}
	if n := strings.Count(string(log), "signed in again"); n != 2 {
		p.t.Errorf("%d silent sign-ins, want one for each remembered password", n)
	}

	// Without a remembered password a person is asked, once.
	p.must(exitSignIn, "token", "asked", "--no-start")
	p.must(exitSignIn, "status", "asked", "--ready", "--no-start")
	told := func() (n int) {
		for _, e := range events.of("asked") {
			if e.State == client.SignInRequired {
				n++
			}
		}
		return n
	}
	p.eventually(5*time.Second, "an event says that a sign-in is required", func() bool { return told() > 0 })
	if state := p.profile("asked").State; state != client.SignInRequired {
		p.t.Errorf("state %s", state)
	}
	if stored := p.stored(); !strings.Contains(strings.Join(stored, " "), "asked/refresh-token") {
		p.t.Errorf("a refused token was deleted: there are %q", stored)
	}

	// The limit leaves room for that person: it is there, but not used up.
	p.signIn("asked", server.URL, server)
	p.accepted("asked", server.URL)
	for n := 1; ; n++ {
		a := p.curlSignIn(server.URL, server)
		if a.status == http.StatusTooManyRequests {
			break
		}
		if n == 5 {
			p.t.Fatalf("sign-in %d of this minute: %d; is the limit on?", n+1, a.status)
		}
	}
	// Nor does a used-up limit end a session: refreshes don't count.
	p.must(exitDone, "refresh", "one", "--no-start")
	p.accepted("one", server.URL)
	if n := told(); n != 1 {
		p.t.Errorf("%d events say that a sign-in is required, want 1", n)
	}
	p.say(p.t, "a new key: %v in all", time.Since(restarted).Round(time.Second))
	p.must(exitDone, "remove", "--all", "--no-start")
	if left := p.stored(); len(left) != 0 {
		p.t.Errorf("the Secret Service still has %q", left)
	}
}

// curlSignIn signs in past Langkeep, as a browser does.
func (p *person) curlSignIn(url string, server *real.Server) answer {
	p.t.Helper()
	p.secret("the password", server.Password)
	return p.curl("data-urlencode = \"password="+server.Password+"\"\n",
		"--data-urlencode", "username="+server.Username, url+"/api/v1/login")
}
