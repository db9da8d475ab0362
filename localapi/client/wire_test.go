package client

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// openapi.yaml has every type of a Problem, and TestExitCodes in cmd/langkeep takes them
// from there.
func TestProblemTypesAreDocumented(t *testing.T) {
	openAPI, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(openAPI), ProblemBase+" and one of ")
	list, _, _ = strings.Cut(list, `"`)
	documented := strings.Split(list, ", ")
	slices.Sort(documented)
	if known := slices.Sorted(maps.Keys(statusOf)); !slices.Equal(documented, known) {
		t.Errorf("openapi.yaml has %q, and statusOf %q", documented, known)
	}
}

func TestProblems(t *testing.T) {
	for name, test := range map[string]struct {
		status      int
		contentType string
		header      string // Retry-After
		body        string
		problem     bool // else ErrNoAgent
		retry       int64
	}{
		"problem":      {403, "application/problem+json", "", `{"type":"urn:langkeep:problems/sign-in-required","detail":"d"}`, true, -1},
		"retry header": {503, "application/problem+json; charset=utf-8", "7", `{"type":"urn:langkeep:problems/server-unreachable","detail":"d"}`, true, 7},
		"retry body":   {503, "application/problem+json", "7", `{"type":"urn:langkeep:problems/server-unreachable","detail":"d","retry_after":8}`, true, 8},
		"html":         {404, "text/html", "", "<html>", false, -1},
		"redirect":     {302, "text/html", "", "", false, -1},
		"other type":   {404, "application/problem+json", "", `{"type":"about:blank"}`, false, -1},
		"broken":       {404, "application/problem+json", "", `{"type":`, false, -1},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", test.contentType)
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			_, err := c.Status(t.Context())
			var p *Problem
			if errors.As(err, &p) != test.problem || errors.Is(err, ErrNoAgent) == test.problem {
				t.Fatalf("got %v", err)
			}
			if p == nil {
				return
			}
			if p.Status != test.status || p.Error() != "d" {
				t.Errorf("got %+v", p)
			}
			if got := p.RetryAfter; test.retry < 0 && got != nil || test.retry >= 0 && (got == nil || *got != test.retry) {
				t.Errorf("Retry-After is %v, want %d", got, test.retry)
			}
		})
	}
}
