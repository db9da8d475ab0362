package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// A client asks for the jobs that it began, and for no other's.
func TestJobs(t *testing.T) {
	const job, others = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
	answer, kind, status := "", "application/json", 200
	r := start(t, "", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v2/workflows" {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("the answer may be packed: %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		}
	})
	lives := map[string]chan struct{}{"lk_run": make(chan struct{}), "lk_tweak": make(chan struct{}), "lk_edit": make(chan struct{})}
	r.lookup = func(token string) (*guard.Caller, *client.Problem) {
		return &guard.Caller{Name: token, Scopes: []guard.Scope{guard.Scope(token[3:])}, Profiles: []string{"prod"}, Ended: lives[token]}, nil
	}
	ask := func(scope, method, path, body string) (int, string) {
		res, said := r.ask(method, path, body, "X-Api-Key: lk_"+scope, "Content-Type: application/json", "Accept-Encoding: gzip")
		return res.StatusCode, said
	}
	mayAsk := func(scope, job string) bool {
		t.Helper()
		may := map[bool]int{}
		for target, body := range map[string]string{
			"GET /api/v2/workflows?job_id=" + job: "", "GET /api/v2/workflows/" + job + "/events": "", "POST /api/v2/workflows/stop": `{"job_id":"` + job + `"}`,
		} {
			method, path, _ := strings.Cut(target, " ")
			got, _ := ask(scope, method, path, body)
			may[got == 200]++
		}
		if len(may) != 1 {
			t.Errorf("%s may do some and some not with %s: %v", scope, job, may)
		}
		return may[true] > 0
	}
	begin := func(scope, says string) {
		t.Helper()
		answer = says
		if got, said := ask(scope, "POST", "/api/v2/workflows", `{"flow_id":"f","mode":"background","expose_graph_state":false}`); got != status || said != says {
			t.Fatalf("%d %s", got, said)
		}
	}
	if mayAsk("run", job) || mayAsk("tweak", job) || !mayAsk("edit", job) {
		t.Error("a job that nobody here began")
	}
	begin("run", `{"id":null,"flow_id":"f","links":{"job_id":"`+others+`"},"job_id":"`+job+`","outputs":{"a":"`+strings.Repeat("x", 2*jobAnswer)+`"}}`)
	if !mayAsk("run", job) || !mayAsk("run", strings.ToUpper(strings.ReplaceAll(job, "-", ""))) || mayAsk("tweak", job) || mayAsk("run", others) {
		t.Error("the job that run began")
	}
	// None of these is an answer that begins a job.
	for _, says := range []string{"", `{"outputs":"` + strings.Repeat("x", jobAnswer) + `","job_id":"` + others + `"}`, `["job_id","` + others + `"]`, `{"job_id":"x"}`, `{"job_id":["` + others + `"]}`, `{"a":{"job_id":"` + others + `"}}`} {
		begin("run", says)
	}
	kind = "text/event-stream"
	begin("run", `{"job_id":"`+others+`"}`)
	kind, status = "application/json", 404
	begin("run", `{"job_id":"`+others+`"}`)
	status = 200
	if mayAsk("run", others) || mayAsk("run", "") || mayAsk("run", "x") {
		t.Error("a job that no answer has")
	}
	// A client that is made anew under the name is another one.
	lives["lk_run"] = make(chan struct{})
	if mayAsk("run", job) {
		t.Error("a client has the jobs of an earlier one of its name")
	}
}

// The list of jobs has bounds, and a busy client does not push out another one's.
func TestJobsBounded(t *testing.T) {
	var j jobs
	quiet, busy := &guard.Caller{Name: "quiet"}, &guard.Caller{Name: "busy"}
	j.begun(quiet, "mine")
	for i := range 3 * jobsEach {
		j.begun(busy, fmt.Sprint(i))
	}
	if !j.has(quiet, "mine") || j.has(busy, "0") || !j.has(busy, fmt.Sprint(3*jobsEach-1)) || len(j.clients[1].ids) != jobsEach {
		t.Error("the jobs of one client")
	}
	for i := range 2 * jobsClients {
		j.begun(&guard.Caller{Name: fmt.Sprint(i)}, "a")
	}
	if j.has(quiet, "mine") || len(j.clients) != jobsClients {
		t.Errorf("%d clients are known", len(j.clients))
	}
}
