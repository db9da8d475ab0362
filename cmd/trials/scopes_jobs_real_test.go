//go:build real

package trials

import (
	"strings"
)

// testJobs has a client ask for the background run that another program began, with
// what its components handed to each other.
func (s *scoped) testJobs() {
	if !s.at(13) {
		return
	}
	type begun struct {
		ID string `json:"job_id"`
	}
	background := func(input, more string) string {
		return `{"flow_id":"` + s.flow + `","mode":"background","input_value":"` + input + `"` + more + `}`
	}
	const private = `,"expose_graph_state":false`
	const key = `,"idempotency_key":"order-7"`
	// ended waits, by the server's own stream, for a job's end.
	ended := func(id string) string { return s.must(200, "proxy", "GET", "/api/v2/workflows/"+id+"/events", "") }

	_, said := s.account()("POST", "/api/v2/workflows", background("what its owner asked", key))
	var owners, same, mine begun
	s.decode(said, &owners)
	if said := ended(owners.ID); !strings.Contains(said, "what its owner asked") || !strings.Contains(said, "end_vertex") {
		s.Errorf("it does not work with proxy, and so shows nothing: %.900s", said)
	}
	s.decode(s.must(200, "proxy", "POST", "/api/v2/workflows", background("a", private+key)), &same)
	if same.ID != owners.ID {
		s.Errorf("the key of an earlier run does not give its job %s with proxy, but %s, and so shows nothing", owners.ID, same.ID)
	}
	stop := `{"job_id":"` + owners.ID + `"}`
	for _, scope := range []string{"run", "tweak", "edit"} {
		s.must(403, scope, "POST", "/api/v2/workflows", background("a", private+key))
	}
	for _, scope := range []string{"run", "tweak"} {
		s.must(403, scope, "GET", "/api/v2/workflows/"+owners.ID+"/events", "")
		s.must(403, scope, "GET", "/api/v2/workflows?job_id="+owners.ID, "")
		s.must(403, scope, "POST", "/api/v2/workflows/stop", stop)
	}
	// Its own jobs are a client's.
	s.decode(s.must(200, "run", "POST", "/api/v2/workflows", background("what run asked", private)), &mine)
	if said := s.must(200, "run", "GET", "/api/v2/workflows/"+mine.ID+"/events", ""); strings.Contains(said, "end_vertex") {
		s.Errorf("run sees %.900s", said)
	}
	if said := s.must(200, "run", "GET", "/api/v2/workflows?job_id="+mine.ID, ""); !strings.Contains(said, "what run asked") {
		s.Errorf("the run's state is %.900s", said)
	}
	s.must(200, "run", "POST", "/api/v2/workflows/stop", `{"job_id":"`+mine.ID+`"}`)
	s.must(403, "tweak", "GET", "/api/v2/workflows?job_id="+mine.ID, "")
	s.must(200, "edit", "GET", "/api/v2/workflows?job_id="+owners.ID, "")
}
