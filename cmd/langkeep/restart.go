package main

import (
	"context"

	"github.com/spf13/cobra"
)

type restartOptions struct {
	*app
	flags runFlags
}

func newRestart(a *app) *cobra.Command {
	o := &restartOptions{app: a}
	cmd := &cobra.Command{
		Use:   "restart [--headless] [--listen ADDR] [--store keychain|file|memory]",
		Short: "Stop the agent and start it again",
		Long: `Stop the agent, if one runs, and start it again in the background: after an
update, or to give it other flags. The new one gets the flags given here and no
others; without them config.toml decides. An agent that does not answer is killed.`,
		Example: `  langkeep restart
  langkeep restart --listen 127.0.0.1:18000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	o.flags.add(cmd)
	return cmd
}

func (o *restartOptions) run(ctx context.Context) error {
	if err := o.flags.check(); err != nil {
		return err // before the one that runs is stopped
	}
	p, err := o.ownAgent("restart")
	if err != nil {
		return err
	}
	if _, err := o.stopAgent(ctx, p, true); err != nil {
		return err
	}
	return o.startAndSay(ctx, p, o.flags)
}
