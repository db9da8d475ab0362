package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"langkeep/localapi/client"
)

// streams is how many are held open to see what they cost.
const streams = 200

// proxy compares a profile's proxy with a reverse proxy that checks nothing.
func (b *bench) proxy(ctx context.Context) error {
	server, serverPID, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	bare, barePID, err := b.child(ctx, "bare-proxy", server)
	if err != nil {
		return err
	}
	a, proxyURL, err := b.proxyAgent(ctx, server)
	if err != nil {
		return err
	}
	added, _, err := a.AddClient(ctx, client.NewClient{Name: "bench", Scopes: []string{"proxy"}, Profiles: []string{profile(0)}})
	if err != nil {
		return err
	}
	ours, err := url.Parse(proxyURL)
	if err != nil {
		return err
	}
	upstream, err := url.Parse(server)
	if err != nil {
		return err
	}
	nginx, nginxPID, err := b.injectingNginx(ctx, upstream.Host)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	token := added.Token.Reveal()
	to := func(host string, pid int) target { return target{"tcp", host, pid, [][]byte{runRequest(host, token)}} }
	for _, conns := range []int{1, 16} {
		targets := []target{to(ours.Host, a.cmd.Process.Pid), to(bare, barePID), to(upstream.Host, serverPID)}
		if nginx != "" {
			targets = append(targets, to(nginx, nginxPID))
		}
		all, err := b.inTurn(conns, targets...)
		if err != nil {
			return err
		}
		ratio := median(ratios(all[0].rates, all[1].rates))
		what := fmt.Sprintf("through the proxy, %d connections", conns)
		if conns == 1 {
			what = "through the proxy, 1 connection"
		}
		b.add(row{what: what + "; beside a bare reverse proxy", ours: all[0].String(), beside: all[1].String(),
			ratio: fmt.Sprintf("%.2f", ratio), goal: "≥ 0.95", met: ratio >= 0.95})
		if nginx == "" {
			b.add(row{what: what + "; beside nginx", beside: "not installed: make bench does it"})
		} else {
			b.add(row{what: what + "; beside nginx", ours: all[0].String(), beside: all[3].String(),
				ratio: fmt.Sprintf("%.2f", median(ratios(all[0].rates, all[3].rates)))})
		}
		added := func(s series) string {
			return fmt.Sprintf("p50 %s, p99 %s", exact(median(s.p50)-median(all[2].p50)), exact(median(s.p99)-median(all[2].p99)))
		}
		b.add(row{what: what + ": what it adds to the server's own time", ours: added(all[0]), beside: added(all[1])})
	}
	if err := b.events(ctx, token, ours.Host, bare, upstream.Host); err != nil {
		return err
	}
	return b.manyStreams(ctx, token, []string{ours.Host, bare}, []int{a.cmd.Process.Pid, barePID})
}

// proxyAgent starts an agent with one profile whose proxy is open.
func (b *bench) proxyAgent(ctx context.Context, server string) (a *agent, proxyURL string, err error) {
	if a, err = b.memoryAgent(ctx, server, 1); err != nil {
		return nil, "", err
	}
	on := true
	p, err := a.ChangeProfile(ctx, profile(0), client.ProfileChange{Proxy: &on})
	if err != nil {
		return nil, "", err
	}
	for deadline := time.Now().Add(10 * time.Second); p.ProxyURL == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, "", errors.New("the proxy did not open")
		}
		if p, err = a.Profile(ctx, profile(0)); err != nil {
			return nil, "", err
		}
	}
	return a, *p.ProxyURL, nil
}

func runRequest(host, token string) []byte {
	body := `{"input_value":"hello","input_type":"chat","output_type":"chat","tweaks":{}}`
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\nContent-Type: application/json\r\nAccept: */*\r\n"+
		"User-Agent: bench\r\nContent-Length: %d\r\n\r\n%s", runPath, host, token, len(body), body)
}

// open begins a stream of events.
func open(ctx context.Context, host, token string, every time.Duration) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+eventsPath+"?every="+every.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Api-Key", token)
	res, err := http.DefaultClient.Do(req)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", host, res.Status)
	}
	return res, err
}

// events compares how long an event takes from the server to its reader.
func (b *bench) events(ctx context.Context, token string, hosts ...string) error {
	delays := make([][]time.Duration, len(hosts))
	for range b.rounds {
		for i, host := range hosts {
			d, err := delayed(ctx, host, token, 40)
			if err != nil {
				return err
			}
			delays[i] = append(delays[i], d...)
		}
	}
	var p50, p99 [3]time.Duration
	for i, d := range delays {
		slices.Sort(d)
		p50[i], p99[i] = quantile(d, 0.5), quantile(d, 0.99)
	}
	b.add(row{
		what:   "an event's way, more than without a proxy",
		ours:   fmt.Sprintf("p50 %s, p99 %s", exact(p50[0]-p50[2]), exact(p99[0]-p99[2])),
		beside: fmt.Sprintf("p50 %s, p99 %s", exact(p50[1]-p50[2]), exact(p99[1]-p99[2])),
		goal:   "< 1 ms", met: p50[0]-p50[2] < time.Millisecond,
	})
	return nil
}

// delayed reads events and tells how old each was.
func delayed(ctx context.Context, host, token string, n int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	res, err := open(ctx, host, token, 3*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var all []time.Duration
	lines := bufio.NewScanner(res.Body)
	for len(all) < n && lines.Scan() {
		now := time.Now()
		if sent, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			at, err := strconv.ParseInt(sent, 10, 64)
			if err != nil {
				return nil, err
			}
			all = append(all, now.Sub(time.Unix(0, at)))
		}
	}
	return all, lines.Err()
}

// manyStreams tells what open streams cost in memory.
func (b *bench) manyStreams(ctx context.Context, token string, hosts []string, pids []int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the streams
	var before, after [2]int64
	for i, host := range hosts {
		var err error
		if before[i], _, err = resident(pids[i]); err != nil {
			return err
		}
		for range streams {
			res, err := open(ctx, host, token, time.Second)
			if err != nil {
				return err
			}
			defer res.Body.Close()
		}
		if after[i], _, err = resident(pids[i]); err != nil {
			return err
		}
	}
	cell := func(i int) string {
		return fmt.Sprintf("%s, %s more than before", mib(after[i]), mib(after[i]-before[i]))
	}
	b.add(row{what: fmt.Sprintf("memory with %d streams; beside a bare reverse proxy", streams), ours: cell(0), beside: cell(1)})
	return nil
}
