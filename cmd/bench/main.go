// Bench measures Langkeep beside what else there is: a handler of net/http
// without checks, a reverse proxy without checks, oidc-agent, mcp-proxy, mcp-remote,
// an empty program.
// Both of a pair run at the same time, as processes that are started alike, and
// are asked in turn; docs/performance.md says how to read the table. Run it with
// make bench. It speaks to this computer alone, and needs Linux.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are how long and how often everything is measured.
type options struct {
	rounds int           // in turn, of every pair
	slice  time.Duration // of one of a pair, in each round
	starts int           // of a program
	idle   time.Duration
	valid  time.Duration // of reading tokens that live for a minute
	many   int           // sessions, where there are many
	only   *regexp.Regexp
	cache  string // the folder of what .ci/setup bench has installed
}

func main() {
	if len(os.Args) == 2 && children[os.Args[1]] != nil {
		if err := beChild(children[os.Args[1]]); err != nil {
			fmt.Fprintln(os.Stderr, "bench "+os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.IntVar(&o.rounds, "rounds", 41, "rounds of every pair")
	flag.DurationVar(&o.slice, "slice", 150*time.Millisecond, "time of one of a pair, in each round")
	flag.IntVar(&o.starts, "starts", 200, "starts of each command; agents are started a tenth as often")
	flag.DurationVar(&o.idle, "idle", 2*time.Minute, "time in which nobody asks")
	flag.DurationVar(&o.valid, "valid", 100*time.Second, "time of reading tokens that live for a minute")
	flag.IntVar(&o.many, "many", 1000, "sessions, where there are many")
	only := flag.String("only", "", "a regular expression: the parts to run, of "+partNames())
	flag.StringVar(&o.cache, "cache", ".cache", "the folder of the programs that .ci/setup installs")
	langkeep := flag.String("langkeep", "./langkeep", "the program that is measured")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = run(ctx, o, *langkeep, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	options
	langkeep string // the program
	self     string // this one, for children
	dir      string // for everything that is written
	say      io.Writer
	rows     []row
	ends     []func() // of what runs
}

// parts are the measurements, in this order: those that need a quiet computer come last.
var parts = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"size", (*bench).size},
	{"command", (*bench).commands},
	{"start", (*bench).starting},
	{"token", (*bench).tokens},
	{"proxy", (*bench).proxy},
	{"mcp", (*bench).bridges},
	{"many", (*bench).many1000},
	{"idle", (*bench).idling},
}

func partNames() string {
	names := ""
	for _, p := range parts {
		names += p.name + " "
	}
	return names
}

// run measures, and prints the table to stdout.
func run(ctx context.Context, o options, langkeep string, stdout, stderr io.Writer) (err error) {
	b := &bench{options: o, say: stderr}
	if b.langkeep, err = filepath.Abs(langkeep); err != nil {
		return err
	}
	if b.cache, err = filepath.Abs(o.cache); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "langkeep-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	began := time.Now()
	for _, p := range parts {
		if !o.only.MatchString(p.name) {
			continue
		}
		fmt.Fprintf(b.say, "bench: %s, after %v\n", p.name, time.Since(began).Round(time.Second))
		if err := p.measure(b, ctx); err != nil {
			b.endAll()
			return fmt.Errorf("%s: %w", p.name, err)
		}
		b.endAll()
	}
	fmt.Fprintf(b.say, "bench: done, after %v\n", time.Since(began).Round(time.Second))
	printTable(stdout, b.rows)
	return nil
}

// endAll ends what a part has started, the last first.
func (b *bench) endAll() {
	for len(b.ends) > 0 {
		last := b.ends[len(b.ends)-1]
		b.ends = b.ends[:len(b.ends)-1]
		last()
	}
}

// children are what this program is when it is started as a child: a function
// that is given one line of JSON, listens, and returns where.
var children = map[string]func(config []byte) (address string, err error){
	"bare-handler": bareHandler,
	"bare-proxy":   bareProxy,
	"langflow":     standIn,
	"provider":     provider,
}

// beChild runs until stdin ends, so that no child outlives who has started it.
func beChild(begin func([]byte) (string, error)) error {
	in := bufio.NewReader(os.Stdin)
	config, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	address, err := begin(config)
	if err != nil {
		return err
	}
	fmt.Println(address)
	_, err = io.Copy(io.Discard, in)
	return err
}

// child starts this program once more, as one of children.
func (b *bench) child(ctx context.Context, name string, config any) (address string, pid int, err error) {
	line, err := json.Marshal(config)
	if err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, b.self, name)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	b.ends = append(b.ends, func() {
		_ = in.Close()
		_ = cmd.Wait() // it has served its purpose
	})
	if _, err := in.Write(append(line, '\n')); err != nil {
		return "", 0, err
	}
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", 0, fmt.Errorf("%s did not start: %w", name, err)
	}
	return address[:len(address)-1], cmd.Process.Pid, nil
}
