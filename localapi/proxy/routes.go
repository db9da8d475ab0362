package proxy

import (
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"langkeep/agent/langflow"
	"langkeep/localapi/guard"
)

// rule is a line of routes.txt, which says what the parts mean.
type rule struct {
	methods  []string
	path     string
	segments []string    // the path's
	scope    guard.Scope // "" if the line says forbidden
	check    string      // "" for none
	before   string      // of a forbidden route: only servers before this version
}

const (
	webSocket = "WS"    // the method of a WebSocket's handshake
	writing   = "WRITE" // all methods but GET, HEAD and OPTIONS
	every     = "*"
	rest      = "**" // the segment for all that follows
)

//go:embed routes.txt
var routesText string

// allowed and forbidden are the lines of routes.txt, read when they are first needed: every
// command would else wait a millisecond for them.
func allowed() []*rule   { all, _ := lines(); return all }
func forbidden() []*rule { _, all := lines(); return all }

var lines = sync.OnceValues(func() (allowed, forbidden []*rule) {
	allowed, forbidden, err := parse(routesText)
	if err != nil {
		panic(err) // a test parses it too
	}
	return allowed, forbidden
})

// parse reads routes.txt.
func parse(text string) (allowed, forbidden []*rule, err error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		r, err := parseLine(fields)
		if err != nil {
			return nil, nil, fmt.Errorf("routes.txt:%d: %w", number, err)
		}
		if r.forbids() {
			forbidden = append(forbidden, r)
		} else {
			allowed = append(allowed, r)
		}
	}
	return allowed, forbidden, nil
}

func parseLine(fields []string) (*rule, error) {
	if len(fields) != 3 || !strings.HasPrefix(fields[1], "/") {
		return nil, fmt.Errorf("%q is not methods, a path and a scope", fields)
	}
	access := fields[2] // forbidden, or a scope and perhaps a check
	r := &rule{methods: strings.Split(fields[0], ","), path: fields[1], segments: split(fields[1])}
	if said, ok := strings.CutPrefix(access, "forbidden"); ok {
		version, limited := strings.CutPrefix(said, "<")
		if _, _, known := langflow.Release(version); limited != known || !limited && said != "" {
			return nil, fmt.Errorf("%q is neither forbidden nor, for example, forbidden<1.13", access)
		}
		if len(r.segments) < 3 || r.segments[0] != "api" || !apiVersion(r.segments[1]) {
			return nil, fmt.Errorf("%s is not below /api/vN, where forbidden holds", r.path)
		}
		r.before = version
	} else {
		scope, check, checked := strings.Cut(access, ":")
		r.scope, r.check = guard.Scope(scope), check
		if !slices.Contains([]guard.Scope{guard.Run, guard.Tweak, guard.Edit, guard.Proxy}, r.scope) || checked && check == "" {
			return nil, fmt.Errorf("%q is not a scope", access)
		}
	}
	for _, method := range r.methods {
		switch method {
		case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, webSocket:
		case every, writing:
			if !r.forbids() {
				return nil, fmt.Errorf("%s is only for forbidden", method)
			}
		default:
			return nil, fmt.Errorf("%q is no method", method)
		}
	}
	for i, s := range r.segments {
		switch {
		case s == rest && r.forbids() && i == len(r.segments)-1, isName(s):
		case strings.ContainsAny(s, "*{}") || s == "" && len(r.segments) > 1:
			return nil, fmt.Errorf("%q is no segment", s)
		}
	}
	return r, nil
}

// isName tells whether a segment of a pattern stands for any one.
func isName(segment string) bool {
	return strings.HasPrefix(segment, "{") && strings.HasSuffix(segment, "}")
}

func (r *rule) forbids() bool { return r.scope == "" }

// has tells whether the rule is for a method. HEAD and OPTIONS are answered, if at
// all, where GET is.
func (r *rule) has(method string) bool {
	reads := method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
	if reads {
		method = http.MethodGet
	}
	return slices.Contains(r.methods, method) || r.forbids() && (slices.Contains(r.methods, every) || slices.Contains(r.methods, writing) && !reads && method != webSocket)
}
