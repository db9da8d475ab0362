package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/agent/gateway"
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
	headers       []string // whose values are asked for
	headersStdin  bool
	browser       bool
	change        client.ServerChange // the profile's settings from flags

	secret  secret.Text            // from stdin
	gateway map[string]secret.Text // the headers that a gateway wants; nil leaves those that are kept
}

func newLogin(a *app) *cobra.Command {
	o := &loginOptions{app: a}
	var method, caFile, clientCert, clientKey, headerCommand, headerCommandFor, tokenCommand, tokenHeader string
	var allowHTTP bool
	cmd := a.needsAgent(&cobra.Command{
		Use: "login [NAME [URL]] [--method password|auto-login|refresh-token|api-key|external] [--username U] " +
			"[--password-stdin|--token-stdin] [--remember-password] [--ca-file F] [--allow-http] " +
			"[--header NAME]... [--headers-stdin] [--header-command C [--header-command-for NAME]] [--client-cert F --client-key F] " +
			"[--token-command C [--token-header NAME]] [--browser]",
		Short: "Sign in to a server, once",
		Long: `Sign in to a Langflow server and give it a name. From then on the agent keeps the
session alive. A name that is new needs the server's URL, with its root path if
it has one. Without --method the profile's own is used again; for a new one, auto
login if the server has it, else a user name and a password.

The password is asked for, or read from stdin; it is never an argument. With
--method refresh-token or api-key the token or key is asked for likewise. The
password is forgotten once it has been used, unless --remember-password has the
agent keep it, so that it can sign in by itself when the server ends the session.

A gateway in front of the server may want headers (--header asks for the value of
each, --headers-stdin reads lines NAME: VALUE, and then an empty one if a password
or a token follows), headers that a command prints (--header-command) or a client
certificate. The agent sends them to that server and to nobody else.

With --browser a window of Chrome, Edge, Chromium, Brave or Vivaldi is opened on the
server's address. The person signs in at whatever asks them to, and the agent keeps
the session and the gateway's cookies; it sees no password.

With --method external, --token-command prints the access token of an identity
provider. A command is split at its spaces, or is a JSON array of words; no shell
reads it.`,
		Example: `  langkeep login prod https://flows.example.org
  langkeep login prod
  langkeep login ci https://flows.example.org/team/a --username ci --password-stdin < password.txt
  langkeep login sso https://flows.example.org --method refresh-token
  langkeep login lab https://lab.example.org --ca-file lab-ca.pem
  langkeep login corp https://flows.example.org --header CF-Access-Client-Id --header CF-Access-Client-Secret
  langkeep login corp https://flows.example.org --browser
  langkeep login mtls https://flows.example.org --client-cert me.pem --client-key me.key`,
		Args:              takes(0, 2),
		ValidArgsFunction: a.completeProfile,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.method = client.Method(method)
			if cmd.Flags().Changed("ca-file") {
				o.change.CAFile = &caFile
			}
			if cmd.Flags().Changed("allow-http") {
				o.change.AllowHTTP = &allowHTTP
			}
			for flag, to := range map[string]struct {
				value *string
				field **string
			}{
				"client-cert": {&clientCert, &o.change.ClientCert}, "client-key": {&clientKey, &o.change.ClientKey},
				"header-command-for": {&headerCommandFor, &o.change.HeaderCommandFor}, "token-header": {&tokenHeader, &o.change.TokenHeader},
			} {
				if cmd.Flags().Changed(flag) {
					*to.field = to.value
				}
			}
			for flag, to := range map[string]struct {
				value string
				field **[]string
			}{"header-command": {headerCommand, &o.change.HeaderCommand}, "token-command": {tokenCommand, &o.change.TokenCommand}} {
				if !cmd.Flags().Changed(flag) {
					continue
				}
				words, err := wordsOfCommand(to.value)
				if err != nil {
					return usagef("--%s: %w", flag, err)
				}
				*to.field = &words
			}
			return o.run(cmd.Context(), args)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&method, "method", "", "the `way` to sign in: password, auto-login, refresh-token, api-key or external")
	flags.StringVar(&o.username, "username", "", "the account's `name`")
	flags.BoolVar(&o.passwordStdin, "password-stdin", false, "read the password from stdin")
	flags.BoolVar(&o.tokenStdin, "token-stdin", false, "read the refresh token or the API key from stdin")
	flags.BoolVar(&o.remember, "remember-password", false, "keep the password in the store, to sign in again by itself")
	flags.StringVar(&caFile, "ca-file", "", "PEM `file` of a private authority to trust for this server")
	flags.BoolVar(&allowHTTP, "allow-http", false, "allow http:// to another computer: anybody in between can read the password")
	flags.StringArrayVar(&o.headers, "header", nil, "the `name` of a header that a gateway in front of the server wants; its value is asked for; give it again for more")
	flags.BoolVar(&o.headersStdin, "headers-stdin", false, "read such headers from stdin, each in a line NAME: VALUE")
	flags.StringVar(&headerCommand, "header-command", "", "a `command` that prints such headers")
	flags.StringVar(&headerCommandFor, "header-command-for", "", "the `header` that the command prints the value of, where it prints one line (default Authorization)")
	flags.StringVar(&clientCert, "client-cert", "", "PEM `file` of a certificate that a gateway wants of its clients")
	flags.StringVar(&clientKey, "client-key", "", "PEM `file` of that certificate's private key")
	flags.BoolVar(&o.browser, "browser", false, "sign in in a browser's window")
	flags.StringVar(&tokenCommand, "token-command", "", "a `command` that prints the access token, for --method external")
	flags.StringVar(&tokenHeader, "token-header", "", "the `header` in which the server wants that token (default Authorization)")
	_ = cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(
		[]string{"password", "auto-login", "refresh-token", "api-key", "external"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("username", cobra.NoFileCompletions)
	return cmd
}

func (o *loginOptions) run(ctx context.Context, args []string) error {
	if err := o.check(args); err != nil {
		return err
	}
	if o.headersStdin {
		if err := o.readHeaders(); err != nil {
			return err
		}
	}
	if o.passwordStdin || o.tokenStdin {
		line, err := readLine(o.stdin)
		if err != nil {
			return usagef("read the secret from stdin: %w", err)
		}
		o.secret = secret.New(line)
	}
	c, name, err := o.dialFor(ctx, args)
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
		if problem, ok := errors.AsType[*client.Problem](err); ok && problem.Kind() == client.TypeServerUnreachable {
			problem.RetryAfter = nil // nobody tries again but this person
		}
		return err
	}
	o.sayResult(p)
	o.offerStart(ctx, c)
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
	for flag, path := range map[string]**string{"--client-cert": &o.change.ClientCert, "--client-key": &o.change.ClientKey} {
		if *path == nil || **path == "" {
			continue
		}
		abs, err := paths.Abs(**path, o.getenv)
		if err != nil {
			return fmt.Errorf("find %s: %w", flag, err)
		}
		*path = &abs
	}
	if len(o.headers) > 0 && o.headersStdin {
		return usagef("either --header or --headers-stdin, not both")
	}
	for _, name := range o.headers {
		if err := gateway.CheckHeader(name, "value"); err != nil {
			return usagef("--header %s: %w", words.Safe(name), err)
		}
	}
	if o.browser {
		for flag, given := range map[string]bool{
			"--method": o.method != "", "--username": o.username != "", "--password-stdin": o.passwordStdin, "--token-stdin": o.tokenStdin,
			"--remember-password": o.remember, "--token-command": o.change.TokenCommand != nil,
		} {
			if given {
				return usagef("either --browser or %s, not both", flag)
			}
		}
	}
	if o.method == "" && o.change.TokenCommand != nil {
		o.method = client.External
	}
	known := []client.Method{"", client.Password, client.AutoLogin, client.RefreshToken, client.APIKey, client.External}
	if !slices.Contains(known, o.method) {
		return usagef("--method %q is not known: use password, auto-login, refresh-token, api-key or external", o.method)
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

// prepare asks for the headers, and makes a profile that is new. undo removes that again.
// Of a profile that is not new, the flags' settings come into force with the session, so
// that a sign-in that fails leaves it as it was.
func (o *loginOptions) prepare(ctx context.Context, c *client.Client) (p client.Profile, undo func(), err error) {
	undo = func() {}
	p, err = c.Profile(ctx, o.name)
	isNew := isProblem(err, client.TypeNotFound)
	switch {
	case isNew && o.url == "":
		return p, undo, usagef("there is no profile %q yet, so it needs a server: langkeep login %s URL", o.name, o.name)
	case err != nil && !isNew:
		return p, undo, err
	}
	if err := o.askForHeaders(ctx); err != nil {
		return p, undo, err
	}
	if !isNew {
		if o.method == "" && p.Method != nil && !o.browser {
			o.method = *p.Method
		}
		if o.change.ServerURL != nil && strings.TrimRight(o.url, "/") == strings.TrimRight(p.ServerURL, "/") {
			o.change.ServerURL = nil
		}
		return p, func() {
			if o.change != (client.ServerChange{}) {
				o.say(o.name + " is left as it was")
			}
		}, nil
	}
	added := client.NewProfile{Name: o.name, ServerURL: o.url, Way: o.change.Way}
	if o.change.CAFile != nil {
		added.CAFile = *o.change.CAFile
	}
	if o.change.AllowHTTP != nil {
		added.AllowHTTP = *o.change.AllowHTTP
	}
	o.change = client.ServerChange{}
	if p, err = c.AddProfile(ctx, added); err != nil {
		return p, undo, err
	}
	return p, func() {
		// The end of the attempt, even by Ctrl-C, must not end this.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, err := c.RemoveProfile(ctx, o.name); err != nil {
			o.say(o.name + ": the profile stays: langkeep remove " + o.name + " deletes it later")
		}
	}, nil
}

// login has the agent sign in.
func (o *loginOptions) login(ctx context.Context, c *client.Client, l client.Login) (client.Profile, error) {
	l.Headers = o.gateway
	if o.change != (client.ServerChange{}) {
		l.Change = &o.change
	}
	if l.Browser {
		defer o.sayLater("finish signing in in the browser window; Ctrl-C gives up")()
	} else {
		defer o.waiting("signing in to " + o.name)()
	}
	return c.Login(ctx, o.name, l)
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
	if o.browser {
		signedIn, err := o.login(ctx, c, client.Login{Browser: true})
		return signedIn, o.refused(err)
	}
	if o.method == "" {
		signedIn, err := o.login(ctx, c, client.Login{Method: client.AutoLogin})
		if !hasReason(err, "auto-login-off") {
			return signedIn, o.refused(err)
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
		signedIn, err := o.login(ctx, c, login)
		if !typed || try == tries || !hasReason(err, "wrong-password") {
			return signedIn, o.refused(err)
		}
		o.say("that user name and password don't match; try again")
		o.secret = secret.Text{}
	}
}

// askForHeaders asks the person for the values of --header.
func (o *loginOptions) askForHeaders(ctx context.Context) error {
	if len(o.headers) == 0 || o.gateway != nil {
		return nil
	}
	if !o.asks() {
		return usagef("give the headers on stdin with --headers-stdin: nobody can be asked here")
	}
	given := map[string]secret.Text{}
	for _, name := range o.headers {
		value, err := o.askSecret(ctx, "value of "+name)
		if err != nil {
			return err
		}
		if err := gateway.CheckHeader(name, value.Reveal()); err != nil {
			return usagef("%w", err)
		}
		given[name] = value
	}
	o.gateway = given
	return nil
}

// readHeaders reads --headers-stdin: lines NAME: VALUE up to an empty one, or the end.
// No line at all takes the kept headers away.
func (o *loginOptions) readHeaders() error {
	o.gateway = map[string]secret.Text{}
	for {
		line, err := readLine(o.stdin)
		if errors.Is(err, errEmptyLine) {
			return nil
		}
		if err != nil {
			return usagef("read the headers from stdin: %w", err)
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return usagef("a line of --headers-stdin is not NAME: VALUE")
		}
		value = strings.TrimSpace(value)
		if err := gateway.CheckHeader(name, value); err != nil {
			return usagef("%w", err)
		}
		o.gateway[name] = secret.New(value)
	}
}

// wordsOfCommand splits a command at its spaces, or reads a JSON array.
func wordsOfCommand(text string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "[") {
		return strings.Fields(text), nil
	}
	var list []string
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil, errors.New("is no JSON array of strings")
	}
	return list, nil
}

// offerStart tells once how the agent starts at login, without which a reboot ends it.
func (o *loginOptions) offerStart(ctx context.Context, c *client.Client) {
	settings, err := c.Settings(ctx)
	if err != nil || !settings.OfferStart {
		return // also where the caller is not the owner
	}
	o.say("to have it start when you log in: langkeep autostart enable")
	_, _ = c.ChangeSettings(ctx, client.SettingsChange{OfferStart: new(false)}) // else it is told once more
}

func (o *loginOptions) sayResult(p client.Profile) {
	who := p.Name + ": signed in"
	if p.Username != nil {
		who += " as " + *p.Username
	}
	switch {
	case p.Method != nil && *p.Method == client.APIKey:
		o.say(who + " with an API key")
	case !words.HasTokens(p):
		o.say(who + " by the gateway")
	default:
		o.say(who + "; refreshes by itself")
	}
	if !p.Saved {
		o.say(p.Name + ": " + lower(words.NotSaved(p)))
	}
	credential := "token "
	if !words.HasTokens(p) {
		credential = "key "
	}
	o.say("next: langkeep " + credential + p.Name + ", langkeep exec " + p.Name + " -- COMMAND, or langkeep open")
}

// refused says why a sign-in failed. It does not use the agent's words, which advise to
// run langkeep login.
func (o *loginOptions) refused(err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || words.Refused(p) == "" {
		return err
	}
	said := *p
	said.Detail = fmt.Sprintf("profile %q: %s", o.name, lower(words.Refused(p)))
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
