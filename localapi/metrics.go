package localapi

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// metrics are the counters of the server; the rest of /metrics is computed for each
// request. A library would add at least 1 MB to a program of 14.
type metrics struct {
	streams atomic.Int64 // proxied requests under way

	mu       sync.Mutex // protects the following
	refusals map[outcome]int64
	proxied  map[string]int64 // by result
}

// outcome is a route of the table, and result of its requests.
type outcome struct{ route, result string }

// result is a problem's kind, or "ok".
func result(p *client.Problem) string {
	if p == nil {
		return "ok"
	}
	return p.Kind()
}

// refused counts a request that was answered with a problem. The others are counted by
// their route, without a lock.
func (m *metrics) refused(route string, p *client.Problem) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusals[outcome{route, result(p)}]++
}

func (m *metrics) proxy(p *client.Problem) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proxied[result(p)]++
}

// exposition is the text that Prometheus reads, version 0.0.4.
type exposition struct{ bytes.Buffer }

// family begins a metric.
func (e *exposition) family(name, kind, help string) {
	fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample is a line; labels are names and values.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		e.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(e, `%s="%s"`, labels[i], escaped.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	fmt.Fprintf(e, " %v\n", value)
}

// single is a metric without labels.
func (e *exposition) single(name, kind, help string, value float64) {
	e.family(name, kind, help)
	e.sample(name, value)
}

// counters is a metric with one line for each label's value.
func (e *exposition) counters(name, help, label string, counts map[string]int64) {
	e.family(name, "counter", help)
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		e.sample(name, float64(counts[key]), label, key)
	}
}

// states are all states, so that /metrics also shows a count of 0.
var states = []client.State{
	client.Fresh, client.Retrying, client.Stale, client.SignInRequired, client.KeychainLocked, client.SignedOut,
}

func (s *Server) metricsText(w http.ResponseWriter, _ *http.Request, caller *guard.Caller, _ string) error {
	var e exposition
	e.family("langkeep_build_info", "gauge", "The version that runs; always 1.")
	e.sample("langkeep_build_info", 1, "version", s.Version)
	e.single("langkeep_start_time_seconds", "gauge", "When the agent was started, in Unix time.", float64(s.Started.Unix()))

	seen := s.seen(caller)
	count := map[client.State]int{}
	for _, p := range seen {
		count[p.State]++
	}
	e.family("langkeep_profiles", "gauge", "Profiles by state.")
	for _, state := range states {
		e.sample("langkeep_profiles", float64(count[state]), "state", string(state))
	}
	ends := func(name, help string, of func(client.Profile) *time.Time) {
		e.family(name, "gauge", help)
		for _, p := range seen {
			if end := of(p); end != nil {
				e.sample(name, float64(end.Unix()), "profile", p.Name)
			}
		}
	}
	ends("langkeep_access_token_expiry_timestamp_seconds", "When a profile's access token ends, by the server's clock.",
		func(p client.Profile) *time.Time { return p.AccessExpiresAt })
	ends("langkeep_refresh_token_expiry_timestamp_seconds", "When a profile's refresh token ends, by the server's clock.",
		func(p client.Profile) *time.Time { return p.RefreshExpiresAt })
	if caller.Owner || caller.Profiles == nil {
		s.totals(&e)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(e.Bytes()) // fails only if the client has gone
	return nil
}

// totals writes the counts over all profiles. A client with only some profiles does not
// get them.
func (s *Server) totals(e *exposition) {
	counts := s.Agent.Counts()
	e.single("langkeep_token_pairs_total", "counter", "Token pairs that servers gave, at a sign-in or a refresh.", float64(counts.Pairs))
	e.single("langkeep_refreshes_total", "counter", "Token pairs that were had with a refresh token.", float64(counts.Refreshes))
	e.single("langkeep_keys_made_total", "counter", "API keys that were made.", float64(counts.Keys))
	e.counters("langkeep_failures_total", "Passing failures to renew a session, by kind.", "kind", counts.Failures)
	e.counters("langkeep_sessions_ended_total", "Sessions that a server refused for good, by reason.", "reason", counts.Ended)

	leases, clients := 0, 0
	for _, c := range s.Clients.All() {
		if c.Lease {
			leases++
		} else {
			clients++
		}
	}
	e.family("langkeep_clients", "gauge", "Programs that were let in: by a person, or for as long as they run.")
	e.sample("langkeep_clients", float64(clients), "lease", "false")
	e.sample("langkeep_clients", float64(leases), "lease", "true")

	s.metrics.mu.Lock()
	defer s.metrics.mu.Unlock()
	e.family("langkeep_requests_total", "counter", "Requests to the local API, by route and result.")
	requests := maps.Clone(s.metrics.refusals)
	for _, route := range s.routes {
		if n := route.answered.Load(); n > 0 {
			requests[outcome{route.what, result(nil)}] = n
		}
	}
	outcomes := slices.Collect(maps.Keys(requests))
	sort.Slice(outcomes, func(i, j int) bool {
		a, b := outcomes[i], outcomes[j]
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.result, b.result)) < 0
	})
	for _, o := range outcomes {
		e.sample("langkeep_requests_total", float64(requests[o]), "route", o.route, "result", o.result)
	}
	e.counters("langkeep_proxy_requests_total", "Requests to the proxies, by result; ok was passed on.", "result", s.metrics.proxied)
	e.single("langkeep_proxy_streams", "gauge", "Proxied requests that are under way.", float64(s.metrics.streams.Load()))
	process(e)
}

// process writes the figures that all programs have, with the names of Prometheus' own
// libraries.
func process(e *exposition) {
	e.single("go_goroutines", "gauge", "Goroutines of the agent.", float64(runtime.NumGoroutine()))
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory) // package runtime/metrics would take time at the start of each command
	e.single("go_memstats_next_gc_bytes", "gauge", "Memory at which garbage is collected next: twice of what the last time found in use, and 4 MiB at least.", float64(memory.NextGC))
	if files, resident, ok := processFigures(); ok {
		e.single("process_open_fds", "gauge", "Open files and connections of the agent.", files)
		e.single("process_resident_memory_bytes", "gauge", "Memory of the agent that is in RAM.", resident)
	}
}
