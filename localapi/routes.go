package localapi

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// route is one line of the API's table. name is the {name} of its path, empty
// if it has none.
type route struct {
	method string
	path   string
	scope  guard.Scope
	handle func(w http.ResponseWriter, r *http.Request, caller *guard.Caller, name string) error
}

// profile is the {name} of a path that is about a profile; "" for another one.
func (r route) profile(name string) string {
	if strings.HasPrefix(r.path, "/v1/profiles/") {
		return name
	}
	return ""
}

// entry is a route with its prepared values.
type entry struct {
	route
	what     string // the route's name in the audit log and the metrics
	noted    noting
	pattern  pattern
	answered *atomic.Int64 // requests without a problem
}

// wayIn is the way that a request comes in by.
func wayIn(r *http.Request) guard.Way {
	way := guard.WayIn(r)
	switch {
	case way != guard.TCP:
		return way
	case r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/"):
		return guard.Page
	case r.URL.Path == exchangePath || r.URL.Path == sealedPath:
		return guard.Exchange
	case r.URL.Path == proofPath:
		return guard.Proof
	}
	return way
}

// The paths that other code needs too.
const (
	exchangePath = "/v1/page/token"
	sealedPath   = "/v1/page/sealed"
	proofPath    = "/v1/proof"
	refreshPath  = "/v1/profiles/{name}/refresh"
	leasesPath   = "/v1/leases"
	profilesPath = "/v1/profiles"
	clientsPath  = "/v1/clients"
	clientPath   = clientsPath + "/{name}"
	toolPath     = "/v1/tools/{name}"
	leasePath    = "/v1/lease"
)

// table lists every route, with the scope that it needs. A test compares it with
// openapi.yaml.
func (s *Server) table() []route {
	return []route{
		{"GET", "/v1/profiles/{name}/token", guard.Token, s.token}, // found first: programs read tokens all the time
		{"GET", "/v1/status", guard.Read, s.status},
		{"GET", profilesPath, guard.Read, s.profiles},
		{"POST", profilesPath, guard.Owner, s.addProfile},
		{"GET", "/v1/profiles/{name}", guard.Read, s.profile},
		{"PATCH", "/v1/profiles/{name}", guard.Owner, s.changeProfile},
		{"DELETE", "/v1/profiles/{name}", guard.Owner, s.removeProfile},
		{"POST", "/v1/profiles/{name}/login", guard.Manage, s.login},
		{"POST", "/v1/profiles/{name}/login/cancel", guard.Manage, s.cancelLogin},
		{"POST", "/v1/profiles/{name}/logout", guard.Manage, s.logout},
		{"POST", refreshPath, guard.Token, s.refresh},
		{"GET", "/v1/profiles/{name}/api-key", guard.APIKey, s.apiKey},
		{"GET", "/v1/profiles/{name}/keys", guard.Manage, s.keys},
		{"DELETE", "/v1/profiles/{name}/keys", guard.Manage, s.revokeKey},
		{"GET", clientsPath, guard.Owner, s.listClients},
		{"POST", clientsPath, guard.Owner, s.addClient},
		{"PATCH", clientsPath, guard.Owner, s.seenClients},
		{"DELETE", clientPath, guard.Owner, s.revokeClient},
		{"DELETE", "/v1/client", guard.Anyone, s.revokeSelf},
		{"GET", "/v1/apps", guard.Owner, s.apps},
		{"POST", leasesPath, guard.Read, s.lease},
		{"POST", leasePath, guard.Anyone, s.resumeLease},
		{"GET", "/v1/audit", guard.Owner, s.auditLog},
		{"GET", "/v1/events", guard.Read, s.events},
		{"GET", "/v1/events/recent", guard.Read, s.recentEvents},
		{"POST", "/v1/probe", guard.Owner, s.probe},
		{"GET", "/v1/settings", guard.Owner, s.settings},
		{"PATCH", "/v1/settings", guard.Owner, s.changeSettings},
		{"GET", "/v1/tools", guard.Owner, s.tools},
		{"POST", toolPath, guard.Owner, s.connectTool},
		{"DELETE", toolPath, guard.Owner, s.disconnectTool},
		{"POST", "/v1/page/code", guard.Owner, s.pageCode},
		{"POST", exchangePath, guard.Anyone, s.pageToken},
		{"POST", sealedPath, guard.Anyone, s.pageSealed},
		{"POST", "/v1/page/confirm/code", guard.Owner, s.confirmCode},
		{"POST", "/v1/page/confirm", guard.Owner, s.confirm},
		{"GET", "/v1/page/events", guard.Read, s.pageEvents},
		{"POST", proofPath, guard.Anyone, s.prove},
		{"GET", "/v1/openapi.yaml", guard.Read, s.openapi},
		{"GET", "/metrics", guard.Read, s.metricsText},
		{"POST", "/v1/doctor", guard.Owner, s.doctor},
		{"GET", "/v1/asks", guard.Owner, s.listAsks},
		{"POST", "/v1/asks/{name}", guard.Owner, s.answerAsk},
		{"DELETE", "/v1/asks", guard.Owner, s.forgetAnswers},
		{"POST", "/v1/lock", guard.Owner, s.lock},
		{"POST", "/v1/unlock", guard.Owner, s.unlock},
		{"POST", "/v1/stop", guard.Owner, s.stop},
		{"GET", "/", guard.Anyone, s.page},
		{"GET", "/ui/{name}", guard.Anyone, s.page},
	}
}

// prepared makes the entries of the table.
func (s *Server) prepared() []entry {
	var entries []entry
	for _, r := range s.table() {
		entries = append(entries, entry{r, r.method + " " + r.path, noted(r), patternOf(r.path), new(atomic.Int64)})
	}
	return entries
}

// lookUp finds a request's line in the table, nil if there is none.
func (s *Server) lookUp(r *http.Request) (*entry, string) {
	for i := range s.routes {
		route := &s.routes[i]
		if route.method != r.Method {
			continue
		}
		if name, ok := route.pattern.match(r.URL.Path); ok {
			return route, name
		}
	}
	return nil, ""
}

// unknown is the problem of a request without a line.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) *client.Problem {
	var allowed []string
	for _, route := range s.routes {
		if _, ok := route.pattern.match(r.URL.Path); ok {
			allowed = append(allowed, route.method)
		}
	}
	if allowed == nil {
		return client.NewProblem(client.TypeNotFound, "there is no such route: see /v1/openapi.yaml")
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return client.NewProblem(client.TypeMethodNotAllowed, "this route takes "+strings.Join(allowed, ", "))
}

// pattern is a route's path, whose {name} stands for one segment.
type pattern struct {
	before, after string
	variable      bool
}

func patternOf(path string) pattern {
	before, after, variable := strings.Cut(path, "{name}")
	return pattern{before, after, variable}
}

func (p pattern) match(path string) (name string, ok bool) {
	if !p.variable {
		return "", p.before == path
	}
	rest, ok := strings.CutPrefix(path, p.before)
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(rest, p.after)
	return name, ok && name != "" && !strings.Contains(name, "/")
}
