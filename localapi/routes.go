package localapi

import (
	"net/http"
	"slices"
	"strings"

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

// wayIn is the row of the guard's table that a request comes in by.
func wayIn(r *http.Request) guard.Way {
	way := guard.WayIn(r)
	switch {
	case way != guard.TCP:
		return way
	case r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/ui/"):
		return guard.Page
	case r.URL.Path == exchangePath:
		return guard.Exchange
	}
	return way
}

// The paths that are more than a line of the table.
const (
	exchangePath = "/v1/page/token"
	refreshPath  = "/v1/profiles/{name}/refresh"
	leasesPath   = "/v1/leases"
	leasePath    = "/v1/lease"
)

// table lists every route, with the scope that it needs. openapi.yaml has the
// same, and a test holds them together.
func (s *Server) table() []route {
	return []route{
		{"GET", "/v1/status", guard.Read, s.status},
		{"GET", "/v1/profiles", guard.Read, s.profiles},
		{"POST", "/v1/profiles", guard.Owner, s.addProfile},
		{"GET", "/v1/profiles/{name}", guard.Read, s.profile},
		{"PATCH", "/v1/profiles/{name}", guard.Owner, s.changeProfile},
		{"DELETE", "/v1/profiles/{name}", guard.Owner, s.removeProfile},
		{"POST", "/v1/profiles/{name}/login", guard.Manage, s.login},
		{"POST", "/v1/profiles/{name}/logout", guard.Manage, s.logout},
		{"POST", refreshPath, guard.Token, s.refresh},
		{"GET", "/v1/profiles/{name}/token", guard.Token, s.token},
		{"GET", "/v1/profiles/{name}/api-key", guard.APIKey, s.apiKey},
		{"GET", "/v1/profiles/{name}/keys", guard.Manage, s.keys},
		{"DELETE", "/v1/profiles/{name}/keys", guard.Manage, s.revokeKey},
		{"GET", "/v1/clients", guard.Owner, s.listClients},
		{"POST", "/v1/clients", guard.Owner, s.addClient},
		{"DELETE", "/v1/clients/{name}", guard.Owner, s.revokeClient},
		{"DELETE", "/v1/client", guard.Anyone, s.revokeSelf},
		{"POST", leasesPath, guard.Read, s.lease},
		{"POST", leasePath, guard.Anyone, s.resumeLease},
		{"GET", "/v1/audit", guard.Owner, s.auditLog},
		{"GET", "/v1/events", guard.Read, s.events},
		{"GET", "/v1/events/recent", guard.Read, s.recentEvents},
		{"POST", "/v1/probe", guard.Owner, s.probe},
		{"GET", "/v1/settings", guard.Owner, s.settings},
		{"PATCH", "/v1/settings", guard.Owner, s.changeSettings},
		{"POST", "/v1/page/code", guard.Owner, s.pageCode},
		{"POST", exchangePath, guard.Anyone, s.pageToken},
		{"GET", "/v1/page/events", guard.Read, s.pageEvents},
		{"GET", "/v1/openapi.yaml", guard.Read, s.openapi},
		{"GET", "/metrics", guard.Read, s.metricsText},
		{"POST", "/v1/doctor", guard.Owner, s.doctor},
		{"POST", "/v1/stop", guard.Owner, s.stop},
		{"GET", "/", guard.Anyone, s.page},
		{"GET", "/ui/app.js", guard.Anyone, s.page},
		{"GET", "/ui/style.css", guard.Anyone, s.page},
		{"GET", "/ui/icon.svg", guard.Anyone, s.page},
	}
}

// find looks a request up in the table.
func (s *Server) find(w http.ResponseWriter, r *http.Request) (route, string, *client.Problem) {
	var allowed []string
	for _, route := range s.routes {
		name, ok := match(route.path, r.URL.Path)
		if !ok {
			continue
		}
		if route.method == r.Method {
			return route, name, nil
		}
		allowed = append(allowed, route.method)
	}
	if allowed == nil {
		return route{}, "", client.NewProblem(client.TypeNotFound, "there is no such route: see /v1/openapi.yaml")
	}
	slices.Sort(allowed)
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	return route{}, "", client.NewProblem(client.TypeMethodNotAllowed, "this route takes "+strings.Join(allowed, ", "))
}

// match compares a path with a route's, whose {name} stands for one segment.
func match(pattern, path string) (name string, ok bool) {
	before, after, variable := strings.Cut(pattern, "{name}")
	if !variable {
		return "", pattern == path
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(rest, after)
	return name, ok && name != "" && !strings.Contains(name, "/")
}
