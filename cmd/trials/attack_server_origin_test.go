package trials

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// A secret is for the origin that gave it.
func TestAttackServerOrigin(t *testing.T) {
	all := t // that the agent lives for
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	b := newBetrayed(t, "--store", "file")
	evil := newUpstream(t, langflowtest.Options{Users: []langflowtest.User{{Name: "nobody", Password: "x"}}})
	// robbed tells what of a profile the other server has got.
	robbed := func(t *testing.T) {
		t.Helper()
		for _, s := range evil.takeAsked() {
			if s.header.Get("Cookie") != "" || s.header.Get("Authorization") != "" || s.header.Get("X-Api-Key") != "" || strings.Contains(s.body, password) {
				t.Errorf("the other server is sent a secret: %s %v", s.line, s.header)
			}
		}
	}
	// full is a profile with all that there can be: a token pair, a remembered
	// password, a managed key.
	full := func(t *testing.T) string {
		t.Helper()
		name := b.profile(t)
		_, err := b.owner.Login(t.Context(), name, client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(password), RememberPassword: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.owner.Key(t.Context(), name, 0); err != nil {
			t.Fatal(err)
		}
		b.eventually(t, name, "is saved", func(p client.Profile) bool { return p.Saved })
		return name
	}
	edit := func(t *testing.T, name, url string) {
		t.Helper()
		file := filepath.Join(b.paths.ProfilesDir(), name+".toml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), b.server.URL, url, 1)
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	signedOut := func(p client.Profile) bool { return p.State == client.SignedOut && p.ServerURL == evil.URL }
	// poke has the agent ask its new server, if it would.
	poke := func(t *testing.T, name string) {
		t.Helper()
		if got, err := b.owner.Token(t.Context(), name, 0); err == nil {
			t.Errorf("there is a token: %v", got)
		}
		if got, err := b.owner.Key(t.Context(), name, 0); err == nil {
			t.Errorf("there is a key: %v", got)
		}
		_, _ = b.owner.Refresh(t.Context(), name) // an error
		robbed(t)
	}
	betrayals(t, "what is tried", b, []betrayal{
		{"somebody has the owner change `server_url` to another port of the same computer (`PATCH`)", func(t *testing.T, b *betrayed) string {
			name := full(t)
			if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &evil.URL}); err != nil || !signedOut(p) {
				t.Errorf("it is %s, %v", p.State, err)
			}
			poke(t, name)
			return "signs out first: the other server gets no token, key or password"
		}},
		{"and back again", func(t *testing.T, b *betrayed) string {
			name := full(t)
			for _, url := range []string{evil.URL, b.server.URL} {
				if _, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil {
					t.Fatal(err)
				}
			}
			if p, err := b.owner.Profile(t.Context(), name); err != nil || p.State != client.SignedOut {
				t.Errorf("it is %s, %v", p.State, err)
			}
			robbed(t)
			return "still signed out: what was kept is gone"
		}},
		{"`langkeep login NAME OTHER-URL`, which a person was talked into, with a wrong password there", func(t *testing.T, b *betrayed) string {
			name := full(t)
			evil.takeAsked()
			cmd := program(t, b.paths, "login", name, evil.URL, "--username", "ann", "--password-stdin", "--no-start")
			cmd.Stdin = strings.NewReader("typed-there\n")
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Errorf("it signs in: %s", out)
			}
			robbed(t)
			return "the other server gets what was typed for it, and nothing that was kept"
		}},
		{"the profile's file is edited while the agent runs", func(t *testing.T, b *betrayed) string {
			name := full(t)
			edit(t, name, evil.URL)
			b.eventually(t, name, "is signed out", signedOut)
			poke(t, name)
			return "signed out within moments, and nothing is sent"
		}},
		{"the profile's file is edited while the agent is stopped", func(t *testing.T, b *betrayed) string {
			name := full(t)
			b.stop(t)
			edit(t, name, evil.URL)
			evil.takeAsked()
			b.start(all, "--store", "file")
			b.eventually(t, name, "is signed out", signedOut)
			poke(t, name)
			return "signed out at the next start, and nothing is sent, though the store still has it all"
		}},
		{"the same place under another name: `localhost` for `127.0.0.1`, `[::1]`, a dot at the end, https", func(t *testing.T, b *betrayed) string {
			port := b.server.URL[strings.LastIndex(b.server.URL, ":"):]
			for _, url := range []string{"http://localhost" + port, "http://[::1]" + port, "https://127.0.0.1" + port, "https://flows.example."} {
				name := full(t)
				if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil || p.State != client.SignedOut {
					t.Errorf("%s: it is %s, %v", url, p.State, err)
				}
				if _, err := b.owner.RemoveProfile(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			return "another origin: signed out"
		}},
		{"the same origin in other letters: `HTTP://`, a slash at the end, another root path", func(t *testing.T, b *betrayed) string {
			for _, url := range []string{strings.Replace(b.server.URL, "http", "HTTP", 1), b.server.URL + "/", b.server.URL + "/api/v1/login", b.server.URL + "/team"} {
				name := full(t)
				if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url}); err != nil || p.State == client.SignedOut {
					t.Errorf("%s: it is %s, %v", url, p.State, err)
				}
			}
			return "the session goes on"
		}},
		{"an origin that hides another: `http://127.0.0.1:PORT@evil.example`, `http://evil.example#@…`, `…?…`, with a backslash, without a scheme, `file:`", func(t *testing.T, b *betrayed) string {
			name := full(t)
			for _, url := range []string{b.server.URL + "@evil.example", "http://ann:pw@127.0.0.1", "http://evil.example#@127.0.0.1", "http://evil.example?@127.0.0.1", `http://127.0.0.1\@evil.example`, "//evil.example", "evil.example", "file:///etc/passwd",
				"http://evil.example\n", "http://127.0.0.1:99999", "http://127.0.0.1:1:2", "http://", "http://x/../y", "http://x/%2e%2e/y", "javascript:alert(1)"} {
				_, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url})
				var problem *client.Problem
				if !errors.As(err, &problem) || problem.Kind() != client.TypeBadRequest {
					t.Errorf("%q: %v", url, err)
				}
			}
			edit(t, name, b.server.URL+"@evil.example")
			if !eventually(func() bool { return strings.Contains(b.status(t), name+".toml") }) {
				t.Errorf("the status does not name the file: %s", b.status(t))
			}
			if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.ServerURL != b.server.URL {
				t.Errorf("after the edit: %s, %v", got.ServerURL, err)
			}
			robbed(t)
			return "400, and the profile is as it was; in a file edited by hand too"
		}},
		{"plain http to another computer, which everybody on the way could read", func(t *testing.T, b *betrayed) string {
			url := "http://flows.example"
			name := full(t)
			p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerURL: &url})
			if err == nil && p.State != client.SignedOut {
				t.Errorf("it is %s", p.State)
			}
			if err := b.signIn(t, name); err == nil && p.ServerURL == url {
				t.Error("it signs in over http")
			}
			return "400 or a state that says so; nothing is sent unless `allow_http` is set"
		}},
	})
	robbed(t)
}
