package main

import (
	"errors"

	"github.com/spf13/cobra"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
)

// runFlags are the flags of run, which start and restart pass on.
type runFlags struct {
	headless bool
	listen   string
	store    string
	noPage   bool // hidden: no page opens by itself
}

func newRun(a *app) *cobra.Command {
	var o runFlags
	cmd := &cobra.Command{
		Use:   "run [--headless] [--listen ADDR] [--store keychain|file|memory]",
		Short: "Run the agent in the foreground",
		Long: `Runs the agent until Ctrl-C, a signal or langkeep stop. There is one a user; the
other commands start it in the background when they need it. Sessions are
refreshed while it runs, and the secrets stay in the store that you choose: the
system's keychain, a file that is encrypted with the passphrase in the file that
LANGKEEP_PASSPHRASE_FILE names, or memory, which forgets.`,
		Example: `  langkeep run
  langkeep run --headless --listen 127.0.0.1:18000
  LANGKEEP_PASSPHRASE_FILE=~/.langkeep-passphrase langkeep run --store file`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			p, err := paths.Resolve(a.getenv)
			if err != nil {
				return err
			}
			if !o.headless {
				leaveConsole()
			}
			outliveStderr()
			options := serveOptions{
				listen: o.listen, store: o.store, paths: p, getenv: a.getenv,
				ready: func(r liveAgent) { a.say("listening on " + r.url) },
			}
			if o.headless {
				err = serve(cmd.Context(), options)
			} else {
				err = a.serveOnDesktop(cmd.Context(), options, !o.noPage)
			}
			if errors.Is(err, keychain.ErrLocked) || errors.Is(err, keychain.ErrMissing) {
				return exitError{exitKeychainLocked, err}
			}
			return err
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&o.noPage, "no-page", false, "don't open the control page at the first start")
	cmd.Flags().Lookup("no-page").Hidden = true
	a.takesHome(cmd)
	return cmd
}

// add gives a command the flags.
func (o *runFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.headless, "headless", false, "show nothing on the desktop")
	cmd.Flags().StringVar(&o.listen, "listen", "", "loopback `address` and port of the local API, port 0 for any (default 127.0.0.1:17860)")
	cmd.Flags().StringVar(&o.store, "store", "", "where secrets are kept: `keychain`, file or memory (default keychain)")
}

// check refuses what run would refuse.
func (o *runFlags) check() error {
	if o.listen != "" {
		if err := config.CheckListen(o.listen); err != nil {
			return usagef("--listen: %w", err)
		}
	}
	if o.store != "" {
		if err := config.CheckStore(o.store); err != nil {
			return usagef("--store: %w", err)
		}
	}
	return nil
}
