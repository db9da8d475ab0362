package trials

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// A client that may give tokens to programs takes no room from others.
func TestAttackLeases(t *testing.T) {
	v := newVictim(t)
	if _, err := v.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)}); err != nil {
		t.Fatal(err)
	}
	// takes wants a token to get some of the leases that it asks for, and no more,
	// and says so.
	takes := func(t *testing.T, token string, n, want int) (happened string) {
		t.Helper()
		c, err := client.New(client.Options{URL: v.url, Token: secret.New(token)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		taken := 0
		happened = fmt.Sprintf("it gets %d of %d", want, n)
		for range n {
			_, held, err := c.Lease(t.Context(), client.NewLease{Profile: "prod", Scopes: []string{"read"}, For: "exec"})
			if err == nil {
				taken++
				t.Cleanup(func() { _ = held.Close() })
				continue
			}
			happened = fmt.Sprintf("it gets %d of %d, else %s", want, n, wantProblem(t, err, http.StatusConflict, client.TypeConflict))
		}
		if taken != want {
			t.Errorf("it gets %d of %d leases, want %d", taken, n, want)
		}
		return happened
	}
	runTrials(t, []trial{
		{"a client with the scope `read` takes a hundred leases", func(t *testing.T) string {
			return takes(t, v.words["reader"], 100, 64) + "; the owner after that: " + takes(t, v.words["owner"], 1, 1)
		}},
		{"the lease of a client takes leases in its turn", func(t *testing.T) string {
			c, err := client.New(client.Options{URL: v.url, Token: secret.New(v.words["reader"])})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			l, held, err := c.Lease(t.Context(), client.NewLease{Profile: "prod", Scopes: []string{"read"}, For: "exec"})
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			return because(takes(t, l.Token.Reveal(), 100, 63), "they count as the client's, as it does itself")
		}},
		{"a client asks for a lease, keeps back the body until it is revoked, and then sends it", func(t *testing.T) string {
			added, _, err := v.owner.AddClient(t.Context(), client.NewClient{Name: "late", Scopes: []string{"read"}, Profiles: []string{"prod"}})
			if err != nil {
				t.Fatal(err)
			}
			before, err := v.owner.Clients(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			body := `{"profile":"prod","scopes":["read"],"for":"exec"}`
			c := v.dial(t, "")
			head := post("/v1/leases", "Authorization: Bearer "+added.Token.Reveal()+"\nExpect: 100-continue\n", body)
			_, _ = io.WriteString(c, strings.TrimSuffix(fill(v.words, head), body)) // that it fails shows below
			answers := bufio.NewReader(c)
			if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // its token was looked at
				t.Fatal(line, err)
			}
			if line, err := answers.ReadString('\n'); err != nil || strings.TrimSpace(line) != "" {
				t.Fatal(line, err)
			}
			if err := v.owner.RevokeClient(t.Context(), "late"); err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(c, body)
			const refused = http.StatusUnauthorized
			res, err := http.ReadResponse(answers, nil)
			if err != nil || res.StatusCode != refused {
				t.Fatal(res, err)
			}
			after, err := v.owner.Clients(t.Context())
			if err != nil || len(after) != len(before)-1 {
				t.Errorf("there are %d clients, before its end there were %d: %v", len(after), len(before), err)
			}
			return fmt.Sprint(refused, ", and no lease of it comes to be")
		}},
		{"the holder of a lease sends a byte more, and leaves", func(t *testing.T) string {
			const limit = soon
			for _, more := range []string{"", "G", "GET / HTTP/1.1\r\n"} {
				body := `{"profile":"prod","scopes":["read"],"for":"exec"}`
				c := v.dial(t, "")
				_, _ = io.WriteString(c, fill(v.words, post("/v1/leases", asOwner, body))) // that it fails shows below
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil || res.StatusCode != http.StatusCreated {
					t.Fatal(res, err)
				}
				var lease struct{ Name string }
				if err := json.NewDecoder(res.Body).Decode(&lease); err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, more)
				_ = c.Close()
				begin := time.Now()
				for {
					list, err := v.owner.ClientsJSON(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if !strings.Contains(string(list), lease.Name) {
						break
					}
					if time.Since(begin) > limit {
						t.Fatalf("after %q it is still there", more)
					}
				}
			}
			return fmt.Sprintf("the lease ends, after %.0f s at most, as without the byte", limit.Seconds())
		}},
	})
}
