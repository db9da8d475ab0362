package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/clients"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// resumeEvery is the time between two looks for a restarted agent.
const resumeEvery = 200 * time.Millisecond

type execOptions struct {
	*app
	scopes []string // nil for the profile's
	direct bool
}

func newExec(a *app) *cobra.Command {
	o := &execOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "exec [NAME] [--scope S]... [--direct] -- COMMAND...",
		Short: "Run a program with the account",
		Long: `Run a program with an environment that leads lfx, langflow-sdk and whatever reads
LANGFLOW_URL and LANGFLOW_API_KEY through the profile's proxy, with a client token
of its own that is revoked as soon as the program ends. No secret is in its
arguments, and no key of the server's is in its environment.

The token has the scopes of --scope, else of the profile's exec_scopes, else read,
token and proxy. proxy is the whole account, code and credentials included: give
run to a program that only runs flows, or edit to one that changes the account
without code. exec says so on stderr if a program gets more than that.

With --direct, for programs that can't use the proxy, it gets the server's URL and
a managed API key, which outlives the program: until when is said.

The exit code is the program's: 126 if it can't be executed, 127 if it is not
found, 128 and the signal's number if a signal ended it.`,
		Example: `  langkeep exec prod --scope edit -- lfx push flow.json
  langkeep exec prod --scope run -- python ask.py
  langkeep exec prod --scope run -- sh -c 'printf "x-api-key: %s" "$LANGFLOW_API_KEY" | curl -H @- $LANGFLOW_URL/api/v1/run/my-flow'`,
		ValidArgsFunction: a.completeProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			dash := cmd.ArgsLenAtDash()
			switch {
			case dash < 0:
				return usagef("put -- before the program and its arguments")
			case dash > 1:
				return usagef("give one profile before --")
			case dash == len(args):
				return usagef("give a program to run after --")
			case o.direct && cmd.Flags().Changed("scope"):
				return usagef("--direct gives an API key, which has no scopes")
			}
			return o.run(cmd.Context(), args[:dash], args[dash:])
		},
	})
	cmd.Flags().StringArrayVar(&o.scopes, "scope", nil, "a `scope` that it gets in place of the profile's: run, tweak, edit, proxy, read, token or api-key; give it again for more")
	cmd.Flags().BoolVar(&o.direct, "direct", false, "give it the server's URL and an API key")
	return cmd
}

func (o *execOptions) run(ctx context.Context, args, command []string) error {
	program, err := findProgram(command[0])
	if err != nil {
		return err
	}
	c, name, err := o.dialFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	// Don't start a program that could reach no server.
	p, err := c.Profile(ctx, name)
	switch {
	case err != nil:
		return err
	case p.State == client.SignedOut, p.State == client.SignInRequired:
		return exitError{exitSignIn, errors.New(name + ": not signed in: run langkeep login " + name)}
	}
	chosen := o.scopes != nil
	if !chosen {
		o.scopes = p.ExecScopes
	}
	give := o.lease
	if o.direct {
		give = o.key
	}
	a, release, err := give(ctx, c, name)
	if err != nil {
		return err
	}
	defer release()
	if !o.direct {
		o.sayWhatIsGiven(name, "the program", o.scopes, chosen)
	}
	o.warnOfFiles(a.server)
	patiently(ctx)
	return o.runChild(program, command, childEnv(os.Environ(), a))
}

// sayWhatIsGiven warns that a program gets the whole account or a credential, and how
// to give it less, unless its user has chosen the scopes.
func (a *app) sayWhatIsGiven(profile, to string, scopes []string, chosen bool) {
	var great []string
	for _, s := range scopes {
		if s == "proxy" || s == "token" || s == "api-key" {
			great = append(great, s)
		}
	}
	if great == nil {
		return
	}
	less := ""
	if !chosen {
		less = "; --scope run or exec_scopes in the profile give less"
	}
	a.say(profile + ": " + to + " may " + words.May(great) + less)
}

// key gives the program an API key.
func (o *execOptions) key(ctx context.Context, c *client.Client, name string) (access, func(), error) {
	key, err := c.Key(ctx, name, client.AnyLifetime)
	if err != nil {
		return access{}, nil, err
	}
	until := "which has no end"
	if key.ExpiresAt != nil {
		until = "which works until " + words.Clock(*key.ExpiresAt, o.clock.Now())
	}
	o.say(name + ": the program gets an api key of the server, " + until)
	return access{profile: name, server: key.ServerURL, key: key.APIKey}, func() {}, nil
}

// lease gives the program a client token that ends with the returned function,
// or with this process.
func (o *execOptions) lease(ctx context.Context, c *client.Client, name string) (access, func(), error) {
	l, release, err := o.holdLease(ctx, c, client.NewLease{Profile: name, Scopes: o.scopes, For: "exec"}, func() {
		o.say("the agent has taken back the program's token, or has gone: langkeep status tells")
	})
	if err != nil {
		return access{}, nil, err
	}
	return access{profile: name, server: l.ProxyURL, key: l.Token, agent: l.URL}, release, nil
}

// holdLease makes a lease and holds it until the caller releases it, also over a
// restart of the agent. It calls lost if that is impossible.
func (a *app) holdLease(ctx context.Context, c *client.Client, n client.NewLease, lost func()) (client.Lease, func(), error) {
	asking := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(asking))
	// A signal ends the request for a lease. A lease that is held ends with the
	// program.
	detach := context.AfterFunc(asking, cancel)
	l, held, err := c.Lease(ctx, n)
	if !detach() && err == nil {
		_ = held.Close() // the caller has given up
		err = asking.Err()
	}
	if err != nil {
		cancel()
		return client.Lease{}, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for held != nil {
			_, _ = io.Copy(io.Discard, held) // until the agent goes, or ctx ends
			_ = held.Close()
			if held = a.resumeLease(ctx, l.Token); held == nil && ctx.Err() == nil {
				lost()
			}
		}
	}()
	return l, func() {
		cancel()
		<-done
	}, nil
}

// resumeLease resumes a lease at the next agent; nil if that is impossible.
func (a *app) resumeLease(ctx context.Context, token secret.Text) io.ReadCloser {
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, clients.ResumeWithin)
	defer cancel()
	for {
		c, err := client.FindAs(limit, a.getenv, p, token)
		if err == nil {
			// No time limit: the lease is held for longer.
			held, err := c.ResumeLease(ctx)
			if err == nil {
				return held
			}
			c.Close()
			if _, ok := errors.AsType[*client.Problem](err); ok {
				return nil // it was revoked
			}
		}
		select {
		case <-time.After(resumeEvery):
		case <-limit.Done():
			return nil
		}
	}
}

// warnOfFiles warns of a tool's file that goes before the environment, unless the file
// leads to the same server.
func (o *execOptions) warnOfFiles(server string) {
	const most = 1 << 20 // bytes
	dir, err := os.Getwd()
	if err != nil {
		return
	}
	file := lfxFile(dir, o.getenv("HOME"))
	if file == "" {
		return
	}
	if content, err := paths.ReadFile(file, most); err == nil && bytes.Contains(content, []byte(server)) {
		return
	}
	o.say("lfx reads " + file + " rather than the environment: name the server with --target \"$LFX_URL\" --api-key \"$LFX_API_KEY\", or have it written there with langkeep connect lfx")
}

// lfxFile is the file that lfx 1.13 reads before the environment; "" if there is none.
func lfxFile(dir, home string) string {
	var places []string
	for at := dir; ; at = filepath.Dir(at) {
		places = append(places, filepath.Join(at, ".lfx"))
		if info, err := os.Stat(filepath.Join(at, ".git")); err == nil && info.IsDir() || at == filepath.Dir(at) {
			break
		}
	}
	if home != "" {
		places = append(places, filepath.Join(home, ".lfx"))
	}
	var files []string
	for _, place := range places {
		files = append(files, filepath.Join(place, "environments.yaml"), filepath.Join(place, "environments.yml"))
	}
	for _, file := range append(files, filepath.Join(dir, "langflow-environments.toml")) {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
	}
	return ""
}
