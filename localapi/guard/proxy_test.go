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
			p := guardFor(1000, nil).CheckProxy(request(t, fakeTCP(), tt.request), []string{"http://localhost:3000"})
			if kind(p) != tt.want {
				t.Errorf("got %v, want %q", p, tt.want)
			}
		})
	}
	r := request(t, fakeTCP(), plain+page)
	if p := guardFor(1000, nil).CheckProxy(r, nil); kind(p) != client.TypeForbiddenOrigin {
		t.Errorf("a page of an origin that nobody named: %v", p)
	}
	if p := guardFor(1001, nil).CheckProxy(request(t, fakeTCP(), plain), nil); kind(p) != client.TypeForbidden {
		t.Errorf("another user: %v", p)
	}
	if p := guardFor(1000, errNobody).CheckProxy(request(t, fakeTCP(), plain), nil); kind(p) != client.TypeForbidden {
		t.Errorf("a connection of nobody: %v", p)
	}
	if p := guardFor(1000, nil).CheckProxy(request(t, fakeSocket(1000, nil), plain), nil); kind(p) != client.TypeInternal {
		t.Errorf("the socket, which no proxy has: %v", p)
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
