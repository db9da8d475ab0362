package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan makes the command that packages are built with: it writes the manual
// pages, made from the commands themselves. It is not for people, and hidden.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write the manual pages into a folder",
		Long: `Write a page for each command into a folder, as packages ship them. Their date
is SOURCE_DATE_EPOCH, in seconds, if that is set.`,
		Example: `  langkeep man man1`,
		Hidden:  true,
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// https://reproducible-builds.org/specs/source-date-epoch
			date := a.clock.Now()
			if s := a.getenv("SOURCE_DATE_EPOCH"); s != "" {
				sec, err := strconv.ParseInt(s, 10, 64)
				if err != nil {
					return usagef("SOURCE_DATE_EPOCH must be seconds since 1970, but is %q", s)
				}
				date = time.Unix(sec, 0)
			}
			root := cmd.Root()
			pages := map[string]string{pageName(root): manPage(root, date)}
			for c := range commands(root) {
				if c.IsAvailableCommand() {
					pages[pageName(c)] = manPage(c, date)
				}
			}
			for name, page := range pages {
				if err := os.WriteFile(filepath.Join(args[0], name+".1"), []byte(page), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// pageName is langkeep-client-add for the command `langkeep client add`.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage is a command's page, see man(7).
func manPage(c *cobra.Command, date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 %s \"langkeep %s\" \"Langkeep\"\n",
		roff(strings.ToUpper(pageName(c))), date.UTC().Format(time.DateOnly), roff(version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(c)), roff(lower(c.Short)))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.nh\n\\fB%s\\fR %s\n.hy\n", roff(c.CommandPath()), roff(arguments(c)))
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, c.Long)
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n\\fB%s\\fR(1)\n%s.\n", roff(pageName(sub)), roff(sub.Short))
			}
		}
	}
	b.WriteString(".SH OPTIONS\n")
	c.InitDefaultHelpFlag()
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		// The name of its value is in backquotes.
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(&b, "\\fB\\-%s\\fR, ", f.Shorthand)
		}
		fmt.Fprintf(&b, "\\fB\\-\\-%s\\fR", roff(f.Name))
		if value != "" {
			fmt.Fprintf(&b, " \\fI%s\\fR", roff(value))
		}
		if d := f.DefValue; d != "" && d != "false" && d != "0s" && d != "[]" {
			usage += " (default " + d + ")"
		}
		fmt.Fprintf(&b, "\n%s.\n", roff(usage))
	})
	if c.HasExample() {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.EX\n%s\n.EE\n", roff(unindent(c.Example)))
	}
	if p := c.Parent(); p != nil {
		fmt.Fprintf(&b, ".SH EXIT STATUS\nSee\n.BR langkeep (1).\n.SH SEE ALSO\n.BR %s (1)\n", roff(pageName(p)))
	} else {
		b.WriteString(manRest)
	}
	return b.String()
}

// arguments are what a usage line has after the command's name.
func arguments(c *cobra.Command) string {
	_, rest, _ := strings.Cut(c.Use, " ")
	return rest
}

// paragraphs writes a help text: blank lines part paragraphs.
func paragraphs(b *strings.Builder, text string) {
	for i, p := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(p) + "\n")
	}
}

// unindent takes the two blanks that help texts have before each example.
func unindent(s string) string {
	return strings.TrimPrefix(strings.ReplaceAll(s, "\n  ", "\n"), "  ")
}

// roff has no sign in a text mean anything to troff: a hyphen stays one that can
// be copied, and no line is taken for a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'", "~", `\(ti`, "^", `\(ha`, "`", `\(ga`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		return `\&` + s
	}
	return s
}

// manRest is what langkeep(1) says of all commands together.
const manRest = `.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Failed.
.TP
.B 2
Wrong usage.
.TP
.B 3
A sign\-in is required.
.TP
.B 4
The server can't be reached, and no good enough token is held.
.TP
.B 5
No agent runs (with
.BR \-\-no\-start ).
.TP
.B 6
The keychain is locked or missing.
.TP
.B 7
Not allowed.
.PP
.BR langkeep\-exec (1)
ends with its program's own.
.SH ENVIRONMENT
.TP
.B LANGKEEP_HOME
Puts every file below one folder, in
.IR config ,
.I state
and
.IR run ,
for an agent of its own.
.TP
.B LANGKEEP_PROFILE
The profile of a command that is given none.
.TP
.B LANGKEEP_PASSPHRASE_FILE
The file whose first line opens the file store.
.TP
.BR LANGKEEP_URL ", " LANGKEEP_TOKEN
Another agent of this computer to ask, and a client token for it; only together.
.TP
.BR XDG_CONFIG_HOME ", " XDG_STATE_HOME ", " XDG_RUNTIME_DIR
As the XDG Base Directory Specification has them, on Linux.
.SH FILES
These are the places on Linux.
.TP
.I $XDG_CONFIG_HOME/langkeep/config.toml
Settings:
.BR listen ,
.BR store ,
.BR default_profile ,
.BR log_level ,
.BR notify ,
.BR allow_users .
.TP
.I $XDG_CONFIG_HOME/langkeep/profiles/NAME.toml
One profile; there is no secret in it.
.TP
.I $XDG_STATE_HOME/langkeep/log
The agent's log.
.TP
.I $XDG_STATE_HOME/langkeep/audit.jsonl
The audit log.
.TP
.I $XDG_STATE_HOME/langkeep/secrets.age
The file store, encrypted.
.TP
.I $XDG_RUNTIME_DIR/langkeep/agent.sock
The socket of the local API.
.TP
.I $XDG_RUNTIME_DIR/langkeep/token
The owner's token, for the same API on 127.0.0.1, port 17860. It ends with the agent.
`
