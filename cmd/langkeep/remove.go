package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type removeOptions struct {
	*app
	all, yes bool
}

func newRemove(a *app) *cobra.Command {
	o := &removeOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "remove [NAME|--all] [--yes]",
		Short: "Remove a profile and its secrets",
		Long: `Remove a profile: sign it out, and delete its settings and every secret of it in
the keychain, and our API keys on the server. With --all, every profile, what
langkeep connect has written, and what starts the agent at login. On a terminal it
asks first.`,
		Example: `  langkeep remove staging
  langkeep remove --all`,
		PreRunE: func(_ *cobra.Command, args []string) error {
			if o.all && len(args) > 0 {
				return usagef("either a name or --all, not both")
			}
			return nil
		},
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().BoolVar(&o.all, "all", false, "remove every profile, connection, and the entry that starts the agent at login")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "don't ask")
	return cmd
}

func (o *removeOptions) run(ctx context.Context, c *client.Client, args []string) error {
	var names []string
	if o.all {
		profiles, err := c.Profiles(ctx)
		if err != nil {
			return err
		}
		for _, p := range profiles {
			names = append(names, p.Name)
		}
	} else {
		name, err := o.profileName(ctx, c, args)
		if err != nil {
			return err
		}
		names = []string{name}
	}
	if !o.yes {
		question := "remove " + words.Safe(strings.Join(names, ", ")) + ", with its secrets?"
		if o.all {
			question = "remove every profile" + bracketed(names) + ", their secrets and what connect has written?"
		}
		if yes, err := o.confirm(ctx, question); err != nil || !yes {
			return err
		}
	}
	// A profile that can't be removed must not keep the others.
	var failed error
	for _, name := range names {
		done := o.waiting("removing " + name)
		_, err := c.RemoveProfile(ctx, name)
		done()
		if err != nil {
			if !o.all || ctx.Err() != nil {
				return err
			}
			o.say(name + ": " + wordsOf(err))
			failed = err
			continue
		}
		o.say(name + ": removed")
	}
	if o.all {
		if err := errors.Join(o.removeConnections(ctx), o.removeAutostart()); err != nil {
			return err
		}
	}
	if failed != nil {
		return exitError{codeOf(failed), errors.New("some profiles are still there: remove them again later")}
	}
	if p, err := paths.Resolve(o.getenv); o.all && err == nil && o.getenv("LANGKEEP_URL") == "" {
		o.say("the settings and the logs stay, without secrets: " + p.Config + ", " + p.State)
	}
	return nil
}

// removeConnections removes the entries from other programs' files.
func (o *removeOptions) removeConnections(ctx context.Context) error {
	if o.getenv("LANGKEEP_URL") != "" {
		return nil // the connections belong to another agent
	}
	desk, err := o.desk()
	if err != nil {
		return err
	}
	all, err := desk.Records.All()
	for _, r := range all {
		if failed := o.disconnect(ctx, desk, r); failed != nil {
			err = errors.Join(err, fmt.Errorf("disconnect %s: %w", r.Tool, failed))
		}
	}
	return err
}

// removeAutostart removes the autostart entry, unless the environment names another
// agent: the entry is not that agent's.
func (o *removeOptions) removeAutostart() error {
	if o.getenv("LANGKEEP_URL") != "" {
		return nil
	}
	entry, err := o.autostartEntry()
	if err != nil {
		return nil // without a home there is no place for one
	}
	return entry.Disable()
}

// bracketed lists names within a sentence.
func bracketed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (" + words.Safe(strings.Join(names, ", ")) + ")"
}
