package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
	"langkeep/localapi/mcp"
)

type mcpOptions struct {
	*app
	project string
}

func newMCP(a *app) *cobra.Command {
	o := &mcpOptions{app: a}
	cmd := a.takesProfile(&cobra.Command{
		Use:   "mcp [NAME] [--project ID]",
		Short: "Run an MCP server for Langflow",
		Long: `Be an MCP server on stdin and stdout that passes every message to Langflow's own,
through the profile's proxy. MCP clients start it: their configuration then holds
no secret. langkeep connect writes that configuration.

Without an agent, a profile, or a session the client gets an error that says what to
do, and its next message tries again: there is no need to start the client anew. A
message starts an agent that has gone.

With --project the tools are the flows of one project, without it all of the
account's.`,
		Example: `  langkeep connect claude-desktop prod --project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55
  langkeep mcp prod --project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	})
	cmd.Flags().StringVar(&o.project, "project", "", "the `ID` of a project, whose flows are the tools")
	return cmd
}

// run ends with the last failure's exit code if the client has gone without there having
// been a way to the server.
func (o *mcpOptions) run(ctx context.Context, args []string) error {
	w := &mcpWays{mcpOptions: o, args: args}
	defer w.release()
	if out, ok := o.stdout.(*os.File); ok {
		widenPipe(out)
	}
	err := mcp.Run(ctx, mcp.Config{Connect: w.connect, In: o.stdin, Out: o.stdout, Warn: o.say})
	if err == nil && !w.found && w.failure != nil {
		err = exitError{codeOf(w.failure), errors.New("the client has gone, and nothing could be relayed")}
	}
	return err
}

// mcpWays finds ways to a profile's server, one after the other, and holds the lease of the
// last one.
type mcpWays struct {
	*mcpOptions
	args      []string
	leaseHeld func() // gives the lease back; nil: there is none
	found     bool   // a way
	failure   error  // of the last attempt
}

func (w *mcpWays) release() {
	if w.leaseHeld != nil {
		w.leaseHeld()
		w.leaseHeld = nil
	}
}

// connect implements mcp.Config.
func (w *mcpWays) connect(ctx context.Context) (*mcp.Way, error) {
	if w.found {
		w.release()
		w.leaveTime(ctx)
	}
	way, err := w.next(ctx)
	if err != nil {
		err = errorForClient{err}
		if w.failure == nil || w.failure.Error() != err.Error() {
			w.say(err.Error()) // clients have a log of it
		}
	}
	w.found, w.failure = w.found || err == nil, err
	return way, err
}

// restartTime is how long an agent that has ended may take to come back by itself.
const restartTime = time.Second

// leaveTime waits a moment for an agent that ends or is gone, since langkeep restart or a
// service manager may start the next one, with flags of its own.
func (w *mcpWays) leaveTime(ctx context.Context) {
	p, err := paths.Resolve(w.getenv)
	if err != nil {
		return // which connect says
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for gone := time.Now(); time.Since(gone) < restartTime; {
		c, err := client.Find(ctx, w.getenv, p)
		if err == nil {
			c.Close()
			return
		}
		if !p.LockFree() {
			gone = time.Now()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// next takes a lease, from an agent that it starts if none runs.
func (w *mcpWays) next(ctx context.Context) (*mcp.Way, error) {
	c, name, err := w.dialFor(ctx, w.args)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	nothing := func() {} // the next message takes another lease
	lease, release, err := w.holdLease(ctx, c, client.NewLease{Profile: name, Scopes: []string{"run"}, For: "mcp"}, nothing)
	if err != nil {
		return nil, err
	}
	w.leaseHeld = release
	transport := client.ProvingTransport(lease.Token) // the proxy's port may be taken, too
	transport.MaxIdleConnsPerHost = 8
	transport.ReadBufferSize = 64 << 10 // bytes: an answer may have many megabytes
	return &mcp.Way{URL: lease.ProxyURL + mcpPath(w.project), Token: lease.Token, Client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// errorForClient is an error with the words that a command would end with.
type errorForClient struct{ error }

// Error implements error.
func (e errorForClient) Error() string { return wordsOf(e.error) }

// Unwrap is for errors.Is.
func (e errorForClient) Unwrap() error { return e.error }

// mcpPath is where Langflow 1.13.0 has its MCP server: that of a project, or that
// of the whole account.
func mcpPath(project string) string {
	if project == "" {
		return "/api/v1/mcp/streamable"
	}
	return "/api/v1/mcp/project/" + url.PathEscape(project) + "/streamable"
}
