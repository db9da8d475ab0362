package proxy

import (
	"net/http"
	"strings"
	"testing"

	"langkeep/localapi/client"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		method, path, root, version string
		want                        access
		problem                     string
	}{
		{"POST", "/api/v1/run/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/run/advanced/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/responses", "", "1.13.0", run, ""},
		{"POST", "/api/v1/webhook/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/project/p/streamable", "", "1.13.0", run, ""},
		{"GET", "/api/v1/mcp/project/p/sse", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/project/p/", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/streamable/", "", "1.13.0", run, ""},
		{"GET", "/api/v1/version", "", "1.13.0", run, ""},
		{"GET", "/health", "", "1.13.0", run, ""},
		{"GET", "/team/a/health_check", "/team/a", "1.13.0", run, ""},
		{"POST", "/team/a/api/v1/run/abc", "/team/a", "1.13.0", run, ""},

		{"GET", "/api/v1/flows/", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/runs", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/users/whoami", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/api_key/", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/session", "", "1.13.0", whole, ""},
		{"GET", "/api/v2/mcp/servers", "", "1.13.0", whole, ""},
		{"GET", "/", "", "1.13.0", whole, ""},
		{"GET", "/x/api/v1/run/abc", "", "1.13.0", whole, ""},

		{"POST", "/api/v1/login", "", "1.13.0", never, ""},
		{"POST", "/api/v1/login/", "", "1.13.0", never, ""},
		{"GET", "/api/v1/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v1/%61uto_login", "", "1.13.0", never, ""},
		{"GET", "/%61pi/v1/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v2/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v01/auto_login", "", "1.13.0", never, ""},
		{"POST", "/api/v1/refresh", "", "1.13.0", never, ""},
		{"POST", "/api/v1/logout", "", "1.13.0", never, ""},
		{"POST", "/api/v1/api_key/", "", "1.13.0", never, ""},
		{"POST", "/api/v1/api_key", "", "1.13.0", never, ""},
		{"DELETE", "/api/v1/api_key/x", "", "1.13.0", never, ""},
		{"post", "/api/v1/api_key/", "", "1.13.0", never, ""},
		{"POST", "/api/v1/mcp/project/p/install", "", "1.13.0", never, ""},
		{"PATCH", "/api/v1/users/x", "", "1.13.0", never, ""},
		{"POST", "/api/v1/users/", "", "1.13.0", never, ""},
		{"PATCH", "/api/v1/users/x/reset-password", "", "1.13.0", never, ""},
		{"GET", "/api/v1/users/me/data-export", "", "1.13.0", never, ""},
		{"GET", "/api/v2/mcp/servers/x", "", "1.10.3", never, ""},
		{"GET", "/api/v2/mcp/servers", "", "0.10.3", never, ""},
		{"GET", "/api/v2/mcp/servers", "", "", never, ""},
		// A root path that the profile does not know of.
		{"GET", "/team/a/api/v1/auto_login", "", "1.13.0", never, ""},

		{"GET", "/api/v1/run/abc", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/team/ab/api/v1/version", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/team/a", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/api/v1%2fauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1%2Fauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1%5cauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", `/api/v1\auto_login`, "", "1.13.0", 0, client.TypeBadRequest},
		{"POST", "/api/v1/api_key/%0a", "", "1.13.0", 0, client.TypeBadRequest},
		{"POST", "/api/v1/api_key%00", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1//auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "//api/v1/auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/x/../auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/./auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/x/%2e%2e/auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/%zz", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/%", "", "1.13.0", 0, client.TypeBadRequest},
	}
	for _, tt := range tests {
		got, problem := judge(strings.ToUpper(tt.method), tt.path, tt.root, tt.version)
		kind := ""
		if problem != nil {
			kind = problem.Kind()
		}
		if kind != tt.problem || got.access != tt.want {
			t.Errorf("%s %s below %q on %q: %v %q, want %v %q", tt.method, tt.path, tt.root, tt.version, got.access, kind, tt.want, tt.problem)
		}
	}
	for _, path := range []string{"/api/v1/session", "/api/v1/session/"} {
		if got, _ := judge("GET", path, "", "1.13.0"); !got.bearer {
			t.Errorf("%s takes a token", path)
		}
	}
}

// What was matched is what is sent: a path that passes is decoded to itself
// again by whoever gets it.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"/api/v1/%61uto_login", "/api/v1/run/a%20b", "/x%3fy", "/%2561", "/api/v1/api_key/%0a", "/\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, problem := judge(http.MethodPost, path, "", "1.13.0")
		if problem != nil {
			return
		}
		again, problem := judge(http.MethodPost, escape(got.path), "", "1.13.0")
		if problem != nil || again != got {
			t.Errorf("%q is judged %+v, and as sent %+v, %v", path, got, again, problem)
		}
	})
}
