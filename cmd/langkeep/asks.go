package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

type asksOptions struct {
	*app
	json, watch bool
}

func newAsks(a *app) *cobra.Command {
	o := &asksOptions{app: a}
	cmd := a.needsAgent(&cobra.Command{
		Use:   "asks [--json|--watch]",
		Short: "List the programs that wait for your answer",
		Long: `List the programs that wait until you let them have a credential, where ask in
config.toml or in a profile says that you are asked; and what you have answered
before, as far as it still counts. langkeep deny PROGRAM takes back what you have
allowed, and the control page takes back what you have denied.`,
		Example: `  langkeep asks
  langkeep allow 3 --session
  langkeep deny /usr/bin/curl`,
		Args: takes(0, 0),
		PreRunE: func(*cobra.Command, []string) error {
			if o.json && o.watch {
				return usagef("--json and --watch are one at a time")
			}
			return nil
		},
		RunE: a.onAgent(o.run),
	})
	cmd.Flags().BoolVar(&o.json, "json", false, "print what the local API answers")
	cmd.Flags().BoolVar(&o.watch, "watch", false, "print each new question, until Ctrl-C")
	return cmd
}

func (o *asksOptions) run(ctx context.Context, c *client.Client, _ []string) error {
	if o.json {
		return o.resultJSON(c.AsksJSON(ctx))
	}
	for told := []string(nil); ; {
		all, err := c.Asks(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, q := range all.Asks {
			if !slices.Contains(told, q.ID) {
				told = append(told, q.ID)
				fmt.Fprintf(&b, "%s  %s  %s left\n", q.ID, q.Words, words.Remaining(q.Until.Sub(o.clock.Now())))
			}
		}
		if !o.watch {
			for _, answer := range all.Answers {
				b.WriteString(o.remembered(answer) + "\n")
			}
			if b.Len() == 0 {
				o.say("no program waits, and nothing is remembered")
			}
			return o.result(b.String())
		}
		if err := o.result(b.String()); err != nil {
			return err
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remembered is an answer in a line.
func (o *asksOptions) remembered(a client.Remembered) string {
	line := a.Answer + "  " + words.Safe(a.Program)
	if a.Script != nil {
		line += " " + words.Safe(*a.Script)
	}
	line += "  " + words.Safe(a.Profile) + "  " + words.Safe(a.Want)
	if a.Until != nil {
		line += "  until " + words.Clock(*a.Until, o.clock.Now())
	}
	return line
}

func newAllow(a *app) *cobra.Command {
	var once, session, always bool
	cmd := a.needsAgent(&cobra.Command{
		Use:   "allow ID [--once|--session|--always]",
		Short: "Let a program have what it asks for",
		Long: `Let a program have what it asks for: once (as without a flag), until its terminal
or session ends, or always. You confirm it on the desktop, in the notification or
the tray's menu, or on a control page that you have confirmed: every program of
yours could run this command.

On a computer without a desktop nobody can be asked. Write the programs that may
into allowed.json in the state folder there.`,
		Example: `  langkeep allow 3
  langkeep allow 3 --always`,
		Args: takes(1, 1),
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, args []string) error {
			answer, given := "once", 0
			for name, on := range map[string]bool{"once": once, "session": session, "always": always} {
				if on {
					answer, given = name, given+1
				}
			}
			if given > 1 {
				return usagef("--once, --session and --always are one at a time")
			}
			waiting, err := c.Asks(ctx)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(waiting.Asks, func(q client.Question) bool { return q.ID == args[0] }) {
				a.say("confirm it on the desktop")
			}
			if err := c.AnswerAsk(ctx, args[0], answer); err != nil {
				return err
			}
			a.say("allowed")
			return nil
		}),
	})
	cmd.Flags().BoolVar(&once, "once", false, "this time")
	cmd.Flags().BoolVar(&session, "session", false, "until its terminal or session ends, 12 h at most")
	cmd.Flags().BoolVar(&always, "always", false, "from now on")
	return cmd
}

func newDeny(a *app) *cobra.Command {
	var always bool
	cmd := a.needsAgent(&cobra.Command{
		Use:   "deny ID|PROGRAM [--always]",
		Short: "Refuse a program, or take back what it may",
		Long: `Refuse a program what it asks for, by the question's ID; it is not asked about
again for 10 minutes, or never with --always. With the path of a program's file,
take back what you have allowed it. A no is taken back on the control page alone,
so that a program can't have you asked again and again.`,
		Example: `  langkeep deny 3
  langkeep deny /usr/bin/curl`,
		Args: takes(1, 1),
		RunE: a.onAgent(func(ctx context.Context, c *client.Client, args []string) error {
			if strings.ContainsRune(args[0], filepath.Separator) {
				if always {
					return usagef("--always goes with a question's ID")
				}
				if err := c.ForgetAnswers(ctx, args[0]); err != nil {
					return err
				}
				a.say("what it was allowed is taken back")
				return nil
			}
			answer := "deny"
			if always {
				answer = "deny-always"
			}
			if err := c.AnswerAsk(ctx, args[0], answer); err != nil {
				return err
			}
			a.say("denied")
			return nil
		}),
	})
	cmd.Flags().BoolVar(&always, "always", false, "never ask about it again")
	return cmd
}
