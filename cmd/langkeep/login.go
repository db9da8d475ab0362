package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/langflow"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type loginOptions struct {
	*app
	name, url     string
	method        client.Method // "" to find out
	username      string
	passwordStdin bool
	tokenStdin    bool
	remember      bool
	change        client.ProfileChange // the profile's settings from flags

	secret secret.Text // from stdin
}

func newLogin(a *app) *cobra.Command {
	o := &loginOptions{app: a}
	var method, caFile string
	var allowHTTP bool
	cmd := a.needsAgent(&cobra.Command{
		Use: "login [NAME [URL]] [--method password|auto-login|refresh-token|api-key] [--username U] " +
			"[--password-stdin|--token-stdin] [--remember-password] [--ca-file F] [--allow-http]",
		Short: "Sign in to a server, once",
		Long: `Sign in to a Langflow server and give it a name. From then on the agent keeps the
session alive. A name that is new needs the server's URL, with its root path if
it has one. Without --method the profile's own is used again; for a new one, auto
login if the server has it, else a user name and a password.

The password is asked for, or read from stdin; it is never an argument. With
--method refresh-token or api-key the token or key is asked for likewise. The
password is forgotten once it has been used, unless --remember-password has the
agent keep it, so that it can sign in by itself when the server ends the session.`,
		Example: `  langkeep login prod https://flows.example.org
  langkeep login prod
  langkeep login ci https://flows.example.org/team/a --username ci --password-stdin < password.txt
  langkeep login sso https://flows.example.org --method refresh-token
  langkeep login lab https://lab.example.org --ca-file lab-ca.pem`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: a.completeProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.method = client.Method(method)
			if cmd.Flags().Changed("ca-file") {
				o.change.CAFile = &caFile
			}
			if cmd.Flags().Changed("allow-http") {
				o.change.AllowHTTP = &allowHTTP
			}
			return o.run(cmd.Context(), args)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&method, "method", "", "how to sign in: password, auto-login, refresh-token or api-key")
	flags.StringVar(&o.username, "username", "", "user name")
	flags.BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from stdin")
	flags.BoolVar(&o.tokenStdin, "token-stdin", false, "read the refresh token or the API key from stdin")
	flags.BoolVar(&o.remember, "remember-password", false, "keep the password in the store, to sign in again by itself")
	flags.StringVar(&caFile, "ca-file", "", "PEM file of a private authority to trust for this server")
	flags.BoolVar(&allowHTTP, "allow-http", false, "allow http:// to another computer: anybody in between can read the password")
	_ = cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(
		[]string{"password", "auto-login", "refresh-token", "api-key"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("username", cobra.NoFileCompletions)
	return cmd
}

func (o *loginOptions) run(ctx context.Context, args []string) error {
	if err := o.check(args); err != nil {
		return err
	}
	if o.passwordStdin || o.tokenStdin {
		line, err := readLine(o.stdin)
		if err != nil {
			return usagef("read the secret from stdin: %w", err)
		}
		o.secret = secret.New(line)
	}
	c, name, err := o.connectFor(ctx, args)
	if err != nil {
		return err
	}
	defer c.Close()
	o.name = name
	p, undo, err := o.prepare(ctx, c)
	if err != nil {
		return err
	}
	p, err = o.signIn(ctx, c, p)
	if err != nil {
		undo()
		return err
	}
	o.sayResult(p)
	return nil
}

// check refuses flags that don't fit together.
func (o *loginOptions) check(args []string) error {
	if len(args) == 1 && strings.Contains(args[0], "://") {
		return usagef("give the server a name first: langkeep login NAME %s", args[0])
	}
	if len(args) == 2 {
		o.url = args[1]
		o.change.ServerURL = &args[1]
	}
	if o.change.CAFile != nil && *o.change.CAFile != "" {
		// Make the path absolute: the agent works in another folder.
		abs, err := paths.Abs(*o.change.CAFile, o.getenv)
		if err != nil {
			return fmt.Errorf("find --ca-file: %w", err)
		}
		o.change.CAFile = &abs
	}
	known := []client.Method{"", client.Password, client.AutoLogin, client.RefreshToken, client.APIKey}
	if !slices.Contains(known, o.method) {
		return usagef("--method %q is not known: use password, auto-login, refresh-token or api-key", o.method)
	}
	byToken := o.method == client.RefreshToken || o.method == client.APIKey
	forPassword := ""
	switch {
	case o.passwordStdin:
		forPassword = "--password-stdin"
	case o.remember:
		forPassword = "--remember-password"
	case o.username != "":
		forPassword = "--username"
	}
	switch {
	case o.passwordStdin && o.tokenStdin:
		return usagef("either --password-stdin or --token-stdin, not both")
	case o.tokenStdin && !byToken:
		return usagef("--token-stdin needs --method refresh-token or --method api-key")
	case forPassword != "" && o.method == "":
		o.method = client.Password
	case forPassword != "" && o.method != client.Password:
		return usagef("%s goes with --method password only", forPassword)
	}
	return nil
}

// prepare makes or changes the profile as the flags say. undo undoes that.
func (o *loginOptions) prepare(ctx context.Context, c *client.Client) (p client.Profile, undo func(), err error) {
	// The end of the attempt, even by Ctrl-C, must not end the undoing.
	cleanup := func(do func(context.Context) error) func() {
		return func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := do(ctx); err != nil {
				o.say("and the profile could not be put back as it was: " + wordsOf(err))
			}
		}
	}
	undo = func() {}
	p, err = c.Profile(ctx, o.name)
	if isProblem(err, client.TypeNotFound) {
		if o.url == "" {
			return p, undo, usagef("there is no profile %q yet, so it needs a server: langkeep login %s URL", o.name, o.name)
		}
		added := client.NewProfile{Name: o.name, ServerURL: o.url}
		if o.change.CAFile != nil {
			added.CAFile = *o.change.CAFile
		}
		if o.change.AllowHTTP != nil {
			added.AllowHTTP = *o.change.AllowHTTP
		}
		p, err = c.AddProfile(ctx, added)
		if err != nil {
			return p, undo, err
		}
		return p, cleanup(func(ctx context.Context) error {
			_, err := c.RemoveProfile(ctx, o.name)
			return err
		}), nil
	}
	if err != nil {
		return p, undo, err
	}
	if o.method == "" && p.Method != nil {
		o.method = *p.Method
	}
	if o.change.ServerURL != nil && strings.TrimRight(o.url, "/") == strings.TrimRight(p.ServerURL, "/") {
		o.change.ServerURL = nil
	}
	if o.change == (client.ProfileChange{}) {
		return p, undo, nil
	}
	// A change of server signs out, so ask the person for the credentials before it.
	if err := o.askFor(ctx, p); err != nil {
		return p, undo, err
	}
	before := p.ServerURL
	if o.change.ServerURL != nil {
		if err := o.looksAt(ctx, *o.change.ServerURL); err != nil {
			return p, undo, err
		}
	}
	p, err = c.ChangeProfile(ctx, o.name, o.change)
	if err != nil {
		return p, undo, err
	}
	if p.ServerURL != before {
		undo = cleanup(func(ctx context.Context) error {
			_, err := c.ChangeProfile(ctx, o.name, client.ProfileChange{ServerURL: &before})
			if err == nil {
				o.say(o.name + " is still " + before)
			}
			return err
		})
	}
	return p, undo, nil
}

// looksAt asks a profile's new address whether Langflow is there, without a credential:
// a mistyped address must not cost the old session. Only a clear no counts, since only
// the agent knows all of the profile's settings.
func (o *loginOptions) looksAt(ctx context.Context, url string) error {
	server, err := langflow.New(url, langflow.Options{AllowHTTP: true, Clock: o.clock, UserAgent: "langkeep/" + version})
	if err != nil {
		return nil // the agent returns the URL's error
	}
	_, err = server.Version(ctx)
	var lf *langflow.Error
	if !errors.As(err, &lf) {
		return ctx.Err()
	}
	switch lf.Kind {
	case langflow.Unreachable, langflow.TimedOut, langflow.NotLangflow:
		return client.NewProblem(client.TypeServerUnreachable, fmt.Sprintf("profile %q is left as it is: %s", o.name, words.Error(lf)))
	}
	return nil
}

// askFor asks the person for the credentials that the method needs and that are
// missing.
func (o *loginOptions) askFor(ctx context.Context, p client.Profile) (err error) {
	switch o.method {
	case client.Password:
		if o.username == "" && !o.asks() {
			if p.Username == nil {
				return usagef("give the user name with --username: nobody can be asked here")
			}
			o.username = *p.Username
		}
		if o.username == "" {
			var last string
			if p.Username != nil {
				last = *p.Username
			}
			if o.username, err = o.ask(ctx, "user name", last); err != nil {
				return err
			}
		}
		return o.askForSecret(ctx, "password of "+words.Safe(o.username), "--password-stdin")
	case client.RefreshToken:
		return o.askForSecret(ctx, "refresh token", "--token-stdin and --method refresh-token")
	case client.APIKey:
		return o.askForSecret(ctx, "API key", "--token-stdin and --method api-key")
	}
	return nil
}

func (o *loginOptions) askForSecret(ctx context.Context, question, instead string) (err error) {
	if !o.secret.Empty() {
		return nil
	}
	if !o.asks() {
		return usagef("give it on stdin with %s: nobody can be asked here", instead)
	}
	o.secret, err = o.askSecret(ctx, question)
	return err
}

// tries is how often a person is asked for a password.
const tries = 3

// signIn signs in with the method chosen, or with the first that the server
// takes.
func (o *loginOptions) signIn(ctx context.Context, c *client.Client, p client.Profile) (client.Profile, error) {
	if o.method == "" {
		signedIn, err := c.Login(ctx, o.name, client.Login{Method: client.AutoLogin})
		if !hasReason(err, "auto-login-off") {
			return signedIn, refused(err)
		}
		if !o.asks() {
			return p, usagef("this server wants a user name and password: give --username and --password-stdin")
		}
		o.method = client.Password
	}
	typed := !o.passwordStdin && !o.tokenStdin
	for try := 1; ; try++ {
		if err := o.askFor(ctx, p); err != nil {
			return p, err
		}
		login := client.Login{Method: o.method}
		switch o.method {
		case client.Password:
			login.Username, login.Password, login.RememberPassword = o.username, o.secret, o.remember
		case client.RefreshToken:
			login.RefreshToken = o.secret
		case client.APIKey:
			login.APIKey = o.secret
		}
		signedIn, err := c.Login(ctx, o.name, login)
		if !typed || try == tries || !hasReason(err, "wrong-password") {
			return signedIn, refused(err)
		}
		o.say("that user name and password don't match; try again")
		o.secret = secret.Text{}
	}
}

func (o *loginOptions) sayResult(p client.Profile) {
	who := p.Name + ": signed in"
	if p.Username != nil {
		who += " as " + *p.Username
	}
	if p.Method != nil && *p.Method == client.APIKey {
		o.say(who + " with an API key")
	} else {
		o.say(who + "; refreshes by itself")
	}
	if !p.Saved {
		o.say(p.Name + ": " + lower(words.NotSaved(p)))
	}
}

// refused says why a sign-in failed. It does not use the agent's words, which advise to
// run langkeep login.
func refused(err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || words.Refused(p) == "" {
		return err
	}
	said := *p
	said.Detail = lower(words.Refused(p))
	return &said
}

func isProblem(err error, kind string) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Kind() == kind
}

func hasReason(err error, reason string) bool {
	var p *client.Problem
	return errors.As(err, &p) && p.Reason == reason
}
