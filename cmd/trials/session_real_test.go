//go:build real && linux

package trials

import (
	"net/http"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

// life is that of the real server's access tokens.
const life = 15 * time.Second

// TestSession is what Langkeep promises, on the real Langflow, the real Secret
// Service and the real program: sign in once, and there is a token from then
// on. It takes some ten minutes, most of which is waiting.
func TestSession(t *testing.T) {
	c := newComputer(t)
	// The refresh token ends in 5 min, so the session must outlive it.
	server := real.Start(t, real.Options{AccessLifetime: life, RefreshLifetime: 5 * time.Minute})
	p := c.person(t, "p")
	p.runAgent()
	p.signIn("prod", server.URL, server)
	events := p.watch()

	t.Run("who is heard", func(t *testing.T) { testWays(p.in(t), server.URL) })
	t.Run("three quiet minutes", func(t *testing.T) { testQuiet(p.in(t), server.URL, events) })
	t.Run("at the same time", func(t *testing.T) {
		t.Run("outages and crashes", func(t *testing.T) {
			t.Parallel()
			testOutages(p.in(t), server, events)
		})
		t.Run("a new secret key", func(t *testing.T) {
			t.Parallel()
			testNewKey(c.person(t, "k"))
		})
		t.Run("another kind of server", func(t *testing.T) {
			t.Parallel()
			testOtherServer(c.person(t, "o"))
		})
	})
	t.Run("removed", func(t *testing.T) {
		p := p.in(t)
		p.must(0, "remove", "--all", "--no-start")
		if left := p.stored(); len(left) != 0 {
			t.Errorf("the Secret Service still has %q", left)
		}
		p.must(0, "stop")
	})
	t.Run("no secret shows", func(t *testing.T) { testTraces(t, c) })
}

// signIn signs a person in with the server's own account.
func (p *person) signIn(profile, url string, server *real.Server, flags ...string) {
	p.t.Helper()
	p.secret("the password", server.Password)
	args := append([]string{"login", profile, url, "--username", server.Username, "--password-stdin", "--no-start"}, flags...)
	p.mustTyping(server.Password+"\n", 0, args...)
}

// accepted fails the test unless the server takes the profile's token, which it
// returns.
func (p *person) accepted(profile, server string) string {
	p.t.Helper()
	token := p.token(profile)
	if status, err := whoami(http.DefaultClient, server, token); status != http.StatusOK {
		p.t.Errorf("%s: whoami answers %d, %v", profile, status, err)
	}
	return token
}
