package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

func newKey(a *app) *cobra.Command {
	o := &credentialOptions{
		app: a, prefix: "x-api-key: ", json: (*client.Client).KeyJSON,
		get: func(c *client.Client, ctx context.Context, name string, minValid time.Duration) (secret.Text, error) {
			key, err := c.Key(ctx, name, minValid)
			return key.APIKey, err
		},
	}
	return o.command(&cobra.Command{
		Use:   "key [NAME] [--min-valid D] [--output raw|json|header]",
		Short: "Print an API key that ends by itself",
		Long: `Print an API key of the profile's account. Langkeep makes it on the server when
it is first asked for, gives it an end (24 hours, or the profile's key_lifetime),
replaces it in time and deletes it when it is over or you sign out. A profile
with method api-key has its own key printed.

Exit codes: 3 sign-in required, 4 the server can't be reached and no good enough
key is held, 6 the keychain is locked.`,
		Example: `  langkeep key prod --output header | curl -H @- https://flows.example.org/api/v1/run/my-flow -d '{}'
  langkeep key prod --min-valid 1h`,
	})
}
