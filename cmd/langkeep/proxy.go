package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type proxyOptions struct {
	*app
	origins []string
}

func newProxy(a *app) *cobra.Command {
	o := &proxyOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "proxy [NAME] on|off|status [--allow-origin O]...",
		Short: "Let tools use the account without a key",
		Long: `Open or close a profile's proxy: an address on this computer where any tool that
takes a base URL and an API key works with a client token in the key's place
(langkeep client add makes one). Langkeep puts in the real key, which the tool
never sees. The proxy's URL is printed.

With --allow-origin, web pages of that origin may use it too, with a client token
of theirs; "none" takes that back.`,
		Example: `  langkeep proxy prod on
  langkeep proxy prod on --allow-origin https://app.example.org
  langkeep proxy prod status`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"on", "off", "status"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeProfile(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return o.run(cmd.Context(), args[:last], args[last], cmd.Flags().Changed("allow-origin"))
		},
	})
	cmd.Flags().StringArrayVar(&o.origins, "allow-origin", nil, "an `origin` whose pages may use it, such as https://app.example.org; give it again for more")
	return cmd
}

func (o *proxyOptions) run(ctx context.Context, args []string, what string, originsGiven bool) error {
	change := client.ProfileChange{Proxy: new(what == "on")}
	switch {
	case what != "on" && what != "off" && what != "status":
		return usagef("say on, off or status, not %q", what)
	case originsGiven && what != "on":
		return usagef("--allow-origin goes with on")
	case originsGiven:
		if len(o.origins) == 1 && o.origins[0] == "none" {
			o.origins = nil
		}
		change.ProxyAllowOrigins = new(append([]string{}, o.origins...)) // never null
	}
	c, name, err := o.connectFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	var p client.Profile
	if what == "status" {
		p, err = c.Profile(ctx, name)
	} else {
		p, err = c.ChangeProfile(ctx, name, change)
	}
	switch {
	case err != nil:
		return err
	case p.ProxyURL != nil:
		for _, origin := range p.ProxyAllowOrigins {
			o.say(name + ": pages of " + origin + " may use the proxy")
		}
		return o.result(*p.ProxyURL + "\n")
	case p.ProxyReason != nil:
		return proxyError(p)
	}
	o.say(name + ": the proxy is off")
	return nil
}

// proxyError says why a proxy that should be open is not.
func proxyError(p client.Profile) error {
	return errors.New(p.Name + ": " + cmp.Or(lower(words.Proxy(p)), "the proxy has no port: see the agent's log"))
}
