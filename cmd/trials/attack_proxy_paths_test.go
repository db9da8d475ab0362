package trials

import (
	"testing"
)

// The rules of the proxy are about paths, so paths are written oddly.
func TestAttackProxyPaths(t *testing.T) {
	// same are paths that no version has, each of which must be sent with the
	// meaning that it was judged by, if unknown routes are let through.
	same := func(paths ...string) func(*testing.T, *between) string {
		refused := trick{request: aPath, want: "403 forbidden"}
		return func(t *testing.T, b *between) string {
			let := trick{to: "open", request: "GET {it} HTTP/1.1\nHost: {open}\n" + asWhole + "\n", want: "200",
				sent: sight{"sent with the meaning that it was judged by", func(t *testing.T, s seen) { sentAsMatched(t, b, s) }}}
			for _, it := range paths {
				b.words["it"] = it
				b.try(t, refused)
				b.try(t, let)
			}
			return refused.said() + "; with `unknown_routes = true` " + let.said()
		}
	}
	tricks(t, []trick{
		{tried: "what is never forwarded, with letters escaped: `/api/v1/%61uto_login`, `/%61pi/%76%31/login`, `/api/v1/api%5fkey`",
			request: "POST {it}" + toProd + asWhole + "\n", want: "403 forbidden",
			each: []string{"/api/v1/%61uto_login", "/%61pi/%76%31/login", "/api/v1/api%5fkey", "/api/v1/api%5Fkey/", "/api/v1/%6c%6F%67%69%6e",
				"/api/v1/mcp/project/p/inst%61ll", "/api/v1/users/%6de/x", "/api/v1/users/x/reset%2dpassword"}},
		{tried: "the same with a slash at the end, and in another version of the API: `/api/v2/login`, `/api/v01/auto_login/`",
			request: aPath, want: "403 forbidden",
			each: []string{"/api/v1/auto_login/", "/api/v1/login/", "/api/v1/refresh/", "/api/v2/login", "/api/v01/auto_login/", "/api/v9/logout"}},
		{tried: "a slash or a backslash that is escaped: `/api%2fv1%2Fauto_login`, `/x%5c..%5Clogin`, and a backslash as it is",
			request: aPath, want: "400 bad-request",
			each: []string{"/api%2fv1%2Fauto_login", "/api/v1%2Fauto_login", "/api/v1/x%2f..%2flogin", "/x%5c..%5Clogin", `/api/v1\login`, `/api\v1\login`, "/api/v1/login%5c"}},
		{tried: "control characters, of which servers drop some: `%0a`, `%0d`, `%00`, `%09`, `%7f`",
			request: "POST {it}" + toProd + asWhole + "\n", want: "400 bad-request",
			each: []string{"/api/v1/api_key/%0a", "/api/v1/api_key%0A", "/api/v1/%0dlogin", "/api/v1/login%00", "/api/v1/auto%09_login", "/api/v1/login%7f", "/api/v1/login%1f"}},
		{tried: "a line's end in the path, for a header of one's own: `/x%0d%0aHost:%20evil.example`",
			request: aPath, want: "400 bad-request", each: []string{"/x%0d%0aHost:%20evil.example", "/x%0aX-Api-Key:%20stale"}},
		{tried: "two slashes: `//api/v1/login`, `/api//v1/login`, `/api/v1//login`",
			request: aPath, want: "400 bad-request", each: []string{"//api/v1/login", "/api//v1/login", "/api/v1//auto_login", "/api/v1/auto_login//", "//evil.example/api/v1/version"}},
		{tried: "dot segments, plain and escaped: `/api/v1/x/../login`, `/api/v1/./login`, `/%2e%2e/`, `/.%2E/`",
			request: aPath, want: "400 bad-request",
			each: []string{"/api/v1/x/../auto_login", "/api/v1/./auto_login", "/api/v1/x/%2e%2e/auto_login", "/api/v1/x/.%2E/auto_login", "/api/v1/%2e/auto_login", "/..", "/api/v1/run/..", "/."}},
		{tried: "escapes that are none: `%zz`, `%`, `%2`, `%u0061`",
			request: aPath, want: "400", each: []string{"/api/v1/%zzlogin", "/api/v1/login%", "/api/v1/login%2", "/api/v1/%u0061uto_login", "/%-1"}},
		{tried: "encoded twice: `%2561uto_login`, `%252f`, `%252e%252e`, `%25%36%31uto_login`",
			run: same("/api/v1/%2561uto_login", "/api/v1%252flogin", "/api/v1/x/%252e%252e/login", "/api/v1/%25%36%31uto_login", "/api/v1/api_key%250a"),
			why: "encoded twice, and Langflow decodes once"},
		{tried: "other case and letters that look alike: `/API/v1/login`, `/api/V1/login`, `/api/v1/Login`, `/api/v1/ｌogin`, `/api/v1/lоgin`",
			run: same("/API/v1/login", "/api/V1/login", "/api/v1/Login", "/api/v1/AUTO_LOGIN", "/api/v1/%ef%bd%8cogin", "/api/v1/l%D0%BEgin"), why: "to Langflow they are other paths"},
		{tried: "bytes that are no UTF-8, such as a slash that is too long: `%c0%af`, `%e0%80%af`, `%ff`",
			run: same("/api/v1%c0%aflogin", "/api/v1/x%e0%80%af..%c0%aflogin", "/api/v1/%ff"), why: "nobody reads a slash in them"},
		{tried: "parameters, escaped question marks and hashes, blanks: `/api/v1/login;x`, `/api/v1/x/x%3f/../`, `/x%23`",
			run: func(t *testing.T, b *between) string {
				said := same("/api/v1/login;x", "/api/v1;x/login", "/api/v1/x/x%3f", "/x%23y", "/api/v1/login%20", "/api/v1/%20login", "/api/v1/login.", "/api/v1/login*")(t, b)
				b.words["it"] = "/api/v1/x/x%3f/../login"
				dotted := trick{request: aPath, want: "400 bad-request"}
				b.try(t, dotted)
				return said + "; with a dot segment " + dotted.said()
			}},
		{tried: "a path in the query: `/api/v1/run/x?/../login&x=%2e%2e%2flogin`",
			request: "POST /api/v1/run/x?/../login&x=%2e%2e%2flogin" + toProd + asWhole + "\n", want: "200",
			sent: sentAs("POST /api/v1/run/x?/../login&x=%2e%2e%2flogin")},
		{tried: "a server with a root path that the profile does not know: `/team/a/api/v1/login`, `/x/y/api/v1/login`",
			request: aPath, want: "403 forbidden", why: "what is never forwarded is not, wherever it begins",
			each: []string{"/team/a/api/v1/login", "/team/a/api/v1/auto_login/", "/x/y/z/api/v2/logout", "/api/v1/api/v1/refresh"}},
		{tried: "a server with a root path that it does know: `/team/a/api/v1/auto_login`, and with another one in between",
			to: "rooted", request: "GET {it} HTTP/1.1\nHost: {rooted}\n" + asWhole + "\n", want: "403 forbidden",
			each: []string{"/team/a/api/v1/auto_login", "/team/a/api/v1/%61uto_login", "/team/a/b/api/v1/auto_login"}},
		{tried: "what is outside that root path, which the same server answers too: `/api/v1/auto_login`, `/team/ab/…`, `/team/a`, `/Team/a/…`",
			to: "rooted", request: "GET {it} HTTP/1.1\nHost: {rooted}\n" + asWhole + "\n", want: "404 not-found",
			each: []string{"/api/v1/auto_login", "/api/v1/version", "/team/ab/api/v1/version", "/team/a", "/Team/a/api/v1/version", "/team/api/v1/version", "/"}},
		{tried: "an absolute target, an authority, an asterisk: `GET http://evil.example/`, `CONNECT evil.example:443`, `OPTIONS *`",
			request: "{it}" + toProd + asWhole + "\n", want: "400 bad-request",
			each: []string{"GET http://evil.example/api/v1/version", "GET http://{prod}/api/v1/version", "CONNECT 169.254.169.254:80", "OPTIONS *", "CONNECT /api/v1/version"}},
	})
}
