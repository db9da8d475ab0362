//go:build real && linux

package trials

import (
	"time"

	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/localapi/client"
)

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
	calm := func() { p.t.Helper(); j.meet(5) }
	crash := func() {
		p.t.Helper()
		j.agentIs(false)
		p.killAgent()
		j.meet(1)
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
