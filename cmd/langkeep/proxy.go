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
	hosts   []string
	socket  bool
}

func newProxy(a *app) *cobra.Command {
	o := &proxyOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "proxy [NAME] on|off|status [--allow-origin O]... [--allow-host H]... [--socket]",
		Short: "Open an address where tools need no key",
		Long: `Open or close a profile's proxy: an address on this computer where any tool that
takes a base URL and an API key works with a client token in the key's place
(langkeep client add makes one). Langkeep puts in the real key, which the tool
never sees. The proxy's URL is printed.

With --allow-origin, web pages of that origin may use it too, with a client token
of theirs; "none" takes that back.

Programs in containers reach this computer by a name such as host.docker.internal:
allow it with --allow-host; "none" takes that back. With --socket the proxy listens
on a Unix socket too, whose folder can be mounted into a container. They need a client
token, like everybody.`,
		Example: `  langkeep proxy prod on
  langkeep proxy prod on --allow-origin https://app.example.org
  langkeep proxy prod on --allow-host host.docker.internal
  langkeep proxy prod status`,
		Args: takes(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{"on", "off", "status"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeProfile(cmd, args, typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			return o.run(cmd.Context(), args[:last], args[last], cmd.Flags().Changed)
		},
	})
	cmd.Flags().StringArrayVar(&o.origins, "allow-origin", nil, "an `origin` whose pages may use it, such as https://app.example.org; give it again for more")
	cmd.Flags().StringArrayVar(&o.hosts, "allow-host", nil, "a `name` by which programs in containers reach this computer; give it again for more")
	cmd.Flags().BoolVar(&o.socket, "socket", false, "listen on a Unix socket too; --socket=false takes it away")
	return cmd
}

func (o *proxyOptions) run(ctx context.Context, args []string, what string, given func(flag string) bool) error {
	change := client.ProfileChange{Proxy: new(what == "on")}
	switch {
	case what != "on" && what != "off" && what != "status":
		return usagef("say on, off or status, not %q", what)
	case what != "on" && (given("allow-origin") || given("allow-host") || given("socket")):
		return usagef("--allow-origin, --allow-host and --socket go with on")
	}
	if given("allow-origin") {
		change.ProxyAllowOrigins = orNone(o.origins)
	}
	if given("allow-host") {
		change.ProxyAllowHosts = orNone(o.hosts)
	}
	if given("socket") {
		change.ProxySocket = &o.socket
	}
	c, name, err := o.dialFor(ctx, args)
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
		for _, host := range p.ProxyAllowHosts {
			o.say(name + ": programs that know this computer as " + host + " may use the proxy")
		}
		if p.ProxySocket != nil {
			o.say(name + ": the proxy's socket is " + *p.ProxySocket)
		}
		return o.result(*p.ProxyURL + "\n")
	case p.ProxyReason != nil:
		return proxyError(p)
	}
	o.say(name + ": the proxy is off")
	return nil
}

// orNone is a list of a flag's values, never nil; none for the one value "none".
func orNone(values []string) *[]string {
	if len(values) == 1 && values[0] == "none" {
		values = nil
	}
	return new(append([]string{}, values...))
}

// proxyError says why a proxy that should be open is not.
func proxyError(p client.Profile) error {
	return errors.New(p.Name + ": " + cmp.Or(lower(words.Proxy(p)), "the proxy has no port: see the agent's log"))
}
