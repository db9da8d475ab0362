package proxy

import (
	"embed"
	"io/fs"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"langkeep/localapi/guard"
)

//go:embed testdata/routes-*.txt
var testdata embed.FS

// served is a route of a server, as testdata/routes.py lists it.
type served struct{ method, path string }

// langflows are all routes of the versions in testdata, by version.
func langflows(t *testing.T) map[string][]served {
	t.Helper()
	files, err := fs.Glob(testdata, "testdata/routes-*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("there are lists of %q: %v", files, err)
	}
	all := make(map[string][]served)
	for _, file := range files {
		text, err := testdata.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		version := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/routes-"), ".txt")
		for line := range strings.Lines(string(text)) {
			method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[version] = append(all[version], served{method, path})
		}
		if len(all[version]) < 100 {
			t.Errorf("%s has %d routes", version, len(all[version]))
		}
	}
	return all
}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// asked is the route's path as somebody asks for it.
func (s served) asked() string { return placeholder.ReplaceAllString(s.path, "x") }

// unnamed is a method and a path whatever its parts are called.
func unnamed(method, path string) string {
	return method + " /" + strings.Join(split(placeholder.ReplaceAllString(path, "{}")), "/")
}

// Every route of every version has a line of its own, and every line a route of some
// version.
func TestRoutesAreLangflows(t *testing.T) {
	missing, reason := make(map[string]string), make(map[*rule]bool)
	for version, all := range langflows(t) {
		for _, s := range all {
			if s.method != http.MethodHead { // which goes where GET does
				missing[unnamed(s.method, s.path)] = version
			}
			for _, r := range forbidden() {
				if r.has(s.method) && fits(r.segments, split(s.path)) {
					reason[r] = true
				}
			}
		}
	}
	served := maps.Clone(missing)
	for _, r := range allowed() {
		for _, method := range r.methods {
			key := unnamed(method, r.path)
			if _, ok := served[key]; !ok {
				t.Errorf("no version has %s %s", method, r.path)
			}
			if _, ok := missing[key]; !ok {
				t.Errorf("%s %s has two lines", method, r.path)
			}
			delete(missing, key)
		}
	}
	for _, r := range forbidden() {
		if !reason[r] {
			t.Errorf("no version has %v %s", r.methods, r.path)
		}
	}
	for key, version := range missing {
		method, path, _ := strings.Cut(key, " ")
		if !isForbidden(method, split(placeholder.ReplaceAllString(path, "x")), "1.13.0") {
			t.Errorf("routes.txt lacks %s of %s", key, version)
		}
	}
}

// Which of two lines that fit the same path comes first makes no difference to
// whoever lacks the scope of one: a server may take them in another order.
func TestRoutesThatOverlap(t *testing.T) {
	for _, literal := range allowed() {
		for _, other := range allowed() {
			if literal == other || !slices.ContainsFunc(literal.methods, other.has) || !fits(other.segments, literal.segments) {
				continue
			}
			for _, scope := range []guard.Scope{guard.Run, guard.Tweak, guard.Edit} {
				c := &guard.Caller{Scopes: []guard.Scope{scope}}
				if c.Has(literal.scope) && (!c.Has(other.scope) || other.check != "" && other.check != literal.check) {
					t.Errorf("scope %s may use %v %s, which may be taken for %s", scope, literal.methods, literal.path, other.path)
				}
			}
		}
	}
}

// runs are all writing routes that the scope run has: they run something, or end
// what runs.
var runs = []string{
	"POST /api/mcp",
	"POST /api/mcp/streamable",
	"DELETE /api/mcp/streamable",
	"POST /api/v1/a2a/{}/jsonrpc",
	"POST /api/v1/mcp",
	"POST /api/v1/mcp/project/{}",
	"POST /api/v1/mcp/project/{}/streamable",
	"DELETE /api/v1/mcp/project/{}/streamable",
	"POST /api/v1/mcp/streamable",
	"DELETE /api/v1/mcp/streamable",
	"POST /api/v1/responses",
	"POST /api/v1/run/advanced/{}",
	"POST /api/v1/run/session/{}",
	"POST /api/v1/run/{}",
	"POST /api/v1/webhook/{}",
	"POST /api/v2/workflows",
	"POST /api/v2/workflows/stop",
}

func TestRunWritesNothing(t *testing.T) {
	run := &guard.Caller{Scopes: []guard.Scope{guard.Run}, Profiles: []string{"prod"}}
	allowed := make(map[string]bool)
	for version, all := range langflows(t) {
		for _, s := range all {
			if s.method == http.MethodGet || s.method == http.MethodHead {
				continue
			}
			for _, root := range []string{"", "/team/a"} {
				got, problem := judge(s.method, root+s.asked(), root, version)
				if problem == nil {
					problem = permits(run, "prod", got, true)
				}
				key := unnamed(s.method, s.path)
				if allowed[key] = problem == nil; allowed[key] && !slices.Contains(runs, key) {
					t.Errorf("%s below %q of %s is let through", key, root, version)
				}
			}
		}
	}
	for _, key := range runs {
		if !allowed[key] {
			t.Errorf("%s is refused", key)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		"GET /api/v1/x", "GET api/v1/x run", "GET,BREW /api/v1/x run", "get /api/v1/x run", "* /api/v1/x run", "WRITE /api/v1/x run", "GET /api/v1/** run",
		"GET /api//x run", "GET /api/v1/x{y} run", "GET /api/v1/x token", "GET /api/v1/x run:", "GET /api/v1/x forbidden run", "GET /api/v1/x forbidden<", "GET /api/v1/x forbidden1.13",
		"GET /api/v1/x forbidden<x", "GET /health forbidden", "GET /api/v1 forbidden", "* /api/v1/**/x forbidden",
	} {
		if _, _, err := parse("GET / run\n" + line); err == nil || !strings.Contains(err.Error(), "routes.txt:2: ") {
			t.Errorf("%q is taken: %v", line, err)
		}
	}
}
