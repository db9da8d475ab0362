package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

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
		Short: "Be an MCP server that speaks for Langflow",
		Long: `Be an MCP server on stdin and stdout that passes every message to Langflow's own,
through the profile's proxy. MCP clients start it: their configuration then holds
no secret. langkeep connect writes that configuration.

With --project the tools are the flows of one project, without it all of the
account's.`,
		Example: `  langkeep connect claude-desktop prod --project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55
  langkeep mcp prod --project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55`,
		RunE: a.onProfile(o.run),
	})
	cmd.Flags().StringVar(&o.project, "project", "", "the `ID` of a project, whose flows are the tools")
	return cmd
}

func (o *mcpOptions) run(ctx context.Context, c *client.Client, name string) error {
	lease, release, err := o.holdLease(ctx, c, client.NewLease{Profile: name, Scopes: []string{"run"}, For: "mcp"})
	if err != nil {
		return err
	}
	defer release()
	transport := client.ProvingTransport(lease.Token) // the proxy's port may be taken, too
	transport.MaxIdleConnsPerHost = 8
	return mcp.Run(ctx, mcp.Config{
		URL: lease.ProxyURL + mcpPath(o.project), Token: lease.Token, In: o.stdin, Out: o.stdout, Warn: o.say,
		Client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
}

// mcpPath is where Langflow 1.13.0 has its MCP server: that of a project, or that
// of the whole account.
func mcpPath(project string) string {
	if project == "" {
		return "/api/v1/mcp/streamable"
	}
	return "/api/v1/mcp/project/" + url.PathEscape(project) + "/streamable"
}
