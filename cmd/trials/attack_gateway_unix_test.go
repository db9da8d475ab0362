//go:build !windows

package trials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// A gateway's headers and cookies go to the profile's origin alone, and only the person sets them.
func TestAttackGateway(t *testing.T) {
	b := newBetrayed(t)
	evil := newUpstream(t, langflowtest.Options{})
	dir := t.TempDir()
	const kept, printed = "only-for-the-gateway-0123456789", "only-from-the-command-0123456789"
	// command makes a program that prints something and leaves a file beside it.
	command := func(t *testing.T, name, prints string) (path, left string) {
		t.Helper()
		path, left = filepath.Join(dir, name), filepath.Join(dir, name+".ran")
		text := "#!/bin/sh\n: >" + left + "\ncat <<'END'\n" + prints + "\nEND\n"
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path, left
	}
	good, _ := command(t, "good", `{"headers":{"X-From-Command":"`+printed+`"}}`)
	// behind is a profile with a kept header and one that a command prints.
	behind := func(t *testing.T) string {
		t.Helper()
		name := b.profile(t)
		if _, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{Way: client.Way{HeaderCommand: &[]string{good}}}, Proxy: new(true)}); err != nil {
			t.Fatal(err)
		}
		_, err := b.owner.Login(t.Context(), name, client.Login{
			Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(password),
			Headers: map[string]secret.Text{"X-Gateway-Key": secret.New(kept)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	// ask sends a request to a profile's proxy, with more headers.
	ask := func(t *testing.T, name string, headers ...string) *http.Response {
		t.Helper()
		p, err := b.owner.Profile(t.Context(), name)
		if err != nil || p.ProxyURL == nil {
			t.Fatalf("%s has no proxy: %v", name, err)
		}
		added, _, err := b.owner.AddClient(t.Context(), client.NewClient{Name: "asks-" + name, Scopes: []string{"proxy"}, Profiles: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.owner.RevokeClient(t.Context(), "asks-"+name) }() // it is used up
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, *p.ProxyURL+"/api/v1/flows/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", added.Token.Reveal())
		for _, header := range headers {
			key, value, _ := strings.Cut(header, ": ")
			req.Header[key] = append(req.Header[key], value) // in the case that it has
		}
		res, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body) // its status tells
		_ = res.Body.Close()
		return res
	}
	betrayals(t, "what is tried", b, []betrayal{
		{"a gateway redirects to another origin what has our headers: a refresh, the making of a key, a sign-in, a request through the proxy, with 301 to 308", func(t *testing.T, b *betrayed) string {
			name := behind(t)
			for i, status := range []int{301, 302, 303, 307, 308} {
				away := func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", evil.URL+r.RequestURI)
					w.WriteHeader(status)
				}
				b.server.answersAgent(away)
				b.server.answers(away)
				if i == 0 { // one a 5 s
					if _, err := b.owner.Refresh(t.Context(), name); err == nil {
						t.Errorf("%d: a refresh goes well", status)
					}
				}
				_, _ = b.owner.Key(t.Context(), name, time.Hour) // an error
				_ = b.signIn(t, name)                            // the same
				res := ask(t, name)
				if res.StatusCode != http.StatusBadGateway || res.Header.Get("Location") != "" {
					t.Errorf("%d: the proxy answers %s with the Location %q", status, res.Status, res.Header.Get("Location"))
				}
			}
			b.server.answersAgent(nil)
			b.server.answers(nil)
			asked := evil.takeAsked()
			if len(asked) == 0 {
				t.Error("the other origin is not even asked for a version")
			}
			for _, s := range append(asked, evil.take()...) {
				if s.line != "GET /api/v1/version" || strings.Contains(fmt.Sprint(s.header, s.body), "only-") {
					t.Errorf("the other origin is sent %s %v", s.line, s.header)
				}
				for _, credential := range []string{"Authorization", "X-Api-Key", "Cookie"} {
					if len(s.header[credential]) != 0 {
						t.Errorf("the other origin is sent %s", credential)
					}
				}
			}
			return "the other origin is sent a question for a version, without our headers or a credential; the proxy's client gets 502, and no `Location` to follow"
		}},
		{"a program sends through the proxy a header in place of the gateway's: the kept one, the command's, in small letters, with `_`, twice, and named in `Connection`, so that a proxy takes ours out", func(t *testing.T, b *betrayed) string {
			name := behind(t)
			for _, forged := range [][]string{
				{"X-Gateway-Key: forged"}, {"x-gateway-key: forged"}, {"X_Gateway_Key: forged"}, {"X-Gateway-Key: forged", "X-Gateway-Key: forged"},
				{"X-From-Command: forged"}, {"Connection: close, X-Gateway-Key, X-From-Command", "X-Gateway-Key: forged"}, {"Authorization: Bearer forged"},
				{"Proxy-Authorization: Basic forged"}, {"Cookie: _oauth2_proxy=forged; CF_Authorization=forged"}, {"Cf-Access-Jwt-Assertion: forged"}, {"X-Forwarded-Email: forged"},
			} {
				b.server.take()
				res := ask(t, name, forged...)
				seen := b.server.take()
				if strings.HasPrefix(forged[0], "X-Forwarded") || strings.HasPrefix(forged[0], "Authorization") {
					if len(seen) == 0 {
						continue // it is refused
					}
				}
				if res.StatusCode != http.StatusOK || len(seen) != 1 {
					t.Errorf("%q: %s, and %d requests", forged, res.Status, len(seen))
					continue
				}
				h := seen[0].header
				if got := fmt.Sprint(h["X-Gateway-Key"], h["X-From-Command"]); got != fmt.Sprint([]string{kept}, []string{printed}) || strings.Contains(fmt.Sprint(h), "forged") {
					t.Errorf("%q: the gateway gets %v", forged, h)
				}
			}
			return "the gateway gets each header once, with the profile's value, and nothing of the program's"
		}},
		{"a `header_command` is planted in a profile's file that every user may write", func(t *testing.T, b *betrayed) string {
			name := behind(t)
			planted, ran := command(t, "planted", `{"headers":{"X-From-Command":"planted"}}`)
			file := b.paths.ProfileFile(name)
			text, err := os.ReadFile(file)
			if err == nil && !strings.Contains(string(text), good) {
				err = errors.New("the command is not in the file, to be replaced")
			}
			if err == nil {
				err = os.Chmod(file, 0o666)
			}
			if err == nil {
				err = os.WriteFile(file, []byte(strings.Replace(string(text), good, planted, 1)), 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !eventually(func() bool { return strings.Contains(b.status(t), name+".toml") }) {
				t.Errorf("the status does not name the file: %s", b.status(t))
			}
			b.server.takeAsked()
			if _, err := b.owner.Refresh(t.Context(), name); err != nil {
				t.Error(err)
			}
			for _, s := range b.server.takeAsked() {
				if got := s.header.Get("X-From-Command"); got != printed {
					t.Errorf("the gateway gets %q", got)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("it has run")
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			b.gone(t, name)
			return "it does not run, and the settings from before stay; `status` names the file"
		}},
		{"a client with every scope but the owner's sets a `header_command`, a `token_command` or a `client_key`", func(t *testing.T, b *betrayed) string {
			name := b.profile(t)
			planted, ran := command(t, "by-a-client", `{"headers":{}}`)
			added, _, err := b.owner.AddClient(t.Context(), client.NewClient{Name: "eager", Scopes: []string{"read", "token", "api-key", "run", "tweak", "edit", "proxy", "manage"}, Profiles: []string{name}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = b.owner.RevokeClient(t.Context(), "eager") }() // it is used up
			c, err := client.New(client.Options{URL: b.url, Token: added.Token})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			refused := ""
			for _, way := range []client.Way{{HeaderCommand: &[]string{planted}}, {TokenCommand: &[]string{planted}}, {ClientKey: &planted, ClientCert: &planted}} {
				change := client.ServerChange{Way: way}
				_, err := c.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: change})
				refused = wantProblem(t, err, http.StatusForbidden, client.TypeForbidden)
				_, err = c.Login(t.Context(), name, client.Login{Method: client.AutoLogin, Change: &change})
				wantProblem(t, err, http.StatusForbidden, client.TypeForbidden)
			}
			_ = b.signIn(t, name) // which would run it
			if _, err := os.Stat(ran); err == nil {
				t.Error("it has run")
			}
			return refused
		}},
		{"a `header_command` prints a header with a line break, or one that HTTP or Langkeep sets: `Host`, `Cookie`, `Connection`, `Content-Length`, `Transfer-Encoding`, `X-Api-Key`", func(t *testing.T, b *betrayed) string {
			said := ""
			for i, headers := range []string{
				`"X-Gateway-Key":"a\r\nX-Other: b"`, `"X-Gateway-Key":"a\nb"`, `"X-A\r\nX-Other":"b"`, `"Host":"evil.example"`, `"Cookie":"a=b"`, `"Connection":"close"`,
				`"Content-Length":"1"`, `"Transfer-Encoding":"chunked"`, `"X-Api-Key":"sk-other"`,
			} {
				name := b.profile(t)
				prints, _ := command(t, fmt.Sprint("prints-", i), `{"headers":{`+headers+`}}`)
				if _, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{Way: client.Way{HeaderCommand: &[]string{prints}}}}); err != nil {
					t.Fatal(err)
				}
				b.server.takeAsked()
				said = wantReason(t, b.signIn(t, name), "command-failed")
				for _, s := range b.server.takeAsked() { // the profiles from before may ask something
					if s.line == "POST /api/v1/login" {
						t.Errorf("%s: the server is sent %s", headers, s.line)
					}
				}
			}
			return "nothing is sent, and the sign-in fails, for " + said
		}},
	})
}

// gone waits until a profile is, whose file was deleted.
func (b *betrayed) gone(t *testing.T, name string) {
	t.Helper()
	if !eventually(func() bool {
		_, err := b.owner.Profile(t.Context(), name)
		return err != nil
	}) {
		t.Errorf("%s is still there", name)
	}
}
