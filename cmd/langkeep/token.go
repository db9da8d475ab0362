package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// credentialOptions are the flags of the commands that print a credential.
type credentialOptions struct {
	*app
	minValid time.Duration
	output   string
}

// flags gives such a command its flags; header names the one that --output
// header prints.
func (o *credentialOptions) flags(cmd *cobra.Command, header string) {
	cmd.Flags().DurationVar(&o.minValid, "min-valid", client.AnyLifetime, "how long it must be valid, such as 90s or 10m (default: a minute, if that can be had)")
	cmd.Flags().Lookup("min-valid").DefValue = "0s" // which help leaves out
	cmd.Flags().StringVar(&o.output, "output", "raw", "raw, json, or header for the header "+header)
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"raw", "json", "header"}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *credentialOptions) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("min-valid") && o.minValid < 0 {
		return usagef("--min-valid %v is below zero", o.minValid)
	}
	switch o.output {
	case "raw", "json", "header":
		return nil
	}
	return usagef("--output %q is not known: use raw, json or header", o.output)
}

// print writes a credential, as a header after prefix if that is wanted.
func (o *credentialOptions) print(credential secret.Text, prefix string) error {
	out := credential.Reveal()
	// It goes into a command line or a header next.
	if out == "" || strings.ContainsFunc(out, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("the agent's answer has nothing that can be used")
	}
	if o.output == "header" {
		out = prefix + out
	}
	return o.result(out + "\n")
}

func newToken(a *app) *cobra.Command {
	o := &credentialOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "token [NAME] [--min-valid D] [--output raw|json|header]",
		Short: "Print a valid access token",
		Long: `Print an access token that is valid for a while: from the agent's memory if it
lives long enough, else after a refresh. Langflow takes it on most routes, but
not on /run, /responses, webhooks and MCP, which want an API key: see langkeep
key.

Exit codes: 3 sign-in required, 4 the server can't be reached and no good enough
token is held, 6 the keychain is locked.`,
		Example: `  langkeep token prod --output header | curl -H @- https://flows.example.org/api/v1/users/whoami
  langkeep token prod --min-valid 30m
  langkeep token prod --output json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			return o.token(cmd.Context(), args)
		},
	})
	o.flags(cmd, "Authorization")
	return cmd
}

func (o *credentialOptions) token(ctx context.Context, args []string) error {
	c, name, err := o.connectFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	if o.output == "json" {
		body, err := c.TokenJSON(ctx, name, o.minValid)
		if err != nil {
			return err
		}
		return o.result(body.Reveal())
	}
	token, err := c.Token(ctx, name, o.minValid)
	if err != nil {
		return err
	}
	return o.print(token.AccessToken, "Authorization: Bearer ")
}

// result writes to stdout.
func (a *app) result(s string) error {
	if _, err := io.WriteString(a.stdout, s); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}
