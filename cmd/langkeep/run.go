package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/agent/sessionbus"
	"langkeep/cmd/serve"
)

// runFlags are the flags of run, which start and restart pass on.
type runFlags struct {
	headless bool
	listen   string
	store    string
	noPage   bool // hidden, of agents that another command starts: no page opens by itself
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
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := paths.Resolve(a.getenv)
			if err != nil {
				return err
			}
			if !o.headless {
				leaveConsole()
			}
			outliveStderr()
			if a.getenv("GOGC") == "" {
				// Half as often as by default: collecting took 4 % of the time of reads, and
				// an agent with ten sessions has less than a megabyte to collect.
				debug.SetGCPercent(200)
			}
			sessionbus.CompleteEnvironment(cmd.Context(), os.Getuid())
			options := serve.Options{
				NoBus:  o.noPage && !sessionbus.Reachable(cmd.Context()),
				Listen: o.listen, Store: o.store, Paths: p, Version: version, Passphrase: a.passphrase,
				Ready: func(url string) { a.say("listening on " + url) },
			}
			if o.headless {
				err = serve.Run(cmd.Context(), options)
			} else {
				err = serve.RunOnDesktop(cmd.Context(), options, serve.Desktop{Getenv: a.getenv, Say: a.say, Greet: !o.noPage})
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

// add adds the flags to a command, and refuses early the values that run would refuse.
func (o *runFlags) add(cmd *cobra.Command) {
	cmd.PreRunE = func(*cobra.Command, []string) error { return o.check() }
	cmd.Flags().BoolVar(&o.headless, "headless", false, "show nothing on the desktop")
	cmd.Flags().StringVar(&o.listen, "listen", "", "loopback `address` and port of the local API, port 0 for any (default 127.0.0.1:17860)")
	cmd.Flags().StringVar(&o.store, "store", "", "the `store` of secrets: keychain, file or memory (default keychain)")
}

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

// passphrase reads the first line of the file that LANGKEEP_PASSPHRASE_FILE
// names.
func (a *app) passphrase() (secret.Text, error) {
	name := a.getenv("LANGKEEP_PASSPHRASE_FILE")
	if name == "" {
		return secret.Text{}, exitError{exitKeychainLocked, errors.New("the file store needs LANGKEEP_PASSPHRASE_FILE, the name of a file with the passphrase")}
	}
	line, err := func() (string, error) {
		path, err := paths.Abs(name, a.getenv)
		if err != nil {
			return "", err
		}
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return readLine(f)
	}()
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		err = of.Err // the file's name is told already
	}
	if err != nil {
		return secret.Text{}, exitError{exitKeychainLocked, fmt.Errorf("can't read the passphrase from the first line of %s: %w", name, err)}
	}
	return secret.New(line), nil
}
