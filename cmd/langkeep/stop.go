package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newStop(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "stop",
		Short: "Stop the agent",
		Long: `Stop the agent and wait until it is gone. Sessions stay in the keychain and go
on when the agent starts again. If none runs there is nothing to do, and that is
no error: what was asked for is so.`,
		Example: `  langkeep stop`,
		Args:    takes(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.stop(cmd.Context()) },
	}
}

func (a *app) stop(ctx context.Context) error {
	p, err := a.ownAgent("stop")
	if err != nil {
		return err
	}
	stopped, err := a.stopAgent(ctx, p, false)
	if err != nil {
		return err
	}
	if !stopped {
		a.say("no agent runs")
		return nil
	}
	a.say("the agent has stopped")
	return nil
}
