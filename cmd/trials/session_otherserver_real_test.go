//go:build real && linux

package trials

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"langkeep/agent/langflow/langflowtest/real"
)

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
