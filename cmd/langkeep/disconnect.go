package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"langkeep/agent/connect"
	"langkeep/localapi/words"
)

func newDisconnect(a *app) *cobra.Command {
	builder, yes := false, false
	cmd := a.needsAgent(&cobra.Command{
		Use:   "disconnect TOOL NAME [--builder] [--yes]",
		Short: "Take back what connect has set up",
		Long: `Put back what was in a tool's configuration file before langkeep connect: the whole
file, if nobody has changed it since, else the profile's entries alone. A token that
was in it is revoked. A file that is gone by now stays so, and its backup is kept.`,
		Example: `  langkeep disconnect claude-desktop prod`,
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			desk, err := a.desk()
			if err != nil {
				return err
			}
			tool, err := connect.Find(args[0])
			if err != nil {
				return usageError{err}
			}
			all, err := desk.Records.All()
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(r connect.Record) bool {
				return r.Tool != tool.Name || r.Profile != args[1] || builder && !r.Builder
			})
			if len(all) == 0 {
				return fmt.Errorf("%s: %s is not connected: langkeep connect --list shows the connections", args[1], tool.Title)
			}
			if !yes {
				if yes, err := a.confirm(cmd.Context(), "take back what is in "+words.Safe(all[0].Path)+"?"); err != nil || !yes {
					return err
				}
			}
			for _, record := range all {
				if err := a.disconnect(cmd.Context(), desk, record); err != nil {
					return err
				}
			}
			return nil
		},
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask")
	cmd.Flags().BoolVar(&builder, "builder", false, "take back the entry of --builder alone")
	return cmd
}

// disconnect takes one connection back.
func (a *app) disconnect(ctx context.Context, desk connect.Desk, r connect.Record) error {
	tool, err := connect.Find(r.Tool)
	if err != nil {
		return err
	}
	if r.Client != "" {
		// The token first: it is worth something wherever it was copied to.
		c, err := a.dial(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := a.revoke(ctx, c, r.Client); err != nil {
			return err
		}
	}
	left, err := desk.TakeBack(ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Profile, err)
	}
	if left != "" {
		a.say(fmt.Sprintf("%s: %s is gone or empty by now, and stays so: its former content is in %s", r.Profile, r.Path, left))
	}
	a.say(fmt.Sprintf("%s: disconnected %s, in %s", r.Profile, tool.Title, r.Path))
	return nil
}
