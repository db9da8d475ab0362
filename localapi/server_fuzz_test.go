package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/asks"
	"langkeep/agent/audit/auditlog"
	"langkeep/agent/clients"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/connect"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// nowhere is the way to every server: none can be reached.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

// fuzzed is a server without listeners and network, with the profile prod, whose
// handlers are asked past the guard.
func fuzzed(tb testing.TB) *Server {
	log := slog.New(slog.DiscardHandler)
	a := agent.New(agent.Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: log, ProfilesDir: tb.TempDir(), UserAgent: "test",
		Transport: func([]byte) (http.RoundTripper, error) { return nowhere{}, nil },
	})
	if _, err := a.Add(config.Profile{Name: "prod", ServerURL: "https://prod.test"}); err != nil {
		tb.Fatal(err)
	}
	pages := guard.NewPages(clock.System())
	list := clients.Open("", clock.System(), log)
	home := tb.TempDir() // the files of tools are there, and no tool is installed
	s := New(Config{
		Tools: connect.OpenDesk(paths.Paths{State: home, Home: home}, func(name string) string {
			if name == "HOME" || name == "USERPROFILE" || name == "APPDATA" {
				return home
			}
			return ""
		}),
		Agent: a, Log: log, Guard: guard.New(guard.Config{Authority: guard.Authorities{pages, ClientTokens(list)}, Log: log}),
		FirstProxyPort: 1 << 16, // so that none is opened
		Asks:           asks.New(asks.Config{Clock: clock.System(), Log: log, Alive: guard.SessionAlive}),
		Clients:        list, Audit: auditlog.Open("", clock.System(), log), Version: "1.2.3", Started: time.Now(), Store: "memory",
		Settings: settingsFile(filepath.Join(tb.TempDir(), "config.toml")), Pages: pages, URL: "http://127.0.0.1:17860",
		PageFile: filepath.Join(tb.TempDir(), "open.html"), ConfigError: func() error { return nil }, Stop: func() {},
	})
	return s
}

// hanging is a writer whose client goes as soon as it has an answer, so that a stream
// ends.
type hanging struct {
	*httptest.ResponseRecorder
	leave func()
}

func (h hanging) Flush()                         { h.leave() }
func (hanging) SetWriteDeadline(time.Time) error { return nil }

// A route answers any request with its own answer or a problem that names the mistake,
// never an internal one; and no caller gets anything beyond their scopes.
func FuzzRequest(f *testing.F) {
	s := fuzzed(f)
	routes := slices.DeleteFunc(s.table(), func(r route) bool {
		return r.path == "/v1/events" || r.path == "/v1/page/events" || r.path == "/v1/doctor" // streams; and one that asks the computer
	})
	for i, r := range routes {
		f.Add(uint8(i), true, "prod", "", "")
		f.Add(uint8(i), false, "prod", "min_valid=5s&id=1", "{}")
		if r.method == "GET" {
			continue
		}
		for _, body := range []string{
			`{"name":"new","server_url":"https://x.test/team","ca_file":"/x.pem","allow_http":true}`, `{"server_url":"https://ann:pw@x.test"}`,
			`{"method":"password","username":"ann","password":"p","remember_password":true}`, `{"method":"api-key","api_key":"sk-\u0000"}`,
			`{"name":"c","scopes":["read"],"profiles":["prod"],"expires_in":60}`, `{"for":"exec","profile":"prod","scopes":["run"]}`,
			`{"code":"x"}`, `{"log_level":"debug","notify":{"offline":false}}`, `{"key_lifetime":"-1ns","proxy_allow_origins":["http://a"]}`,
			`{"profile":"prod"}`, `[]`, `null`, `{"name":"a","name":"b"} {}`, "{\"name\":\"\\ud800\"}", strings.Repeat(`{"a":`, 20),
		} {
			f.Add(uint8(i), true, "prod", "", body)
		}
	}
	weak := &guard.Caller{Name: "weak", Scopes: []guard.Scope{guard.Read}, Profiles: []string{"prod"}}
	owner := &guard.Caller{Name: "owner", Owner: true}
	f.Fuzz(func(t *testing.T, at uint8, asOwner bool, name, query, body string) {
		route := routes[int(at)%len(routes)]
		caller := weak
		if asOwner {
			caller = owner
		}
		path := strings.Replace(route.path, "{name}", name, 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		r := (&http.Request{
			Method: route.method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), RequestURI: "/",
		}).WithContext(context.WithValue(ctx, streamsKey{}, ctx))
		w := hanging{httptest.NewRecorder(), cancel}
		var problem *client.Problem
		found, named := s.lookUp(r)
		if found == nil {
			problem = s.unknown(w, r)
		} else {
			problem = s.Guard.Require(caller, found.scope, named)
		}
		if problem != nil {
			guard.WriteProblem(w, problem)
		} else if err := found.handle(w, r, caller, named); err != nil {
			problem = s.fail(w, r, named, err)
		}
		if !asOwner && problem == nil && found.scope != guard.Read && found.scope != guard.Anyone {
			t.Errorf("%s %s let a client through that may only read", route.method, path)
		}
		if w.Code >= 500 && (problem == nil || problem.Kind() == client.TypeInternal) {
			t.Errorf("%s %s %q: %d %s", route.method, path, body, w.Code, w.Body)
		}
		if problem != nil && w.Code/100 == 2 {
			t.Errorf("%s %s: %d with %v", route.method, path, w.Code, problem)
		}
		if kind := w.Header().Get("Content-Type"); strings.Contains(kind, "json") && !strings.Contains(kind, "ndjson") && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: no JSON: %q", route.method, path, w.Body)
		}
		if bytes.Contains(w.Body.Bytes(), []byte{0x1b}) || strings.ContainsAny(strings.Join(w.Header()["Allow"], ""), "\r\n") {
			t.Errorf("%s %s: %q", route.method, path, w.Body)
		}
		for _, p := range s.Agent.Profiles() {
			if vocabulary.ValidName(p.Name) != nil {
				t.Errorf("there is a profile %q", p.Name)
			}
			if p.Name == "prod" {
				continue
			}
			if _, err := s.Agent.Remove(context.Background(), p.Name); err != nil {
				t.Error(err)
			}
		}
		for _, c := range s.Clients.All() {
			if c.Lease && !asOwner && !slices.Equal(c.Scopes, []string{"read"}) {
				t.Errorf("a client that may only read gave %v", c.Scopes)
			}
			if err := s.Clients.Revoke(c.Name); err != nil && !errors.Is(err, clients.ErrNone) {
				t.Error(err)
			}
		}
		if _, err := s.Agent.Profile("prod"); err != nil { // removed, or renamed by a fault
			if route.method != http.MethodDelete {
				t.Errorf("%s %s took prod away", route.method, path)
			}
			if _, err := s.Agent.Add(config.Profile{Name: "prod", ServerURL: "https://prod.test"}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
