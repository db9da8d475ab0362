package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type statusOptions struct {
	*app
	json, watch, ready bool
}

func newStatus(a *app) *cobra.Command {
	o := &statusOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:        "status [NAME] [--json|--watch|--ready]",
		Short:      "Show the sessions, and what is left of them",
		SuggestFor: []string{"ls", "list"},
		Long: `Show every profile in a table: its state, what is left of its token and of the
session, and when the agent acts next. With a name, more about that one. --watch
follows the changes until Ctrl-C: on a terminal the table is drawn anew, elsewhere
each change is a line. --json is for programs.

The exit code is 0, whatever the state. With --ready nothing is printed, and it is
0 only if every profile, or the one named, is fresh or retrying; else 3 for a
sign-in that is required, 6 for a keychain, 4 for a server that is away.`,
		Example: `  langkeep status
  langkeep status prod
  langkeep status --json | jq '.profiles[].state'
  until langkeep status prod --ready; do sleep 1; done`,
		PreRunE: func(*cobra.Command, []string) error {
			if o.json && o.watch || o.json && o.ready || o.watch && o.ready {
				return usagef("--json, --watch and --ready are one at a time")
			}
			return nil
		},
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().BoolVar(&o.json, "json", false, "print what the local API answers")
	cmd.Flags().BoolVar(&o.watch, "watch", false, "follow the changes")
	cmd.Flags().BoolVar(&o.ready, "ready", false, "print nothing, and exit 0 only if there is a valid token")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, c *client.Client, args []string) error {
	switch {
	case o.json && len(args) > 0:
		return o.resultJSON(c.ProfileJSON(ctx, args[0]))
	case o.json:
		return o.resultJSON(c.StatusJSON(ctx))
	case o.watch:
		return newWatch(o.app, args).run(ctx, c)
	}
	if o.ready && len(args) > 0 {
		p, err := c.Profile(ctx, args[0])
		if err != nil {
			return err
		}
		return ready([]client.Profile{p})
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if status.ConfigError != nil {
		o.say("the settings are as before, since a file can't be used: " + *status.ConfigError)
	}
	if len(args) > 0 {
		p, err := c.Profile(ctx, args[0])
		if err != nil {
			return err
		}
		if status.Locked {
			o.say(locked)
		}
		return o.result(o.long(p))
	}
	if status.AuditError != nil {
		o.say(*status.AuditError)
	}
	if o.ready {
		return ready(status.Profiles)
	}
	if status.Locked {
		o.say(locked)
	}
	if len(status.NarrowedClients) > 0 {
		o.say(words.Safe(strings.Join(status.NarrowedClients, ", ")) + ": the scope run no longer allows tweaks and uploads; langkeep client list says what to do")
	}
	if len(status.Profiles) == 0 {
		o.say(noProfiles)
		return nil
	}
	width, colour, _ := o.screen()
	return words.Table(o.stdout, status.Profiles, o.clock.Now(), width, colour)
}

const locked = "locked: nothing is handed out; langkeep unlock ends that"

const noProfiles = "no profile yet: langkeep login NAME URL makes one"

// ready is nil if there is a profile and all have a valid token. Otherwise its exit
// code is that of the state that needs a person most.
func ready(profiles []client.Profile) error {
	if len(profiles) == 0 {
		return exitError{exitSignIn, errors.New(noProfiles)}
	}
	for _, code := range []int{exitSignIn, exitKeychainLocked, exitUnreachable, exitFailed} {
		for _, p := range profiles {
			if codeOfState(p.State) == code {
				return exitError{code, fmt.Errorf("not ready: %s: %s", p.Name, words.State(p))}
			}
		}
	}
	return nil
}

// long is all about one profile.
func (o *statusOptions) long(p client.Profile) string {
	now := o.clock.Now()
	var b strings.Builder
	line := func(what, value string) {
		if value != "" && value != words.None {
			fmt.Fprintf(&b, "  %-12s %s\n", what, value)
		}
	}
	fmt.Fprintf(&b, "%s  %s\n%s\n\n", words.Safe(p.Name), words.Safe(p.ServerURL), words.Long(p, now))
	line("state", words.State(p))
	if p.Method != nil {
		line("method", words.Safe(string(*p.Method)))
	}
	line("token", words.TokenLeft(p, now))
	line("session", words.SessionLeft(p, now))
	if p.LastRefreshAt != nil {
		line("refreshed", words.Clock(*p.LastRefreshAt, now))
	}
	line("next", words.Next(p, now))
	if p.ServerVersion != nil {
		line("Langflow", words.Safe(*p.ServerVersion))
	}
	if p.ReasonDetail != nil {
		line("it said", words.Safe(*p.ReasonDetail))
	}
	line("headers", words.Safe(strings.Join(p.GatewayHeaders, ", ")))
	line("headers from", words.Command(p.HeaderCommand))
	line("token from", words.Command(p.TokenCommand))
	if p.ClientCert != nil {
		line("certificate", words.Safe(*p.ClientCert))
	}
	if p.ProxyURL != nil {
		line("proxy", words.Safe(*p.ProxyURL))
	}
	return b.String()
}
