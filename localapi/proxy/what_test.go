package proxy

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhatIsInTheAuditLog(t *testing.T) {
	for target, want := range map[string]string{
		"GET /api/v1/flows":                     "proxy GET /api/v1/flows",
		"POST /api/v1/run/my-flow":              "proxy POST /api/v1/run",
		"GET /team/a/api/v2/files/":             "proxy GET /api/v2/files",
		"GET /api/v1/api/v1/version":            "proxy GET /api/v1/version",
		"GET /api/v1/made-up":                   "proxy GET",
		"GET /api/v3/flows":                     "proxy GET",
		"GET /api/v12/flows":                    "proxy GET",
		"GET /api/v1/flowsandmore":              "proxy GET",
		"GET /api/v1/":                          "proxy GET",
		"GET /":                                 "proxy GET",
		"BREW /api/v1/flows":                    "proxy other /api/v1/flows",
		"GET /api/v1/lk_secret/api/v1/run/lk_x": "proxy GET /api/v1/run",
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := what(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s is %q, want %q", target, got, want)
		}
	}
}
