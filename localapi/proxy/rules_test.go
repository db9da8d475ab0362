package proxy

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"langkeep/localapi/client"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		method, path, root, version string
		want                        access
		problem                     string
	}{
		{"POST", "/api/v1/run/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/run/advanced/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/responses", "", "1.13.0", run, ""},
		{"POST", "/api/v1/webhook/abc", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/project/p/streamable", "", "1.13.0", run, ""},
		{"GET", "/api/v1/mcp/project/p/sse", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/project/p/", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/streamable/", "", "1.13.0", run, ""},
		{"POST", "/api/v1/mcp/", "", "1.13.0", run, ""},
		{"GET", "/api/v1/version", "", "1.13.0", run, ""},
		{"GET", "/health", "", "1.13.0", run, ""},
		{"GET", "/team/a/health_check", "/team/a", "1.13.0", run, ""},
		{"POST", "/team/a/api/v1/run/abc", "/team/a", "1.13.0", run, ""},

		{"GET", "/api/v1/flows/", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/runs", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/users/whoami", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/api_key/", "", "1.13.0", whole, ""},
		{"GET", "/api/v1/session", "", "1.13.0", whole, ""},
		{"GET", "/api/v2/mcp/servers", "", "1.13.0", whole, ""},
		{"GET", "/", "", "1.13.0", whole, ""},
		{"GET", "/x/api/v1/run/abc", "", "1.13.0", whole, ""},

		{"POST", "/api/v1/login", "", "1.13.0", never, ""},
		{"POST", "/api/v1/login/", "", "1.13.0", never, ""},
		{"GET", "/api/v1/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v1/%61uto_login", "", "1.13.0", never, ""},
		{"GET", "/%61pi/v1/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v2/auto_login", "", "1.13.0", never, ""},
		{"GET", "/api/v01/auto_login", "", "1.13.0", never, ""},
		{"POST", "/api/v1/refresh", "", "1.13.0", never, ""},
		{"POST", "/api/v1/logout", "", "1.13.0", never, ""},
		{"POST", "/api/v1/api_key/", "", "1.13.0", never, ""},
		{"POST", "/api/v1/api_key", "", "1.13.0", never, ""},
		{"DELETE", "/api/v1/api_key/x", "", "1.13.0", never, ""},
		{"post", "/api/v1/api_key/", "", "1.13.0", never, ""},
		{"POST", "/api/v1/mcp/project/p/install", "", "1.13.0", never, ""},
		{"PATCH", "/api/v1/users/x", "", "1.13.0", never, ""},
		{"POST", "/api/v1/users/", "", "1.13.0", never, ""},
		{"PATCH", "/api/v1/users/x/reset-password", "", "1.13.0", never, ""},
		{"GET", "/api/v1/users/me/data-export", "", "1.13.0", never, ""},
		{"GET", "/api/v2/mcp/servers/x", "", "1.10.3", never, ""},
		{"GET", "/api/v2/mcp/servers", "", "0.10.3", never, ""},
		{"GET", "/api/v2/mcp/servers", "", "", never, ""},
		// It shows what was sent, our credential with it.
		{"TRACE", "/api/v1/flows/", "", "1.13.0", never, ""},
		{"TRACE", "/health", "", "1.13.0", never, ""},
		// A root path that the profile does not know of.
		{"GET", "/team/a/api/v1/auto_login", "", "1.13.0", never, ""},

		{"GET", "/api/v1/run/abc", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/team/ab/api/v1/version", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/team/a", "/team/a", "1.13.0", 0, client.TypeNotFound},
		{"GET", "/api/v1%2fauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1%2Fauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1%5cauto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", `/api/v1\auto_login`, "", "1.13.0", 0, client.TypeBadRequest},
		{"POST", "/api/v1/api_key/%0a", "", "1.13.0", 0, client.TypeBadRequest},
		{"POST", "/api/v1/api_key%00", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1//auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "//api/v1/auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/x/../auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/./auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/x/%2e%2e/auto_login", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/%zz", "", "1.13.0", 0, client.TypeBadRequest},
		{"GET", "/api/v1/%", "", "1.13.0", 0, client.TypeBadRequest},
	}
	for _, tt := range tests {
		got, problem := judge(strings.ToUpper(tt.method), tt.path, tt.root, tt.version)
		kind := ""
		if problem != nil {
			kind = problem.Kind()
		}
		if kind != tt.problem || got.access != tt.want {
			t.Errorf("%s %s below %q on %q: %v %q, want %v %q", tt.method, tt.path, tt.root, tt.version, got.access, kind, tt.want, tt.problem)
		}
	}
	for _, path := range []string{"/api/v1/session", "/api/v1/session/"} {
		if got, _ := judge("GET", path, "", "1.13.0"); !got.bearer {
			t.Errorf("%s takes a token", path)
		}
	}
}

// Whatever stands in a query, nothing is left of it that a server could read as
// a credential, and all else is as it was written.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{
		"x-api-key=lk_1&a=b", "X-API-KEY=1;x-api-key=2", "%78-api-key=1", "x%2dapi%2dkey", "api_key=&api%5Fkey=2", "a=x-api-key=1", "&&=&", "x-api-key%zz=1",
		"token=1&Token=2", "tok%65n=1", "x+api_key=1", "x-api-key\x00=1", "%", "a=1&x-api-key",
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, query string, webSocket bool) {
		if strings.ContainsAny(query, "#\r\n ") {
			return // that is no query
		}
		left := withoutCredentials(query, webSocket)
		// As Starlette reads it, by Python's parse_qsl: split at &, and what can't
		// be decoded stays as it is.
		for pair := range strings.SplitSeq(left, "&") {
			name, _, _ := strings.Cut(pair, "=")
			switch strings.ToLower(leniently(name)) {
			case "x-api-key", "api_key":
				t.Errorf("%q becomes %q", query, left)
			case "token":
				if webSocket {
					t.Errorf("%q becomes %q", query, left)
				}
			}
		}
		var rest []string
		for pair := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			switch strings.ToLower(leniently(name)) {
			case "x-api-key", "api_key":
			case "token":
				if !webSocket {
					rest = append(rest, pair)
				}
			default:
				rest = append(rest, pair)
			}
		}
		if want := strings.Join(rest, "&"); left != want {
			t.Errorf("%q becomes %q, want %q", query, left, want)
		}
	})
}

// leniently decodes as Python's unquote_plus does.
func leniently(s string) string {
	var b strings.Builder
	for s = strings.ReplaceAll(s, "+", " "); s != ""; {
		if len(s) >= 3 && s[0] == '%' {
			if n, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// Wherever an answer leads, it is to the proxy only if it was to the server's
// own origin, and else as the server wrote it.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://server.test:8443/a", "HTTPS://Server.Test:8443/a?b#c", "https://server.test/a", "//evil.test/a", "/a", "https://server.test:8443@evil.test/",
		"https://ann:pw@server.test:8443/", "https:server.test:8443/a", "https://server.test:8443\\@evil.test", "http://server.test:8443/", "a\r\nb: c", "\x00",
	} {
		f.Add(s)
	}
	h := &Handler{}
	upstream, err := url.Parse("https://server.test:8443/team")
	if err != nil {
		f.Fatal(err)
	}
	const own = "127.0.0.1:17861"
	f.Fuzz(func(t *testing.T, location string) {
		ctx := context.WithValue(context.Background(), passageKey{}, &passage{upstream: upstream, host: own})
		res := &http.Response{Request: (&http.Request{}).WithContext(ctx), Header: http.Header{"Location": {location}, "Set-Cookie": {"a=b"}}}
		if err := h.back(res); err != nil {
			t.Fatal(err)
		}
		if len(res.Header["Set-Cookie"]) != 0 {
			t.Error("the cookie is passed on")
		}
		got := res.Header.Get("Location")
		if got == location {
			return
		}
		from, err := url.Parse(location)
		if err != nil || !strings.EqualFold(from.Scheme, "https") || !strings.EqualFold(from.Host, upstream.Host) {
			t.Errorf("%q was changed to %q", location, got)
		}
		to, err := url.Parse(got)
		if err != nil || to.Scheme != "http" || to.Host != own || to.User != nil || to.Path != from.Path || to.RawQuery != from.RawQuery {
			t.Errorf("%q became %q, %v", location, got, err)
		}
	})
}

// What was matched is what is sent: a path that passes is decoded to itself
// again by whoever gets it.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"/api/v1/%61uto_login", "/api/v1/run/a%20b", "/x%3fy", "/%2561", "/api/v1/api_key/%0a", "/\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, problem := judge(http.MethodPost, path, "", "1.13.0")
		if problem != nil {
			return
		}
		again, problem := judge(http.MethodPost, escape(got.path), "", "1.13.0")
		if problem != nil || again != got {
			t.Errorf("%q is judged %+v, and as sent %+v, %v", path, got, again, problem)
		}
	})
}
