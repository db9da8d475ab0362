//go:build real && linux

package trials

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/localapi/client"
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

// testQuiet reads for three minutes in which nothing happens.
func testQuiet(p *person, server string, events *watcher) {
	const quiet = 3 * time.Minute
	before := refreshes(events.of("prod"))
	j := newJudge(p, server)
	stop := j.start("prod")
	time.Sleep(quiet)
	stop()
	n, refreshed := j.take(), refreshes(events.of("prod"))-before
	p.say(p.t, "%d reads by four readers, each accepted by whoami: %d; %d tokens, %d refreshes", n.reads, n.accepted, len(j.tokens), refreshed)
	if n.accepted != n.reads {
		p.t.Errorf("%d of %d reads gave a token that the server accepts", n.accepted, n.reads)
	}
	// A reader that takes longer than its interval skips one.
	if most := 4 * int(quiet/readEvery); n.reads < most*8/10 {
		p.t.Errorf("%d reads, want nearly %d: this computer is too slow to tell", n.reads, most)
	}
	// A token is renewed after half its life less up to a tenth: 180 s / 7.1 s.
	if refreshed < 20 || refreshed > 28 {
		p.t.Errorf("%d refreshes, want 24 ± 4", refreshed)
	}
	if d := len(j.tokens) - refreshed; d < 0 || d > 1 {
		p.t.Errorf("%d tokens were handed out, of %d refreshes", len(j.tokens), refreshed)
	}
}

// testOutages stops the server for 30 s and kills the agent, five times each.
func testOutages(p *person, server *real.Server, events *watcher) {
	j := newJudge(p, server.URL)
	stop := j.start("prod")
	defer stop()
	// back waits until the readers get tokens again.
	back := func() time.Duration {
		p.t.Helper()
		then := time.Now()
		return p.eventually(recovery, "a read is good again", func() bool { return j.goodSince(then) })
	}
	// calm lets the readers go on: from here on each of them gets its token.
	calm := func() { time.Sleep(3 * time.Second) }
	crash := func() {
		p.t.Helper()
		j.agentIs(false)
		p.killAgent()
		time.Sleep(3 * readEvery) // so that each reader meets it
		p.runAgent()
		j.agentIs(true)
	}
	const rounds = 5
	for round := 1; round <= rounds; round++ {
		j.serverIs(false)
		server.Stop()
		time.Sleep(30 * time.Second)
		inOutage := round%2 == 0
		if inOutage {
			crash() // what it held in memory only is gone
		}
		server.Restart()
		j.serverIs(true)
		returned := back()
		if !inOutage {
			calm()
			crash()
			back()
		}
		calm()
		n := j.take()
		p.say(p.t, "outage and crash %d: tokens again after %v; of %d reads %d accepted, %d good with nobody to ask, %d without server, %d without agent",
			round, returned.Round(10*time.Millisecond), n.reads, n.accepted, n.unchecked, n.unreachable, n.noAgent)
		if n.unreachable == 0 || n.noAgent == 0 {
			p.t.Error("no read failed: was the server away, and the agent?")
		}
	}
	for _, e := range events.of("prod") {
		switch e.State {
		case client.Fresh, client.Retrying, client.Stale:
		default:
			p.t.Errorf("the state was %s (%v)", e.State, e.Reason)
		}
	}
}

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

// testOtherServer has a server under a root path, with RS256 and auto login,
// three ways to sign in to it, and the agent in the background.
func testOtherServer(p *person) {
	server := real.Start(p.t, real.Options{AccessLifetime: life, RootPath: "/team/a", Algorithm: "RS256", AutoLogin: true})
	url := server.URL
	p.must(exitNoAgent, "status", "--no-start")
	p.must(exitDone, "start")
	p.owner()
	first := p.running()

	// One agent a user.
	p.must(exitDone, "start") // it runs already
	second := p.must(exitFailed, "run")
	if !strings.Contains(second.stderr, fmt.Sprint(first)) || p.running() != first {
		p.t.Errorf("a second agent says %q; the first is process %d", second.stderr, first)
	}

	p.signIn("password", url, server)
	p.must(exitDone, "login", "auto", url)
	var pair struct {
		Refresh string `json:"refresh_token"`
	}
	p.fromJSON(p.curlSignIn(url, server).body, &pair)
	p.secret("an imported refresh token", pair.Refresh)
	p.mustTyping(pair.Refresh, exitDone, "login", "imported", url, "--method", "refresh-token", "--token-stdin")

	profiles := []string{"password", "auto", "imported"}
	held := map[string]string{}
	renewed := func(why string) {
		p.t.Helper()
		for _, profile := range profiles {
			p.eventually(life, profile+" is renewed "+why, func() bool { return p.token(profile) != held[profile] })
			held[profile] = p.accepted(profile, url)
		}
	}
	renewed("at the sign-in")
	renewed("by itself")
	for _, profile := range profiles {
		p.must(exitDone, "refresh", profile)
		p.accepted(profile, url)
	}

	// The agent crashes; any command starts it again.
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	p.eventually(5*time.Second, "the agent is gone", func() bool { return p.running() == 0 })
	p.must(exitNoAgent, "token", "auto", "--no-start")
	p.must(exitDone, "status")
	p.owner()
	renewed("after a crash")
	after := p.running()
	p.must(exitDone, "restart")
	p.owner()
	if now := p.running(); now == 0 || now == after {
		p.t.Errorf("restarted: process %d, before %d", now, after)
	}
	renewed("after a restart")

	// Signed out is signed out, here and in the Secret Service.
	if stored := p.stored(); len(stored) != len(profiles) {
		p.t.Errorf("the Secret Service has %q, want one item a profile", stored)
	}
	p.must(exitDone, "logout", "imported")
	p.must(exitSignIn, "token", "imported")
	if stored := strings.Join(p.stored(), " "); stored != "auto/refresh-token password/refresh-token" {
		p.t.Errorf("after the logout the Secret Service has %q", stored)
	}
	p.must(exitDone, "remove", "--all")
	if left := p.stored(); len(left) != 0 {
		p.t.Errorf("the Secret Service still has %q", left)
	}
	p.must(exitDone, "stop")
	p.must(exitNoAgent, "status", "--no-start")
	if p.running() != 0 {
		p.t.Error("stopped, but it runs")
	}
	p.say(p.t, "root path, RS256, auto login, an imported token: done")
}

// testWays asks for a token in every way in, and in the ways that are none.
func testWays(p *person, server string) {
	running, err := client.ReadRunning(p.paths)
	if err != nil {
		p.t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(running.URL, "http://"), ":")
	const route, nobody = "/v1/profiles/prod/token", 65534
	bearer := func(token string) string { return "header = \"Authorization: Bearer " + token + "\"\n" }
	v4, v6 := []string{"http://127.0.0.1:" + port + route}, []string{"http://[::1]:" + port + route}
	socket := p.socket(route)
	owner, wrong := bearer(p.owner()), bearer("lk_"+strings.Repeat("A", 43))
	header := func(to []string, h string) []string { return append([]string{"-H", h}, to...) }

	// Whoever cannot even connect must be kept out by more than the folder.
	p.throwOpen(p.t, p.paths.Socket())
	type way struct {
		name   string
		user   uint32
		config string
		args   []string
		kind   string // of the problem; "" is a token
	}
	ways := []way{
		{"127.0.0.1 with the owner's token", 0, owner, v4, ""},
		{"the socket with nothing", 0, "", socket, ""},
		{"the socket with the owner's token", 0, owner, socket, ""},
		{"localhost", 0, owner, []string{"http://localhost:" + port + route}, ""},
		{"its own origin", 0, owner, header(v4, "Origin: http://127.0.0.1:"+port), ""},

		{"127.0.0.1 with nothing", 0, "", v4, client.TypeUnauthorized},
		{"127.0.0.1 with a wrong token", 0, wrong, v4, client.TypeUnauthorized},
		{"the socket with a wrong token", 0, wrong, socket, client.TypeUnauthorized},
		{"a foreign host", 0, owner, header(v4, "Host: evil.example"), client.TypeForbiddenHost},
		{"a host with another port", 0, owner, header(v4, "Host: 127.0.0.1:1"), client.TypeForbiddenHost},
		{"through a reverse proxy", 0, owner, header(v4, "X-Forwarded-For: 127.0.0.1"), client.TypeForbiddenOrigin},
		{"another user with the owner's token", nobody, owner, v4, client.TypeForbidden},
		{"another user on the socket", nobody, "", socket, client.TypeForbidden},
		{"another user on the socket with the owner's token", nobody, owner, socket, client.TypeForbidden},

		{"::1 with the owner's token", 0, owner, v6, ""},
		{"::1 with nothing", 0, "", v6, client.TypeUnauthorized},
		{"another user on ::1 with the owner's token", nobody, owner, v6, client.TypeForbidden},
	}
	for _, origin := range []string{
		"http://evil.example", "https://127.0.0.1:" + port, "http://localhost:" + port, "http://127.0.0.1:1", "null", "file://",
	} {
		ways = append(ways,
			way{"127.0.0.1, origin " + origin, 0, owner, header(v4, "Origin: "+origin), client.TypeForbiddenOrigin},
			way{"the socket, origin " + origin, 0, "", header(socket, "Origin: "+origin), client.TypeForbiddenOrigin})
	}
	for _, w := range ways {
		p.t.Run(w.name, func(t *testing.T) {
			if w.user != 0 && os.Getuid() != 0 {
				t.Skip("only root can be another user")
			}
			if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
				l.Close()
			} else if strings.Contains(w.name, "::1") {
				t.Skip("this computer has no ::1")
			}
			a := p.in(t).curlAs(w.user, w.config, w.args...)
			var got client.Token
			if a.status == http.StatusOK {
				p.in(t).fromJSON(a.body, &got)
				p.secret("an access token", got.AccessToken.Reveal())
			}
			token := got.AccessToken.Reveal()
			switch {
			case a.kind != w.kind:
				t.Errorf("problem %q, want %q: %d", a.kind, w.kind, a.status)
			case w.kind == "" && token == "":
				t.Errorf("no token: %d", a.status)
			case w.kind == "":
				if status, err := whoami(http.DefaultClient, server, token); status != http.StatusOK {
					t.Errorf("whoami answers %d, %v", status, err)
				}
			}
		})
	}
}

// throwOpen lets every user reach a file of the computer's folder until the test
// ends.
func (c *computer) throwOpen(t *testing.T, file string) {
	t.Helper()
	mode := os.FileMode(0o666)
	for path := file; path != filepath.Dir(c.dir); path, mode = filepath.Dir(path), 0o755 {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(path, info.Mode().Perm()) })
	}
}

// testTraces searches all that Langkeep has written, and all that was to be
// seen in a list of processes.
func testTraces(t *testing.T, c *computer) {
	found, files := c.foundBelow(t, c.dir)
	for _, what := range found {
		t.Error(what)
	}
	if len(found) == 0 && files == 0 {
		t.Error("there was nothing to search")
	}
	c.mu.Lock()
	commands := slices.Collect(maps.Keys(c.commands))
	c.mu.Unlock()
	for _, command := range commands {
		for _, what := range c.found([]byte(command)) {
			t.Errorf("%s is an argument of %q", what, command[:strings.IndexByte(command+"\x00", 0)])
		}
	}
	// What finds nothing must be able to find.
	dir := t.TempDir()
	for secret := range c.secrets {
		if err := os.WriteFile(filepath.Join(dir, "leak"), []byte("x="+secret+"&"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, _ := c.foundBelow(t, dir); len(found) == 0 {
			t.Error("a secret in a file is not found")
		}
		break
	}
	c.say(t, "%d secrets in none of %d files and %d command lines", len(c.secrets), files, len(commands))
}
