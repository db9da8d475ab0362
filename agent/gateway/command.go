package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"

	"langkeep/agent/clock"
	"langkeep/agent/flight"
	"langkeep/agent/langflow"
)

const (
	runLimit    = 30 * time.Second // the longest that a command may run
	leastPause  = 10 * time.Second // between the starts of a command
	mostPause   = 2 * time.Minute  // after failures
	earlyAtMost = 30 * time.Second // before its end an output is renewed
	leastLeft   = time.Second      // an output that ends sooner is not given out
)

// CommandError tells why a command gave nothing that can be used. It has neither an
// argument of the command nor anything that the command printed on stdout.
type CommandError struct {
	Program string // as the profile names it
	Fault   string // goes on after the program's name: "ended with exit code 1"
	Said    string // the last line of stderr, at most 200 characters; "" if there is none to show
}

func (e *CommandError) Error() string {
	if e.Said == "" {
		return "the command " + e.Program + " " + e.Fault
	}
	return "the command " + e.Program + " " + e.Fault + "; it says: " + e.Said
}

// errClosed is the error of a Get after Close.
var errClosed = errors.New("the command is not run any more")

// Command runs a program whose output goes to a gateway or a server as headers, and keeps
// the output until it ends. Its methods may be called from many goroutines.
type Command struct {
	argv   []string
	header string
	clock  clock.Clock
	log    *slog.Logger
	run    func(ctx context.Context, argv []string) result // a test replaces it

	ctx    context.Context // until Close
	end    context.CancelFunc
	work   sync.WaitGroup
	flight flight.Slot // of a run

	mu     sync.Mutex // protects the following
	closed bool
	kept   *kept // nil if there is none
	runs   int
	begun  moment        // that the last run was started at
	failed *CommandError // of the last run; nil after a success
	ended  moment        // of the failed run
	pause  time.Duration // from then on
}

// moment is a time by both clocks.
type moment struct {
	wall    time.Time
	elapsed time.Duration
}

// since is the time from an earlier moment on. The wall clock is wrong after it was set,
// the monotonic one after a sleep; the greater answer errs on the late side.
func (m moment) since(earlier moment) time.Duration {
	return max(m.wall.Sub(earlier.wall), m.elapsed-earlier.elapsed)
}

// kept is an output that may be given out.
type kept struct {
	Output
	from moment        // that it was printed at
	life time.Duration // from then on
}

// left is how long an output still lives.
func (k *kept) left(now moment) time.Duration {
	if k == nil {
		return 0
	}
	return k.life - now.since(k.from)
}

// NewCommand makes a Command of a program, of which argv must have the name at least, and
// its arguments; it runs nothing yet. header
// is the header that a one-line answer is the value of; "" is Authorization, with the
// line as its bearer token.
func NewCommand(argv []string, header string, c clock.Clock, log *slog.Logger) *Command {
	ctx, end := context.WithCancel(context.Background())
	return &Command{argv: argv, header: header, clock: c, log: log, run: runProgram, ctx: ctx, end: end}
}

// Close ends a run under way, and waits for its end. It forgets the output.
func (c *Command) Close() {
	c.mu.Lock()
	c.closed, c.kept = true, nil
	c.mu.Unlock()
	c.end()
	c.work.Wait()
}

func (c *Command) now() moment { return moment{c.clock.Now(), c.clock.Elapsed()} }

// Get returns the kept output, or runs the command, once for all callers that wait. An
// output is renewed a little before its end, and is given out meanwhile, also if that
// fails. After a failure the command rests for 10 s, and longer after each further one,
// up to 2 min; Get returns the failure meanwhile. Errors are a *CommandError, the end of
// ctx, or that Close was called.
func (c *Command) Get(ctx context.Context) (Output, error) {
	for {
		o, f, err := c.serve()
		if f == nil {
			return o, err
		}
		if err := f.Wait(ctx); err != nil {
			return Output{}, err
		}
	}
}

// serve returns the kept output, or a run to wait for, or an error.
func (c *Command) serve() (Output, *flight.Flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return Output{}, nil, errClosed
	}
	now := c.now()
	left := c.kept.left(now)
	usable := left >= leastLeft
	if usable && left > min(c.kept.life/10, earlyAtMost) {
		return c.kept.Output, nil, nil
	}
	if c.failed != nil && now.since(c.ended) < c.pause {
		if usable {
			return c.kept.Output, nil, nil
		}
		return Output{}, nil, c.failed
	}
	f, _ := c.flight.Join(func(work func()) bool { c.work.Go(work); return true }, errClosed, c.renew)
	if usable {
		return c.kept.Output, nil, nil
	}
	return Output{}, f, nil
}

// Drop forgets an output that a gateway or a server refused, unless the command has ended
// and was started less than 10 s ago. It tells whether the next Get gives another output,
// waits for a run under way or runs the command.
func (c *Command) Drop(o Output) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || c.kept.run != o.run {
		return true
	}
	if !c.flight.Busy() && c.now().since(c.begun) < leastPause {
		return false
	}
	c.kept = nil
	return true
}

// renew runs the command and keeps its output.
func (c *Command) renew() error {
	c.mu.Lock()
	c.begun = c.now()
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(c.ctx, runLimit)
	r := c.run(ctx, c.argv)
	cancel()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	now := c.now()
	o, err := r.output(c.header, now.wall)
	if err != nil {
		c.ended, c.pause = now, min(mostPause, max(leastPause, 2*c.pause))
		c.failed = &CommandError{Program: langflow.Printable(c.argv[0]), Fault: err.Error(), Said: r.said(c.argv[1:])}
		c.log.Warn("a command failed", "error", c.failed, "again_in", c.pause)
		return c.failed
	}
	c.runs++
	o.run = c.runs
	// An output that seems to have ended is kept for a moment too: the clock here may be
	// wrong, and the gateway decides.
	c.kept = &kept{Output: o, from: now, life: max(o.ExpiresAt.Sub(now.wall), leastPause)}
	c.failed, c.pause = nil, 0
	return nil
}

// result is what came of a run.
type result struct {
	stdout   []byte // at most outLimit bytes
	overflow bool   // there was more
	stderr   []byte // its end
	err      error  // of finding, starting or ending it; context.DeadlineExceeded if it took too long
}

// Limits of what a command prints, in bytes.
const (
	outLimit = 64 << 10
	errLimit = 4 << 10 // of the end of stderr, which is read whole
)

// output reads a result. Its errors go on after the program's name.
func (r result) output(header string, now time.Time) (Output, error) {
	exit, ended := errors.AsType[*exec.ExitError](r.err)
	path, unstarted := errors.AsType[*fs.PathError](r.err)
	switch {
	case r.overflow:
		return Output{}, fmt.Errorf("printed more than %d KiB", outLimit>>10)
	case errors.Is(r.err, context.DeadlineExceeded):
		return Output{}, fmt.Errorf("did not end within %d s", runLimit/time.Second)
	case ended && exit.ExitCode() >= 0:
		return Output{}, fmt.Errorf("ended with exit code %d", exit.ExitCode())
	case ended:
		return Output{}, fmt.Errorf("was ended: %s", exit.ProcessState)
	case unstarted:
		return Output{}, fmt.Errorf("can't be started: %w", path.Err)
	case r.err != nil:
		return Output{}, r.err
	}
	return parseOutput(r.stdout, header, now)
}

// said is the last line of stderr, fit for a terminal and a log, with … for each of the
// program's arguments; "" if there is none, or if it may have something of stdout.
func (r result) said(args []string) string {
	lines := strings.FieldsFunc(string(r.stderr), func(c rune) bool { return c == '\n' || c == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		line := langflow.Printable(lines[i])
		if line == "" {
			continue
		}
		if r.overflow || sharesWords(line, string(r.stdout)) {
			return ""
		}
		for _, arg := range args {
			_, value, _ := strings.Cut(arg, "=")
			for _, part := range []string{arg, value} {
				if part = langflow.Printable(part); len(part) >= leastWord {
					line = strings.ReplaceAll(line, part, "…")
				}
			}
		}
		return string([]rune(line)[:min(len([]rune(line)), 200)])
	}
	return ""
}

// Two texts have something in common from a word of so many bytes on, or of so many bytes
// in a row.
const (
	leastWord = 3
	shared    = 6
)

// sharesWords tells whether a line has a word of what was printed, or a part of one.
func sharesWords(line, printed string) bool {
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	inLine := map[string]bool{}
	for _, w := range strings.FieldsFunc(line, func(r rune) bool { return !word(r) }) {
		inLine[w] = true
	}
	for _, w := range strings.FieldsFunc(langflow.Printable(printed), func(r rune) bool { return !word(r) }) {
		if len(w) >= leastWord && inLine[w] {
			return true
		}
	}
	// A secret may have other characters too, and be cut short or broken over lines.
	squeeze := func(s string) string { return strings.Join(strings.Fields(langflow.Printable(s)), "") }
	parts := map[string]bool{}
	for text := squeeze(line); len(text) >= shared; text = text[1:] {
		parts[text[:shared]] = true
	}
	for text := squeeze(printed); len(text) >= shared; text = text[1:] {
		if parts[text[:shared]] {
			return true
		}
	}
	return false
}
