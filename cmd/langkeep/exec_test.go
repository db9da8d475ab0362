package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/client/clienttest"
)

// A signal ends what still waits for its lease, and leaves one that is held to who
// holds it.
func TestSignalWhileALeaseIsMade(t *testing.T) {
	for name, given := range map[string]bool{"it waits": false, "it is held": true} {
		t.Run(name, func(t *testing.T) {
			asked, gone := make(chan struct{}), make(chan struct{})
			server := httptest.NewServer(clienttest.Agent("the-owner", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/leases" {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body) // so that its end is seen
				if given {
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, `{"name":"mcp-0a1b2c3d","token":"lk_x"}`+"\n") // that it fails shows below
					_ = http.NewResponseController(w).Flush()
				}
				close(asked)
				<-r.Context().Done()
				close(gone)
			})))
			defer server.Close()
			c, err := client.New(client.Options{URL: server.URL, Token: secret.New("the-owner")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			home := t.TempDir()
			a := &app{stdout: io.Discard, stderr: io.Discard, clock: clock.System(), getenv: func(name string) string {
				if name == "LANGKEEP_HOME" {
					return home
				}
				return ""
			}}
			ctx, signal := context.WithCancel(t.Context())
			defer signal()
			type result struct {
				release func()
				err     error
			}
			done := make(chan result, 1)
			go func() {
				_, release, err := a.holdLease(ctx, c, client.NewLease{Profile: "prod", Scopes: []string{"run"}, For: "mcp"}, func() {})
				done <- result{release, err}
			}()
			<-asked
			if !given {
				signal()
				if got := <-done; !errors.Is(got.err, context.Canceled) {
					t.Errorf("%v", got.err)
				}
				<-gone
				return
			}
			got := <-done
			if got.err != nil {
				t.Fatal(got.err)
			}
			signal()
			// Each question goes there and back, in which time the agent would hear of it.
			for range 500 {
				_, _ = c.Status(t.Context()) // which has no answer worth reading here
			}
			select {
			case <-gone:
				t.Error("the signal gave the lease up")
			default:
			}
			got.release()
			<-gone
		})
	}
}
