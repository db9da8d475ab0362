package proxy

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhatIsInTheAuditLog(t *testing.T) {
	for target, want := range map[string]string{
		"GET /api/v1/flows":                       "proxy GET /api/v1/flows",
		"POST /api/v1/run/my-flow":                "proxy POST /api/v1/run/{flow}",
		"GET /team/a/api/v2/files/":               "proxy GET /api/v2/files",
		"GET /api/v1/api/v1/version":              "proxy GET /api/v1/version",
		"GET /team/a/api/v1/auto_login":           "proxy GET /api/v1/auto_login/**",
		"PATCH /api/v1/users/lk_secret":           "proxy PATCH /api/v1/users/**",
		"GET /api/v1/made-up":                     "proxy GET",
		"GET /api/v3/flows":                       "proxy GET",
		"GET /api/v12/flows":                      "proxy GET",
		"GET /api/v1/flowsandmore":                "proxy GET",
		"GET /api/v1/":                            "proxy GET",
		"GET /":                                   "proxy GET /",
		"GET /health":                             "proxy GET /health",
		"GET /team/health":                        "proxy GET",
		"BREW /api/v1/flows":                      "proxy other",
		"GET /api/v1/lk_secret/api/v1/flows/lk_x": "proxy GET /api/v1/flows/{flow_id}",
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := what(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s is %q, want %q", target, got, want)
		}
	}
}
