package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

func newClient(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "client add|list|revoke",
		Short: "Add, list or revoke programs that may ask",
		Long: `A client is a local program with a token of its own, that may do what its scopes
say with its profiles until the token ends. The token takes the place of an API
key at a profile's proxy, and goes as a bearer to the agent's local API.

Scopes: read (how the sessions are), token and api-key (those credentials), manage
(sign in and out); and through the proxy
  run     runs flows with inputs
  tweak   runs flows with tweaks and uploads: on servers before 1.13 that is code
  edit    uses the account, without what takes code
  proxy   uses the whole account, code and credentials included`,
		Example: `  langkeep client add editor --profile prod --scope run
  langkeep client list
  langkeep client revoke editor`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return usagef("say what to do: add, list or revoke") },
	}
	cmd.AddCommand(newClientAdd(a), newClientList(a), newClientRevoke(a))
	return cmd
}

type clientAddOptions struct {
	*app
	profiles, scopes []string
	expires          string
	lifetime         time.Duration // what expires says
	json             bool
}

func newClientAdd(a *app) *cobra.Command {
	o := &clientAddOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "add NAME --profile P... --scope S... [--expires 30d]",
		Short: "Let a program in, and print its token",
		Long: `Let a program in. Its token is printed this once: only a hash of it is kept.
Programs that Langkeep starts need none of this: see langkeep exec.`,
		Example: `  langkeep client add editor --profile prod --scope run
  langkeep client add backup --profile prod --profile test --scope edit --expires 12h`,
		Args: takes(1, 1),
		PreRunE: func(*cobra.Command, []string) (err error) {
			switch {
			case len(o.profiles) == 0:
				return usagef("name the profiles that it may use, with --profile")
			case len(o.scopes) == 0:
				return usagef("say what it may do, with --scope")
			}
			if o.lifetime, err = parseLifetime(o.expires); err != nil {
				return usagef("--expires: %w", err)
			}
			return nil
		},
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().StringArrayVar(&o.profiles, "profile", nil, "a `profile` that it may use; give it again for more")
	cmd.Flags().StringArrayVar(&o.scopes, "scope", nil, "a `scope`: read, token, api-key, run, tweak, edit, proxy or manage; give it again for more")
	cmd.Flags().StringVar(&o.expires, "expires", "30d", "the `duration` of the token's life, such as 8h or 90d; at most 366d")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the client with its token as JSON")
	return cmd
}

func (o *clientAddOptions) run(ctx context.Context, c *client.Client, args []string) error {
	added, body, err := c.AddClient(ctx, client.NewClient{
		Name: args[0], Scopes: o.scopes, Profiles: o.profiles, ExpiresIn: new(int64(o.lifetime / time.Second)),
	})
	if err != nil {
		return err
	}
	o.say(fmt.Sprintf("%s may use %s until %s; this is its token, which is not shown again",
		added.Name, strings.Join(added.Profiles, ", "), words.Clock(*added.ExpiresAt, o.clock.Now())))
	text := added.Token.Reveal() + "\n"
	if o.json {
		text = body.Reveal()
	}
	if err := o.result(text); err != nil {
		// Nobody has seen the token.
		return errors.Join(err, c.RevokeClient(context.WithoutCancel(ctx), added.Name))
	}
	return nil
}

type clientListOptions struct {
	*app
	json bool
}

func newClientList(a *app) *cobra.Command {
	o := &clientListOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "list [--json]",
		Short: "List the programs that may ask",
		Long: `List the clients: what each may do, with which profiles, and until when. One whose
time is over stays in the list for a week.`,
		Example: `  langkeep client list
  langkeep client list --json | jq '.clients[].name'`,
		Args: takes(0, 0),
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().BoolVar(&o.json, "json", false, "print the list as JSON")
	return cmd
}

func (o *clientListOptions) run(ctx context.Context, c *client.Client, _ []string) error {
	if o.json {
		return o.resultJSON(c.ClientsJSON(ctx))
	}
	all, err := c.Clients(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		o.say("there are no clients; langkeep client add makes one")
		return nil
	}
	if err := o.result(clientTable(all, o.clock.Now())); err != nil {
		return err
	}
	narrowed := false
	for _, known := range all {
		if known.Narrowed {
			narrowed = true
			o.say(known.Name + ": its scope run allows inputs alone by now; if it sends tweaks or uploads, revoke it and add it again with the scope tweak")
		}
	}
	if !narrowed {
		return nil
	}
	return c.SeenClients(ctx)
}

// clientTable is what people see of clients.
func clientTable(all []client.LocalClient, now time.Time) string {
	rows := [][]string{{"CLIENT", "PROFILES", "SCOPES", "ENDS"}}
	for _, c := range all {
		end := "with its program"
		if c.ExpiresAt != nil {
			end = "over"
			if c.ExpiresAt.After(now) {
				end = words.In(c.ExpiresAt.Sub(now))
			}
		}
		rows = append(rows, []string{words.Safe(c.Name), words.Safe(strings.Join(c.Profiles, " ")), words.Safe(strings.Join(c.Scopes, " ")), end})
	}
	return table(rows...)
}

func newClientRevoke(a *app) *cobra.Command {
	return a.needsAgent(&cobra.Command{
		Use:   "revoke NAME",
		Short: "End a program's token at once",
		Long: `End a client's token at once, and what streams to it. A tool that was connected
with that token needs langkeep connect again.`,
		Example: `  langkeep client revoke editor`,
		Args:    takes(1, 1),
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.RevokeClient(ctx, args[0]); err != nil {
				return err
			}
			a.say(args[0] + ": its token is revoked")
			return nil
		}),
	})
}
