package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"langkeep/agent/langflow"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
)

// target is a request's path as it was judged, which is as it is sent.
type target struct {
	path  string // decoded
	route string // below /api/vN, without a slash at its end
	// rule is nil for a path that no known version of Langflow has.
	rule *rule
	// check is the rule's.
	check string
	// forbidden means that nobody may use it, with any rule.
	forbidden bool
	// bearer means that the route takes a token and no key (/session, 1.8 to
	// 1.13.0).
	bearer bool
}

// judge reads a request's path, decoded once as Langflow does it, and looks up
// its route. method is that of methodOf, root is the server's root path, without
// a slash at the end.
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
	segments := split(below)
	t := target{
		path:      path,
		rule:      find(method, segments),
		forbidden: method == http.MethodTrace || isForbidden(method, segments, version), // TRACE shows what was sent, our credential with it
		bearer:    slices.Equal(segments, []string{"api", "v1", "session"}),
	}
	if t.rule != nil {
		t.check = t.rule.check
	}
	if len(segments) > 2 && segments[0] == "api" && apiVersion(segments[1]) {
		t.route = strings.Join(segments[2:], "/")
	}
	return t, nil
}

// isForbidden tells whether a line that says forbidden fits. A server takes the paths
// of its API with its root path before them and without, and a profile's URL need
// not tell: isForbidden looks for such a line at every place where the API may begin, and
// in every version of the API.
func isForbidden(method string, segments []string, version string) bool {
	for i := range segments {
		if i+1 >= len(segments) || segments[i] != "api" || !apiVersion(segments[i+1]) {
			continue
		}
		for _, r := range forbidden() {
			if r.has(method) && fits(r.segments[2:], segments[i+2:]) && (r.before == "" || !langflow.AtLeast(version, r.before)) {
				return true
			}
		}
	}
	return false
}

// find is the line for a route of the server.
func find(method string, segments []string) *rule {
	for _, r := range allowed() {
		if len(r.segments) == len(segments) && r.has(method) && fits(r.segments, segments) {
			return r
		}
	}
	return nil
}

// routeOf is the pattern of the first line that fits a path, below whatever root
// path the server has; "" if none does.
func routeOf(method, path string) string {
	segments := split(path)
	for i := range segments {
		if i > 0 && segments[i] != "api" {
			continue
		}
		below := segments[i:]
		for _, r := range forbidden() {
			if r.has(method) && fits(r.segments, below) {
				return r.path
			}
		}
		if r := find(method, below); r != nil {
			return r.path
		}
	}
	return ""
}

// methodOf is a request's method as the table has it. A handshake of a WebSocket
// is no GET: the server looks for another handler.
func methodOf(r *http.Request) string {
	if r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return webSocket
	}
	return r.Method
}

// decode decodes a path once. It refuses a path that a server might read otherwise than
// we do.
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

func apiVersion(segment string) bool {
	digits, ok := strings.CutPrefix(segment, "v")
	_, err := strconv.ParseUint(digits, 10, 16)
	return ok && err == nil
}

// split is a path's segments, without the slash at its end.
func split(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}

// fits tells whether segments are what a pattern describes.
func fits(pattern, segments []string) bool {
	for i, p := range pattern {
		if p == rest {
			return true
		}
		if i >= len(segments) || p != segments[i] && (!isName(p) || segments[i] == "") {
			return false
		}
	}
	return len(pattern) == len(segments)
}

// permits tells what a client lacks for a target. unknown means that the profile
// lets the scope proxy use routes that no known version has.
func permits(c *guard.Caller, profile string, t target, unknown bool) *client.Problem {
	switch {
	case !c.Sees(profile):
		return forbid("this client may not use that profile: add a client that may")
	case !c.Has(guard.Run):
		return forbid("this client lacks the scopes run, tweak, edit and proxy: add a client that has one of them")
	case t.forbidden:
		return forbid("the proxy never passes this on, whatever the scope: it gives or makes a credential, ends the session or changes " +
			"who may do what; do it in Langflow itself")
	case t.rule == nil && !unknown:
		return forbid("no known version of Langflow has this method and path, so the proxy refuses it: if you trust it, write " +
			"unknown_routes = true into the file of profile \"" + profile + "\", and use a client with the scope proxy")
	case t.rule == nil && !c.Has(guard.Proxy):
		return forbid("no known version of Langflow has this method and path: only the scope proxy may use it with profile \"" + profile + "\"")
	case t.rule != nil && !c.Has(t.rule.scope):
		return forbid(lacking[t.rule.scope])
	}
	return nil
}

func forbid(detail string) *client.Problem { return client.NewProblem(client.TypeForbidden, detail) }

// lacking is what a client is told that lacks a scope.
var lacking = map[guard.Scope]string{
	guard.Tweak: "this client may run flows with inputs, not upload files or change their components (no tweaks): " +
		"give it the scope tweak if you trust it",
	guard.Edit: "this client may run flows, not read or change what the account has: give it the scope edit if you trust it",
	guard.Proxy: "this route takes code, reaches stored credentials or is an administrator's: " +
		"give this client the scope proxy, which is the whole account, only if you trust it with that",
}
