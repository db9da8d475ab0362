package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/connect"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// connectLifetime is the lifetime of a token in a tool's file.
const connectLifetime = 90 * 24 * time.Hour

// placeholder stands for a token that is hidden, or not made yet.
var placeholder = secret.New("lk_...")

type connectOptions struct {
	*app
	project, file                          string
	builder, http, yes, print, list, force bool
}

func newConnect(a *app) *cobra.Command {
	o := &connectOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "connect TOOL [NAME] [--project ID|--builder] [--http] [--file F] [--yes] [--print] [--force]",
		Short: "Lead a tool to the account",
		Long: `Write an entry for the profile into a tool's own configuration file. All else in
the file stays as it is; the change is shown first, a backup is kept beside the
file, and langkeep disconnect puts back what was there.

An MCP client gets a server that is langkeep mcp: there is no secret in it. With
--http it is the proxy's URL, with a client token that lives for 90 days. With
--builder it is Langflow's own server for building flows (uvx --from lfx lfx-mcp),
under langkeep exec.

langflow-sdk and lfx get an environment of the profile's name that is used under
langkeep exec: langkeep exec prod --scope edit -- lfx push --env prod.

A client that is not installed gets no file, unless --file names one, as of a
project: --file .mcp.json.

connect --list lists what is connected.`,
		Example: `  langkeep connect claude-desktop prod --project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55
  langkeep connect lfx prod
  langkeep connect cursor prod --print
  langkeep connect --list`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return connect.Names(), cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeProfile(cmd, args[1:], typed)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.list && len(args) > 0:
				return usagef("--list takes no tool")
			case o.list:
				return o.printList()
			case len(args) == 0:
				return usagef("name a tool: %s", strings.Join(connect.Names(), ", "))
			case len(args) > 2:
				return usagef("name a tool and a profile")
			}
			return o.run(cmd.Context(), args[0], args[1:])
		},
	})
	f := cmd.Flags()
	f.StringVar(&o.project, "project", "", "the `ID` of a project, whose flows are the MCP tools")
	f.BoolVar(&o.builder, "builder", false, "give an MCP client Langflow's server for building flows")
	f.BoolVar(&o.http, "http", false, "give an MCP client the proxy's URL and a token, not a program to start")
	f.StringVar(&o.file, "file", "", "the tool's `file`, if it is not in the usual place")
	f.BoolVarP(&o.yes, "yes", "y", false, "don't ask")
	f.BoolVar(&o.print, "print", false, "print the entry, and change nothing")
	f.BoolVar(&o.list, "list", false, "list what is connected")
	f.BoolVar(&o.force, "force", false, "write a token into a git work tree")
	return cmd
}

// undoing has the functions that undo a command's effects so far.
type undoing []func(context.Context) error

// undoLimit bounds the undoing, which a Ctrl-C does not stop.
const undoLimit = 10 * time.Second

func (u *undoing) add(step func(context.Context) error) { *u = append(*u, step) }

// run undoes the effects, the last one first.
func (u undoing) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	var failed []error
	for _, step := range slices.Backward(u) {
		failed = append(failed, step(ctx))
	}
	return errors.Join(failed...)
}

// run opens the proxy, makes the client, writes the file and keeps a record, in that
// order. A failure, or a no, undoes the earlier steps.
func (o *connectOptions) run(ctx context.Context, toolName string, args []string) (err error) {
	tool, err := connect.Find(toolName)
	if err != nil {
		return usageError{err}
	}
	switch {
	case !tool.SpeaksMCP() && (o.http || o.builder || o.project != ""):
		return usagef("%s takes an environment: --http, --builder and --project are for MCP clients", tool.Name)
	case o.builder && (o.http || o.project != ""):
		return usagef("--builder is a program for the whole account: leave out --http and --project")
	}
	records, err := o.connections()
	if err != nil {
		return err
	}
	c, name, err := o.connectFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	var undo undoing
	connected := false
	defer func() {
		if connected {
			return
		}
		if failed := undo.run(ctx); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	link := connect.Link{Profile: name, Project: o.project, Builder: o.builder}
	place, err := tool.At(o.file, tool.EntryName(link), runtime.GOOS, o.getenv)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	old, again, err := records.Find(tool.Name, name, link.Builder)
	switch {
	case err != nil:
		return err
	case again && old.Path != place.Path && !o.print:
		return fmt.Errorf("%s: %s is connected in %s: disconnect it there first", name, tool.Title, old.Path)
	}
	// The entry as it will be, except for a token that is not made yet.
	value, err := o.value(ctx, c, tool, link, place.Name, &undo)
	if err != nil {
		return err
	}
	if o.print {
		entry, err := place.Entry(value(placeholder))
		if err != nil {
			return err
		}
		return o.result(entry)
	}
	token, client := secret.Text{}, ""
	if o.http {
		client = tool.Name + "-" + name
		token = o.tokenIn(ctx, place)
	}
	edit, err := place.Put(value(token))
	if err != nil {
		return err
	}
	if !edit.Changes() {
		connected = true
		o.say(fmt.Sprintf("%s: %s is connected already, in %s", name, tool.Title, place.Path))
		return nil
	}
	if o.http && old.Client != client {
		if err := o.refuseTaken(ctx, c, client, name); err != nil {
			return err
		}
	}
	if o.http && !o.force && inWorkTree(place.Path) {
		return exitError{exitNotAllowed, fmt.Errorf("%s: %s is in a git work tree, and would hold a token: leave out --http, or add --force", name, place.Path)}
	}
	shown := edit
	if o.http {
		if shown, err = place.Put(value(placeholder)); err != nil {
			return err
		}
	}
	o.sayDiff(shown)
	if !o.yes {
		if !o.asks() {
			return usagef("there is nobody to ask: add --yes to write that")
		}
		answer, err := o.ask(ctx, "write that? y or n", "n")
		if err != nil {
			return err
		}
		if !strings.HasPrefix(strings.ToLower(answer), "y") {
			o.say("nothing was changed")
			return nil
		}
	}
	if err := edit.CheckUnchanged(); err != nil { // before a token is made; Make checks again
		return fmt.Errorf("%s: %w", name, err)
	}
	ends := ""
	if o.http && token.Empty() {
		if old.Client == client {
			if err := o.revoke(ctx, c, client); err != nil {
				return err
			}
		}
		added, err := o.newToken(ctx, c, client, name, &undo)
		if err != nil {
			return err
		}
		token = added.Token
		ends = "its token lives until " + words.Clock(*added.ExpiresAt, o.clock.Now()) + "; langkeep client revoke " + client + " ends it"
		if edit, err = place.Put(value(token)); err != nil {
			return err
		}
	}
	record, restore, err := records.Make(ctx, tool, link, edit, client)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	undo.add(restore)
	// End the old token, now that nothing uses it any more.
	if old.Client != "" && client == "" {
		if err := o.revoke(ctx, c, old.Client); err != nil {
			return err
		}
	}
	connected = true
	if ends != "" {
		o.say(ends)
	}
	o.say(fmt.Sprintf("%s: connected %s, in %s", name, tool.Title, place.Path))
	if record.Backup != "" {
		o.say("the file as it was is " + record.Backup)
	}
	if !tool.SpeaksMCP() {
		o.say(fmt.Sprintf("use it under langkeep exec %s, as the environment %s", name, name))
	}
	return nil
}

// value is the tool's entry, with a token. It opens the profile's proxy if the entry
// leads there.
func (o *connectOptions) value(ctx context.Context, c *client.Client, tool *connect.Tool, link connect.Link, entry string, undo *undoing) (func(secret.Text) any, error) {
	name := link.Profile
	if tool.SpeaksMCP() && !o.http {
		if _, err := c.Profile(ctx, name); err != nil {
			return nil, err
		}
		program, err := paths.Program(o.getenv)
		if err != nil {
			return nil, err
		}
		s, err := link.Server(program, o.placesFor())
		if err != nil {
			return nil, err
		}
		s.Name = entry
		return func(secret.Text) any { return tool.Value(s) }, nil
	}
	url := "http://127.0.0.1:PORT"
	p, err := c.Profile(ctx, name)
	if err == nil && p.ProxyURL == nil && !o.print {
		wanted := p.ProxyReason != nil // it should be open by now, and stays so
		p, err = c.ChangeProfile(ctx, name, client.ProfileChange{Proxy: new(true)})
		var refused *client.Problem
		if !wanted && !errors.As(err, &refused) {
			undo.add(func(ctx context.Context) error {
				_, err := c.ChangeProfile(ctx, name, client.ProfileChange{Proxy: new(false)})
				return err
			})
		}
		if err == nil && p.ProxyURL == nil {
			err = proxyError(p)
		}
	}
	if err != nil {
		return nil, err
	}
	if p.ProxyURL != nil {
		url = *p.ProxyURL
	}
	if !tool.SpeaksMCP() {
		return func(secret.Text) any { return connect.Environment{URL: url, APIKeyEnv: keyVariables[0]} }, nil
	}
	return func(token secret.Text) any {
		return tool.Value(connect.Server{Name: entry, URL: url + mcpPath(o.project), Token: token})
	}, nil
}

// placesFor returns the variables that lead a program to this agent. MCP clients start
// programs with an environment of their own making, so their entry needs them.
func (o *connectOptions) placesFor() map[string]string {
	if p, err := paths.Resolve(o.getenv); err == nil && p.Home != "" {
		return map[string]string{"LANGKEEP_HOME": p.Home}
	}
	var env map[string]string
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"} {
		value := o.getenv(name)
		if runtime.GOOS != "linux" || !filepath.IsAbs(value) || name == "XDG_RUNTIME_DIR" && value == fmt.Sprintf("/run/user/%d", os.Getuid()) {
			continue
		}
		if env == nil {
			env = map[string]string{}
		}
		env[name] = value
	}
	return env
}

// tokenIn is the entry's present token, if the agent still accepts it.
func (o *connectOptions) tokenIn(ctx context.Context, place connect.Place) secret.Text {
	token := secret.New(place.Token())
	if token.Empty() {
		return token
	}
	p, err := paths.Resolve(o.getenv)
	if err != nil {
		return secret.Text{}
	}
	c, err := client.FindAs(ctx, o.getenv, p, token)
	if err != nil {
		return secret.Text{}
	}
	defer c.Close()
	// A 403 still proves that the token is valid.
	if _, err = c.Status(ctx); err != nil && !isProblem(err, client.TypeForbidden) {
		return secret.Text{}
	}
	return token
}

// revoke ends a client. It is no error if the client has gone.
func (a *app) revoke(ctx context.Context, c *client.Client, name string) error {
	if err := c.RevokeClient(ctx, name); err != nil && !isProblem(err, client.TypeNotFound) {
		return err
	}
	return nil
}

// refuseTaken returns an error if there is a client of that name. Without a record of
// connect the client is the user's, so it must not be ended.
func (o *connectOptions) refuseTaken(ctx context.Context, c *client.Client, name, profile string) error {
	all, err := c.Clients(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(known client.LocalClient) bool { return known.Name == name }) {
		return fmt.Errorf("%s: there is a client %s that connect has not made: add it under another name if it is needed, end it with langkeep client revoke %s, and connect again", profile, name, name)
	}
	return nil
}

// newToken makes the tool's client, whose name is free.
func (o *connectOptions) newToken(ctx context.Context, c *client.Client, name, profile string, undo *undoing) (client.ClientToken, error) {
	added, _, err := c.AddClient(ctx, client.NewClient{
		Name: name, Scopes: []string{"run"}, Profiles: []string{profile}, ExpiresIn: new(int64(connectLifetime / time.Second)),
	})
	if !isProblem(err, client.TypeConflict) { // a conflict means that the client is another one's
		// A lost answer may have made the client too.
		undo.add(func(ctx context.Context) error { return o.revoke(ctx, c, name) })
	}
	return added, err
}

// sayDiff shows the change, without the secrets around it.
func (o *connectOptions) sayDiff(e *connect.Edit) {
	for _, line := range e.Diff() {
		kept := len(line) - len(strings.TrimLeft(line[min(1, len(line)):], " "))
		fmt.Fprintf(o.stderr, "langkeep: %s%s\n", line[:kept], words.Safe(line[kept:]))
	}
}

// inWorkTree tells whether a file is in a git work tree.
func inWorkTree(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// connections opens the records of connect.
func (a *app) connections() (connect.Records, error) {
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return connect.Records{}, err
	}
	return connect.OpenRecords(p), p.Create()
}

func (o *connectOptions) printList() error {
	records, err := o.connections()
	if err != nil {
		return err
	}
	all, err := records.All()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		o.say("nothing is connected; langkeep connect TOOL NAME does it")
		return nil
	}
	rows := [][]string{{"TOOL", "PROFILE", "TOKEN OF", "FILE"}}
	for _, r := range all {
		rows = append(rows, []string{words.Safe(r.Tool), words.Safe(r.Profile), words.Safe(cmp.Or(r.Client, words.None)), words.Safe(r.Path)})
	}
	return o.result(table(rows...))
}
