package main

import (
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"
)

// usage writes the second part of every help text. It is no template: those of text/template
// call methods by name, so that the linker keeps every method of every type.
func usage(c *cobra.Command) error {
	w := c.OutOrStderr()
	fmt.Fprintf(w, "USAGE\n  %s", c.UseLine())
	if c.HasExample() {
		fmt.Fprintf(w, "\n\nEXAMPLES\n%s", c.Example)
	}
	list := func(title, group string) {
		fmt.Fprintf(w, "\n\n%s", title)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == group {
				fmt.Fprintf(w, "\n  %-*s %s", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	if c.HasAvailableSubCommands() {
		if len(c.Groups()) == 0 {
			list("COMMANDS", "")
		}
		for _, g := range c.Groups() {
			list(g.Title, g.ID)
		}
		fmt.Fprint(w, "\n\nlangkeep COMMAND --help tells more.")
	}
	if c.HasParent() && c.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\n\nFLAGS\n%s", strings.TrimRight(c.LocalFlags().FlagUsages(), " \n"))
	}
	fmt.Fprintln(w)
	return nil
}

// newRoot makes the command langkeep with all its commands.
func newRoot(a *app) *cobra.Command {
	// Cobra would take an agent that Windows starts at login, from the Explorer,
	// for a program clicked by mistake, and end it.
	cobra.MousetrapHelpText = ""
	cobra.EnableCommandSorting = false // the groups below have the order
	root := &cobra.Command{
		Use:   "langkeep COMMAND",
		Short: "Keeps you signed in to Langflow",
		Long: `Langkeep keeps you signed in to Langflow. Sign in once; from then on any local
program gets a valid token from the agent, which refreshes it in time.`,
		Example: `  langkeep login prod https://flows.example.org
  langkeep status
  langkeep exec prod --scope edit -- lfx push flow.json`,
		SilenceUsage:          true,
		SilenceErrors:         true,
		DisableFlagsInUseLine: true,
		Args:                  subcommand,
	}
	asked := root.Flags().BoolP("version", "v", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asked {
			return a.result(versionLine())
		}
		return cmd.Help()
	}
	root.SetUsageFunc(usage)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagWords(err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Help about any command",
		Hidden: true, DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return usageError{err}
			}
			if err := root.ValidateArgs(rest); cmd == root && err != nil {
				return usageError{err}
			}
			return cmd.Help()
		},
	})
	root.PersistentFlags().BoolVar(&a.fromEntry, "from-desktop", false, "tell a failure in a notification too, for the desktop entry")
	_ = root.PersistentFlags().MarkHidden("from-desktop") // it is there
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"day", "COMMANDS FOR EVERY DAY", []*cobra.Command{
			newLogin(a), newStatus(a), newOpen(a), newToken(a), newKey(a), newRefresh(a), newLogout(a), newRemove(a),
		}},
		{"programs", "COMMANDS FOR PROGRAMS", []*cobra.Command{
			newConnect(a), newDisconnect(a), newExec(a), newEnv(a), newMCP(a), newProxy(a), newClient(a), newKeys(a),
			newAsks(a), newAllow(a), newDeny(a),
		}},
		{"agent", "COMMANDS FOR THE AGENT", []*cobra.Command{
			newStart(a), newStop(a), newRestart(a), newRun(a), newAutostart(a), newLock(a), newUnlock(a),
		}},
		{"trouble", "COMMANDS FOR TROUBLE, AND OTHERS", []*cobra.Command{
			newDoctor(a), newAudit(a), newDemo(a), newVersion(a), newCompletion(a), newMan(a),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	for c := range commands(root) {
		c.DisableFlagsInUseLine = true
	}
	return root
}

// commands yields all commands below c, at any depth.
func commands(c *cobra.Command) iter.Seq[*cobra.Command] {
	return func(yield func(*cobra.Command) bool) {
		for _, sub := range c.Commands() {
			if !yield(sub) {
				return
			}
			for inner := range commands(sub) {
				if !yield(inner) {
					return
				}
			}
		}
	}
}

// needsAgent adds the flag of commands that start the agent.
func (a *app) needsAgent(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.noStart, "no-start", false, "fail with exit code 5 if no agent runs, rather than start one")
	return cmd
}

// takesProfile adds the argument, completion and flag of a command for one profile.
func (a *app) takesProfile(cmd *cobra.Command) *cobra.Command {
	cmd.Args = takes(0, 1)
	cmd.ValidArgsFunction = a.completeProfile
	return a.needsAgent(cmd)
}
