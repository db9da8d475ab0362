//go:build real

package trials

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// runsSomething are the writing routes that the scope run has, within the rules for their
// bodies.
var runsSomething = regexp.MustCompile(`^POST /api/(v1/run/|v1/responses$|v1/webhook/|v1/a2a/[^/]*/jsonrpc$|v1/mcp/|mcp/|v2/workflows$|v2/workflows/stop$)|^DELETE /api/(v1/)?mcp/(project/[^/]*/)?streamable$`)

// testRoutes has clients ask for every route of the server's own document.
func (s *scoped) testRoutes() {
	account := s.account()
	_, text := account("GET", "/openapi.json", "")
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	s.decode(text, &document)
	written := 0
	for path, methods := range document.Paths {
		for method := range methods {
			method = strings.ToUpper(method)
			asked := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "00000000-0000-0000-0000-000000000000")
			if method == "GET" || runsSomething.MatchString(method+" "+asked) && !strings.HasSuffix(path, "/install") {
				continue
			}
			written++
			if status, said := s.ask("run", method, asked, "{}"); status != 403 {
				s.Errorf("%s %s with run: %d %.300s", method, path, status, said)
			}
		}
	}
	s.Logf("%s: %d writing routes are refused to run", s.version, written)

	// A project's settings, which proxy may change.
	var projects []struct{ ID string }
	s.decode(s.must(200, "edit", "GET", "/api/v1/projects/", ""), &projects)
	open := `{"settings":[],"auth_settings":{"auth_type":"none"}}`
	for _, scope := range []string{"run", "tweak", "edit"} {
		s.must(403, scope, "PATCH", "/api/v1/mcp/project/"+projects[0].ID, open)
		s.must(403, scope, "PATCH", "/api/v1/mcp/project/"+projects[0].ID+"/", open)
		s.must(200, scope, "GET", "/api/v1/mcp/project/"+projects[0].ID, "")
	}
	// 1.10.3 may fail at it, since its database is locked.
	if status, said := s.ask("proxy", "PATCH", "/api/v1/mcp/project/"+projects[0].ID, open); status == 403 {
		s.Errorf("a project's settings with proxy: %s", said)
	}

	for _, scope := range []string{"run", "tweak", "edit", "proxy"} {
		for _, line := range []string{"POST /api/v1/made-up", "POST /api/v3/flows/", "PUT /api/v1/flows/", "GET /made-up"} {
			method, path, _ := strings.Cut(line, " ")
			if said := s.must(403, scope, method, path, "{}"); !strings.Contains(said, "unknown_routes = true") {
				s.Errorf("%s with %s: %s", line, scope, said)
			}
		}
		for _, line := range []string{"POST /api/v1/authz/roles", "POST /api/v1/authz/teams", "POST /api/v1/authz/role-assignments"} {
			method, path, _ := strings.Cut(line, " ")
			s.must(403, scope, method, path, `{"name":"mine"}`)
		}
	}
	if s.at(10) {
		s.testServersFile(account)
	}
	if s.at(13) {
		s.testServersURL(account)
	}
}

// account asks the server itself, with the account's own token.
func (s *scoped) account() func(method, path, body string) (int, string) {
	res, err := http.PostForm(s.server.URL+"/api/v1/login", url.Values{"username": {s.server.Username}, "password": {s.server.Password}})
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	var token struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Access == "" {
		s.Fatalf("%s %v", res.Status, err)
	}
	return func(method, path, body string) (int, string) {
		s.Helper()
		req, err := http.NewRequestWithContext(s.Context(), method, s.server.URL+path, strings.NewReader(body))
		if err != nil {
			s.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Access)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			s.Fatal(err)
		}
		defer res.Body.Close()
		said, err := io.ReadAll(res.Body)
		if err != nil {
			s.Fatal(err)
		}
		return res.StatusCode, string(said)
	}
}
