//go:build real && linux

package trials

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	readEvery = 200 * time.Millisecond
	// spare is how long a token must still live for a reader to have a claim to
	// it: one that ends within a second counts as ended, and a token's times are
	// whole seconds.
	spare = 2 * time.Second
	// recovery is how soon reads succeed once the server and the agent are there
	// again: a reader's demand is passed on at most every 5 s.
	recovery = 10 * time.Second
)

// judge looks at every read. Its verdict depends on whether the server and the agent
// run at that moment.
type judge struct {
	t      *testing.T
	person *person
	server string

	mu          sync.Mutex // protects the following
	serverSince time.Time  // zero: it is down
	agentSince  time.Time
	newest      time.Time // the end of the longest-lived token that this agent has given
	good        time.Time // when the last good read began
	finished    [4]int    // reads, of each reader
	counts      counts
	tokens      map[string]bool
	complaints  int
}

// counts are what the reads came to.
type counts struct {
	reads, accepted int
	unchecked       int // good, with no server there to ask
	unreachable     int // exit code 4
	noAgent         int // exit code 5
}

func newJudge(p *person, server string) *judge {
	now := time.Now()
	return &judge{t: p.t, person: p, server: server, serverSince: now, agentSince: now, tokens: map[string]bool{}}
}

func (j *judge) serverIs(up bool) { j.mu.Lock(); defer j.mu.Unlock(); j.serverSince = since(up) }

func (j *judge) agentIs(up bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.agentSince, j.newest = since(up), time.Time{}
}

func since(up bool) time.Time {
	if up {
		return time.Now()
	}
	return time.Time{}
}

// goodSince tells whether a read that began after then was good.
func (j *judge) goodSince(then time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.good.After(then)
}

// meet waits until each reader has made n reads that began after this call.
func (j *judge) meet(n int) {
	j.t.Helper()
	read := func() [len(j.finished)]int {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.finished
	}
	before := read()
	j.person.eventually(time.Minute, "each reader has read", func() bool {
		for i, now := range read() {
			if now < before[i]+1+n { // one may be on its way
				return false
			}
		}
		return true
	})
}

func (j *judge) take() counts {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.counts
	j.counts = counts{}
	return taken
}

func (j *judge) complain(format string, args ...any) {
	j.mu.Lock()
	j.complaints++
	n := j.complaints
	j.mu.Unlock()
	if n <= 20 {
		j.t.Errorf("%8s "+format, append([]any{time.Since(j.person.begin).Round(time.Millisecond)}, args...)...)
	}
}

// read is one way to ask for a token. code is langkeep's exit code, or what the
// local API's answer stands for.
type read func() (token string, code int, said string)

// start begins four readers, each of whose reads is a process of its own. stop
// ends them.
func (j *judge) start(profile string) (stop func()) {
	p := j.person
	command := func() (string, int, string) {
		d := p.do("token", profile, "--no-start")
		return strings.TrimSpace(d.stdout), d.code, d.stderr
	}
	curl := func() (string, int, string) {
		a := p.curl("", append([]string{"-H", "Accept: text/plain"}, p.socket("/v1/profiles/"+profile+"/token")...)...)
		switch {
		case a.status == http.StatusOK:
			return a.body, exitDone, ""
		case a.status == 0:
			return "", exitNoAgent, ""
		}
		if code, ok := codeOf[a.kind]; ok {
			return "", code, a.body
		}
		return "", exitFailed, a.body
	}
	stopped := make(chan struct{})
	var reading sync.WaitGroup
	for i, r := range [len(j.finished)]read{command, command, curl, curl} {
		reading.Go(func() {
			// Kept alive, so that the real server's time goes into answers.
			asker := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}
			defer asker.CloseIdleConnections()
			tick := time.NewTicker(readEvery)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					j.one(r, asker)
					j.mu.Lock()
					j.finished[i]++
					j.mu.Unlock()
				case <-stopped:
					return
				}
			}
		})
	}
	return func() { close(stopped); reading.Wait() }
}

// one makes a read and judges it.
func (j *judge) one(r read, asker *http.Client) {
	j.mu.Lock()
	begin, server, agent, newest := time.Now(), j.serverSince, j.agentSince, j.newest
	j.counts.reads++
	j.mu.Unlock()

	token, code, said := r()

	end := time.Now()
	j.mu.Lock()
	sameAgent := !agent.IsZero() && j.agentSince.Equal(agent)
	j.mu.Unlock()
	switch code {
	case exitDone:
		j.handedOut(token, begin, server, sameAgent, asker)
	case exitUnreachable:
		j.mu.Lock()
		j.counts.unreachable++
		sameServer := !server.IsZero() && j.serverSince.Equal(server)
		j.mu.Unlock()
		if left := newest.Sub(end); sameAgent && left > spare {
			j.complain("a read fails with a token held for %v more: %s", left, said)
		}
		if sameServer && sameAgent && begin.Sub(server) > recovery && begin.Sub(agent) > recovery {
			j.complain("a read fails with the server there for %v: %s", begin.Sub(server), said)
		}
	case exitNoAgent:
		j.mu.Lock()
		j.counts.noAgent++
		j.mu.Unlock()
		if sameAgent {
			j.complain("a read finds no agent: %s", said)
		}
	default:
		j.complain("a read has exit code %d: %s", code, said)
	}
}

// handedOut checks a token at the server, or by its end if that is down.
func (j *judge) handedOut(token string, begin, server time.Time, sameAgent bool, asker *http.Client) {
	expiry := expiryOf(token)
	if !expiry.After(begin) {
		j.complain("a token is handed out that ended at %v", expiry)
	}
	j.person.secret("an access token", token)
	status, err := whoami(asker, j.server, token)
	j.mu.Lock()
	j.tokens[token] = true
	if sameAgent && expiry.After(j.newest) {
		j.newest = expiry
	}
	if begin.After(j.good) {
		j.good = begin
	}
	serverThere := !server.IsZero() && j.serverSince.Equal(server)
	if status == http.StatusOK {
		j.counts.accepted++
	} else if !serverThere {
		j.counts.unchecked++
	}
	j.mu.Unlock()
	if serverThere && status != http.StatusOK {
		j.complain("whoami answers %d (%v) to a token handed out %v before, which ends in %v",
			status, err, time.Since(begin), time.Until(expiry))
	}
}

// whoami asks the server who has the token; 0 is no answer.
func whoami(asker *http.Client, server, token string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, server+"/api/v1/users/whoami", nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := asker.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body) // else the connection is not kept
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// expiryOf is the end of a JWT, zero if it is none.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	var claims struct{ Exp int64 }
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return time.Time{}
	}
	return time.Unix(claims.Exp, 0)
}
