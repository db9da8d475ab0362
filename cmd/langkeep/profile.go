package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/config"
	"langkeep/agent/paths"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// dialFor finds the agent, and the command's profile.
func (a *app) dialFor(ctx context.Context, args []string) (*client.Client, string, error) {
	c, err := a.dial(ctx)
	if err != nil {
		return nil, "", err
	}
	name, err := a.profileName(ctx, c, args)
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, name, nil
}

// onAgent makes a cobra function from a command's work with the agent.
func (a *app) onAgent(do func(ctx context.Context, c *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.dial(cmd.Context())
		if err != nil {
			return err
		}
		defer c.Close()
		return do(cmd.Context(), c, args)
	}
}

// onProfile is onAgent for a command's work with one profile.
func (a *app) onProfile(do func(ctx context.Context, c *client.Client, name string) error) func(*cobra.Command, []string) error {
	return a.onAgent(func(ctx context.Context, c *client.Client, args []string) error {
		name, err := a.profileName(ctx, c, args)
		if err != nil {
			return err
		}
		return do(ctx, c, name)
	})
}

// profileName is the command's profile: the named one, else LANGKEEP_PROFILE, else
// default_profile of config.toml, else the only one.
func (a *app) profileName(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if name := a.getenv("LANGKEEP_PROFILE"); name != "" {
		a.nameFrom = "LANGKEEP_PROFILE"
		return name, nil
	}
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return "", err
	}
	conf, confErr := config.LoadConfig(p.ConfigFile())
	if confErr == nil && conf.DefaultProfile != "" {
		a.nameFrom = "default_profile in config.toml"
		return conf.DefaultProfile, nil
	}
	profiles, err := c.Profiles(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case len(profiles) == 1:
		return profiles[0].Name, nil
	case len(profiles) == 0:
		return "", usagef("there is no profile yet: langkeep login NAME URL makes one")
	case confErr != nil:
		return "", usagef("name a profile, %s; config.toml can't be read for a default: %w", listed(profiles), confErr)
	}
	return "", usageError{severalProfiles(listed(profiles))}
}

// severalProfiles are the names of the profiles where none is named.
type severalProfiles string

func (s severalProfiles) Error() string { return "name a profile: " + string(s) }

func listed(profiles []client.Profile) string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// completeProfile completes a profile's name, from an agent that runs already:
// Tab must neither start a program nor wait.
func (a *app) completeProfile(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return nil, none
	}
	c, err := client.Find(ctx, a.getenv, p)
	if err != nil {
		return nil, none
	}
	defer c.Close()
	profiles, err := c.Profiles(ctx)
	if err != nil {
		return nil, none
	}
	var names []string
	for _, p := range profiles {
		// For the shell, the text after a tab is a description.
		names = append(names, words.Safe(p.Name)+"\t"+words.Safe(p.ServerURL))
	}
	return names, none
}
