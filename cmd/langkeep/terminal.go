package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"langkeep/agent/secret"
	"langkeep/localapi/words"
)

// terminal returns the descriptor of a stream that is a terminal.
func terminal(stream any) (fd int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// asks tells whether a person can be asked.
func (a *app) asks() bool {
	_, ok := terminal(a.stdin)
	return ok
}

// screen tells whether stdout is a terminal, how wide it is (0: no limit), and whether it
// may have colours.
func (a *app) screen() (width int, colour, ok bool) {
	fd, ok := terminal(a.stdout)
	if !ok {
		return 0, a.colours(a.stdout), false
	}
	width, _, err := term.GetSize(fd)
	if err != nil || width == 0 {
		width = words.Width
	}
	return width, a.colours(a.stdout), true
}

// colours tells whether a stream may have colours, as gh does: by CLICOLOR_FORCE always,
// by NO_COLOR (https://no-color.org), CLICOLOR=0 or a dumb terminal never.
func (a *app) colours(stream any) bool {
	if force := a.getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	fd, ok := terminal(stream)
	return ok && a.getenv("NO_COLOR") == "" && a.getenv("CLICOLOR") != "0" && a.getenv("TERM") != "dumb" && understandsEscapes(fd)
}

// table formats rows in columns; the first row has the columns' names. Foreign text in
// it must be words.Safe.
func table(rows ...[]string) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // into memory
	return b.String()
}

// errEmptyLine is readLine's error for a line, or an end of the input, with nothing on it.
var errEmptyLine = errors.New("it is empty")

// maxLine bounds what is read as one line, 64 KiB.
const maxLine = 64 << 10

// readLine reads up to the end of a line and not a byte more, so that later readers get
// the rest. It drops the line's end, and a byte order mark, which editors and
// PowerShell put at the beginning of a file.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n == 1 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if len(line) > maxLine {
			return "", fmt.Errorf("it is over %d KiB", maxLine>>10)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	s := string(line)
	if strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff") {
		return "", errors.New("it is UTF-16: write it as UTF-8")
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "\ufeff"), "\r")
	if s == "" {
		return "", errEmptyLine
	}
	return s, nil
}

// ask asks a person for a line. An empty answer is fallback.
func (a *app) ask(ctx context.Context, question, fallback string) (string, error) {
	if fallback != "" {
		question += " [" + words.Safe(fallback) + "]"
	}
	answer, err := a.answer(ctx, question, readLine)
	if err != nil && fallback != "" && ctx.Err() == nil {
		return fallback, nil
	}
	return answer, err
}

// askSecret asks a person for a line that is not shown.
func (a *app) askSecret(ctx context.Context, question string) (secret.Text, error) {
	fd, _ := terminal(a.stdin)
	state, err := term.GetState(fd)
	if err != nil {
		return secret.Text{}, fmt.Errorf("ask for it: %w", err)
	}
	// Ctrl-C ends the wait below, but not the read that turned the echo off.
	defer func() { _ = term.Restore(fd, state) }()
	answer, err := a.answer(ctx, question, func(io.Reader) (string, error) {
		line, err := term.ReadPassword(fd)
		if err == nil && len(line) == 0 {
			return "", errors.New("it is empty")
		}
		return string(line), err
	})
	if ctx.Err() == nil {
		fmt.Fprintln(a.stderr) // the line's end was not shown either
	}
	return secret.New(answer), err
}

// confirm asks a person whether to do something. Without a terminal nobody is asked, and
// the answer is yes: a script has said what it wants.
func (a *app) confirm(ctx context.Context, question string) (bool, error) {
	if !a.asks() {
		return true, nil
	}
	answer, err := a.ask(ctx, question+" y or n", "n")
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(strings.ToLower(answer), "y") {
		a.say("nothing was changed")
		return false, nil
	}
	return true, nil
}

// answer reads what a person types, until ctx ends.
func (a *app) answer(ctx context.Context, question string, read func(io.Reader) (string, error)) (string, error) {
	fmt.Fprintf(a.stderr, "%s: ", question)
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		line, err := read(a.stdin)
		done <- result{line, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("read the %s: %w", question, r.err)
		}
		return r.line, nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", ctx.Err()
	}
}
