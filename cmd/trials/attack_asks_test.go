package trials

import (
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// A program of the person's own, which has not been allowed, goes for a credential. It runs
// as the person, so it has the socket and the owner's token.
func TestAttackAsks(t *testing.T) {
	v := newVictim(t)
	ctx := t.Context()
	if _, err := v.owner.ChangeProfile(ctx, "prod", client.ProfileChange{Proxy: new(true)}); err != nil {
		t.Fatal(err)
	}
	file := v.paths.ConfigFile()
	if err := os.WriteFile(file, []byte("schema = 1\nask = \"new\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	yet := func(t *testing.T, err error) string {
		t.Helper()
		return wantProblem(t, err, http.StatusForbidden, client.TypeNotAllowedYet)
	}
	for end := time.Now().Add(soon); ; { // the agent reads the file when it sees the change
		if _, err := v.owner.Token(ctx, "prod", client.AnyLifetime); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the setting is not in force")
		}
	}
	runTrials(t, []trial{
		{"asks for a token or a key, with the owner's token", func(t *testing.T) string {
			_, token := v.owner.Token(ctx, "prod", client.AnyLifetime)
			_, key := v.owner.Key(ctx, "prod", client.AnyLifetime)
			yet(t, token)
			return yet(t, key)
		}},
		{"makes a client for later, or a lease as `langkeep exec` does, for the proxy", func(t *testing.T) string {
			_, _, made := v.owner.AddClient(ctx, client.NewClient{Name: "later", Scopes: []string{"run"}, Profiles: []string{"prod"}})
			_, _, leased := v.owner.Lease(ctx, client.NewLease{Profile: "prod", Scopes: []string{"proxy"}, For: "exec"})
			yet(t, made)
			return yet(t, leased)
		}},
		{"runs `langkeep token`, `key`, `exec`, `env`", func(t *testing.T) string {
			exe, err := built()
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"token", "prod"}, {"key", "prod"}, {"exec", "prod", "--", exe, "version"}, {"env", "prod"}} {
				cmd := program(t, v.paths, args...)
				out, _ := cmd.Output() // the exit code tells
				if code := cmd.ProcessState.ExitCode(); code != exitNotAllowed || len(out) != 0 {
					t.Errorf("%v: exit code %d, %d bytes", args, code, len(out))
				}
			}
			return "exit code 7"
		}},
		{"turns asking off through the API", func(t *testing.T) string {
			var got string
			for method, path := range map[string]string{"PATCH": "/v1/profiles/prod", "POST": "/v1/profiles"} {
				got = v.send(t, "tcp", method+" "+path+" HTTP/1.1\nHost: {host}\nAuthorization: Bearer {owner}\nContent-Type: application/json\nContent-Length: 15\n\n{\"ask\":\"never\"}", 1)
				if got != "400 bad-request" {
					t.Errorf("%s %s: %s", method, path, got)
				}
			}
			return answersSaid(got) + ": no route can change it"
		}},
		{"answers for the person, with the owner's token", func(t *testing.T) string {
			happened := wantProblem(t, v.owner.AnswerAsk(ctx, "1", "always"), http.StatusNotFound, client.TypeNotFound)
			return happened + " without a desktop; with one it waits until the person has confirmed it there (TestAsking in tray)"
		}},
		{"has a client's token that was made before", func(t *testing.T) string {
			c, err := client.New(client.Options{URL: v.url, Token: secret.New(v.words["other"])})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Token(ctx, "other", client.AnyLifetime); err != nil {
				t.Error(err)
			}
			return "the token: what the owner has let in is not asked about"
		}},
		{"ends the agent, turns asking off in the file, and starts it again", func(t *testing.T) string {
			_ = v.Process.Kill()
			_ = v.Wait() // an error: it was killed
			if err := os.WriteFile(file, []byte("schema = 1\nask = \"never\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			again := launch(t, v.paths)
			if again.url == "" {
				t.Fatalf("the agent does not start: %s", again.said)
			}
			c, err := client.New(client.Options{URL: again.url, Token: secret.New(again.token(t))})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for end := time.Now().Add(soon); ; {
				noted, err := c.Audit(ctx, 0)
				if err != nil {
					t.Fatal(err)
				}
				if slices.ContainsFunc(noted, func(e client.AuditLine) bool { return e.What == "ask: never, was new" }) {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("the audit log has %v", noted)
				}
			}
			return "asking is off, and the audit log and a notification say so (TestAsking in tray); whoever deletes `asking.json` too is not told of"
		}},
	})
}
