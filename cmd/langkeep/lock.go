package main

import (
	"context"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
)

func newLock(a *app) *cobra.Command {
	return a.needsAgent(&cobra.Command{
		Use:   "lock",
		Short: "Hand nothing out until unlock",
		Long: `Hand out no token, key, client or lease until langkeep unlock, also after a restart
of the agent. The proxies refuse every request, and those under way end. The agent
goes on refreshing the sessions.

With lock_with_screen in config.toml the screen's lock does the same, for as long
as the screen is locked.`,
		Example: `  langkeep lock
  langkeep unlock`,
		Args: takes(0, 0),
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, _ []string) error {
			if err := c.Lock(ctx); err != nil {
				return err
			}
			a.say("locked: nothing is handed out until langkeep unlock")
			return nil
		}),
	})
}

func newUnlock(a *app) *cobra.Command {
	return a.needsAgent(&cobra.Command{
		Use:     "unlock",
		Short:   "Hand out again what lock holds back",
		Long:    `Hand out tokens, keys, clients and leases again.`,
		Example: `  langkeep unlock`,
		Args:    takes(0, 0),
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, _ []string) error {
			if err := c.Unlock(ctx); err != nil {
				return err
			}
			a.say("unlocked")
			return nil
		}),
	})
}
