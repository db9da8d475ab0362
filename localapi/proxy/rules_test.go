package proxy

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// may tells the kind of problem that a client of a scope has, "" if it has none
// but for a check.
func may(scope guard.Scope, unknown bool, method, path, root, version string) string {
	t, problem := judge(method, path, root, version)
	if problem == nil {
		problem = permits(&guard.Caller{Scopes: []guard.Scope{scope}}, "prod", t, unknown)
	}
	if problem != nil {
		return problem.Kind()
	}
	return ""
}

// Each line names the least scope that has a route, with the check of the body
// if there is one.
func TestScopes(t *testing.T) {
	for line, want := range map[string]string{
		"GET /api/v1/version": "run:empty", "GET /health": "run:empty", "HEAD /health": "run:empty", "GET /api/v1/mcp/project/p/sse": "run:mcp", "HEAD /api/v1/mcp/sse": "run:mcp",
		"OPTIONS /api/v1/mcp/sse": "run:mcp", "DELETE /api/v1/mcp/streamable": "run:mcp", "GET /api/v1/mcp/project/p": "run:mcp",
		"POST /api/v1/run/abc": "run:run", "POST /api/v1/run/advanced/abc": "run:advanced", "POST /api/v1/responses": "run:responses", "POST /api/v1/responses/": "run:responses",
		"POST /api/v1/mcp/project/p/streamable": "run:mcp", "POST /api/v1/mcp/project/p/": "run:mcp", "POST /api/v1/mcp/": "run:mcp", "POST /api/mcp/": "run:mcp",
		"POST /api/v2/workflows": "run:workflow", "POST /api/v1/build/x/flow": "edit:build", "GET /api/v1/build/x/events": "edit",

		"POST /api/v1/files/upload/x": "tweak:upload", "POST /api/v2/files": "tweak:upload", "POST /api/v1/upload/x": "tweak:upload",

		"GET /api/v1/flows/": "edit", "GET /api/v1/all": "edit", "POST /api/v1/flows/": "edit:flow", "PATCH /api/v1/flows/x": "edit:flow", "POST /api/v1/flows/upload/": "edit:flow-file",
		"DELETE /api/v1/flows/x": "edit", "GET /api/v1/users/whoami": "edit", "GET /": "edit", "PATCH /api/v1/projects/x": "edit:project",

		"POST /api/v1/flows/x/versions/": "edit:flow", "PUT /api/v2/files/x": "proxy",

		"PATCH /api/v1/mcp/project/p": "proxy", "GET /api/v2/mcp/servers": "proxy", "POST /api/v2/mcp/servers/x": "proxy", "POST /api/v1/custom_component": "proxy",
		"POST /api/v1/validate/code": "proxy", "GET /api/v1/api_key/": "proxy", "GET /api/v1/session": "proxy", "GET /logs": "proxy", "POST /api/v1/triggers": "proxy",
		"PUT /api/v1/policy-bundle": "proxy", "POST /api/v1/agentic/assist": "proxy", "POST /api/v1/connections": "proxy", "GET /api/v1/authz/roles": "proxy",
		"WS /api/v1/voice/ws/flow_tts/x": "proxy", "PATCH /api/v1/variables/x": "proxy",
	} {
		method, path, _ := strings.Cut(line, " ")
		least, check, _ := strings.Cut(want, ":")
		for _, scope := range []guard.Scope{guard.Run, guard.Tweak, guard.Edit, guard.Proxy} {
			want := client.TypeForbidden
			if (&guard.Caller{Scopes: []guard.Scope{scope}}).Has(guard.Scope(least)) {
				want = ""
			}
			if got := may(scope, false, method, path, "", "1.13.0"); got != want {
				t.Errorf("%s by %s: %q, want %q", line, scope, got, want)
			}
		}
		if got, _ := judge(method, path, "", "1.13.0"); got.rule == nil || got.check != check {
			t.Errorf("%s is not checked by %q: %+v", line, check, got.rule)
		}
	}
}

// No scope and no setting opens these.
func TestForbidden(t *testing.T) {
	for _, tt := range []struct{ method, path, version string }{
		{"POST", "/api/v1/login", "1.13.0"},
		{"POST", "/api/v1/login/", "1.13.0"},
		{"GET", "/api/v1/auto_login", "1.13.0"},
		{"GET", "/api/v1/%61uto_login", "1.13.0"},
		{"GET", "/%61pi/v1/auto_login", "1.13.0"},
		{"GET", "/api/v2/auto_login", "1.13.0"},
		{"GET", "/api/v01/auto_login", "1.13.0"},
		{"POST", "/api/v1/refresh", "1.13.0"},
		{"POST", "/api/v1/logout", "1.13.0"},
		{"POST", "/api/v1/api_key/", "1.13.0"},
		{"POST", "/api/v1/api_key", "1.13.0"},
		{"DELETE", "/api/v1/api_key/x", "1.13.0"},
		{"BREW", "/api/v1/api_key/", "1.13.0"},
		{"POST", "/api/v1/mcp/project/p/install", "1.13.0"},
		{"PATCH", "/api/v1/users/x", "1.13.0"},
		{"POST", "/api/v1/users/", "1.13.0"},
		{"PATCH", "/api/v1/users/x/reset-password", "1.13.0"},
		{"GET", "/api/v1/users/me/data-export", "1.13.0"},
		{"POST", "/api/v1/authz/roles", "1.13.0"},
		{"DELETE", "/api/v1/authz/teams/x/members/y", "1.13.0"},
		{"POST", "/api/v1/authz/what-comes-next", "1.13.0"},
		{"POST", "/api/v1/migration/backup/database", "1.13.0"},
		{"PATCH", "/api/v2/mcp/servers/x", "1.13.0"},
		{"PATCH", "/api/v3/mcp/servers/x/y", "1.13.0"},
		{"GET", "/api/v2/mcp/servers/x", "1.10.3"},
		{"GET", "/api/v2/mcp/servers", "0.10.3"},
		{"POST", "/api/v2/mcp/servers/x", "1.12.7"},
		{"GET", "/api/v2/mcp/servers", "1.13.0.dev3"},
		{"GET", "/api/v2/mcp/servers", ""},
		// It shows what was sent, our credential with it.
		{"TRACE", "/api/v1/flows/", "1.13.0"},
		{"TRACE", "/health", "1.13.0"},
		// A root path that the profile does not know of.
		{"GET", "/team/a/api/v1/auto_login", "1.13.0"},
	} {
		got, problem := judge(tt.method, tt.path, "", tt.version)
		if problem != nil || !got.forbidden {
			t.Errorf("%s %s on %q is not forbidden: %v", tt.method, tt.path, tt.version, problem)
		}
		if may(guard.Proxy, true, tt.method, tt.path, "", tt.version) != client.TypeForbidden {
			t.Errorf("%s %s on %q is let through", tt.method, tt.path, tt.version)
		}
	}
}

// A method and path that no version has are for nobody, but for the scope proxy
// where the profile says so.
func TestUnknownRoutes(t *testing.T) {
	for _, line := range []string{
		"GET /api/v1/runs", "GET /api/v1/run/abc", "POST /x/api/v1/run/abc", "GET /team/a/api/v1/version", "POST /api/v3/workflows", "PUT /api/v1/variables", "POST /", "GET /x",
		"POST /api/v1/version", "GET /api/v1/voice/ws/flow_tts/x", "WS /api/v1/flows", "BREW /api/v1/flows/", "get /api/v1/flows/", "GET /API/v1/flows/", "OPTIONS /api/v1/run/abc",
		"POST /api/v1/flows/x/y/z", "GET /assets/x/y", "GET /api/v1", "GET /api",
	} {
		method, path, _ := strings.Cut(line, " ")
		for _, scope := range []guard.Scope{guard.Run, guard.Tweak, guard.Edit, guard.Proxy} {
			if may(scope, false, method, path, "", "1.13.0") != client.TypeForbidden {
				t.Errorf("%s is let through to %s", line, scope)
			}
			if got := may(scope, true, method, path, "", "1.13.0"); (got == "") != (scope == guard.Proxy) {
				t.Errorf("%s by %s, with unknown_routes: %q", line, scope, got)
			}
		}
	}
	made, _ := judge("POST", "/api/v1/made-up", "", "1.13.0")
	problem := permits(&guard.Caller{Scopes: []guard.Scope{guard.Proxy}}, "prod", made, false)
	if problem == nil || !strings.Contains(problem.Detail, "unknown_routes = true") || !strings.Contains(problem.Detail, `"prod"`) {
		t.Errorf("a made-up route is answered %v", problem)
	}
}

// The refusal names the scope that the client lacks, and says what it permits.
func TestLackingScope(t *testing.T) {
	for line, want := range map[string][2]string{
		"POST /api/v1/files/upload/x":   {"tweak", "no tweaks"},
		"GET /api/v1/flows/":            {"edit", "change what the account has"},
		"POST /api/v1/custom_component": {"proxy", "the whole account"},
	} {
		method, path, _ := strings.Cut(line, " ")
		got, _ := judge(method, path, "", "1.13.0")
		problem := permits(&guard.Caller{Scopes: []guard.Scope{guard.Run}}, "prod", got, false)
		if problem == nil || !strings.Contains(problem.Detail, "the scope "+want[0]) || !strings.Contains(problem.Detail, want[1]) {
			t.Errorf("%s by run: %v", line, problem)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct{ path, root, problem string }{
		{"/team/a/health_check", "/team/a", ""},
		{"/team/a/api/v1/version", "/team/a", ""},
		{"/api/v1/version", "/team/a", client.TypeNotFound},
		{"/team/ab/api/v1/version", "/team/a", client.TypeNotFound},
		{"/team/a", "/team/a", client.TypeNotFound},
		{"/api/v1%2fauto_login", "", client.TypeBadRequest},
		{"/api/v1%2Fauto_login", "", client.TypeBadRequest},
		{"/api/v1%5cauto_login", "", client.TypeBadRequest},
		{`/api/v1\auto_login`, "", client.TypeBadRequest},
		{"/api/v1/api_key/%0a", "", client.TypeBadRequest},
		{"/api/v1/api_key%00", "", client.TypeBadRequest},
		{"/api/v1//auto_login", "", client.TypeBadRequest},
		{"//api/v1/auto_login", "", client.TypeBadRequest},
		{"/api/v1/x/../auto_login", "", client.TypeBadRequest},
		{"/api/v1/./auto_login", "", client.TypeBadRequest},
		{"/api/v1/x/%2e%2e/auto_login", "", client.TypeBadRequest},
		{"/api/v1/%zz", "", client.TypeBadRequest},
		{"/api/v1/%", "", client.TypeBadRequest},
	} {
		if got := may(guard.Run, false, "GET", tt.path, tt.root, "1.13.0"); got != tt.problem {
			t.Errorf("GET %s below %q: %q, want %q", tt.path, tt.root, got, tt.problem)
		}
	}
	for _, path := range []string{"/api/v1/session", "/api/v1/session/"} {
		if got, _ := judge("GET", path, "", "1.13.0"); !got.bearer {
			t.Errorf("%s takes a token", path)
		}
	}
}

// No part of a query that a server could read as a credential is left, and the rest is
// as it was written.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"x-api-key=lk_1&a=b", "X-API-KEY=1;x-api-key=2", "%78-api-key=1", "x%2dapi%2dkey", "api_key=&api%5Fkey=2", "a=x-api-key=1", "&&=&", "x-api-key%zz=1",
		"token=1&Token=2", "tok%65n=1", "x+api_key=1", "x-api-key\x00=1", "%", "a=1&x-api-key",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, query string, webSocket bool) {
		if strings.ContainsAny(query, "#\r\n ") {
			return // that is no query
		}
		left := withoutCredentials(query, webSocket)
		// As Starlette reads it, by Python's parse_qsl: split at &, and a part
		// that can't be decoded stays as it is.
		for pair := range strings.SplitSeq(left, "&") {
			name, _, _ := strings.Cut(pair, "=")
			switch strings.ToLower(leniently(name)) {
			case "x-api-key", "api_key":
				t.Errorf("%q becomes %q", query, left)
			case "token":
				if webSocket {
					t.Errorf("%q becomes %q", query, left)
				}
			}
		}
		var rest []string
		for pair := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			switch strings.ToLower(leniently(name)) {
			case "x-api-key", "api_key":
			case "token":
				if !webSocket {
					rest = append(rest, pair)
				}
			default:
				rest = append(rest, pair)
			}
		}
		if want := strings.Join(rest, "&"); left != want {
			t.Errorf("%q becomes %q, want %q", query, left, want)
		}
	})
}

// leniently decodes as Python's unquote_plus does.
func leniently(s string) string {
	var b strings.Builder
	for s = strings.ReplaceAll(s, "+", " "); s != ""; {
		if len(s) >= 3 && s[0] == '%' {
			if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// The proxy sends the path that it has matched: a server that decodes the sent path gets
// the matched one.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"/api/v1/%61uto_login", "/api/v1/run/a%20b", "/x%3fy", "/%2561", "/api/v1/api_key/%0a", "/\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, problem := judge(http.MethodPost, path, "", "1.13.0")
		if problem != nil {
			return
		}
		again, problem := judge(http.MethodPost, (&url.URL{Path: got.path}).EscapedPath(), "", "1.13.0")
		if problem != nil || again != got {
			t.Errorf("%q is judged %+v, and as sent %+v, %v", path, got, again, problem)
		}
	})
}
