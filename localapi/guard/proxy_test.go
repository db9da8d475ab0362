package guard

import (
	"testing"

	"langkeep/localapi/client"
)

func TestCheckProxy(t *testing.T) {
	const (
		plain = "POST /api/v1/run/x HTTP/1.1\nHost: 127.0.0.1:17860"
		page  = "\nOrigin: http://localhost:3000\nSec-Fetch-Site: cross-site"
	)
	tests := []struct {
		name    string
		request string
		want    string // problem, empty if let through
	}{
		{"a tool", plain, ""},
		{"a tool without any token", plain + "\nX-Api-Key: nonsense", ""}, // for the proxy to say
		{"Node's fetch", plain + "\nSec-Fetch-Mode: cors", ""},
		{"Electron", plain + "\nSec-Fetch-Site: none\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: empty", ""},
		{"its own Origin", plain + ours, ""},
		{"rebound name", "GET / HTTP/1.1\nHost: evil.example:17860", client.TypeForbiddenHost},
		{"an allowed page under a foreign name", "GET / HTTP/1.1\nHost: evil.example:17860" + page, client.TypeForbiddenHost},
		{"absolute target", "GET http://127.0.0.1:17860/ HTTP/1.1\nHost: 127.0.0.1:17860", client.TypeBadRequest},
		{"CONNECT", "CONNECT 127.0.0.1:17860 HTTP/1.1\nHost: 127.0.0.1:17860", client.TypeBadRequest},
		{"an allowed page", plain + page, ""},
		{"an allowed page's preflight", "OPTIONS /api/v1/run/x HTTP/1.1\nHost: 127.0.0.1:17860" + page + "\nAccess-Control-Request-Method: POST", ""},
		{"an allowed page through a reverse proxy", plain + page + "\nX-Forwarded-For: 192.0.2.1", client.TypeForbiddenOrigin},
		{"two Origins, one allowed", plain + page + "\nOrigin: https://evil.example", client.TypeForbiddenOrigin},
		{"another page", plain + "\nOrigin: https://evil.example", client.TypeForbiddenOrigin},
		{"another port of the same host", plain + "\nOrigin: http://localhost:3001", client.TypeForbiddenOrigin},
		{"null Origin", plain + "\nOrigin: null", client.TypeForbiddenOrigin},
		{"a picture in another page", plain + "\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", client.TypeForbiddenOrigin},
		{"a link in another page", "GET / HTTP/1.1\nHost: 127.0.0.1:17860\nSec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", client.TypeForbiddenOrigin},
		{"forwarded", plain + "\nForwarded: for=192.0.2.1", client.TypeForbiddenOrigin},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := guardFor(1000, nil).CheckProxy(request(t, fakeTCP(), tt.request), Allowed{Origins: []string{"http://localhost:3000"}})
			if kind(p) != tt.want {
				t.Errorf("got %v, want %q", p, tt.want)
			}
		})
	}
	r := request(t, fakeTCP(), plain+page)
	if p := guardFor(1000, nil).CheckProxy(r, Allowed{}); kind(p) != client.TypeForbiddenOrigin {
		t.Errorf("a page of an origin that nobody named: %v", p)
	}
	if p := guardFor(1001, nil).CheckProxy(request(t, fakeTCP(), plain), Allowed{}); kind(p) != client.TypeForbidden {
		t.Errorf("another user: %v", p)
	}
	if p := guardFor(1000, errNobody).CheckProxy(request(t, fakeTCP(), plain), Allowed{}); kind(p) != client.TypeForbidden {
		t.Errorf("a connection of nobody: %v", p)
	}
}

// Programs in containers know this computer by another name; so do pages, with DNS's help.
func TestCheckProxyUnderAnotherName(t *testing.T) {
	allowed := Allowed{Origins: []string{"http://localhost:3000"}, Hosts: []string{"host.docker.internal", "10.0.2.2"}}
	const named = "POST /api/v1/run/x HTTP/1.1\nHost: host.docker.internal:17860"
	for text, want := range map[string]string{
		named: "",
		"GET / HTTP/1.1\nHost: Host.Docker.Internal:17860":               "",
		"GET / HTTP/1.1\nHost: 10.0.2.2:17860":                           "",
		named + "\nSec-Fetch-Mode: cors":                                 "", // Node's fetch
		"GET / HTTP/1.1\nHost: 127.0.0.1:17860":                          "",
		"GET / HTTP/1.1\nHost: host.docker.internal":                     client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: host.docker.internal:17861":               client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: host.docker.internal.:17860":              client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: host.docker.internal:17860:17860":         client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: evil.host.docker.internal:17860":          client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: evil.example:17860":                       client.TypeForbiddenHost,
		"GET / HTTP/1.1\nHost: :17860":                                   client.TypeForbiddenHost,
		"GET http://host.docker.internal:17860/ HTTP/1.1\nHost: x":       client.TypeBadRequest,
		named + "\nOrigin: http://host.docker.internal:17860":            client.TypeForbiddenOrigin,
		named + "\nOrigin: http://localhost:3000":                        client.TypeForbiddenOrigin,
		named + "\nSec-Fetch-Site: same-origin":                          client.TypeForbiddenOrigin,
		named + "\nSec-Fetch-Site: none\nSec-Fetch-Mode: navigate":       client.TypeForbiddenOrigin,
		named + "\nX-Forwarded-For: 192.0.2.1":                           client.TypeForbiddenOrigin,
		"GET / HTTP/1.1\nHost: 127.0.0.1:17860\nOrigin: http://10.0.2.2": client.TypeForbiddenOrigin,
	} {
		if p := guardFor(1000, nil).CheckProxy(request(t, fakeTCP(), text), allowed); kind(p) != want {
			t.Errorf("%q: %v, want %q", text, p, want)
		}
	}
	if p := guardFor(1000, nil).CheckProxy(request(t, fakeTCP(), named), Allowed{}); kind(p) != client.TypeForbiddenHost {
		t.Errorf("a name that nobody gave: %v", p)
	}
	if p := guardFor(1001, nil).CheckProxy(request(t, fakeTCP(), named), allowed); kind(p) != client.TypeForbidden {
		t.Errorf("another user: %v", p)
	}
}

// A container may have the proxy's socket. No page reaches it.
func TestCheckProxySocket(t *testing.T) {
	allowed := Allowed{Origins: []string{"http://localhost:3000"}}
	for text, want := range map[string]string{
		"GET / HTTP/1.1\nHost: anything":                                 "",
		"GET / HTTP/1.1\nHost: anything\nOrigin: http://localhost:3000":  client.TypeForbiddenOrigin,
		"GET / HTTP/1.1\nHost: anything\nX-Forwarded-Host: evil.example": client.TypeForbiddenOrigin,
		"GET http://anything/ HTTP/1.1\nHost: anything":                  client.TypeBadRequest,
	} {
		if p := guardFor(1000, nil).CheckProxy(request(t, fakeSocket(1000, nil), text), allowed); kind(p) != want {
			t.Errorf("%q: %v, want %q", text, p, want)
		}
	}
	if p := guardFor(1000, nil).CheckProxy(request(t, fakeSocket(0, nil), "GET / HTTP/1.1\nHost: x"), allowed); kind(p) != client.TypeForbidden {
		t.Errorf("another user's container: %v", p)
	}
}

func TestClientOfTheProxy(t *testing.T) {
	g := guardFor(1000, nil)
	for token, want := range map[string]string{
		"lk_client": "", "lk_page": client.TypeForbidden, ownerToken1: client.TypeForbidden,
		"": client.TypeUnauthorized, "lk_": client.TypeUnauthorized, "lk_client ": client.TypeUnauthorized,
	} {
		c := fakeTCP()
		caller, p := g.Client(request(t, c, get), token)
		if kept := c.state == busy; kept != (want == "") {
			t.Errorf("%q keeps the connection: %v", token, kept)
		}
		if kind(p) != want || caller == nil && p == nil {
			t.Errorf("%q: got %v and %v, want %q", token, caller, p, want)
		}
	}
}
