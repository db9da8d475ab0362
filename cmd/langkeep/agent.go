package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"langkeep/agent/paths"
	"langkeep/agent/sessionbus"
	"langkeep/localapi/client"
)

const (
	startLimit = 10 * time.Second      // for an agent to answer
	stopLimit  = 15 * time.Second      // for an agent to end
	pollEvery  = 20 * time.Millisecond // while waiting for either
)

// dial finds the agent, or starts one in the background if none runs, unless
// --no-start is set.
func (a *app) dial(ctx context.Context) (*client.Client, error) {
	p, err := paths.Resolve(a.getenv)
	if err != nil {
		return nil, err
	}
	c, err := client.Find(ctx, a.getenv, p)
	switch {
	case err == nil && !a.noStart && a.getenv("LANGKEEP_URL") == "":
		found := c
		c, err = a.replaceMakeshift(ctx, p, c)
		if begun := a.begun; begun != nil && c == found {
			c.TakeOver(begun.Route, begun.Answer)
		}
		return c, err
	case !errors.Is(err, client.ErrNoAgent):
		return c, err
	case a.noStart:
		return nil, fmt.Errorf("%w: start it with langkeep start", client.ErrNoAgent)
	}
	return a.startAgent(ctx, p, forCommand)
}

// forCommand are the flags of an agent that a command starts. No page opens, since the
// user of a command is in a terminal.
var forCommand = []string{"--no-page"}

// replaceMakeshift replaces the agent that c has found, if that is makeshift and this
// command has the session bus that it lacks: MCP clients start programs without it. An
// agent that has a session, or is about to have one, stays.
func (a *app) replaceMakeshift(ctx context.Context, p paths.Paths, c *client.Client) (*client.Client, error) {
	found, err := client.ReadRunning(p)
	if err != nil || !found.Makeshift || !sessionbus.Reachable(ctx) {
		return c, nil
	}
	profiles, err := c.Profiles(ctx)
	if err != nil || slices.ContainsFunc(profiles, hasSession) {
		return c, nil // what the command does next has that error too
	}
	c.Close()
	if now, err := client.ReadRunning(p); err != nil || now.PID != found.PID {
		return a.dial(ctx) // another command was faster
	}
	a.say("the agent has no keychain, since a program without the desktop's environment has started it: it is started anew")
	if _, err := a.stopAgent(ctx, p, false); err != nil {
		return nil, err
	}
	return a.startAgent(ctx, p, forCommand)
}

// hasSession tells whether an agent without a keychain would lose something of a profile
// at its end.
func hasSession(p client.Profile) bool {
	return p.SigningIn || p.State != client.KeychainLocked && p.State != client.SignedOut
}

// ownAgent is for commands about the agent of this computer's user: it returns an error
// if the environment names another agent.
func (a *app) ownAgent(what string) (paths.Paths, error) {
	if a.getenv("LANGKEEP_URL") != "" {
		return paths.Paths{}, usagef("LANGKEEP_URL names the agent to use, so there is none to %s: unset it and LANGKEEP_TOKEN first", what)
	}
	return paths.Resolve(a.getenv)
}

// startAgent runs `langkeep run` in the background, with flags, and waits until it
// answers. If it ends before that, the error has its exit code and its last message.
//
// The agent's stderr is a pipe that is read only until then. Later the agent writes
// into a broken pipe, which outliveStderr makes harmless. So there is no file to clean
// up, and the agent does not hold the terminal open.
func (a *app) startAgent(ctx context.Context, p paths.Paths, flags []string) (*client.Client, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	defer r.Close() // ends the reading below
	cmd := exec.Command(exe, append([]string{"run"}, flags...)...)
	cmd.Dir = filepath.Dir(exe) // so that the agent keeps no other folder busy
	cmd.Env = agentEnv(os.Environ(), p)
	cmd.Stderr = w
	cmd.SysProcAttr = detached()
	keepInherited()
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return nil, fmt.Errorf("start the agent: %w", err)
	}
	said := make(chan string, 1)
	go func() { said <- lastLine(r) }()
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState tells
		close(ended)
	}()

	defer a.waiting("starting the agent")()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	childEnded := ended
	for {
		if c := a.ready(ctx, p); c != nil {
			// Another agent that was faster will do. But wait until the one started
			// here has noticed it and ended: it must not come up later, after a stop.
			if running, err := client.ReadRunning(p); childEnded == nil || err == nil && running.PID == cmd.Process.Pid {
				return c, nil
			}
			c.Close()
		}
		select {
		case <-poll.C:
		case <-childEnded:
			childEnded = nil
			if p.LockFree() {
				return nil, exitError{max(cmd.ProcessState.ExitCode(), exitFailed), fmt.Errorf("the agent did not start: %s", <-said)}
			}
			// Another agent holds the lock, and will answer soon.
		case <-limit.C:
			return nil, fmt.Errorf("%w after %v: see its log, %s", client.ErrNoAgent, startLimit, p.Log())
		case <-ctx.Done():
			select {
			case <-ended:
			default:
				_ = cmd.Process.Kill() // a detached process outlives a cancelled context
			}
			return nil, ctx.Err()
		}
	}
}

// ready returns a client of the agent if it answers; else nil, within a second:
// the socket may be there before the agent has all it needs.
func (a *app) ready(ctx context.Context, p paths.Paths) *client.Client {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := client.Find(ctx, a.getenv, p)
	if err != nil {
		return nil
	}
	if _, err := c.Profiles(ctx); err != nil {
		c.Close()
		return nil
	}
	return c
}

// agentEnv is the environment of an agent in the background: without the variables for
// commands, and with absolute paths.
func agentEnv(environ []string, p paths.Paths) []string {
	var env []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		switch name {
		case "LANGKEEP_TOKEN", "LANGKEEP_URL", "LANGKEEP_PROFILE", "LANGKEEP_HOME":
			continue
		case "LANGKEEP_PASSPHRASE_FILE":
			if abs, err := paths.Abs(value, os.Getenv); err == nil && value != "" {
				value = abs
			}
		}
		env = append(env, name+"="+value)
	}
	if p.Home != "" {
		env = append(env, "LANGKEEP_HOME="+p.Home)
	}
	return env
}

// lastLine reads to the end and returns the last line that is not blank, without the
// program's name.
func lastLine(r io.Reader) string {
	const keep = 4 << 10
	var tail []byte
	buf := make([]byte, keep)
	for {
		n, err := r.Read(buf)
		tail = append(tail, buf[:n]...)
		tail = tail[max(0, len(tail)-keep):]
		if err != nil {
			break
		}
	}
	lines := strings.Split(strings.TrimSpace(string(tail)), "\n")
	if last := strings.TrimPrefix(lines[len(lines)-1], "langkeep: "); last != "" {
		return last
	}
	return "it said nothing; langkeep run may say more"
}

// outliveStderr lets an agent go on when nobody reads its stderr any more: by default
// the Go runtime ends a program that writes to a broken stderr.
func outliveStderr() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}

// stopAgent ends the agent and waits until it is gone. It returns false if none ran. An
// agent that does not answer is an error, unless kill is set: a killed agent loses only
// the items that it had not stored yet.
func (a *app) stopAgent(ctx context.Context, p paths.Paths, kill bool) (bool, error) {
	process := client.HolderWords(p)
	c, err := client.Find(ctx, a.getenv, p)
	if err == nil {
		defer c.Close()
		// The agent may be gone before its answer comes.
		if err = c.Stop(ctx); errors.Is(err, client.ErrNoAgent) {
			err = nil
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, client.ErrNoAgent) && p.LockFree():
		return false, nil
	case kill && (errors.Is(err, client.ErrStuck) || errors.Is(err, client.ErrNoAgent)):
		if err := killHolder(p); err != nil {
			return false, err
		}
		a.say("the agent" + process + " did not answer and was killed")
	case errors.Is(err, client.ErrNoAgent):
		return false, fmt.Errorf("an agent%s holds %s but doesn't answer: langkeep restart replaces it", process, p.Lock())
	default:
		return false, err
	}
	defer a.waiting("waiting for the agent's end")()
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for !p.LockFree() {
		select {
		case <-poll.C:
		case <-limit.C:
			return false, fmt.Errorf("the agent%s did not end within %v: see its log, %s", process, stopLimit, p.Log())
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return true, nil
}

// killHolder kills the agent that holds the lock. The lock's file names the process,
// and only an agent takes the lock.
func killHolder(p paths.Paths) error {
	pid := client.Holder(p)
	if pid == 0 || p.LockFree() {
		return fmt.Errorf("the process that holds %s is not known: end it by hand", p.Lock())
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		return fmt.Errorf("can't end the agent (process %d): %w", pid, err)
	}
	return nil
}
