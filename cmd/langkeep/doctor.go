package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"langkeep/agent/autostart"
	"langkeep/agent/config"
	"langkeep/agent/paths"
	"langkeep/agent/vocabulary"
	"langkeep/localapi"
	"langkeep/localapi/client"
	"langkeep/localapi/doctor"
	"langkeep/localapi/guard"
	"langkeep/localapi/words"
	"langkeep/tray/clipboard"
)

type doctorOptions struct {
	*app
	json bool
}

func newDoctor(a *app) *cobra.Command {
	o := &doctorOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "doctor [NAME] [--json]",
		Short: "Look for what is wrong",
		Long: `Look at all that Langkeep needs: the agent, its port and socket, files, settings,
the keychain, the desktop, this shell's proxy variables; then, for a profile, at
its server: name, connection, certificate, version, sign-in methods, the token or
key that is held, and which routes it opens. Each line is ok, a warning or failed,
with what to do.

Nothing secret is in it, so it can be pasted into an issue. The exit code is 1 if
anything failed. With --no-start and no agent, what only the agent can see is left
out.`,
		Example: `  langkeep doctor
  langkeep doctor prod
  langkeep doctor prod --json | jq '.checks[] | select(.verdict != "ok")'`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	})
	cmd.Flags().BoolVar(&o.json, "json", false, "print the checks for programs")
	return cmd
}

func (o *doctorOptions) run(ctx context.Context, args []string) error {
	p, err := paths.Resolve(o.getenv)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		if err := vocabulary.ValidName(args[0]); err != nil {
			return usageError{err}
		}
	}
	checks, err := o.look(ctx, p, args)
	if err != nil {
		return err
	}
	if err := o.print(checks); err != nil {
		return err
	}
	bad := 0
	for _, c := range checks {
		if c.Verdict == client.CheckFailed {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks failed: follow the advice beside them", bad, len(checks))
	}
	return nil
}

// look makes the command's own checks, then has the agent make its checks. Without an
// agent it makes those of them that it can.
func (o *doctorOptions) look(ctx context.Context, p paths.Paths, args []string) ([]client.Check, error) {
	c, agentErr := o.dial(ctx)
	if agentErr == nil {
		defer c.Close()
		// An agent that does not answer must not delay the other checks.
		if _, err := c.Status(ctx); errors.Is(err, client.ErrStuck) {
			c, agentErr = nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if errors.Is(agentErr, client.ErrEnvironment) {
		return nil, agentErr
	}
	mine := []doctor.Check{agentCheck(ctx, p, c, agentErr)}
	if o.getenv("LANGKEEP_URL") == "" { // otherwise the agent is not this user's own
		if !errors.Is(agentErr, client.ErrStuck) {
			mine = append(mine, portCheck(p, c), socketCheck(p, c))
		}
		mine = append(mine, doctor.Files(p), doctor.Settings(p),
			doctor.Autostart(func() (autostart.Status, error) {
				entry, err := o.autostartEntry()
				if err != nil {
					return autostart.Status{}, err
				}
				return entry.Status()
			}))
	}
	mine = append(mine, doctor.ProxyVariables(o.getenv))
	home := doctor.HomeFolder()
	checks := localapi.PresentChecks(doctor.Run(ctx, home, mine...), "")

	if c != nil {
		name, err := o.profileName(ctx, c, args)
		var usage usageError
		if errors.As(err, &usage) {
			o.say("no server was looked at: " + usage.Error())
		} else if err != nil {
			return nil, err
		}
		done := o.waiting("looking")
		report, err := c.Doctor(ctx, name)
		done()
		return append(checks, report.Checks...), err
	}
	inside := append(doctor.Desktop(func() error { return clipboard.Check(o.getenv) }), doctor.PeerLookup(guard.New(guard.Config{Log: slog.New(slog.DiscardHandler)}).PeerLookup))
	checks = append(checks, localapi.PresentChecks(doctor.Run(ctx, home, inside...), "")...)
	if name := o.profileOffline(p, args); name != "" {
		results := doctor.Run(ctx, home, doctor.ProfileChecks(p, name, userAgent(), nil)...)
		checks = append(checks, localapi.PresentChecks(results, name)...)
	}
	return checks, nil
}

// profileOffline is profileName from the files alone; "" if they name none.
func (o *doctorOptions) profileOffline(p paths.Paths, args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	if name := o.getenv("LANGKEEP_PROFILE"); name != "" {
		return name
	}
	if conf, err := config.LoadConfig(p.ConfigFile()); err == nil && conf.DefaultProfile != "" {
		return conf.DefaultProfile
	}
	profiles, _ := config.LoadProfiles(p.ProfilesDir()) // the check of the settings tells the errors
	if len(profiles) == 1 {
		for name := range profiles {
			return name
		}
	}
	return ""
}

func (o *doctorOptions) print(checks []client.Check) error {
	if o.json {
		body, err := json.Marshal(client.Report{Checks: checks})
		if err != nil {
			return err
		}
		return o.result(string(body) + "\n")
	}
	var b strings.Builder
	profile := ""
	for _, c := range checks {
		if c.Profile != nil && *c.Profile != profile {
			profile = *c.Profile
			fmt.Fprintf(&b, "\n%s\n", words.Safe(profile))
		}
		line := words.Safe(c.Found)
		if c.Advice != nil {
			line += " " + words.Safe(*c.Advice)
		}
		fmt.Fprintf(&b, "%-8s %-16s %s\n", words.Safe(string(c.Verdict)), words.Safe(c.Check), line)
	}
	return o.result(b.String())
}

// agentCheck says which agent answers, or why none does.
func agentCheck(ctx context.Context, p paths.Paths, c *client.Client, connectErr error) doctor.Check {
	return doctor.Check{Name: "agent", Look: func(context.Context) doctor.Finding {
		if errors.Is(connectErr, client.ErrNoAgent) {
			return doctor.Finding{
				Verdict: doctor.Warning, Found: "No agent runs, so the checks that only an agent can make were left out.", Advice: "Run langkeep start.",
			}
		}
		if errors.Is(connectErr, client.ErrStuck) {
			found, _, _ := strings.Cut(wordsOf(connectErr), ": ")
			return doctor.Finding{Verdict: doctor.Failed, Found: words.Sentence(found), Advice: "Run langkeep restart, which replaces it."}
		}
		if connectErr != nil {
			return doctor.Finding{Verdict: doctor.Failed, Found: words.Sentence(wordsOf(connectErr)), Advice: "See its log, " + p.Log() + "."}
		}
		status, err := c.Status(ctx)
		if err != nil {
			return doctor.Finding{Verdict: doctor.Failed, Found: words.Sentence(wordsOf(err)), Advice: "Run langkeep restart."}
		}
		f := doctor.Finding{Verdict: doctor.OK, Found: fmt.Sprintf("langkeep %s runs on %s/%s, with the store %s.", status.Version, runtime.GOOS, runtime.GOARCH, status.Store)}
		if status.Version != version {
			f.Verdict, f.Advice = doctor.Warning, "This command is "+version+": run langkeep restart."
		}
		return f
	}}
}

// portCheck asks the agent over TCP, like programs; without an agent it checks whether
// the port is free.
func portCheck(p paths.Paths, c *client.Client) doctor.Check {
	return doctor.Check{Name: "port", Look: func(ctx context.Context) doctor.Finding {
		if c == nil {
			conf, err := config.LoadConfig(p.ConfigFile())
			if err != nil {
				conf = config.Default() // the check of the settings tells
			}
			listeners, err := guard.ListenTCP(conf.Listen)
			if err != nil {
				return doctor.Finding{Verdict: doctor.Failed, Found: conf.Listen + " can't be listened on.", Advice: words.Sentence(err.Error())}
			}
			for _, l := range listeners {
				_ = l.Close() // nobody has connected
			}
			return doctor.Finding{Verdict: doctor.OK, Found: conf.Listen + " is free."}
		}
		running, err := client.ReadRunning(p)
		if err == nil {
			token, _ := client.OwnerToken(p) // without it the agent refuses, which says more
			err = asks(ctx, client.Options{URL: running.URL, Token: token})
		}
		if err != nil {
			return doctor.Finding{Verdict: doctor.Failed, Found: words.Sentence("the agent doesn't answer over TCP (" + wordsOf(err) + ")"), Advice: "Run langkeep restart."}
		}
		return doctor.Finding{Verdict: doctor.OK, Found: strings.TrimPrefix(running.URL, "http://") + " answers the owner's token."}
	}}
}

// socketCheck asks the agent over its Unix socket.
func socketCheck(p paths.Paths, c *client.Client) doctor.Check {
	return doctor.Check{Name: "socket", Look: func(ctx context.Context) doctor.Finding {
		_, err := os.Lstat(p.Socket())
		switch {
		case runtime.GOOS == "windows":
			return doctor.Finding{Verdict: doctor.OK, Found: "There is none on Windows: commands use TCP."}
		case c == nil:
			return doctor.Finding{Verdict: doctor.Warning, Found: "It was not tried, since no agent runs.", Advice: "Run langkeep start."}
		case err != nil:
			return doctor.Finding{
				Verdict: doctor.Warning, Found: "There is none: commands use TCP.",
				Advice: fmt.Sprintf("If its path, now %d bytes long, is over 104, set LANGKEEP_HOME to a shorter one; else run langkeep restart.", len(p.Socket())),
			}
		}
		if err := asks(ctx, client.Options{Socket: p.Socket()}); err != nil {
			return doctor.Finding{Verdict: doctor.Failed, Found: words.Sentence("the agent doesn't answer on " + p.Socket()), Advice: "Run langkeep restart."}
		}
		return doctor.Finding{Verdict: doctor.OK, Found: p.Socket() + " answers."}
	}}
}

// asks is nil if an agent answers at that address.
func asks(ctx context.Context, o client.Options) error {
	c, err := client.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Status(ctx)
	return err
}

func userAgent() string { return "langkeep/" + version }
