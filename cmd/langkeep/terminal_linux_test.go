package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"langkeep/cmd/trials/pty"
)

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// untilSilent waits until the echo is off: the program reads.
func untilSilent(t *testing.T, terminal *os.File) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); echoes(t, terminal); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the echo stays on")
		}
	}
}

func TestASecretIsNotShown(t *testing.T) {
	person, program := pty.Open(t)
	var stderr bytes.Buffer
	a := &app{stdin: program, stderr: &stderr}
	if !a.asks() {
		t.Fatal("a terminal is not taken for one")
	}
	type result struct {
		secret string
		err    error
	}
	done := make(chan result)
	go func() {
		s, err := a.askSecret(t.Context(), "password")
		done <- result{s.Reveal(), err}
	}()
	untilSilent(t, program)
	if _, err := person.WriteString("hunter2\n"); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.secret != "hunter2" || got.err != nil {
		t.Errorf("read %q, %v", got.secret, got.err)
	}
	if !echoes(t, program) {
		t.Error("the echo stays off")
	}
	if got := stderr.String(); got != "password: \n" {
		t.Errorf("stderr is %q", got)
	}
}

func TestCtrlCBringsTheEchoBack(t *testing.T) {
	person, program := pty.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := &app{stdin: program, stderr: new(bytes.Buffer)}
	done := make(chan error)
	go func() {
		_, err := a.askSecret(ctx, "password")
		done <- err
	}()
	untilSilent(t, program)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !echoes(t, program) {
		t.Error("the echo stays off")
	}
	_, _ = person.WriteString("\n") // lets the reading go
}

// Width and colours are those of the terminal, and a program gets neither, as with gh.
func TestScreen(t *testing.T) {
	_, program := pty.Open(t)
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 61}); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		width        int
		colour, isIt bool
	}
	for name, c := range map[string]struct {
		stdout io.Writer
		env    map[string]string
		want   seen
	}{
		"terminal":            {program, nil, seen{61, true, true}},
		"NO_COLOR":            {program, map[string]string{"NO_COLOR": "1"}, seen{61, false, true}},
		"empty NO_COLOR":      {program, map[string]string{"NO_COLOR": ""}, seen{61, true, true}},
		"CLICOLOR=0":          {program, map[string]string{"CLICOLOR": "0"}, seen{61, false, true}},
		"dumb":                {program, map[string]string{"TERM": "dumb"}, seen{61, false, true}},
		"pipe":                {new(bytes.Buffer), nil, seen{0, false, false}},
		"forced into a pipe":  {new(bytes.Buffer), map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, seen{0, true, false}},
		"not forced, by zero": {new(bytes.Buffer), map[string]string{"CLICOLOR_FORCE": "0"}, seen{0, false, false}},
	} {
		a := &app{stdout: c.stdout, getenv: func(name string) string { return c.env[name] }}
		var got seen
		got.width, got.colour, got.isIt = a.screen()
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
