package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// access is who may use a route.
type access int

const (
	whole access = iota // scope proxy: the whole account
	run                 // scope run as well
	never               // nobody: it gives or makes a credential, or ends the session
)

// rule says who may use the paths that fit a pattern, by any method or only by
// those that write.
type rule struct {
	pattern string // below <root>/api/vN, with or without a slash at the end; * is one segment, ** any number of them
	writes  bool   // all methods but GET, HEAD and OPTIONS
	access  access
	// unmasked limits the rule to servers that show stored keys in full.
	unmasked bool
	// check names what the rest of the request is held to (body.go), for clients
	// without the scope proxy.
	check string
}

// rules are looked at in their order, and the first that fits counts; what fits
// none is for the whole account. They hold for every version of the API (/api/v1,
// /api/v2). Checked on Langflow 1.13.0, the last line on 1.10.3.
var rules = [...]rule{
	// What gives a session, or ends it.
	{pattern: "login", access: never},
	{pattern: "auto_login", access: never},
	{pattern: "refresh", access: never},
	{pattern: "logout", access: never},
	// What makes a key: it would never end, and go on without us.
	{pattern: "api_key/**", writes: true, access: never},
	{pattern: "mcp/project/*/install/**", access: never},
	// What changes the account, or hands out all that is in it.
	{pattern: "users/*/reset-password/**", access: never},
	{pattern: "users/me/**", access: never},
	{pattern: "users/**", writes: true, access: never},
	// 1.10.3 shows the key that its stored MCP servers use.
	{pattern: "mcp/servers/**", access: never, unmasked: true},

	// What a tool needs that runs flows.
	{pattern: "run/advanced/*", access: run, check: "advanced"},
	{pattern: "run/**", access: run, check: "run"},
	{pattern: "responses/**", access: run, check: "responses"},
	{pattern: "webhook/**", access: run, check: "webhook"},
	{pattern: "mcp/streamable/**", access: run, check: "mcp"},
	{pattern: "mcp/sse/**", access: run, check: "mcp"},
	{pattern: "mcp", access: run, check: "mcp"}, // the messages of the SSE flavour
	{pattern: "mcp/project/*/streamable/**", access: run, check: "mcp"},
	{pattern: "mcp/project/*/sse/**", access: run, check: "mcp"},
	{pattern: "mcp/project/*", access: run, check: "mcp"},
	{pattern: "files/upload/**", access: run},
	{pattern: "upload/**", access: run},
	{pattern: "version", access: run, check: "empty"},
}

// roots are the paths beside /api that scope run is good for.
var roots = [...]string{"health", "health_check"}

// target is a request's path as it was judged, which is as it is sent.
type target struct {
	path   string // decoded
	access access
	check  string // of a rule
	route  string // the path below /api/vN
	// bearer means that the route takes a token and no key (/session, 1.8 to
	// 1.13.0).
	bearer bool
}

// judge reads a request's path, decoded once as Langflow does it, and looks up
// what it gives. root is the server's root path, without a slash at the end.
func judge(method, escaped, root, version string) (target, *client.Problem) {
	path, ok := decode(escaped)
	if !ok {
		return target{}, client.NewProblem(client.TypeBadRequest,
			"the path has an escape, a slash or a dot segment that servers read in more than one way: write it plainly")
	}
	below, ok := strings.CutPrefix(path, root)
	if !ok || !strings.HasPrefix(below, "/") {
		return target{}, client.NewProblem(client.TypeNotFound, "the server is at "+root+"/: paths begin with that")
	}
	t := target{path: path}
	segments := strings.Split(strings.TrimPrefix(below, "/"), "/")
	// A server takes the paths of its API with its root path before them and
	// without, and a profile's URL need not tell: what is forbidden is forbidden
	// wherever it may begin.
	for i := range segments {
		if i+1 >= len(segments) || segments[i] != "api" || !apiVersion(segments[i+1]) {
			continue
		}
		found := look(method, segments[i+2:], version)
		if found.access == never {
			t.access = never
			return t, nil
		}
		if i == 0 {
			t.access, t.check, t.route = found.access, found.check, strings.Join(trimmed(segments[2:]), "/")
			t.bearer = slices.Equal(trimmed(segments[2:]), []string{"session"})
		}
	}
	if len(segments) == 1 && slices.Contains(roots[:], segments[0]) {
		t.access, t.check = run, "empty"
	}
	if method == http.MethodTrace {
		t.access = never // whoever answers it shows what was sent, our credential with it
	}
	return t, nil
}

// decode decodes a path once. Whatever a server might read otherwise than we do
// is refused.
func decode(escaped string) (path string, ok bool) {
	lower := strings.ToLower(escaped)
	if strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
		return "", false
	}
	path, err := url.PathUnescape(escaped)
	if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, `\`) {
		return "", false
	}
	for _, c := range []byte(path) {
		if c < ' ' || c == 0x7f {
			return "", false
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return path, true
}

// escape is a decoded path as it is sent.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }

func apiVersion(segment string) bool {
	digits, ok := strings.CutPrefix(segment, "v")
	_, err := strconv.ParseUint(digits, 10, 16)
	return ok && err == nil
}

// look finds the first rule that fits.
func look(method string, segments []string, version string) rule {
	write := method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
	for _, r := range rules {
		if r.writes && !write || r.unmasked && masks(version) {
			continue
		}
		if fits(r.pattern, trimmed(segments)) {
			return r
		}
	}
	return rule{access: whole}
}

// trimmed is a path without the slash at its end.
func trimmed(segments []string) []string {
	if n := len(segments); n > 0 && segments[n-1] == "" {
		return segments[:n-1]
	}
	return segments
}

func fits(pattern string, segments []string) bool {
	for p := range strings.SplitSeq(pattern, "/") {
		if p == "**" {
			return true
		}
		if len(segments) == 0 || p != "*" && p != segments[0] {
			return false
		}
		segments = segments[1:]
	}
	return len(segments) == 0
}

// masks tells whether a server hides the keys of its stored MCP servers: 1.13
// does, 1.10.3 does not. langflow-base counts from 0 (0.13 is 1.13's); a version
// that can't be read is taken for an old one.
func masks(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(major)
	n, errMinor := strconv.Atoi(minor)
	return err == nil && errMinor == nil && (m > 1 || n >= 13)
}

// permits tells what a client lacks for a target.
func permits(c *guard.Caller, profile string, t target) *client.Problem {
	switch {
	case !c.Sees(profile):
		return client.NewProblem(client.TypeForbidden, "this client may not use that profile: add a client that may")
	case !c.Has(guard.Proxy) && !c.Has(guard.Run):
		return client.NewProblem(client.TypeForbidden, "this client lacks the scopes run and proxy: add a client that has one of them")
	case t.access == never:
		return client.NewProblem(client.TypeForbidden,
			"the proxy never passes this on, whatever the scope: it gives or makes a credential, or ends the session; do it in Langflow itself")
	case t.access == whole && !c.Has(guard.Proxy):
		return client.NewProblem(client.TypeForbidden, "this client may only run flows: add a client with the scope proxy")
	}
	return nil
}
