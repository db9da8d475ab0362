package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/client/clienttest"
)

// A program asks for a token before each batch of work and lets the agent see
// to the rest. client.Find takes the place of client.New outside of a test.
func Example() {
	agent := httptest.NewServer(clienttest.Agent("lk_…", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"profile":"prod","server_url":"https://flows.example.org","access_token":"eyJ…","token_type":"Bearer","expires_at":null,"expires_in":3540}`)
	})))
	defer agent.Close()
	c, err := client.New(client.Options{URL: agent.URL, Token: secret.New("lk_…")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	token, err := c.Token(context.Background(), "prod", 5*time.Minute)
	var problem *client.Problem
	switch {
	case errors.As(err, &problem) && problem.Kind() == client.TypeSignInRequired:
		fmt.Println("sign in first:", problem.Detail)
	case errors.Is(err, client.ErrNoAgent):
		fmt.Println("start the agent: langkeep start")
	case err != nil:
		fmt.Println(err)
	default:
		// Printed, the token says [secret]; Reveal is for the request's header.
		fmt.Printf("%s at %s for %d s: %v\n", token.Profile, token.ServerURL, *token.ExpiresIn, token.AccessToken)
	}
	// Output: prod at https://flows.example.org for 3540 s: [secret]
}
