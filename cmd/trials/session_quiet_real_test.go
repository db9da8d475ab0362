//go:build real && linux

package trials

import (
	"time"
)

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
