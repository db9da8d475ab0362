package trials

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// A person has locked the agent, and programs go on asking.
func TestAttackLock(t *testing.T) {
	v := newVictim(t)
	ctx := t.Context()
	if _, err := v.owner.ChangeProfile(ctx, "prod", client.ProfileChange{Proxy: new(true)}); err != nil {
		t.Fatal(err)
	}
	if err := v.owner.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T, err error) string {
		t.Helper()
		return wantProblem(t, err, http.StatusForbidden, client.TypeLocked)
	}
	as := func(t *testing.T, token string) *client.Client {
		t.Helper()
		c, err := client.New(client.Options{URL: v.url, Token: secret.New(v.words[token])})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	runTrials(t, []trial{
		{"asks for a token or a key, with the owner's token and with a client's", func(t *testing.T) (happened string) {
			for _, c := range []*client.Client{v.owner, as(t, "other")} {
				_, err := c.Token(ctx, "other", client.AnyLifetime)
				happened = refused(t, err)
			}
			_, err := v.owner.Key(ctx, "prod", client.AnyLifetime)
			refused(t, err)
			return happened
		}},
		{"makes a client or a lease for later", func(t *testing.T) string {
			_, _, err := v.owner.AddClient(ctx, client.NewClient{Name: "later", Scopes: []string{"token"}, Profiles: []string{"prod"}})
			_, _, leased := v.owner.Lease(ctx, client.NewLease{Profile: "prod", Scopes: []string{"token"}, For: "exec"})
			refused(t, leased)
			return refused(t, err)
		}},
		{"unlocks with a client's token, whatever its scopes", func(t *testing.T) string {
			return wantProblem(t, as(t, "reader").Unlock(ctx), http.StatusForbidden, client.TypeForbidden)
		}},
		{"kills the agent and starts it again", func(t *testing.T) string {
			_ = v.Process.Kill()
			_ = v.Wait() // an error: it was killed
			again := launch(t, v.paths)
			if again.url == "" {
				t.Fatalf("the agent does not start: %s", again.said)
			}
			c, err := client.New(client.Options{URL: again.url, Token: secret.New(again.token(t))})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Token(ctx, "prod", time.Minute)
			return fmt.Sprint("it is locked: ", refused(t, err))
		}},
	})
}
