package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"langkeep/agent/langflow"
)

// The server's own address leads to the proxy, however it is written: else a
// client follows it without the proxy, in clear text if it says http.
func TestOnServer(t *testing.T) {
	for _, tt := range []struct{ server, address, rest string }{ // rest: "-" for elsewhere
		{"https://x.test", "https://x.test/a", "/a"},
		{"https://x.test", "http://x.test/a?b#c", "/a?b#c"},
		{"https://x.test", "HTTPS://X.TEST/", "/"},
		{"https://x.test", "https://x.test:443/a", "/a"},
		{"https://x.test", "http://x.test:80/a", "/a"},
		{"https://x.test", "http://x.test:443/a", "/a"},
		{"https://x.test", "https://x.test:0443/a", "/a"},
		{"https://x.test", "https://x.test:/a", "/a"},
		{"https://x.test", "https://x.test./a", "/a"},
		{"https://x.test", "https://x%2Etest/a", "/a"},
		{"https://x.test", "https://%78.test/a", "/a"},
		{"https://x.test", "https://ann:pw@x.test/", "/"},
		{"https://x.test", "https://evil.test@x.test/", "/"},
		{"https://x.test", "//x.test/a", "/a"},
		{"https://x.test", `\\x.test\a`, "/a"},
		{"https://x.test", "///x.test/a", "/a"},
		{"https://x.test", "http:/x.test/a", "/a"},
		{"https://x.test", "http:x.test/a", "/a"},
		{"https://x.test", "ht\ttp://x.te\tst/a", "/a"},
		{"https://x.test", "https://x.test?a", "?a"},
		{"https://x.test", "https://x.test", ""},
		{"https://x.test:8443", "https://x.test:8443/a", "/a"},
		{"https://x.test:8443", "http://x.test:8443/a", "/a"},
		{"https://x.test:8443", "http://x.test/a", "/a"}, // of a gateway that leaves out the port
		{"https://xn--bcher-kva.example", "http://b\u00fccher.example/a", "/a"},
		{"https://xn--bcher-kva.example", "http://B\u00dcCHER.example/a", "/a"},
		{"https://xn--bcher-kva.example", "http://b%C3%BCcher.example/a", "/a"},
		{"https://xn--bcher-kva.example", "http://XN--BCHER-KVA.example./a", "/a"},
		{"http://[::443]:7860", "http://[0:0::443]:7860/a", "/a"},
		{"http://[::1]", "http://[::1]:80/a", "/a"},

		{"https://x.test", "https://x.test:4443/", "-"},
		{"https://x.test", "https://x.test:7860/", "-"},
		{"https://x.test", "https://x.test.evil.test/", "-"},
		{"https://x.test", "https://x.test@evil.test/", "-"},
		{"https://x.test", `https://evil.test\@x.test/`, "-"},
		{"https://x.test", "https://evil.test/https://x.test/", "-"},
		{"https://x.test", "/a", "-"},
		{"https://x.test", "x.test/a", "-"},
		{"https://x.test", "ftp://x.test/a", "-"},
		{"https://x.test", "//evil.test/x.test", "-"},
		{"https://x.test", "", "-"},
		{"https://x.test", "https://", "-"},
		{"http://[::443]", "http://[::443]:7860/", "-"},
	} {
		server, err := url.Parse(tt.server)
		if err != nil {
			t.Fatal(err)
		}
		p := &proxiedRequest{upstream: server}
		rest, ok := p.onServer(tt.address)
		if want := tt.rest != "-"; ok != want || ok && rest != tt.rest {
			t.Errorf("%s of %s: %q, %v", tt.address, tt.server, rest, ok)
		}
	}
}

// A redirect of a server behind a TLS terminator, which takes itself for http.
func TestRedirectOutOfHTTPS(t *testing.T) {
	p := &proxiedRequest{upstream: &url.URL{Scheme: "https", Host: "flows.example.org"}, host: "127.0.0.1:17861"}
	h := http.Header{
		"Location":         {"http://flows.example.org/api/v1/flows/"},
		"Content-Location": {"//FLOWS.example.org/api/v1/flows/"},
		"Refresh":          {"0; url=http://flows.example.org/"},
		"Link":             {"<http://flows.example.org/>; rel=next"},
	}
	p.incoming(h)
	const want = "http://127.0.0.1:17861/api/v1/flows/"
	if len(h) != 2 || h.Get("Location") != want || h.Get("Content-Location") != want {
		t.Errorf("the client gets %v", h)
	}
}

func TestReadable(t *testing.T) {
	for accepted, want := range map[string]string{
		"gzip, br":                  "gzip",
		"br;q=1, GZIP;q=0.5, *;q=0": "gzip;q=0.5, identity;q=0",
		"gzip;q=0":                  "identity",
		"gzip; q=0.000":             "identity",
		"gzip;q=1.5":                "identity",
		"gzip;q=NaN":                "identity",
		"gzip;q=0, *":               "identity",
		"identity;q=0, gzip":        "gzip, identity;q=0",
		"identity;q=0.1, gzip":      "gzip, identity;q=0.1",
		"identity;q=0, br":          "identity;q=0",
		"*":                         "gzip",
		"*;q=0.3":                   "gzip;q=0.3",
		"*;q=0":                     "identity;q=0",
		"x-gzip":                    "gzip",
		"br":                        "identity",
		"notgzip":                   "identity",
		"deflate;x=gzip":            "identity",
		"":                          "identity",
	} {
		if got := readable(strings.Split(accepted, "|")); got != want {
			t.Errorf("%q becomes %q, want %q", accepted, got, want)
		}
	}
	if got := readable([]string{"br", "gzip;q=0.2"}); got != "gzip;q=0.2" {
		t.Errorf("two headers become %q", got)
	}
}

// The client that takes no gzip gets none, and one that says nothing is not
// asked for.
func TestAcceptEncodingIsTheClients(t *testing.T) {
	r := start(t, "", func(http.ResponseWriter, *http.Request) {})
	for _, tt := range []struct{ header, want string }{
		{"Accept-Encoding: gzip;q=0", "[identity]"}, {"Accept-Encoding: gzip, deflate, br", "[gzip]"}, {"X-None: 1", "[]"},
	} {
		r.seen = nil
		raw(t, r.url, "GET /api/v1/version HTTP/1.1\nHost: x\nX-Api-Key: lk_whole\nConnection: close\n"+tt.header+"\n\n")
		if len(r.seen) != 1 || fmt.Sprint(r.seen[0].Header["Accept-Encoding"]) != tt.want {
			t.Errorf("%s is sent as %v", tt.header, r.seen[0].Header)
		}
	}
}

// The names of headers that pass are as net/http writes them.
func TestHeaderNamesAreCanonical(t *testing.T) {
	for _, l := range []headerNames{sentOn, passedBack} {
		for _, name := range append(l.names, l.prefixes...) {
			if http.CanonicalHeaderKey(name) != name || strings.Contains(name, "_") {
				t.Errorf("%s can't match", name)
			}
		}
	}
}

// An answer leads to the proxy wherever net/url too sees the server's own host,
// and to no other host than the proxy if it was changed.
func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://server.test:8443/a", "HTTPS://Server.Test:8443/a?b#c", "https://server.test/a", "//evil.test/a", "/a", "https://server.test:8443@evil.test/",
		"https://ann:pw@server.test:8443/", "https:server.test:8443/a", "https://server.test:8443\\@evil.test", "http://server.test:8443/", "//server.test", "a\r\nb: c", "\x00",
	} {
		f.Add(s)
	}
	h := &Handler{}
	upstream, err := url.Parse("https://server.test:8443/team")
	if err != nil {
		f.Fatal(err)
	}
	const own = "http://127.0.0.1:17861"
	f.Fuzz(func(t *testing.T, location string) {
		ctx := context.WithValue(context.Background(), proxiedRequestKey{}, &proxiedRequest{upstream: upstream, host: strings.TrimPrefix(own, "http://")})
		res := &http.Response{Request: (&http.Request{}).WithContext(ctx), Header: http.Header{"Location": {location}, "Set-Cookie": {"a=b"}}}
		if err := h.back(res); err != nil {
			t.Fatal(err)
		}
		if len(res.Header["Set-Cookie"]) != 0 {
			t.Error("the cookie is passed on")
		}
		got := res.Header.Get("Location")
		rest, changed := strings.CutPrefix(got, own)
		changed = changed && got != location
		if !changed && got != location || changed && rest != "" && !strings.ContainsAny(rest[:1], "/?#") {
			t.Errorf("%q became %q", location, got)
		}
		from, err := url.Parse(location)
		if err != nil || from.Host == "" || from.Scheme != "" && from.Scheme != "http" && from.Scheme != "https" {
			return
		}
		server := langflow.NormalHost(from.Hostname()) == "server.test"
		if changed && !server || !changed && server && (from.Port() == "" || from.Port() == "8443") {
			t.Errorf("%q became %q", location, got)
		}
	})
}
