package localapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"langkeep/agent/audit"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// note has a request written to the audit log; problem is why it was refused,
// nil if it was not. Only what is ours is told of it: a stranger's words stay
// out.
func (s *Server) note(r *http.Request, caller *guard.Caller, profile, what string, problem *client.Problem) {
	u := audit.Use{What: what}
	if caller != nil {
		u.Client = audit.Text(caller.Name)
	}
	// Nobody can fill the log with names that they make up.
	if _, err := s.Agent.Profile(profile); err == nil {
		u.Profile = audit.Text(profile)
	}
	if problem != nil {
		u.Refused = audit.Text(problem.Kind())
	}
	find := guard.FindProcess(r)
	s.Audit.Note(u, func() audit.Process {
		p := find()
		return audit.Process{PID: p.PID, Exe: audit.Text(p.Exe)}
	})
}

// noteAPI notes a request to the local API. What anybody may read is not worth
// it.
func (s *Server) noteAPI(r *http.Request, caller *guard.Caller, problem *client.Problem) {
	what, profile := "unknown route", ""
	for _, route := range s.routes {
		name, ok := match(route.path, r.URL.Path)
		if !ok || route.method != r.Method {
			continue
		}
		if problem == nil && route.scope == guard.Anyone && route.method == http.MethodGet {
			return
		}
		what = route.method + " " + route.path
		if strings.HasPrefix(route.path, "/v1/profiles/") {
			profile = name
		}
		break
	}
	s.note(r, caller, profile, what, problem)
}

// auditLog answers with the entries after ?after=, at most the last 1000.
func (s *Server) auditLog(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	after := int64(0)
	if given := query.Get("after"); err == nil && given != "" {
		after, err = strconv.ParseInt(given, 10, 64)
	}
	if err != nil {
		return client.NewProblem(client.TypeBadRequest, "after must be the number of an entry")
	}
	return answer(w, http.StatusOK, client.Audit{Entries: s.Audit.Entries(after)})
}
