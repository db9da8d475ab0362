package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"langkeep/agent/autostart"
)

func newAutostart(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "autostart enable|disable|status",
		Short: "Start the agent at login",
		Long: `Have the agent started whenever you log in, or no longer. On Linux this is an
autostart entry of the desktop or, without a desktop, a user unit of systemd; on
macOS a LaunchAgent, on Windows a value of your Run key. It starts this very
program: enable it again after you have moved it. LANGKEEP_HOME, where it is set,
goes with it, and gives it a name of its own.

status prints enabled, disabled, or outdated for an entry that starts another
program or was edited, and where the entry is.`,
		Example: `  langkeep autostart enable
  langkeep autostart status`,
		Args:      takesOne,
		ValidArgs: []string{"enable", "disable", "status"},
		RunE:      func(_ *cobra.Command, args []string) error { return a.autostart(args[0]) },
	}
}

func (a *app) autostart(what string) error {
	entry, err := a.autostartEntry()
	if err != nil {
		return err
	}
	switch what {
	case "enable":
		err = entry.Enable()
	case "disable":
		err = entry.Disable()
	}
	if err != nil {
		return err
	}
	status, err := entry.Status()
	if err != nil {
		return err
	}
	switch {
	case what == "disable":
		a.say("the agent no longer starts at login")
		return nil
	case what == "enable":
		a.say("the agent starts at login: " + status.Where)
		return nil
	case status.State == autostart.Outdated:
		a.say("the entry starts another program or was edited: langkeep autostart enable renews it")
	}
	if status.Where == "" {
		return a.result(fmt.Sprintln(status.State))
	}
	return a.result(fmt.Sprintf("%s  %s\n", status.State, status.Where))
}

// autostartEntry is that of this user's own agent.
func (a *app) autostartEntry() (*autostart.Entry, error) {
	p, err := a.ownAgent("start at login")
	if err != nil {
		return nil, err
	}
	return autostart.New(p, a.getenv)
}

// takesHome gives a command the flag by which an entry says LANGKEEP_HOME.
func (a *app) takesHome(cmd *cobra.Command) {
	cmd.Flags().Func("home", "the folder that LANGKEEP_HOME would name", func(dir string) error {
		getenv := a.getenv
		a.getenv = func(name string) string {
			if name == "LANGKEEP_HOME" {
				return dir
			}
			return getenv(name)
		}
		return nil
	})
	cmd.Flags().Lookup("home").Hidden = true
}
