package localapi

import (
	"net/http"
	"strconv"
	"strings"

	"langkeep/agent/audit"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// use is a request on its way into the audit log. It has only names that Langkeep
// knows; a stranger's words stay out.
type use struct {
	audit.Use
	search *guard.Search
}

// useOf makes a use. It begins the search for the program, which is best found while it
// waits for its answer.
func (s *Server) useOf(r *http.Request, caller *guard.Caller, profile, what string) use {
	u := use{audit.Use{What: what}, guard.FindProcess(r)}
	if caller != nil {
		u.Client = audit.Text(caller.Name)
	}
	// Keep invented names out of the log.
	if s.Agent.Has(profile) {
		u.Profile = audit.Text(profile)
	}
	return u
}

// note adds a use to the audit log; problem is why the request was refused or came to
// nothing, nil if neither.
func (s *Server) note(u use, problem *client.Problem) {
	switch {
	case problem == nil:
	case refused(problem):
		u.Refused = audit.Text(problem.Kind())
	default:
		u.Failed = audit.Text(problem.Kind())
	}
	if p, known := u.search.Known(); known {
		u.Process = auditProcess(p)
		if s.Audit.Again(u.Use) {
			return
		}
	}
	s.Audit.Note(u.Use, func() audit.Process { return auditProcess(u.search.Wait()) })
}

// noteAbout notes what a request did to a profile, or to an app or a tool of its.
func (s *Server) noteAbout(r *http.Request, caller *guard.Caller, profile, what, about string) {
	u := s.useOf(r, caller, profile, what)
	u.About = audit.Text(about)
	s.note(u, nil)
}

func auditProcess(p guard.Process) audit.Process {
	return audit.Process{PID: p.PID, Exe: audit.Text(p.Exe)}
}

// refused tells refusals from other problems.
func refused(p *client.Problem) bool {
	switch p.Status {
	case http.StatusUnauthorized, http.StatusMisdirectedRequest, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	case http.StatusForbidden:
		return p.Kind() != client.TypeSignInRequired
	case http.StatusConflict:
		return p.Kind() == client.TypeConflict
	}
	return false
}

// noting is when a use is noted.
type noting int

const (
	notedAfter     noting = iota // after the answer, with its result
	notedBefore                  // at once, for a stream
	notedByHandler               // by the handler, which knows more; a problem after the answer
	notNoted                     // never, for public files
)

// noted tells when the use of a route is noted.
func noted(r route) noting {
	switch {
	case r.scope == guard.Anyone && r.method == http.MethodGet, r.path == sealedPath, r.path == proofPath:
		return notNoted // the request inside is noted on its own
	case strings.HasSuffix(r.path, "/events"):
		return notedBefore
	case r.path == leasesPath, r.path == leasePath, r.path == clientPath, r.path == toolPath,
		r.method == http.MethodPost && (r.path == clientsPath || r.path == profilesPath):
		return notedByHandler
	}
	return notedAfter
}

// unknownRoute stands for every path that is not in the table.
const unknownRoute = "unknown route"

// apiUse is the use of a route of the local API, nil for one that is not there.
func (s *Server) apiUse(r *http.Request, caller *guard.Caller, route *entry, name string) use {
	if route == nil {
		return s.useOf(r, caller, "", unknownRoute)
	}
	return s.useOf(r, caller, route.profile(name), route.what)
}

// auditLog answers with the entries after ?after=, at most the last 1000.
func (s *Server) auditLog(w http.ResponseWriter, r *http.Request, _ *guard.Caller, _ string) error {
	after := int64(0)
	if given := r.URL.Query().Get("after"); given != "" {
		var err error
		if after, err = strconv.ParseInt(given, 10, 64); err != nil {
			return client.NewProblem(client.TypeBadRequest, "after must be the number of an entry")
		}
	}
	return answer(w, http.StatusOK, client.Audit{Entries: s.Audit.Entries(after)})
}
