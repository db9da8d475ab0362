package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// The exit codes of a shell for a command that it can't run, or that a signal
// has ended.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignalled     = 128 // and the signal's number
)

// errSaid is an error that was printed already, or needs no words.
var errSaid = errors.New("")

// findProgram finds the program that a shell would run, or returns an error with the
// shell's exit code. A program in the current folder runs only where its path is given,
// as in PowerShell: Windows looks there before PATH, and an empty entry of PATH means
// that folder on Unix, so a hostile clone could bring a program of its own.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		if path = inFoldersOfPath(name); path != "" {
			return path, nil
		}
		return "", exitError{exitNotFound, fmt.Errorf("%s is found only by way of the current folder, which is not searched: give its path, such as .%c%s", name, filepath.Separator, name)}
	}
	switch {
	case err == nil:
		return path, nil
	case !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist), inPath(name):
		return "", exitError{exitNotExecutable, errors.New(name + " can't be executed")}
	}
	return "", exitError{exitNotFound, errors.New(name + " is not found")}
}

// inFoldersOfPath finds a program in PATH; "" if there is none. It ignores entries that
// depend on the current folder.
func inFoldersOfPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// inPath tells whether PATH has a file of that name, which then can't be run.
func inPath(name string) bool {
	if strings.ContainsRune(name, filepath.Separator) {
		return false
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// runChild runs a program to its end, passes signals on to it, and returns its
// exit code as an error, nil for 0. ctx ends nothing: the program decides what
// its signals mean.
func (a *app) runChild(path string, args, env []string) error {
	cmd := &exec.Cmd{Path: path, Args: args, Env: env, Stdin: a.stdin, Stdout: a.stdout, Stderr: a.stderr}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, heeded(passedOn)...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		code := exitNotExecutable
		if errors.Is(err, fs.ErrNotExist) {
			code = exitNotFound
		}
		return exitError{code, err}
	}
	defer tie(cmd.Process)()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			passOn(cmd.Process, s)
		case err := <-ended:
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return err
			}
			if code := exitCode(cmd.ProcessState); code != 0 {
				return exitError{code, errSaid}
			}
			return nil
		}
	}
}

// heeded returns the signals that this program does not ignore from its start, as under
// nohup: Notify would make the child heed ignored ones.
func heeded(all []os.Signal) []os.Signal {
	return slices.DeleteFunc(slices.Clone(all), signal.Ignored)
}

// secondInterrupt is the context's key for the function that keeps a second Ctrl-C from
// ending this program at once.
type secondInterrupt struct{}

// patiently leaves a second Ctrl-C to the child, like the first.
func patiently(ctx context.Context) {
	if stop, ok := ctx.Value(secondInterrupt{}).(func() bool); ok {
		stop()
	}
}
