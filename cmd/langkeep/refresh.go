package main

import (
	"context"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

func newRefresh(a *app) *cobra.Command {
	return a.takesProfile(&cobra.Command{
		Use:   "refresh [NAME]",
		Short: "Renew a token now",
		Long: `Renew a profile's token now, rather than when it is due. The agent does this by
itself in time; it helps after a change on the server, or to see whether the
server answers. At most one refresh runs every 5 seconds. If the keychain is
locked, the desktop asks for its password.`,
		Example: `  langkeep refresh prod`,
		RunE:    a.onProfile(a.refresh),
	})
}

func (a *app) refresh(ctx context.Context, c *client.Client, name string) error {
	done := a.waiting("refreshing " + name)
	p, err := c.Refresh(ctx, name)
	done()
	if err != nil {
		return err
	}
	a.say(p.Name + ": " + words.Short(p, a.clock.Now()))
	if p.Reason != nil { // else the agent is about to store it
		if said := words.NotSaved(p); said != "" {
			a.say(said)
		}
	}
	return nil
}
