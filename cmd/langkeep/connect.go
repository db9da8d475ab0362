package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
	scopes                                       []string
	project, file                                string
	builder, http, yes, print, list, force, json bool
}

func newConnect(a *app) *cobra.Command {
	o := &connectOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "connect TOOL [NAME] [--project ID|--builder [--scope S]...] [--http] [--file F] [--yes] [--print] [--force]",
		Short: "Set up a tool (Claude Code, Cursor, lfx, …)",
		Long: `Write an entry for the profile into a tool's own configuration file. All else in
the file stays as it is; the change is shown first, a backup is kept beside the
file, and langkeep disconnect puts back what was there.

An MCP client gets a server that is langkeep mcp: there is no secret in it. With
--http it is the proxy's URL, with a client token that lives for 90 days. With
--builder it is Langflow's own server for building flows (uvx --from lfx lfx-mcp),
under langkeep exec. It may use the whole account, code and credentials included;
with --scope edit only flows of text, prompts, inputs and outputs.

langflow-sdk and lfx get an environment of the profile's name that is used under
langkeep exec: langkeep exec prod --scope edit -- lfx push --env prod.

A client that is not installed gets no file, unless --file names one, as of a
project: --file .mcp.json.

Without a tool it asks which one, of those that are installed. connect --list lists
all of them, and whether the entries are still there and their programs start.`,
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
				return o.printList(cmd.Context())
			case o.json:
				return usagef("--json is for --list")
			case len(args) == 0:
				return o.chooseTool(cmd.Context())
			case len(args) > 2:
				return usagef("name a tool and a profile")
			}
			return o.run(cmd.Context(), args[0], args[1:])
		},
	})
	f := cmd.Flags()
	f.StringVar(&o.project, "project", "", "the `ID` of a project, which ends its address in Langflow: its flows are the MCP tools")
	f.BoolVar(&o.builder, "builder", false, "give an MCP client Langflow's server for building flows")
	f.StringArrayVar(&o.scopes, "scope", nil, "a `scope` of the builder's token, in place of proxy; give it again for more")
	f.BoolVar(&o.http, "http", false, "give an MCP client the proxy's URL and a token, not a program to start")
	f.StringVar(&o.file, "file", "", "the tool's `file`, if it is not in the usual place")
	f.BoolVarP(&o.yes, "yes", "y", false, "don't ask")
	f.BoolVar(&o.print, "print", false, "print the entry, and change nothing")
	f.BoolVar(&o.list, "list", false, "list all tools, and what is connected")
	f.BoolVar(&o.json, "json", false, "with --list: print JSON")
	f.BoolVar(&o.force, "force", false, "write a token into a git work tree")
	return cmd
}

// chooseTool asks a person for one of the installed tools, and for a profile where there
// are several.
func (o *connectOptions) chooseTool(ctx context.Context) error {
	if !o.asks() {
		return usagef("there is nobody to ask: name a tool: %s", strings.Join(connect.Names(), ", "))
	}
	var tools []string
	for _, t := range connect.Tools {
		if _, installed, err := t.File(runtime.GOOS, o.getenv); err == nil && installed {
			tools = append(tools, t.Name)
		}
	}
	if len(tools) == 0 {
		return errors.New("no tool that it knows is installed here: langkeep connect --list names all; start one once, or name its file with --file")
	}
	tool, err := o.choose(ctx, "connect which tool", tools, "")
	if err != nil {
		return err
	}
	c, err := o.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	profiles, err := c.Profiles(ctx)
	if err != nil {
		return err
	}
	usual, _ := o.profileName(ctx, c, nil) // "" where none is usual
	var names []string
	for _, p := range profiles {
		names = append(names, p.Name)
	}
	if len(names) < 2 {
		return o.run(ctx, tool, nil)
	}
	profile, err := o.choose(ctx, "lead it to which profile", names, usual)
	if err != nil {
		return err
	}
	return o.run(ctx, tool, []string{profile})
}

// choose asks a person for one of some names, or its number. An empty answer is usual, or
// the first.
func (a *app) choose(ctx context.Context, question string, names []string, usual string) (string, error) {
	for i, name := range names {
		fmt.Fprintf(a.stderr, "%3d  %s\n", i+1, words.Safe(name))
	}
	answer, err := a.ask(ctx, question, cmp.Or(usual, names[0]))
	if err != nil {
		return "", err
	}
	answer = strings.TrimSpace(answer)
	if i, err := strconv.Atoi(answer); err == nil && 0 < i && i <= len(names) && !slices.Contains(names, answer) {
		return names[i-1], nil
	}
	if !slices.Contains(names, answer) {
		return "", usagef("%q is none of %s", answer, strings.Join(names, ", "))
	}
	return answer, nil
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

// run connects a tool. A failure, or a no, undoes what was done before it.
func (o *connectOptions) run(ctx context.Context, toolName string, args []string) (err error) {
	tool, err := connect.Find(toolName)
	if err != nil {
		return usageError{err}
	}
	if err := o.checkFlags(tool); err != nil {
		return err
	}
	desk, err := o.desk()
	if err != nil {
		return err
	}
	c, name, err := o.dialFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	n := &connecting{connectOptions: o, agent: c, tool: tool, records: desk.Records,
		link: connect.Link{Profile: name, Project: o.project, Builder: o.builder, Scopes: strings.Join(o.scopes, " ")}}
	if o.http {
		n.client = connect.ClientName(tool.Name, name)
	}
	done, err := n.run(ctx)
	if !done {
		err = errors.Join(err, n.undo.run(ctx))
	}
	return err
}

// checkFlags refuses flags that do not go with the tool, or with each other.
func (o *connectOptions) checkFlags(tool *connect.Tool) error {
	switch {
	case !tool.SpeaksMCP() && (o.http || o.builder || o.project != ""):
		return usagef("%s takes an environment: --http, --builder and --project are for MCP clients", tool.Name)
	case !o.builder && o.scopes != nil:
		return usagef("--scope is for --builder: MCP clients run flows, and no more")
	case o.builder && (o.http || o.project != ""):
		return usagef("--builder is a program for the whole account: leave out --http and --project")
	}
	return nil
}

// connecting is a tool's connection while connect makes it.
type connecting struct {
	*connectOptions
	agent   *client.Client
	tool    *connect.Tool
	records connect.Records
	link    connect.Link
	place   connect.Place
	old     connect.Record              // of an earlier connection; empty if there is none
	value   func(token secret.Text) any // the entry
	client  string                      // with --http: the name of the tool's client; else ""
	undo    undoing
}

// run opens the proxy, makes the client, writes the file and keeps a record, in that
// order. It returns done if the tool is connected; else what it did is to be undone.
func (n *connecting) run(ctx context.Context) (done bool, err error) {
	name, title := n.link.Profile, n.tool.Title
	if n.place, err = n.tool.At(n.file, n.tool.EntryName(n.link), runtime.GOOS, n.getenv); err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	var again bool
	switch n.old, again, err = n.records.Find(n.tool.Name, name, n.link.Builder); {
	case err != nil:
		return false, err
	case again && n.old.Path != n.place.Path && !n.print:
		return false, fmt.Errorf("%s: %s is connected in %s: disconnect it there first", name, title, n.old.Path)
	}
	if n.value, err = n.connectOptions.value(ctx, n.agent, n.tool, n.link, n.place.Name, &n.undo); err != nil {
		return false, err
	}
	if n.print {
		entry, err := n.place.Entry(n.value(placeholder))
		if err != nil {
			return false, err
		}
		return false, n.result(entry)
	}
	token := secret.Text{}
	if n.client != "" {
		token = n.tokenIn(ctx, n.place)
	}
	edit, err := n.place.Put(n.value(token))
	if err != nil {
		return false, err
	}
	if !edit.Changes() {
		n.say(fmt.Sprintf("%s: %s is connected already, in %s", name, title, n.place.Path))
		return true, nil
	}
	if agreed, err := n.agree(ctx, edit); err != nil || !agreed {
		return false, err
	}
	if err := edit.CheckUnchanged(); err != nil { // before a token is made; Make checks again
		return false, fmt.Errorf("%s: %w", name, err)
	}
	ends := ""
	if n.client != "" && token.Empty() {
		added, err := n.replaceToken(ctx)
		if err != nil {
			return false, err
		}
		ends = "its token lives until " + words.Clock(*added.ExpiresAt, n.clock.Now()) + "; langkeep client revoke " + n.client + " ends it"
		if edit, err = n.place.Put(n.value(added.Token)); err != nil {
			return false, err
		}
	}
	record, restore, err := n.records.Make(ctx, n.tool, n.link, edit, n.client)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, err)
	}
	n.undo.add(restore)
	// End the old token, now that nothing uses it any more.
	if n.old.Client != "" && n.client == "" {
		if err := n.revoke(ctx, n.agent, n.old.Client); err != nil {
			return false, err
		}
	}
	if ends != "" {
		n.say(ends)
	}
	n.say(fmt.Sprintf("%s: connected %s, in %s", name, title, n.place.Path))
	if record.Backup != "" {
		n.say("the file as it was is " + record.Backup)
	}
	if !n.tool.SpeaksMCP() {
		n.say(fmt.Sprintf("use it under langkeep exec %s, as the environment %s", name, name))
	}
	return true, nil
}

// agree shows the edit of the tool's file, and asks whether it is wanted.
func (n *connecting) agree(ctx context.Context, edit *connect.Edit) (bool, error) {
	name := n.link.Profile
	if n.client != "" {
		if n.old.Client != n.client {
			if err := n.refuseTaken(ctx, n.agent, n.client, name); err != nil {
				return false, err
			}
		}
		if !n.force && inWorkTree(n.place.Path) {
			return false, exitError{exitNotAllowed, fmt.Errorf("%s: %s is in a git work tree, and would hold a token: leave out --http, or add --force", name, n.place.Path)}
		}
		var err error
		if edit, err = n.place.Put(n.value(placeholder)); err != nil {
			return false, err
		}
	}
	n.sayDiff(edit)
	if scopes := strings.Fields(cmp.Or(n.link.Scopes, connect.BuilderScope)); n.link.Builder && slices.Contains(scopes, "proxy") {
		n.say(name + ": the builder may " + words.May(scopes) + "; --scope edit keeps it to flows of text, prompts, inputs and outputs")
	}
	if n.yes {
		return true, nil
	}
	if !n.asks() {
		return false, usagef("there is nobody to ask: add --yes to write that")
	}
	return n.confirm(ctx, "write that?")
}

// replaceToken ends the token of the tool's earlier connection, and makes one.
func (n *connecting) replaceToken(ctx context.Context) (client.ClientToken, error) {
	if n.old.Client == n.client {
		if err := n.revoke(ctx, n.agent, n.client); err != nil {
			return client.ClientToken{}, err
		}
	}
	return n.newToken(ctx, n.agent, n.client, n.link.Profile, &n.undo)
}

// value is the tool's entry, with a token. It opens the profile's proxy if the entry
// leads there.
func (o *connectOptions) value(ctx context.Context, c *client.Client, tool *connect.Tool, link connect.Link, entry string, undo *undoing) (func(secret.Text) any, error) {
	name := link.Profile
	if tool.SpeaksMCP() && !o.http {
		if _, err := c.Profile(ctx, name); err != nil {
			return nil, err
		}
		desk, err := o.desk()
		if err != nil {
			return nil, err
		}
		s, err := desk.Server(link)
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
func (a *app) sayDiff(e *connect.Edit) {
	coloured := a.colours(a.stderr)
	for _, line := range e.Diff() {
		kept := len(line) - len(strings.TrimLeft(line[min(1, len(line)):], " "))
		shown := line[:kept] + words.Safe(line[kept:])
		if code := map[byte]int{'+': 32, '-': 31, '@': 36}[(line + " ")[0]]; coloured && code != 0 {
			shown = fmt.Sprintf("\x1b[%dm%s\x1b[0m", code, shown)
		}
		fmt.Fprintln(a.stderr, shown)
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

// desk has the tools of this command's environment.
func (a *app) desk() (connect.Desk, error) {
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return connect.Desk{}, err
	}
	return connect.OpenDesk(p, a.getenv), p.Create()
}

// printList prints all tools and what is connected. It asks no agent, since an entry is
// in the files of this user's tools as this command's environment names them.
func (o *connectOptions) printList(ctx context.Context) error {
	desk, err := o.desk()
	if err != nil {
		return err
	}
	states, err := desk.States(ctx)
	if err != nil {
		return err
	}
	if o.json {
		data, err := json.MarshalIndent(map[string]any{"tools": states}, "", "  ")
		if err != nil {
			return err
		}
		return o.result(string(data) + "\n")
	}
	rows := [][]string{{"TOOL", "INSTALLED", "PROFILE", "LEADS TO", "ENTRY", "FILE"}}
	for _, s := range states {
		installed := "no"
		if s.Installed {
			installed = "yes"
		}
		if len(s.Connections) == 0 {
			rows = append(rows, []string{s.Name, installed, words.None, words.None, words.None, words.Safe(*cmp.Or(s.File, new(words.None)))})
		}
		for _, c := range s.Connections {
			rows = append(rows, []string{s.Name, installed, words.Safe(c.Profile), words.Safe(leadsTo(c)), entryWord(c), words.Safe(c.File)})
			if c.Reason != nil {
				o.say(fmt.Sprintf("%s: %s: %s", words.Safe(c.Profile), s.Title, words.Safe(*c.Reason)))
			}
		}
	}
	return o.result(table(rows...))
}

// leadsTo is where a connection leads, in a word or two.
func leadsTo(c connect.Connection) string {
	switch {
	case c.Builder:
		return "builder"
	case c.Project != nil:
		return "project " + *c.Project
	case c.Client != nil:
		return "flows, by the token of " + *c.Client
	}
	return "flows"
}

// entryWord is the state of a connection's entry, in a word or two.
func entryWord(c connect.Connection) string {
	switch {
	case c.Entry != connect.AsWritten:
		return string(c.Entry)
	case c.Starts != nil && *c.Starts:
		return "starts"
	case c.Starts != nil:
		return "does not start"
	}
	return "there"
}
