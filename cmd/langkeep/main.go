// Langkeep keeps people signed in to Langflow: an agent in the background, and
// the commands that speak to it.
//
// The rules of the terminal: results go to stdout and nothing else does; words
// for people go to stderr, each line after "langkeep: ", lower case, with what
// to do next. A prompt goes to stderr too.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"langkeep/agent/clock"
	"langkeep/cmd/quick"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// version is set when a release is built, with -ldflags -X.
var version = "dev"

func main() {
	if code, ok := beInit(); ok {
		os.Exit(code)
	}
	// SIGHUP is the end of a terminal or of a desktop's session.
	signals := heeded([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP})
	ctx, _ := signal.NotifyContext(context.Background(), signals...)
	// A second Ctrl-C ends at once. A second SIGTERM does not: timeout(1) and
	// service managers send it to the process and to its group.
	stop := context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	ctx = context.WithValue(ctx, secondInterrupt{}, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// app is what every command needs.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	clock  clock.Clock
	begun  *quick.Request // what package quick has asked the agent; nil for nothing

	noStart   bool // --no-start
	fromEntry bool // --from-desktop

	nameFrom string // where the profile's name is from, unless it is an argument
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, clock: clock.System(), begun: quick.Begun}
	// An error before a command runs is a usage error.
	running := false
	root := newRoot(a)
	for c := range commands(root) {
		if inner := c.RunE; inner != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				running = true
				return inner(cmd, args)
			}
		}
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if !running {
		err = usageError{err}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		a.say("interrupted")
		return exitFailed
	}
	a.say(wordsOf(err))
	if problem, ok := errors.AsType[*client.Problem](err); ok && problem.Kind() == client.TypeNotFound && a.nameFrom != "" {
		a.say(a.nameFrom + " names it")
	}
	if !running {
		a.say("usage: " + cmd.UseLine())
	}
	if a.fromEntry {
		a.tellOnDesktop(ctx, cmd, err)
	}
	return codeOf(err)
}

// say tells a person something. Each line of it is made fit for a terminal.
func (a *app) say(s string) {
	for line := range strings.Lines(s) {
		if line = words.Safe(line); line != "" {
			fmt.Fprintf(a.stderr, "langkeep: %s\n", line)
		}
	}
}

// lower makes a sentence a part of a line: without its capital and its dot.
func lower(sentence string) string {
	if sentence == "" {
		return ""
	}
	return strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
}
