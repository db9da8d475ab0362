package main

import (
	"context"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

func newLogout(a *app) *cobra.Command {
	return a.takesProfile(&cobra.Command{
		Use:   "logout [NAME]",
		Short: "Sign a profile out",
		Long: `Sign a profile out: forget its session, and a remembered password, here and in
the keychain. The profile stays. Langflow revokes nothing at a logout, so tokens
handed out before stay valid until their own end.`,
		Example: `  langkeep logout prod`,
		RunE:    a.onProfile(a.logout),
	})
}

func (a *app) logout(ctx context.Context, c *client.Client, name string) error {
	done := a.waiting("signing out of " + name)
	p, err := c.Logout(ctx, name)
	done()
	if err != nil {
		return err
	}
	a.say(p.Name + ": signed out")
	if left := words.KeysLeft(p, a.clock.Now()); left != "" {
		a.say(p.Name + ": " + lower(left))
	}
	return nil
}
