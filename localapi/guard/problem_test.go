package guard

import (
	"encoding/json"
	"net/http"
	"testing"

	"langkeep/localapi/client"
)

func TestWriteProblem(t *testing.T) {
	seconds := int64(7)
	for kindOf, closes := range map[string]bool{
		client.TypeUnauthorized: true, client.TypeForbidden: true, client.TypeForbiddenOrigin: true, client.TypeForbiddenHost: true,
		client.TypeBadRequest: true, client.TypeTooLarge: true, client.TypeNotFound: false, client.TypeMethodNotAllowed: false,
		client.TypeSignInRequired: false, client.TypeServerUnreachable: false, client.TypeLifetimeTooShort: false,
	} {
		w := &recorder{header: http.Header{"Allow": {"GET"}, "Content-Type": {"text/event-stream"}}}
		p := client.NewProblem(kindOf, "a\x1b\"<b>")
		p.RetryAfter = &seconds
		WriteProblem(w, p)
		var got client.Problem
		if err := json.Unmarshal(w.body, &got); err != nil || got.Type != p.Type || got.Detail != p.Detail || *got.RetryAfter != 7 || w.status != p.Status {
			t.Errorf("%s: %s, %v", kindOf, w.body, err)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Retry-After": "7", "Allow": "GET",
		} {
			if w.header.Get(name) != want {
				t.Errorf("%s: %s is %q", kindOf, name, w.header.Get(name))
			}
		}
		if (w.header.Get("Connection") == "close") != closes {
			t.Errorf("%s: Connection %q", kindOf, w.header.Get("Connection"))
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(p []byte) (int, error) { r.body = append(r.body, p...); return len(p), nil }
