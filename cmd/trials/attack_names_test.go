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
			happens: "400, and no file is made", run: func(t *testing.T, v *victim) {
				for _, name := range named {
					if got := v.send(t, "", post("/v1/profiles", asOwner, `{"name":"`+name+`","server_url":"https://x.test"}`), 1); got != "400 bad-request" {
						t.Errorf("%q: %s", name, got)
					}
				}
			}},
		{tried: "a client of such a name", happens: "400", run: func(t *testing.T, v *victim) {
			for _, name := range named {
				if got := v.send(t, "", post("/v1/clients", asOwner, `{"name":"`+name+`","scopes":["read"],"profiles":["prod"]}`), 1); got != "400 bad-request" {
					t.Errorf("%q: %s", name, got)
				}
			}
		}},
		{tried: "such a name in a path, encoded once or twice, to be read, changed and deleted", happens: "404", run: func(t *testing.T, v *victim) {
			for _, name := range []string{"..%2fevil", "%2e%2e", "..", ".", "%2e", "prod%2f..%2fother", "prod%5c..%5cother", "prod%00", "prod%0a", "prod%0d%0aX:%201", "PROD", "prod.",
				"prod%20", "%20prod", "con", "prod;x=1", "prod%252f..%252fother", "%252e%252e", "prod%c0%af", "%ff", "pr%C3%B6d", "prod%3Ftoken"} {
				for _, how := range []string{"GET /v1/profiles/" + name, "GET /v1/profiles/" + name + "/token", "PATCH /v1/profiles/" + name, "DELETE /v1/profiles/" + name} {
					v.words["it"] = how
					got := v.send(t, "", "{it} HTTP/1.1\nHost: {host}\nContent-Length: 2\n"+asOwner+"\n{}", 1)
					if got != "404 not-found" {
						t.Errorf("%s: %s", how, got)
					}
				}
			}
		}},
		{tried: "a bad escape in the path", happens: "400", want: "400", request: "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n", each: []string{"%", "%zz/token", "prod%/token", "pr%6/token"}},
		{tried: "paths that some servers would clean: `//`, `/./`, `/../`, an encoded slash, a slash at the end, `/ui/../v1/status`, which needs a bearer", happens: "404", want: "404 not-found",
			request: "GET {it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each: []string{"//v1/status", "/v1//status", "/v1/./status", "/v1/x/../status", "/v1/status/", "/v1/profiles//token", "/v1/profiles/prod/../other/token", "/./", "/ui/", "/ui/../v1/status",
				"/ui/%2e%2e/v1/status", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/..%2f..%2f..%2fetc%2fpasswd", "/ui/app.js/", "/ui//app.js", "/V1/status"}},
		{tried: "the same without a bearer below `/ui/`, whose own files need none", happens: "404: nothing but those files is below it", want: "404 not-found",
			request: "GET {it} HTTP/1.1\nHost: {host}\n\n",
			each:    []string{"/ui/../v1/status", "/ui/%2e%2e/v1/profiles/prod/token", "/ui/..%2fv1%2fstatus", "/ui/../../etc/passwd", "/ui/index.html", "/ui/app.js%00", "/ui/app.js.map"}},
		{tried: "the route to one's own profile, with an encoded slash to another one's token", happens: "403 or 404: what is allowed is decided on the path that is then used", run: func(t *testing.T, v *victim) {
			for it, want := range map[string]string{
				"other%2f..%2fprod/token": "404 not-found", "other/../prod/token": "404 not-found", "prod%2ftoken": "403 forbidden", "%70rod/token": "403 forbidden", "other%2f../prod%2ftoken": "404 not-found",
			} {
				v.words["it"] = it
				if got := v.send(t, "", "GET /v1/profiles/{it} HTTP/1.1\nHost: {host}\n"+asOther+"\n", 1); got != want {
					t.Errorf("%s: %s, want %s", it, got, want)
				}
			}
		}},
		{tried: "an id of a key that is a path on the server: `DELETE …/keys?id=../users/me`", happens: "400, and the server is not asked", want: "400 bad-request",
			request: "DELETE /v1/profiles/prod/keys?id={it} HTTP/1.1\nHost: {host}\n" + asOwner + "\n",
			each:    []string{"..%2fusers%2fme", "..", ".", "a%2fb", "a%252fb", "a%5cb", "%0a", "a%3fb", "", "a%00"}},
	})
}
