//go:build real && linux

package trials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/sse"
)

// soak is what the parts of TestSoak share.
type soak struct {
	*person
	server *langflowtest.Server
	front  *httptest.Server // the server, and a flow that goes on
	url    string           // of the local API
	owner  string
	tool   string   // the token of a program that may use the proxies
	proxy  []string // the proxies' URLs

	reads, events, pages, parts, streams atomic.Int64
	mu                                   sync.Mutex // protects the following
	complaints                           int
}

func newSoak(p *person) *soak {
	s := &soak{person: p, owner: p.owner()}
	s.server = langflowtest.New(langflowtest.Options{AccessLifetime: soakLife, RefreshLifetime: 3 * soakLife})
	s.front = httptest.NewServer(s)
	p.t.Cleanup(func() { s.front.Close(); s.server.Close() })
	running, err := client.ReadRunning(p.paths)
	if err != nil {
		p.t.Fatal(err)
	}
	s.url = running.URL
	return s
}

// ServeHTTP is the stand-in with a flow that sends a part twice a second, for
// as long as it is asked to.
func (s *soak) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, "/api/v1/run/") {
		s.server.ServeHTTP(w, r)
		return
	}
	who := httptest.NewRecorder()
	ask := httptest.NewRequest(http.MethodGet, "/api/v1/users/whoami", nil)
	ask.Header.Set("X-Api-Key", r.Header.Get("X-Api-Key"))
	s.server.ServeHTTP(who, ask)
	if who.Code != http.StatusOK {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"detail":"Invalid or missing API key"}`) // fails only if the client has gone
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	part := time.NewTicker(500 * time.Millisecond)
	defer part.Stop()
	parts, _ := strconv.Atoi(r.URL.Query().Get("parts")) // 0: till the client goes
	for n := 1; parts == 0 || n <= parts; n++ {
		if _, err := fmt.Fprintf(w, "data: %d\n\n", n); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-part.C:
		case <-r.Context().Done():
			return
		}
	}
}

func soakName(i int) string { return fmt.Sprintf("soak-%03d", i) }

// signInAll makes the sessions, and opens the proxies of the first of them.
func (s *soak) signInAll() {
	s.t.Helper()
	c, err := client.New(client.Options{Socket: s.paths.Socket()})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	user := langflowtest.Admin()
	s.secret("the password", user.Password)
	todo := make(chan int)
	var working sync.WaitGroup
	for range 8 {
		working.Go(func() {
			for i := range todo {
				name := soakName(i)
				_, err := c.AddProfile(s.t.Context(), client.NewProfile{Name: name, ServerURL: s.front.URL})
				if err == nil {
					_, err = c.Login(s.t.Context(), name, client.Login{
						Method: client.Password, Username: user.Name, Password: secret.New(user.Password),
					})
				}
				if err != nil {
					s.complain("sign in to %s: %v", name, err)
				}
			}
		})
	}
	for i := range soakSessions {
		todo <- i
	}
	close(todo)
	working.Wait()
	var names []string
	for i := range soakProxies {
		on, lifetime := true, soakKeysLive.String()
		names = append(names, soakName(i))
		profile, err := c.ChangeProfile(s.t.Context(), soakName(i), client.ProfileChange{Proxy: &on, KeyLifetime: &lifetime})
		if err != nil || profile.ProxyURL == nil {
			s.t.Fatalf("open the proxy of %s: %v", soakName(i), err)
		}
		s.proxy = append(s.proxy, *profile.ProxyURL)
	}
	tool, _, err := c.AddClient(s.t.Context(), client.NewClient{Name: "tool", Scopes: []string{"read", "token", "run"}, Profiles: names})
	if err != nil {
		s.t.Fatal(err)
	}
	s.tool = tool.Token.Reveal()
	s.person.secret("a client token", s.tool)
	if s.t.Failed() {
		s.t.FailNow()
	}
}

func (s *soak) complain(format string, args ...any) {
	s.mu.Lock()
	s.complaints++
	n := s.complaints
	s.mu.Unlock()
	if n <= 20 {
		s.t.Errorf("%8s "+format, append([]any{time.Since(s.person.begin).Round(time.Millisecond)}, args...)...)
	}
}

// told says what has been done so far.
func (s *soak) told() string {
	return fmt.Sprintf("%d reads, %d events, %d of the page, %d streams with %d parts",
		s.reads.Load(), s.events.Load(), s.pages.Load(), s.streams.Load(), s.parts.Load())
}

// begin starts all who ask. end ends them.
func (s *soak) begin() (end func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var busy sync.WaitGroup
	overSocket := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", s.paths.Socket())
	}
	for i := range soakReaders {
		token, profiles := s.owner, soakSessions
		if i%2 == 1 {
			token, profiles = s.tool, soakProxies // what that program may read
		}
		busy.Go(func() { s.read(ctx, &http.Transport{}, s.url, token, profiles) })
		busy.Go(func() { s.read(ctx, &http.Transport{DisableKeepAlives: true}, s.url, token, profiles) })
		busy.Go(func() { s.read(ctx, &http.Transport{DialContext: overSocket}, "http://langkeep", "", soakSessions) })
	}
	for i := range soakStreams {
		where := client.Options{Socket: s.paths.Socket()}
		if i%2 == 1 {
			where = client.Options{URL: s.url, Token: secret.New(s.owner)}
		}
		busy.Go(func() { s.follow(ctx, where, false) })
		busy.Go(func() { s.follow(ctx, where, true) })
		busy.Go(func() { s.stream(ctx, s.proxy[i%soakProxies], 0) })
		busy.Go(func() { s.stream(ctx, s.proxy[(i+soakStreams)%soakProxies], 6) })
	}
	busy.Go(func() { s.page(ctx) })
	return func() { cancel(); busy.Wait() }
}

// pause waits, and tells whether to go on.
func pause(ctx context.Context, d time.Duration) bool { return clock.Pause(ctx, d) == nil }

// read asks for the token of one profile after the other. Each must be there,
// live, and pass at the server.
func (s *soak) read(ctx context.Context, transport *http.Transport, base, bearer string, profiles int) {
	asker := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	defer asker.CloseIdleConnections()
	server := &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second}
	defer server.CloseIdleConnections()
	for pause(ctx, readEvery) {
		name, begin := soakName(rand.IntN(profiles)), time.Now()
		status, token, err := s.get(ctx, asker, base+"/v1/profiles/"+name+"/token", bearer)
		if ctx.Err() != nil {
			return
		}
		s.reads.Add(1)
		if err != nil || status != http.StatusOK {
			s.complain("a read of %s: %d, %v", name, status, err)
			continue
		}
		if expiry := expiryOf(token); !expiry.After(begin) {
			s.complain("a token of %s is handed out that ended at %v", name, expiry)
		}
		status, err = whoami(server, s.front.URL, token)
		if status != http.StatusOK && ctx.Err() == nil {
			s.complain("whoami answers %d (%v) to a token of %s", status, err, name)
		}
	}
}

// get asks for something in plain text.
func (s *soak) get(ctx context.Context, asker *http.Client, url, bearer string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", "text/plain")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := asker.Do(req)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), errors.Join(err, res.Body.Close())
}

// follow follows the events, to the end of the test or, if briefly, until all
// profiles were told of and a little longer, again and again.
func (s *soak) follow(ctx context.Context, where client.Options, briefly bool) {
	for ctx.Err() == nil {
		s.followOnce(ctx, where, briefly)
	}
}

func (s *soak) followOnce(ctx context.Context, where client.Options, briefly bool) {
	c, err := client.New(where)
	if err != nil {
		s.complain("%v", err)
		return
	}
	defer c.Close()
	seen, enough := map[string]bool{}, time.Time{}
	for e, err := range c.Events(ctx) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.complain("the events end after %d profiles: %v", len(seen), err)
			pause(ctx, time.Second)
			return
		}
		s.events.Add(1)
		seen[e.Profile.Name] = true
		switch e.Profile.State {
		case client.Fresh:
		case client.Retrying: // of no consequence for a reader; the metrics count it
		default:
			s.complain("%s is %s", e.Profile.Name, e.Profile.State)
		}
		if len(seen) == soakSessions && enough.IsZero() {
			enough = time.Now().Add(5 * time.Second)
		}
		if briefly && !enough.IsZero() && time.Now().After(enough) {
			return
		}
	}
}

// stream runs the flow through a proxy, for some parts or, with 0, to the end of
// the test, again and again. No part may be missing.
func (s *soak) stream(ctx context.Context, base string, parts int) {
	asker := &http.Client{Transport: &http.Transport{}}
	defer asker.CloseIdleConnections()
	for ctx.Err() == nil {
		s.streams.Add(1)
		got, err := s.streamOnce(ctx, asker, base, parts)
		if ctx.Err() != nil {
			return
		}
		if err != nil || parts == 0 || got != parts {
			s.complain("a stream through %s ended after %d parts, %v", base, got, err)
			pause(ctx, time.Second)
		}
	}
}

func (s *soak) streamOnce(ctx context.Context, asker *http.Client, base string, parts int) (int, error) {
	to := base + "/api/v1/run/soak?" + url.Values{"stream": {"true"}, "parts": {strconv.Itoa(parts)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(`{"input_value":"x"}`))
	if err != nil {
		return 0, err
	}
	req.Header.Set("X-Api-Key", s.tool)
	res, err := asker.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, errors.New(res.Status)
	}
	got := 0
	for e, err := range sse.Read(res.Body, 1<<10) {
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got++
		s.parts.Add(1)
		if string(e.Data) != strconv.Itoa(got) {
			return got, fmt.Errorf("part %d is %s", got, e.Data)
		}
	}
	return got, nil
}

// page follows what the control page shows.
func (s *soak) page(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/v1/page/events", nil)
	if err != nil {
		s.complain("%v", err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+s.owner)
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		s.complain("the page's events: %v", err)
		return
	}
	defer res.Body.Close()
	for e, err := range sse.Read(res.Body, 1<<20) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.complain("the page's events end: %v", err)
			return
		}
		if e.Name == "card" {
			s.pages.Add(1)
		}
	}
}

// metrics are the samples of /metrics by name, those with labels summed up.
func (s *soak) metrics() map[string]float64 {
	s.t.Helper()
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	status, text, err := s.get(s.t.Context(), asker, s.url+"/metrics", s.owner)
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("metrics: %d, %v", status, err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		n, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			s.t.Fatalf("metrics: %q: %v", line, err)
		}
		name, _, _ := strings.Cut(line[:space], "{")
		all[name] += n
	}
	return all
}

// sample takes the figures.
func (s *soak) sample() figures {
	s.t.Helper()
	var f figures
	all := s.metrics()
	for i, name := range figureNames {
		n, ok := all[name.metric]
		if !ok {
			s.t.Fatalf("no %s in the metrics", name.metric)
		}
		if strings.HasSuffix(name.metric, "_bytes") {
			n /= 1 << 10
		}
		f[i] = n
	}
	// Compare the metrics with the system's own count, which only root can read.
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.running())); err == nil {
		if d := float64(len(fds)) - f[files]; d < -50 || d > 50 {
			s.t.Errorf("there are %d open files, and the metrics tell of %.0f", len(fds), f[files])
		}
	}
	return f
}

// judge compares what was counted with what there should have been.
func (s *soak) judge(counted map[string]float64, long time.Duration) {
	s.t.Helper()
	if want := soakSessions * (1 + long.Seconds()/soakLife.Seconds()); counted["langkeep_token_pairs_total"] < want {
		s.t.Errorf("%.0f token pairs, want %.0f or more", counted["langkeep_token_pairs_total"], want)
	}
	if n := counted["langkeep_sessions_ended_total"]; n != 0 {
		s.t.Errorf("%.0f sessions have ended", n)
	}
	if n := counted["langkeep_profiles"]; n != soakSessions {
		s.t.Errorf("%.0f profiles", n)
	}
	if n := counted["langkeep_proxy_streams"]; n < soakStreams {
		s.t.Errorf("%.0f streams through proxies", n)
	}
	// A reader that takes longer than its interval skips one.
	if want := int64(3*soakReaders*long.Seconds()/readEvery.Seconds()) / 4; s.reads.Load() < want {
		s.t.Errorf("%d reads, want %d or more: this computer is too slow to tell", s.reads.Load(), want)
	}
	if s.complaints > 0 {
		s.t.Errorf("%d complaints in all", s.complaints)
	}
}
