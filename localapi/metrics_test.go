package localapi

import (
	"regexp"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest"
)

func TestMetrics(t *testing.T) {
	r := newRig(t)
	r.signIn()
	token := r.newClient("ci", "read", "run")
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)
	for range 3 {
		r.must(200, "GET", "/v1/profiles/prod/token", "")
		r.ask("nobody", "GET", "/v1/made-up", "")
		r.ask("owner", "BREW", "/v1/status", "")
		r.ask("owner", "GET", "/v1/profiles/made-up", "")
	}
	r.must(200, "POST", "/v1/profiles/prod/refresh", "")
	text := r.must(200, "GET", "/metrics", "")
	for _, want := range []string{
		`langkeep_build_info{version="1.2.3"} 1`, `langkeep_profiles{state="fresh"} 1`, `langkeep_profiles{state="stale"} 0`,
		`langkeep_token_pairs_total 2`, `langkeep_refreshes_total 1`, `langkeep_clients{lease="false"} 1`, `langkeep_proxy_streams 0`,
		`langkeep_requests_total{route="GET /v1/profiles/{name}/token",result="ok"} 3`,
		`langkeep_requests_total{route="unknown route",result="unauthorized"} 3`,
		`langkeep_requests_total{route="unknown route",result="method-not-allowed"} 3`,
		`langkeep_requests_total{route="GET /v1/profiles/{name}",result="not-found"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("without %s:\n%s", want, text)
		}
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+]+)$`)
	for l := range strings.Lines(text) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("no line of the format: %q", l)
		}
	}
	if strings.Contains(text, "made-up") || strings.Contains(text, "BREW") || strings.Contains(text, "lk_") || strings.Contains(text, langflowtest.Admin().Password) {
		t.Error("it tells what a stranger or nobody should")
	}
	// A client of some profiles sees those alone.
	status, header, some := r.ask(token, "GET", "/metrics", "")
	if status != 200 || header.Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" || strings.Contains(some, "langkeep_requests_total") || !strings.Contains(some, `{profile="prod"}`) {
		t.Errorf("%d %v %s", status, header, some)
	}
	// A profile that has gone leaves no line.
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	text = r.must(200, "GET", "/metrics", "")
	if strings.Contains(text, "prod") || !strings.Contains(text, `langkeep_profiles{state="fresh"} 0`+"\n") {
		t.Errorf("after the profile was removed:\n%s", text)
	}
}
