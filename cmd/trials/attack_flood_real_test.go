//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// Many who are slow, or who never stop.
func TestAttackFlood(t *testing.T) {
	// Most of them wait, so they do that beside each other.
	beside := func(run func(t *testing.T, v *victim) string) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Parallel()
			return run(t, newVictim(t))
		}
	}
	runTrials(t, []trial{
		{"200 connections at once that send a header's letter each second, nothing at all, or a body so, plain or in chunks", beside(floodSlow)},
		{"1,300 connections that wait in the middle of their headers", beside(floodMany)},
		{"five thousand requests that are refused, from 50 connections at a time", beside(floodRefused)},
		{"a body that was announced and never comes, for what HTTP itself refuses (`Expect`), and for what the agent does", beside(floodAnnounced)},
		{"1,100 requests at a proxy without a token that announce a body and never send it", beside(floodUnknown)},
		{"a code of the control page after 31 s", beside(func(t *testing.T, v *victim) string {
			code := v.code(t)
			time.Sleep(31 * time.Second)
			return v.refuses(t, code)
		})},
	})
}

// honest asks over connections old and new until done is closed, and tells how
// often it was answered.
func (v *victim) honest(t *testing.T, done <-chan struct{}) (answered int, slowest time.Duration) {
	t.Helper()
	kept := &http.Client{Timeout: soon}
	fresh := &http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-done:
			return answered, slowest
		default:
		}
		for _, c := range []*http.Client{kept, fresh} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.url+"/v1/profiles/prod/token", nil)
			if err != nil {
				t.Error(err)
				return answered, slowest
			}
			req.Header.Set("Authorization", "Bearer "+v.words["owner"])
			begin := time.Now()
			res, err := c.Do(req)
			if err != nil {
				t.Errorf("an honest request: %v", err)
				return answered, slowest
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("an honest request is answered %d", res.StatusCode)
			}
			answered++
			slowest = max(slowest, time.Since(begin))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func floodSlow(t *testing.T, v *victim) string {
	const (
		many, honest = 200, 20 // requests, of which the honest are the least
		headers      = 5 * time.Second
		body         = 10 * time.Second
		refused      = http.StatusBadRequest
	)
	type slow struct {
		net.Conn
		begin string
		drip  bool
		after time.Duration // it is closed then
	}
	var all []*slow
	for i := range many {
		s := &slow{Conn: v.dial(t, ""), begin: fill(v.words, status), drip: true, after: headers}
		switch i % 4 {
		case 1:
			s.begin, s.drip = "", false
		case 2:
			s.begin, s.after = fill(v.words, "POST /v1/probe HTTP/1.1\nHost: {host}\n"+asOwner+"Content-Length: 1000\n\n"), body
		case 3:
			s.begin, s.after = fill(v.words, "POST /v1/probe HTTP/1.1\nHost: {host}\n"+asOwner+"Transfer-Encoding: chunked\n\n"), body
		}
		all = append(all, s)
	}
	ended := make(chan struct{})
	var asked sync.WaitGroup
	asked.Go(func() {
		n, slowest := v.honest(t, ended)
		t.Logf("beside %d slow connections %d honest requests were answered, the slowest in %v", many, n, slowest.Round(time.Millisecond))
		if n < honest {
			t.Errorf("only %d honest requests were answered", n)
		}
	})
	var sent sync.WaitGroup
	for i, s := range all {
		sent.Go(func() {
			begin := time.Now()
			_, _ = io.WriteString(s, s.begin) // that it is refused shows below
			stop := make(chan struct{})
			if s.drip {
				go func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(time.Second):
							text := "x"
							switch i % 4 { // a blank is no mistake in a body so far
							case 2:
								text = " "
							case 3:
								text = "1\r\n \r\n"
							}
							_, _ = io.WriteString(s, text)
						}
					}
				}()
			}
			got, err := io.ReadAll(s)
			close(stop)
			took := time.Since(begin)
			said := len(got) == 0 && i%4 < 2 || bytes.HasPrefix(got, fmt.Appendf(nil, "HTTP/1.1 %d ", refused))
			if os.IsTimeout(err) || took < s.after-time.Second || !said {
				t.Errorf("%d: after %v: %.60q, %v; want %v", i%4, took, got, err, s.after)
			}
		})
	}
	sent.Wait()
	close(ended)
	asked.Wait()
	return fmt.Sprintf("they are closed after %.0f s, those with a body after %.0f s with %d; meanwhile honest requests are answered, %d at least", headers.Seconds(), body.Seconds(), refused, honest)
}

func floodMany(t *testing.T, v *victim) string {
	const many, most, missing = 1300, 1024, 50 // the honest ones take room too
	stream, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream.Header.Set("Authorization", "Bearer "+v.words["owner"])
	events, err := http.DefaultClient.Do(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	ended := make(chan struct{})
	var asked sync.WaitGroup
	asked.Go(func() {
		n, slowest := v.honest(t, ended)
		t.Logf("beside %d waiting connections %d honest requests were answered, the slowest in %v", many, n, slowest.Round(time.Millisecond))
	})
	begin := time.Now()
	var all []net.Conn
	for range many {
		c := v.dial(t, "")
		_, _ = io.WriteString(c, fill(v.words, status)) // its headers don't end
		all = append(all, c)
	}
	// The last that must go for the others, then all of them at once.
	_ = all[many-most-1].SetReadDeadline(time.Now().Add(soon)) // fails only on a closed connection
	if _, err := all[many-most-1].Read(make([]byte, 1)); os.IsTimeout(err) {
		t.Errorf("more than %d are kept", most)
	}
	open := make([]bool, many)
	var looking sync.WaitGroup
	for i, c := range all {
		looking.Go(func() {
			_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // fails only on a closed connection
			_, err := c.Read(make([]byte, 1))
			open[i] = os.IsTimeout(err)
		})
	}
	looking.Wait()
	took := time.Since(begin)
	oldest, kept := slices.Index(open, true), 0
	for _, is := range open {
		if is {
			kept++
		}
	}
	t.Logf("%d of %d are open after %v, the oldest of them is number %d", kept, many, took.Round(time.Millisecond), oldest)
	switch {
	case took > 4*time.Second:
		t.Log("this computer is too slow to tell: the time for their headers is nearly over")
	case kept > most || kept < most-missing || oldest < many-most || oldest > many-most+missing:
		t.Errorf("%d are open, the oldest of them is number %d", kept, oldest)
	}
	if _, err := v.owner.AddProfile(t.Context(), client.NewProfile{Name: "later", ServerURL: "https://x.test"}); err != nil {
		t.Error(err)
	}
	for lines := bufio.NewScanner(events.Body); ; {
		if !lines.Scan() {
			t.Error("the stream has ended")
			break
		}
		if strings.Contains(lines.Text(), `"later"`) {
			break
		}
	}
	close(ended)
	asked.Wait()
	return fmt.Sprintf("%d to %d are kept, the newest; a stream that was open before still tells of a change, and honest requests are answered", most-missing, most)
}

func floodRefused(t *testing.T, v *victim) string {
	const many, at, most = 5000, 50, 64 << 10 // most is for the logs
	wants := []string{"401", "403"}
	sizes := func() (n int64) {
		for _, file := range []string{v.paths.Log(), v.paths.Audit()} {
			if info, err := os.Stat(file); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	before, begin := sizes(), time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var left atomic.Int64
	left.Store(many)
	ended := make(chan struct{})
	var asked, sent sync.WaitGroup
	asked.Go(func() {
		n, slowest := v.honest(t, ended)
		t.Logf("beside %d refused requests in %v %d honest ones were answered, the slowest in %v", many, time.Since(begin).Round(time.Millisecond), n, slowest.Round(time.Millisecond))
	})
	for i := range at {
		sent.Go(func() {
			var d net.Dialer
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				c, err := d.DialContext(ctx, "tcp", v.words["host"])
				if err != nil {
					t.Errorf("it is not even connected: %v", err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(soon)) // fails only on a closed connection
				text := fmt.Sprintf("GET /v1/nothing-%d HTTP/1.1\r\nHost: %s\r\nOrigin: http://evil-%[1]d.example\r\n\r\n", i, v.words["host"])
				if i%2 == 0 {
					text = fmt.Sprintf("DELETE /v1/profiles/p%d HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer lk_%d\r\n\r\n", i, v.words["host"], left.Load())
				}
				_, _ = io.WriteString(c, text)
				if got, _ := io.ReadAll(c); !bytes.HasPrefix(got, []byte("HTTP/1.1 "+wants[i%2]+" ")) {
					t.Errorf("it is answered %.40q", got)
				}
				_ = c.Close() // it was refused
			}
		})
	}
	sent.Wait()
	close(ended)
	asked.Wait()
	// The audit log keeps the order of requests, so with this one it has all.
	v.ask(t, "GET", "/v1/settings", v.words["owner"])
	if !eventually(func() bool {
		written, err := os.ReadFile(v.paths.Audit())
		return err == nil && bytes.Contains(written, []byte(`"GET /v1/settings"`))
	}) {
		t.Error("the audit log does not have the last request")
	}
	grown := sizes() - before
	t.Logf("the log and the audit log have grown by %d bytes", grown)
	if grown == 0 || grown > most {
		t.Errorf("the logs have grown by %d bytes", grown)
	}
	return fmt.Sprintf("%s; honest requests are answered in between; the log and the audit log grow, by %d KiB at most", answersSaid(wants...), most>>10)
}

func floodUnknown(t *testing.T, v *victim) string {
	const many, asked, refused, limit = 1100, 50, http.StatusUnauthorized, 5*time.Second + soon
	p, err := v.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	added, _, err := v.owner.AddClient(t.Context(), client.NewClient{Name: "honest", Scopes: []string{"proxy"}, Profiles: []string{"prod"}})
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(*p.ProxyURL, "http://")
	var sent sync.WaitGroup
	var held atomic.Int64
	for range many {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(2 * time.Minute)) // fails only on a closed connection
		_, _ = io.WriteString(c, "POST /api/v1/run/x HTTP/1.1\r\nHost: "+host+"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n")
		begin := time.Now()
		sent.Go(func() {
			defer c.Close()
			got, _ := io.ReadAll(c)
			if took := time.Since(begin); took > limit {
				held.Add(1)
			}
			if len(got) > 0 && !bytes.HasPrefix(got, fmt.Appendf(nil, "HTTP/1.1 %d ", refused)) {
				t.Errorf("it is answered %.60q", got)
			}
		})
	}
	answered := 0
	for range asked {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, *p.ProxyURL+"/api/v1/users/whoami", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", added.Token.Reveal())
		res, err := (&http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Errorf("an honest request: %v", err)
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			answered++
		}
	}
	sent.Wait()
	t.Logf("beside %d of them %d of %d honest requests were answered", many, answered, asked)
	if answered != asked || held.Load() > 0 {
		t.Errorf("%d of %d honest requests were answered, %d connections were kept", answered, asked, held.Load())
	}
	return fmt.Sprintf("%d, or no answer to those that go for others; each is closed, after %.0f s at most; meanwhile %d of %[3]d requests with a token are answered", refused, limit.Seconds(), asked)
}

func floodAnnounced(t *testing.T, v *victim) string {
	const slack = 20 * time.Second // of a busy computer
	var sent sync.WaitGroup
	var said []string
	for text, want := range map[string]struct {
		status int
		after  time.Duration
	}{
		stop + "Expect: a-pony\nContent-Length: 100\n\n{":                                {417, 15 * time.Second},
		stop + "Content-Length: 100\n\n{":                                                {401, 10 * time.Second},
		stop + asReader + "Content-Length: 100\n\n{":                                     {403, 10 * time.Second},
		"POST /v1/probe HTTP/1.1\nHost: {host}\n" + asOwner + "Content-Length: 100\n\n{": {400, 10 * time.Second},
	} {
		said = append(said, fmt.Sprintf("%d after %.0f s at most", want.status, (want.after+slack).Seconds()))
		c := v.dial(t, "")
		sent.Go(func() {
			begin := time.Now()
			_ = c.SetDeadline(begin.Add(2 * time.Minute)) // fails only on a closed connection
			_, _ = io.WriteString(c, fill(v.words, text))
			got, err := io.ReadAll(c)
			if took := time.Since(begin); os.IsTimeout(err) || !bytes.HasPrefix(got, fmt.Appendf(nil, "HTTP/1.1 %d ", want.status)) || took > want.after+slack {
				t.Errorf("%.60q: after %v: %.60q, %v", text, took, got, err)
			}
		})
	}
	sent.Wait()
	slices.Sort(said)
	return "the connection is closed: " + strings.Join(said, ", ")
}
