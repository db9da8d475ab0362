package trials

import (
	"strings"
	"testing"
)

// A profile's name becomes the name of a file and a part of paths.
func TestAttackNames(t *testing.T) {
	named := []string{"../evil", "..", ".", "a/b", `a\\b`, "/etc/passwd", "-evil", ".evil", "evil.", "EVIL", "évil", "a b", "", "con", "nul.x", "com1", strings.Repeat("a", 64),
		"a\\u0000", "a\\n[x]", "a\\u202e", "%2e%2e", "a?b", "a#b", "a:b", "~", "$HOME", "*"}
	suffers(t, []attack{
		{tried: "a profile of a name that leads elsewhere or means something: `../evil`, `..`, `a/b`, `a\\b`, `.evil`, `con`, `nul.x`, in other letters, with a NUL, a line's end, 64 letters",
			run: func(t *testing.T, v *victim) string {
				var requests []string
				for _, name := range named {
					requests = append(requests, post("/v1/profiles", asOwner, `{"name":"`+name+`","server_url":"https://x.test"}`))
				}
				return v.all(t, "400 bad-request", requests...)
			}},
		{tried: "a client of such a name", run: func(t *testing.T, v *victim) string {
			var requests []string
			for _, name := range named {
				requests = append(requests, post("/v1/clients", asOwner, `{"name":"`+name+`","scopes":["read"],"profiles":["prod"]}`))
			}
			return v.all(t, "400 bad-request", requests...)
		}},
		{tried: "such a name in a path, encoded once or twice, to be read, changed and deleted", run: func(t *testing.T, v *victim) string {
			var hows []string
			for _, name := range []string{"..%2fevil", "%2e%2e", "..", ".", "%2e", "prod%2f..%2fother", "prod%5c..%5cother", "prod%00", "prod%0a", "prod%0d%0aX:%201", "PROD", "prod.",
				"prod%20", "%20prod", "con", "prod;x=1", "prod%252f..%252fother", "%252e%252e", "prod%c0%af", "%ff", "pr%C3%B6d", "prod%3Ftoken"} {
				hows = append(hows, "GET /v1/profiles/"+name, "GET /v1/profiles/"+name+"/token", "PATCH /v1/profiles/"+name, "DELETE /v1/profiles/"+name)
			}
			return v.each(t, "", "{it} HTTP/1.1\nHost: {host}\nContent-Length: 2\n"+asOwner+"\n{}", "404 not-found", hows...)
		}},
		{tried: "a bad escape in the path", want: "400", request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"%", "%zz/token", "prod%/token", "pr%6/token"}},
		{tried: "paths that some servers would clean: `//`, `/./`, `/../`, an encoded slash, a slash at the end, `/ui/../v1/status`, which needs a bearer", want: "404 not-found",
			request: "GET {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each: []string{"//v1/status", "/v1//status", "/v1/./status", "/v1/x/../status", "/v1/status/", "/v1/profiles//token", "/v1/profiles/prod/../other/token", "/./", "/ui/", "/ui/../v1/status",
				"/ui/%2e%2e/v1/status", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/..%2f..%2f..%2fetc%2fpasswd", "/ui/app.js/", "/ui//app.js", "/V1/status"}},
		{tried: "the same without a bearer below `/ui/`, whose own files need none", want: "404 not-found", why: "nothing but those files is below it",
			request: "GET {it} HTTP/1.1\nHost: {host}\n\n",
			each:    []string{"/ui/../v1/status", "/ui/%2e%2e/v1/profiles/prod/token", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/index.html", "/ui/app.js%00", "/ui/app.js.map"}},
		{tried: "the route to one's own profile, with an encoded slash to another one's token", request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOther + "\n", why: "what is allowed is decided on the path that is then used", wants: map[string]string{
			"other%2f..%2fprod/token": "404 not-found", "other/../prod/token": "404 not-found", "prod%2ftoken": "403 forbidden", "%70rod/token": "403 forbidden", "other%2f../prod%2ftoken": "404 not-found",
		}},
		{tried: "an id of a key that is a path on the server: `DELETE …/keys?id=../users/me`", want: "400 bad-request",
			request: "DELETE /v1/profiles/prod/keys?id={it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each:    []string{"..%2fusers%2fme", "..", ".", "a%2fb", "a%252fb", "a%5cb", "%0a", "a%3fb", "", "a%00"}},
	})
}
