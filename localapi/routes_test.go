package localapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

func TestMainRoutes(t *testing.T) {
	r := newRig(t)
	r.signIn()
	var status client.Status
	body := r.must(200, "GET", "/v1/status", "")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Version != "1.2.3" || status.Store != "memory" || len(status.Profiles) != 1 || status.Profiles[0].State != client.Fresh {
		t.Errorf("status: %s", body)
	}
	if !strings.Contains(body, `"config_error":null`) {
		t.Error("what is unknown is left out")
	}
	r.wrong = errors.New("prod.toml:3: no")
	if body := r.must(200, "GET", "/v1/status", ""); !strings.Contains(body, `"config_error":"prod.toml:3: no"`) {
		t.Errorf("status does not tell what is wrong: %s", body)
	}
	// It may name a profile that a client does not see.
	if _, _, body := r.ask("read", "GET", "/v1/status", ""); !strings.Contains(body, `"config_error":null`) {
		t.Errorf("a client of some profiles is told of others: %s", body)
	}
	if body := r.must(200, "GET", "/v1/profiles", ""); !strings.HasPrefix(body, `{"profiles":[{"name":"prod"`) {
		t.Errorf("profiles: %s", body)
	}
	r.must(200, "POST", "/v1/profiles/prod/refresh", "")
	r.must(200, "PATCH", "/v1/profiles/prod", `{"allow_http":true}`)
	if body := r.must(200, "POST", "/v1/profiles/prod/logout", ""); !strings.Contains(body, `"state":"signed-out"`) {
		t.Errorf("logout: %s", body)
	}
	r.must(200, "DELETE", "/v1/profiles/prod", "")
	if body := r.must(200, "GET", "/v1/profiles", ""); strings.TrimSpace(body) != `{"profiles":[]}` {
		t.Errorf("after removal: %s", body)
	}
	r.must(202, "POST", "/v1/stop", "")
	<-r.stopped
}

func TestScopes(t *testing.T) {
	r := newRig(t)
	r.signIn()
	r.must(201, "POST", "/v1/profiles", `{"name":"other","server_url":"https://x.test"}`)
	for _, route := range r.server.routes {
		if route.path == "/v1/stop" || strings.HasSuffix(route.path, "/events") {
			continue // their own tests
		}
		path := strings.Replace(route.path, "{name}", "prod", 1)
		for token := range allCallers() {
			allowed := token == string(route.scope) || token == "owner" || route.scope == guard.Anyone
			status, _, body := r.ask(token, route.method, path, "")
			if forbidden := status == http.StatusForbidden && strings.Contains(body, client.ProblemBase+client.TypeForbidden+`"`); forbidden == allowed {
				t.Errorf("%s %s with scope %s: %d %s", route.method, path, token, status, body)
			}
		}
		if route.profile("prod") != "" {
			for _, name := range []string{"other", "nosuch"} {
				if token := string(route.scope); token != "owner" { // every route of a profile needs a scope
					r.refused(client.TypeForbidden, token, route.method, strings.Replace(route.path, "{name}", name, 1), "")
				}
			}
		}
		if route.method == "DELETE" && route.path == "/v1/profiles/{name}" {
			r.signIn()
		}
	}
	if _, _, body := r.ask("read", "GET", "/v1/profiles", ""); strings.Contains(body, "other") {
		t.Errorf("a client sees a profile that is not its own: %s", body)
	}
	r.refused(client.TypeUnauthorized, "nobody", "GET", "/v1/nothing", "")
}

func TestNoSuchRoute(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/ui", "/ui/", "/ui/page.go", "/ui/../page.go", "/index.html", "/v1", "/v1/", "/v2/status", "/v1/status/", "/v1/profiles/", "/v1/profiles//token", "/v1/profiles/a/b", "/v1/profiles/a/token/", "/v1/profiles/a%2Fb", "/v1/../v1/status", "//v1/status"} {
		r.refused(client.TypeNotFound, "owner", "GET", path, "")
	}
	for path, allow := range map[string]string{"/v1/profiles": "GET, POST", "/v1/profiles/a": "DELETE, GET, PATCH", "/v1/profiles/a/token": "GET", "/v1/stop": "POST"} {
		status, header, _ := r.ask("owner", "PUT", path, "")
		if status != http.StatusMethodNotAllowed || header.Get("Allow") != allow {
			t.Errorf("PUT %s: %d, Allow %q, want %q", path, status, header.Get("Allow"), allow)
		}
	}
}

// No answer of the API prints a secret by accident: only the routes of a token,
// of a key, of a client's token and of the page's code have types that do.
func TestOnlyTokenRoutesReveal(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !slices.Contains([]string{"token.go", "key.go", "clients.go", "pagecode.go"}, name) {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(source), ".Reveal()") {
				t.Errorf("%s reveals a secret", name)
			}
		}
	}
}
