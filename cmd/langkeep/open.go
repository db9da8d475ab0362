package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"langkeep/cmd/browser"
	"langkeep/localapi/client"
)

func newOpen(a *app) *cobra.Command {
	var show bool
	cmd := a.needsAgent(&cobra.Command{
		Use:   "open [--print]",
		Short: "Open the control page in the browser",
		Long: `Open the control page in your browser: every profile with its state, adding
profiles, signing in and out, settings, and what has happened lately. The page is
the agent's own, on this computer. The link opens it once, within 30 seconds.`,
		Example: `  langkeep open
  langkeep open --print`,
		Args: takes(0, 0),
		PreRun: func(*cobra.Command, []string) {
			if !show {
				leaveConsole()
			}
		},
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, _ []string) error { return a.open(ctx, c, show) }),
	})
	cmd.Flags().BoolVar(&show, "print", false, "print the link rather than open it")
	return cmd
}

func (a *app) open(ctx context.Context, c *client.Client, show bool) error {
	code, err := c.PageCode(ctx)
	if err != nil {
		return err
	}
	if show {
		return a.result(code.URL.Reveal() + "\n")
	}
	if err := browser.Open(ctx, code.URL.Reveal()); err != nil {
		return fmt.Errorf("%w: langkeep open --print prints the link", err)
	}
	a.say("the control page opens in your browser")
	return nil
}
