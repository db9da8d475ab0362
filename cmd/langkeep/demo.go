package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/cmd/serve"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// demoLifetime is that of the stand-in's access tokens.
const demoLifetime = 20 * time.Second

func newDemo(a *app) *cobra.Command {
	var forHow span
	cmd := &cobra.Command{
		Use:   "demo [--for 30s]",
		Short: "Show what Langkeep does, with a stand-in server",
		Long: `Runs an agent against a stand-in for Langflow on loopback, whose tokens live 20
seconds, and shows the sign-in and each refresh as they happen. It uses a folder
and ports of its own, keeps its secrets in memory, and leaves nothing behind; an
agent that runs already is not touched. Ctrl-C ends it.`,
		Example: `  langkeep demo
  langkeep demo --for 30s`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if forHow < 0 {
				return usagef("--for must not be negative")
			}
			if forHow > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(forHow))
				defer cancel()
			}
			return a.demo(ctx)
		},
	}
	spanVar(cmd.Flags(), &forHow, "for", "end after this `duration`, such as 30s; without it never")
	return cmd
}

// demo runs until ctx ends.
func (a *app) demo(ctx context.Context) (err error) {
	home, err := os.MkdirTemp("", "langkeep-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	env := func(name string) string {
		switch name {
		case "LANGKEEP_HOME":
			return home
		case "LANGKEEP_URL", "LANGKEEP_TOKEN":
			return "" // of the user's own agent
		}
		return a.getenv(name)
	}
	p, err := paths.Resolve(env)
	if err != nil {
		return err
	}
	user := langflowtest.Admin()
	server := langflowtest.New(langflowtest.Options{
		Version: "1.13", AccessLifetime: demoLifetime, Users: []langflowtest.User{user},
	})
	defer server.Close()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ready := make(chan string, 1)
	served := make(chan error, 1)
	go func() {
		served <- serve.Run(ctx, serve.Options{
			Listen: "127.0.0.1:0", Store: "memory", Paths: p, Version: version, Ready: func(url string) { ready <- url },
		})
	}()
	var url string
	select {
	case url = <-ready:
	case err := <-served:
		return err
	}
	err = a.showDemo(ctx, env, p, server.URL, url, user)
	stop()
	return errors.Join(err, <-served)
}

// showDemo signs in and tells what happens until ctx ends.
func (a *app) showDemo(ctx context.Context, env func(string) string, p paths.Paths, server, url string, user langflowtest.User) error {
	const name = "demo"
	c, err := client.Find(ctx, env, p)
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintf(a.stdout, "A stand-in for Langflow is at %s; its tokens live %d s.\nThe agent is at %s.\n\n",
		server, int(demoLifetime.Seconds()), url)
	if _, err := c.AddProfile(ctx, client.NewProfile{Name: name, ServerURL: server}); err != nil {
		return err
	}
	login := client.Login{Method: client.Password, Username: user.Name, Password: secret.New(user.Password)}
	if _, err := c.Login(ctx, name, login); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Signed in as %s, once. From now on a token is always there: in a second shell, try\n\n", user.Name)
	if _, err := os.Lstat(p.Socket()); err == nil {
		fmt.Fprintf(a.stdout, "  curl -s --unix-socket %s http://localhost/v1/profiles/%s/token\n\n", p.Socket(), name)
	} else {
		fmt.Fprintf(a.stdout, "  langkeep token %s    (with LANGKEEP_HOME set to %s)\n\n", name, p.Home)
	}

	var last time.Time
	for e, err := range c.Events(ctx) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		now := a.clock.Now()
		at := now.Local().Format(time.TimeOnly)
		switch s := e.Profile; {
		case s.State != client.Fresh:
			fmt.Fprintf(a.stdout, "%s  %s\n", at, words.Long(s, now))
		case s.LastRefreshAt != nil && !s.LastRefreshAt.Equal(last):
			what := "refreshed"
			if last.IsZero() {
				what = "signed in"
			}
			last = *s.LastRefreshAt
			fmt.Fprintf(a.stdout, "%s  %s; the token lives %s, next %s\n", at, what, words.TokenLeft(s, now), words.Next(s, now))
		}
	}
	fmt.Fprintln(a.stdout, "\nDone; nothing is left behind.")
	return nil
}
