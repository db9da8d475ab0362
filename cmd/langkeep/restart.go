package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newRestart(a *app) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "restart [--headless] [--listen ADDR] [--store keychain|file|memory]",
		Short: "Stop the agent and start it again",
		Long: `Stop the agent, if one runs, and start it again in the background: after an
update, or to give it other flags. The new one gets the flags given here and no
others; without them config.toml decides. An agent that does not answer is killed.`,
		Example: `  langkeep restart
  langkeep restart --listen 127.0.0.1:18000`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.restart(cmd.Context(), flags) },
	}
	flags.add(cmd)
	return cmd
}

func (a *app) restart(ctx context.Context, flags runFlags) error {
	p, err := a.ownAgent("restart")
	if err != nil {
		return err
	}
	if _, err := a.stopAgent(ctx, p, true); err != nil {
		return err
	}
	return a.startAndSay(ctx, p, flags)
}
