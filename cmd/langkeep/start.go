package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// args are the flags that were given, for another process.
func (f *runFlags) args() []string {
	var args []string
	if f.headless {
		args = append(args, "--headless")
	}
	if f.listen != "" {
		args = append(args, "--listen="+f.listen)
	}
	if f.store != "" {
		args = append(args, "--store="+f.store)
	}
	return args
}

func newStart(a *app) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "start [--headless] [--listen ADDR] [--store keychain|file|memory]",
		Short: "Start the agent in the background",
		Long: `Start the agent in the background and wait until it answers. Commands that
need the agent do this by themselves. If one runs already, nothing changes. The
flags are those of langkeep run; without them config.toml decides.`,
		Example: `  langkeep start
  langkeep start --headless --store file`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			leaveConsole()
			return a.start(cmd.Context(), flags)
		},
	}
	flags.add(cmd)
	a.takesHome(cmd)
	return cmd
}

func (a *app) start(ctx context.Context, flags runFlags) error {
	p, err := a.ownAgent("start")
	if err != nil {
		return err
	}
	c, err := client.Find(ctx, a.getenv, p)
	if err == nil {
		defer c.Close()
		if _, err := c.Status(ctx); errors.Is(err, client.ErrStuck) {
			return err
		}
		a.say("the agent runs already" + client.HolderWords(p))
		if len(flags.args()) > 0 {
			a.say("what you asked for is for a new one: langkeep restart takes the same flags")
		}
		return nil
	}
	if !errors.Is(err, client.ErrNoAgent) {
		return err
	}
	return a.startAndSay(ctx, p, flags)
}

// startAndSay starts the agent and says which process it is.
func (a *app) startAndSay(ctx context.Context, p paths.Paths, flags runFlags) error {
	c, err := a.startAgent(ctx, p, flags.args())
	if err != nil {
		return err
	}
	c.Close()
	a.say("the agent runs" + client.HolderWords(p))
	return nil
}
