//go:build real && linux

package trials

import (
	"os"
	"testing"
	"time"
)

const (
	soakSessions = 500
	soakProxies  = 8               // of them have a proxy
	soakReaders  = 6               // of each of the three kinds
	soakStreams  = 6               // of each of the two kinds, of events and through proxies
	soakLife     = 2 * time.Minute // of a token; half an hour is five times that of a refresh token
	soakKeysLive = time.Minute
)

// TestSoak is `make soak`: for half an hour, or LANGKEEP_SOAK_TIME, an agent
// keeps 500 sessions whose tokens live 2 min, while programs read tokens over TCP
// and the socket, follow the events and stream through proxies. Each read must
// be good, and the agent must not grow.
func TestSoak(t *testing.T) {
	long := 30 * time.Minute
	if text := os.Getenv("LANGKEEP_SOAK_TIME"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil || long < time.Minute {
			t.Fatalf("LANGKEEP_SOAK_TIME is %q, want a duration of a minute or more", text)
		}
	}
	c := newComputer(t)
	p := c.person(t, "s")
	p.runAgent("--store", "memory")
	s := newSoak(p)
	s.signInAll()
	idle := s.sample()
	p.say(t, "%d sessions: %v", soakSessions, idle)

	end := s.begin()
	var samples []figures
	every, telling := max(time.Second, long/180), time.Now()
	for begin := time.Now(); time.Since(begin) < long; {
		time.Sleep(every)
		samples = append(samples, s.sample())
		if time.Since(telling) > time.Minute {
			telling = time.Now()
			p.say(t, "%v, %s", samples[len(samples)-1], s.told())
		}
	}
	counted := s.metrics()
	end()
	p.say(t, "in %v %s; the agent counts %.0f token pairs, %.0f passing failures and %.0f keys", long, s.told(),
		counted["langkeep_token_pairs_total"], counted["langkeep_failures_total"], counted["langkeep_keys_made_total"])

	samples = samples[len(samples)/10:] // it has warmed up
	third := len(samples) / 3
	first, last := samples[:third], samples[len(samples)-third:]
	for i, f := range figureNames {
		before, after := median(first, i), median(last, i)
		p.say(t, "%s: %.0f in the first third, %.0f in the last; %.0f to %.0f", f.name, before, after, least(samples, i), most(samples, i))
		if after > before*f.factor+f.spare {
			t.Errorf("%s grew from %.0f to %.0f", f.name, before, after)
		}
	}
	s.judge(counted, long)

	// Streams that have ended leave neither goroutines nor files.
	p.eventually(time.Minute, "all that streamed has gone", func() bool {
		now := s.sample()
		return now[goroutines] <= idle[goroutines]+20 && now[files] <= idle[files]+20
	})
	p.say(t, "and when all have gone: %v", s.sample())
	p.must(0, "stop")
	testTraces(t, c)
}
