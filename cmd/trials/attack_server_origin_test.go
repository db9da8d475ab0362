package trials

import (
	"net/http"
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
	// notRobbed wants the other server to be sent no secret of a profile's, and
	// says it.
	notRobbed := func(t *testing.T) (happened string) {
		t.Helper()
		carriers := []string{"Cookie", "Authorization", "X-Api-Key"}
		for _, s := range evil.takeAsked() {
			for _, name := range carriers {
				if len(s.header[name]) != 0 {
					t.Errorf("the other server is sent %s: %s %v", name, s.line, s.header)
				}
			}
			if strings.Contains(s.body, password) {
				t.Errorf("the other server is sent the password: %s", s.line)
			}
		}
		return "the other server is sent no `" + strings.Join(carriers, "`, no `") + "` and no kept password"
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
	// poked wants a profile to be signed out of its new server, and to send nothing
	// when it is asked for a token, a key and a refresh.
	poked := func(t *testing.T, name string) (happened string) {
		t.Helper()
		p, err := b.owner.Profile(t.Context(), name)
		happened = inState(t, p, err, client.SignedOut)
		if p.ServerURL != evil.URL {
			t.Errorf("its server is %s", p.ServerURL)
		}
		if got, err := b.owner.Token(t.Context(), name, 0); err == nil {
			t.Errorf("there is a token: %v", got)
		}
		if got, err := b.owner.Key(t.Context(), name, 0); err == nil {
			t.Errorf("there is a key: %v", got)
		}
		_, _ = b.owner.Refresh(t.Context(), name) // an error
		return happened + " and has neither a token nor a key; " + notRobbed(t)
	}
	betrayals(t, "what is tried", b, []betrayal{
		{"somebody has the owner change `server_url` to another port of the same computer (`PATCH`)", func(t *testing.T, b *betrayed) string {
			name := full(t)
			if p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &evil.URL}}); err != nil || !signedOut(p) {
				t.Errorf("it is %s, %v", p.State, err)
			}
			return poked(t, name)
		}},
		{"and back again", func(t *testing.T, b *betrayed) string {
			name := full(t)
			for _, url := range []string{evil.URL, b.server.URL} {
				if _, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &url}}); err != nil {
					t.Fatal(err)
				}
			}
			p, err := b.owner.Profile(t.Context(), name)
			return inState(t, p, err, client.SignedOut) + "; " + notRobbed(t)
		}},
		{"`langkeep login NAME OTHER-URL`, which a person was talked into, with a wrong password there", func(t *testing.T, b *betrayed) string {
			name := full(t)
			evil.takeAsked()
			cmd := program(t, b.paths, "login", name, evil.URL, "--username", "ann", "--password-stdin", "--no-start")
			cmd.Stdin = strings.NewReader("typed-there\n")
			ended, _ := ends(t, cmd, exitSignIn)
			return ended + "; " + notRobbed(t)
		}},
		{"the profile's file is edited while the agent runs", func(t *testing.T, b *betrayed) string {
			name := full(t)
			edit(t, name, evil.URL)
			b.eventually(t, name, "is signed out", signedOut)
			return poked(t, name)
		}},
		{"the profile's file is edited while the agent is stopped", func(t *testing.T, b *betrayed) string {
			name := full(t)
			b.stop(t)
			edit(t, name, evil.URL)
			evil.takeAsked()
			b.start(all, "--store", "file")
			b.eventually(t, name, "is signed out", signedOut)
			return because("at the next start "+poked(t, name), "the store still has it all, for the other origin")
		}},
		{"the same place under another name: `localhost` for `127.0.0.1`, `[::1]`, a dot at the end, https", func(t *testing.T, b *betrayed) string {
			port := b.server.URL[strings.LastIndex(b.server.URL, ":"):]
			var said string
			for _, url := range []string{"http://localhost" + port, "http://[::1]" + port, "https://127.0.0.1" + port, "https://flows.example."} {
				name := full(t)
				p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &url}})
				said = inState(t, p, err, client.SignedOut)
				if _, err := b.owner.RemoveProfile(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			return because(said, "each is another origin")
		}},
		{"the same origin in other letters: `HTTP://`, a slash at the end, another root path", func(t *testing.T, b *betrayed) string {
			var said string
			for _, url := range []string{strings.Replace(b.server.URL, "http", "HTTP", 1), b.server.URL + "/", b.server.URL + "/api/v1/login", b.server.URL + "/team"} {
				name := full(t)
				p, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &url}})
				said = inState(t, p, err, client.Fresh)
			}
			return because(said, "it is the same origin")
		}},
		{"an origin that hides another: `http://127.0.0.1:PORT@evil.example`, `http://evil.example#@…`, `…?…`, with a backslash, without a scheme, `file:`", func(t *testing.T, b *betrayed) string {
			name, refused := full(t), ""
			for _, url := range []string{b.server.URL + "@evil.example", "http://ann:pw@127.0.0.1", "http://evil.example#@127.0.0.1", "http://evil.example?@127.0.0.1", `http://127.0.0.1\@evil.example`, "//evil.example", "evil.example", "file:///etc/passwd",
				"http://evil.example\n", "http://127.0.0.1:99999", "http://127.0.0.1:1:2", "http://", "http://x/../y", "http://x/%2e%2e/y", "javascript:alert(1)"} {
				_, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &url}})
				refused = wantProblem(t, err, http.StatusBadRequest, client.TypeBadRequest)
			}
			edit(t, name, b.server.URL+"@evil.example")
			if !eventually(func() bool { return strings.Contains(b.status(t), name+".toml") }) {
				t.Errorf("the status does not name the file: %s", b.status(t))
			}
			if got, err := b.owner.Token(t.Context(), name, 0); err != nil || got.ServerURL != b.server.URL {
				t.Errorf("after the edit: %s, %v", got.ServerURL, err)
			}
			p, err := b.owner.Profile(t.Context(), name)
			return refused + "; in a file edited by hand, `status` names the file; " + inState(t, p, err, client.Fresh) + " at its old origin, and " + notRobbed(t)
		}},
		{"plain http to another computer, which everybody on the way could read", func(t *testing.T, b *betrayed) string {
			url := "http://flows.example"
			name := full(t)
			_, err := b.owner.ChangeProfile(t.Context(), name, client.ProfileChange{ServerChange: client.ServerChange{ServerURL: &url}})
			refused := wantProblem(t, err, http.StatusBadRequest, client.TypeBadRequest)
			p, err := b.owner.Profile(t.Context(), name)
			return refused + "; " + inState(t, p, err, client.Fresh) + " at its old origin"
		}},
	})
	notRobbed(t)
}
