package client

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

func TestClients(t *testing.T) {
	const reply = `{"clients":[{"name":"ci","scopes":["read"],"profiles":["prod"],"may":"read"}]}`
	sends(t, func(c *Client) error {
		all, err := c.Clients(t.Context())
		if len(all) != 1 || all[0].Name != "ci" || all[0].ExpiresAt != nil {
			t.Errorf("got %+v", all)
		}
		return err
	}, "GET /v1/clients ", reply)
	sends(t, func(c *Client) error {
		body, err := c.ClientsJSON(t.Context())
		if string(body) != reply {
			t.Errorf("the body is %q", body)
		}
		return err
	}, "GET /v1/clients ", reply)
	sends(t, func(c *Client) error { return c.SeenClients(t.Context()) }, `PATCH /v1/clients {"seen":true}`, "")
	sends(t, func(c *Client) error { return c.RevokeClient(t.Context(), "a.b") }, "DELETE /v1/clients/a.b ", "")
	sends(t, func(c *Client) error { return c.RevokeSelf(t.Context()) }, "DELETE /v1/client ", "")
}

func TestAddClient(t *testing.T) {
	const reply = `{"name":"ci","scopes":["read"],"profiles":["prod"],"token":"lk_new"}`
	sends(t, func(c *Client) error {
		added, body, err := c.AddClient(t.Context(), NewClient{Name: "ci", Scopes: []string{"read"}, Profiles: []string{"prod"}, ExpiresIn: new(int64(60))})
		if added.Name != "ci" || added.Token.Reveal() != "lk_new" || body.Reveal() != reply {
			t.Errorf("got %+v", added)
		}
		return err
	}, `POST /v1/clients {"name":"ci","scopes":["read"],"profiles":["prod"],"expires_in":60}`, reply)
}

// TestLease holds a lease until the agent ends.
func TestLease(t *testing.T) {
	for name, tt := range map[string]struct {
		path string
		hold func(*Client) (io.ReadCloser, error)
	}{
		"a new one": {"/v1/leases", func(c *Client) (io.ReadCloser, error) {
			lease, held, err := c.Lease(t.Context(), NewLease{Profile: "prod", Scopes: []string{"run"}, For: "exec"})
			if err == nil && (lease.Name != "exec-1" || lease.Token.Reveal() != "lk_lease") {
				t.Errorf("got %+v", lease)
			}
			return held, err
		}},
		"one taken up again": {"/v1/lease", func(c *Client) (io.ReadCloser, error) { return c.ResumeLease(t.Context()) }},
	} {
		t.Run(name, func(t *testing.T) {
			end := make(chan struct{})
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != tt.path {
					t.Errorf("asked for %s %s", r.Method, r.URL.Path)
				}
				_, _ = io.WriteString(w, `{"name":"exec-1","token":"lk_lease"}`+"\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-end:
				case <-r.Context().Done():
				}
			})
			held, err := tt.hold(c)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			close(end)
			if rest, err := io.ReadAll(held); len(rest) > 0 || err != nil {
				t.Errorf("the end is %q, %v", rest, err)
			}
		})
	}
}

func TestLeaseThatIsCutOff(t *testing.T) {
	for _, reply := range []string{"", `{"name":"exec-1"`, "not JSON\n"} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, reply) })
		if _, held, err := c.Lease(t.Context(), NewLease{}); !errors.Is(err, ErrNoAgent) || held != nil {
			t.Errorf("%q: %v", reply, err)
		}
	}
}
