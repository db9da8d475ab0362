package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/cmd/quick"
	"langkeep/localapi/client"
	"langkeep/tray/clipboard"
)

// credentialOptions has the differences between the commands that print a credential,
// and their flags.
type credentialOptions struct {
	*app
	prefix    string // of the header that --output header prints
	get, json func(c *client.Client, ctx context.Context, name string, minValid time.Duration) (secret.Text, error)

	minValid span
	output   string
	copy     bool // to the clipboard instead
}

// command makes such a command.
func (o *credentialOptions) command(cmd *cobra.Command) *cobra.Command {
	header, _, _ := strings.Cut(o.prefix, ":")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return o.check(cmd) }
	cmd.RunE = o.onProfile(o.run)
	o.minValid = span(client.AnyLifetime)
	spanVar(cmd.Flags(), &o.minValid, "min-valid", "how long it must be valid, such as 90s, 10m or 9d (default: a minute, if that can be had)")
	cmd.Flags().StringVar(&o.output, "output", "raw", "the `form`: raw, json, or header for the header "+header)
	cmd.Flags().BoolVar(&o.copy, "copy", false, "copy it to the clipboard for 30 seconds, and wait for their end")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"raw", "json", "header"}, cobra.ShellCompDirectiveNoFileComp))
	return o.takesProfile(cmd)
}

func (o *credentialOptions) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("min-valid") && o.minValid < 0 {
		return usagef("--min-valid %v is below zero", &o.minValid)
	}
	if o.copy && cmd.Flags().Changed("output") {
		return usagef("--copy and --output don't go together")
	}
	switch o.output {
	case "raw", "json", "header":
		return nil
	}
	return usagef("--output %q is not known: use raw, json or header", o.output)
}

func (o *credentialOptions) run(ctx context.Context, c *client.Client, name string) error {
	if o.output == "json" {
		done := o.waiting("waiting for " + name)
		body, err := o.json(c, ctx, name, time.Duration(o.minValid))
		done()
		return o.resultJSON([]byte(body.Reveal()), err)
	}
	done := o.waiting("waiting for " + name)
	credential, err := o.get(c, ctx, name, time.Duration(o.minValid))
	done()
	if err != nil {
		return err
	}
	if o.copy {
		return o.toClipboard(ctx, credential)
	}
	return o.print(credential)
}

// toClipboard copies a credential, and returns when it is no longer there.
func (o *credentialOptions) toClipboard(ctx context.Context, credential secret.Text) error {
	board, err := clipboard.New(o.getenv)
	if err != nil {
		return err
	}
	if err := board.Copy(credential); err != nil {
		return err
	}
	defer board.Close()
	o.say("it is on the clipboard for 30 seconds")
	_ = clock.Pause(ctx, clipboard.Keep) // a signal ends it early
	return nil
}

// print writes a credential, alone or as a header.
func (o *credentialOptions) print(credential secret.Text) error {
	out := credential.Reveal()
	if !quick.Printable(credential) {
		return errors.New("the agent's answer has no credential that can be printed: run langkeep restart, and try again")
	}
	if o.output == "header" {
		out = o.prefix + out
	}
	return o.result(out + "\n")
}

func newToken(a *app) *cobra.Command {
	o := &credentialOptions{
		app: a, prefix: quick.Header, json: (*client.Client).TokenJSON,
		get: func(c *client.Client, ctx context.Context, name string, minValid time.Duration) (secret.Text, error) {
			token, err := c.Token(ctx, name, minValid)
			return token.AccessToken, err
		},
	}
	return o.command(&cobra.Command{
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
	})
}

// resultJSON writes an answer of the agent to stdout, byte for byte.
func (a *app) resultJSON(body []byte, err error) error {
	if err != nil {
		return err
	}
	return a.result(string(body))
}

// result writes to stdout.
func (a *app) result(s string) error {
	if _, err := io.WriteString(a.stdout, s); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}
