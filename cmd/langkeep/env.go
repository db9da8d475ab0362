package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type envOptions struct {
	*app
	shell    string
	lifetime string
	unset    bool
}

func newEnv(a *app) *cobra.Command {
	o := &envOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "env [NAME] [--shell sh|fish|powershell] [--for 8h] [--unset]",
		Short: "Give this shell's programs the account",
		Long: `Print commands that give a shell the environment of langkeep exec, with a client
token that ends after a while. Its scopes are the profile's exec_scopes, else read,
token and proxy, which is the whole account, code and credentials included. Prefer
exec, whose token ends with its program.

--unset revokes the token that the environment has, and prints the commands that
take the variables away.`,
		Example: `  eval "$(langkeep env prod)"
  eval "$(langkeep env --unset)"
  langkeep env prod --shell fish | source
  langkeep env prod --shell powershell | Out-String | Invoke-Expression`,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells[o.shell]
			if !ok {
				return usagef("--shell must be sh, fish or powershell")
			}
			if o.unset {
				return o.revoke(cmd.Context(), write)
			}
			return o.run(cmd.Context(), args, write)
		},
	})
	cmd.Flags().StringVar(&o.shell, "shell", "sh", "whose `language` to print: sh, fish or powershell")
	cmd.Flags().StringVar(&o.lifetime, "for", "8h", "the `duration` of the token's life, such as 30m or 5d")
	cmd.Flags().BoolVar(&o.unset, "unset", false, "revoke the token, and take the variables away")
	return cmd
}

// shells write the command by which a shell sets or unsets a variable.
var shells = map[string]func(name string, value *string) string{
	"sh": func(name string, value *string) string {
		if value == nil {
			return "unset " + name
		}
		return "export " + name + "='" + strings.ReplaceAll(*value, "'", `'\''`) + "'"
	},
	"fish": func(name string, value *string) string {
		if value == nil {
			return "set -e " + name
		}
		return "set -gx " + name + " '" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(*value) + "'"
	},
	"powershell": func(name string, value *string) string {
		if value == nil {
			return "Remove-Item -ErrorAction Ignore Env:" + name
		}
		return "$Env:" + name + " = '" + powershellQuotes.Replace(*value) + "'"
	},
}

// powershellQuotes double each character that ends a quoted text in PowerShell,
// which takes four typographic quotes for an apostrophe (about_Quoting_Rules, and
// IsSingleQuote in its tokenizer).
var powershellQuotes = strings.NewReplacer("'", "''", "\u2018", "\u2018\u2018", "\u2019", "\u2019\u2019", "\u201a", "\u201a\u201a", "\u201b", "\u201b\u201b")

func (o *envOptions) run(ctx context.Context, args []string, write func(string, *string) string) error {
	lifetime, err := parseLifetime(o.lifetime)
	if err != nil {
		return usagef("--for: %w", err)
	}
	o.leaveOwn()
	c, name, err := o.dialFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.ChangeProfile(ctx, name, client.ProfileChange{Proxy: new(true)})
	if err != nil {
		return err
	}
	if p.ProxyURL == nil {
		return proxyError(p)
	}
	var nonce [4]byte
	_, _ = rand.Read(nonce[:]) // never fails
	added, _, err := c.AddClient(ctx, client.NewClient{
		Name: "env-" + hex.EncodeToString(nonce[:]), Scopes: p.ExecScopes, Profiles: []string{name},
		ExpiresIn: new(int64(lifetime / time.Second)),
	})
	if err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	a := access{profile: name, server: *p.ProxyURL, key: added.Token, agent: status.URL}
	var b strings.Builder
	for _, v := range a.variables() {
		b.WriteString(write(v.name, &v.value) + "\n")
	}
	for _, v := range noProxy {
		b.WriteString(write(v, new(withLoopback(o.getenv(v)))) + "\n")
	}
	o.say(name + ": until " + words.Clock(*added.ExpiresAt, o.clock.Now()) + " programs of this shell may " + words.May(p.ExecScopes) + "; langkeep env --unset ends that")
	if err := o.result(b.String()); err != nil {
		return errors.Join(err, c.RevokeClient(context.WithoutCancel(ctx), added.Name))
	}
	return nil
}

// leaveOwn makes this command ask the user's own agent in a shell with the environment
// of an earlier env.
func (o *envOptions) leaveOwn() {
	if token := o.getenv("LANGKEEP_TOKEN"); token == "" || token != o.getenv(keyVariables[0]) {
		return
	}
	getenv := o.getenv
	o.getenv = func(name string) string {
		if slices.Contains(agentVariables, name) {
			return ""
		}
		return getenv(name)
	}
}

// revoke ends the token of an earlier env.
func (o *envOptions) revoke(ctx context.Context, write func(string, *string) string) error {
	if token := o.getenv("LANGKEEP_TOKEN"); token != "" {
		c, err := client.New(client.Options{URL: o.getenv("LANGKEEP_URL"), Token: secret.New(token)})
		if err == nil {
			err = c.RevokeSelf(ctx)
			c.Close()
		}
		if err != nil {
			o.say("the token could not be revoked: " + wordsOf(err))
		}
	}
	var b strings.Builder
	for _, name := range slices.Concat(serverVariables, keyVariables, agentVariables) {
		b.WriteString(write(name, nil) + "\n")
	}
	return o.result(b.String())
}
