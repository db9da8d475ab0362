package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// source is a server whose key never changes.
type source struct {
	upstream  *url.URL
	transport http.RoundTripper
}

func (s source) Upstream(string) (*url.URL, http.RoundTripper, error) {
	return s.upstream, s.transport, nil
}
func (source) Key(context.Context, string) (secret.Text, error)   { return secret.New("sk-key"), nil }
func (source) Token(context.Context, string) (secret.Text, error) { return secret.New("token"), nil }
func (source) KeyRefused(string, secret.Text)                     {}
func (source) TokenRefused(string, secret.Text)                   {}
func (source) GatewayRefused(string, *http.Request) bool          { return false }

// answerer is a server without a network, so that the benchmark measures the proxies' own
// work alone.
type answerer struct{ body string }

func (a answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(a.body)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

// BenchmarkHandler passes a request on, and for comparison so does a reverse
// proxy that checks nothing.
func BenchmarkHandler(b *testing.B) {
	upstream := &url.URL{Scheme: "http", Host: "langflow.test"}
	transport := answerer{strings.Repeat("x", 300)}
	log := slog.New(slog.DiscardHandler)
	ended := make(chan struct{})
	caller := &guard.Caller{Name: "ci", Scopes: []guard.Scope{guard.Run}, Profiles: []string{"prod"}, Ended: ended}
	ours := New(Config{
		Profile: "prod", Source: source{upstream, transport}, Log: log,
		Lookup:  func(*http.Request, string) (*guard.Caller, *client.Problem) { return caller, nil },
		Note:    func(*http.Request, *guard.Caller, string, *client.Problem) {},
		Needs:   func() Needs { return Needs{Version: "1.13.0"} },
		Problem: func(error) *client.Problem { return nil },
	})
	bare := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) }, Transport: transport, FlushInterval: -1,
	}
	for name, h := range map[string]http.Handler{"langkeep": ours, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("POST", "/api/v1/run/flow", strings.NewReader(`{"input_value":"hello"}`))
				r.Header.Set("X-Api-Key", "lk_token")
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
