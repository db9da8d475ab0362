package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newKey(a *app) *cobra.Command {
	o := &credentialOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
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
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return o.key(cmd.Context(), args)
		},
	})
	o.flags(cmd, "x-api-key")
	return cmd
}

func (o *credentialOptions) key(ctx context.Context, args []string) error {
	c, name, err := o.connectFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.output == "json" {
		body, err := c.KeyJSON(ctx, name, o.minValid)
		if err != nil {
			return err
		}
		return o.result(body.Reveal())
	}
	key, err := c.Key(ctx, name, o.minValid)
	if err != nil {
		return err
	}
	return o.print(key.APIKey, "x-api-key: ")
}
