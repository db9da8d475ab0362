//go:build real && linux

package trials

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"langkeep/localapi/client"
)

// testWays asks for a token in every way in, and in the ways that are none.
func testWays(p *person, server string) {
	running, err := client.ReadRunning(p.paths)
	if err != nil {
		p.t.Fatal(err)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(running.URL, "http://"), ":")
	const route, nobody = "/v1/profiles/prod/token", 65534
	bearer := func(token string) string { return "header = \"Authorization: Bearer " + token + "\"\n" }
	v4, v6 := []string{"http://127.0.0.1:" + port + route}, []string{"http://[::1]:" + port + route}
	socket := p.socket(route)
	owner, wrong := bearer(p.owner()), bearer("lk_"+strings.Repeat("A", 43))
	header := func(to []string, h string) []string { return append([]string{"-H", h}, to...) }

	// The agent itself must keep out a user whom the socket's folder does not.
	p.throwOpen(p.t, p.paths.Socket())
	type way struct {
		name   string
		user   uint32
		config string
		args   []string
		kind   string // of the problem; "" is a token
	}
	ways := []way{
		{"127.0.0.1 with the owner's token", 0, owner, v4, ""},
		{"the socket with nothing", 0, "", socket, ""},
		{"the socket with the owner's token", 0, owner, socket, ""},
		{"localhost", 0, owner, []string{"http://localhost:" + port + route}, ""},
		{"its own origin", 0, owner, header(v4, "Origin: http://127.0.0.1:"+port), ""},

		{"127.0.0.1 with nothing", 0, "", v4, client.TypeUnauthorized},
		{"127.0.0.1 with a wrong token", 0, wrong, v4, client.TypeUnauthorized},
		{"the socket with a wrong token", 0, wrong, socket, client.TypeUnauthorized},
		{"a foreign host", 0, owner, header(v4, "Host: evil.example"), client.TypeForbiddenHost},
		{"a host with another port", 0, owner, header(v4, "Host: 127.0.0.1:1"), client.TypeForbiddenHost},
		{"through a reverse proxy", 0, owner, header(v4, "X-Forwarded-For: 127.0.0.1"), client.TypeForbiddenOrigin},
		{"another user with the owner's token", nobody, owner, v4, client.TypeForbidden},
		{"another user on the socket", nobody, "", socket, client.TypeForbidden},
		{"another user on the socket with the owner's token", nobody, owner, socket, client.TypeForbidden},

		{"::1 with the owner's token", 0, owner, v6, ""},
		{"::1 with nothing", 0, "", v6, client.TypeUnauthorized},
		{"another user on ::1 with the owner's token", nobody, owner, v6, client.TypeForbidden},
	}
	for _, origin := range []string{
		"http://evil.example", "https://127.0.0.1:" + port, "http://localhost:" + port, "http://127.0.0.1:1", "null", "file://",
	} {
		ways = append(ways,
			way{"127.0.0.1, origin " + origin, 0, owner, header(v4, "Origin: "+origin), client.TypeForbiddenOrigin},
			way{"the socket, origin " + origin, 0, "", header(socket, "Origin: "+origin), client.TypeForbiddenOrigin})
	}
	for _, w := range ways {
		p.t.Run(w.name, func(t *testing.T) {
			if w.user != 0 && os.Getuid() != 0 {
				t.Skip("only root can be another user")
			}
			if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
				l.Close()
			} else if strings.Contains(w.name, "::1") {
				t.Skip("this computer has no ::1")
			}
			a := p.in(t).curlAs(w.user, w.config, w.args...)
			var got client.Token
			if a.status == http.StatusOK {
				p.in(t).fromJSON(a.body, &got)
				p.secret("an access token", got.AccessToken.Reveal())
			}
			token := got.AccessToken.Reveal()
			switch {
			case a.kind != w.kind:
				t.Errorf("problem %q, want %q: %d", a.kind, w.kind, a.status)
			case w.kind == "" && token == "":
				t.Errorf("no token: %d", a.status)
			case w.kind == "":
				if status, err := whoami(http.DefaultClient, server, token); status != http.StatusOK {
					t.Errorf("whoami answers %d, %v", status, err)
				}
			}
		})
	}
}
