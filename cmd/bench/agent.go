package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// agent is a langkeep run.
type agent struct {
	cmd   *exec.Cmd
	home  string
	env   []string
	paths paths.Paths
	said  *bytes.Buffer // stderr; to be read once it has ended
	*client.Client
}

// startAgent starts an agent with its files in home, and waits until it answers.
func (b *bench) startAgent(ctx context.Context, home string, env []string, flags ...string) (*agent, error) {
	a, err := b.beginAgent(ctx, home, env, flags...)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err = a.Profiles(ctx); err == nil || !errors.Is(err, client.ErrNoAgent) || time.Now().After(deadline) {
			return a, err
		}
	}
}

// beginAgent is startAgent without the waiting.
func (b *bench) beginAgent(ctx context.Context, home string, env []string, flags ...string) (*agent, error) {
	a := &agent{home: home, said: new(bytes.Buffer)}
	var err error
	a.paths, err = paths.Resolve(func(name string) string { return map[string]string{"LANGKEEP_HOME": home}[name] })
	if err != nil {
		return nil, err
	}
	if a.Client, err = client.New(client.Options{Socket: a.paths.Socket()}); err != nil {
		return nil, err
	}
	a.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANGKEEP_HOME=" + home}, env...)
	a.cmd = exec.CommandContext(ctx, b.langkeep, append([]string{"run", "--headless", "--listen", "127.0.0.1:0"}, flags...)...)
	a.cmd.Env, a.cmd.Stderr = a.env, a.said
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	b.ends = append(b.ends, func() { _ = a.end() }) // a second time does no harm
	return a, nil
}

// end stops the agent.
func (a *agent) end() error {
	a.Close()
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	if err := a.cmd.Wait(); err != nil && a.cmd.ProcessState == nil {
		return err
	}
	return nil
}

// memoryAgent starts an agent that forgets, with profiles that are signed in at
// a server.
func (b *bench) memoryAgent(ctx context.Context, server string, profiles int) (*agent, error) {
	home, err := os.MkdirTemp(b.dir, "home-")
	if err != nil {
		return nil, err
	}
	a, err := b.startAgent(ctx, home, nil, "--store", "memory")
	if err != nil {
		return nil, err
	}
	return a, a.signIn(ctx, server, profiles)
}

// profile is the name of one of many.
func profile(i int) string { return fmt.Sprintf("p%04d", i) }

// signIn adds profiles and signs them in, a few at a time.
func (a *agent) signIn(ctx context.Context, server string, profiles int) error {
	user := langflowtest.Admin()
	next := make(chan int)
	const workers = 8
	failed := make(chan error, workers)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for i := range next {
				_, err := a.AddProfile(ctx, client.NewProfile{Name: profile(i), ServerURL: server})
				if err == nil {
					_, err = a.Login(ctx, profile(i), client.Login{Method: client.Password, Username: user.Name, Password: secret.New(user.Password)})
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var err error
	for i := 0; i < profiles && err == nil; i++ {
		select {
		case next <- i:
		case err = <-failed:
		}
	}
	close(next)
	working.Wait()
	a.Close() // else the connections are closed while the agent is watched
	select {
	case err = <-failed:
	default:
	}
	return err
}

// tcp is what the agent is asked over TCP: the tokens of so many profiles in
// turn.
func (a *agent) tcp(profiles int) (target, error) {
	running, err := client.ReadRunning(a.paths)
	if err != nil {
		return target{}, err
	}
	u, err := url.Parse(running.URL)
	if err != nil {
		return target{}, err
	}
	owner, err := os.ReadFile(a.paths.Token())
	if err != nil {
		return target{}, err
	}
	t := target{network: "tcp", address: u.Host, pid: a.cmd.Process.Pid}
	for i := range profiles {
		t.requests = append(t.requests, get(u.Host, tokenPath(profile(i)), "Authorization: Bearer "+string(owner)+"\r\n"))
	}
	return t, nil
}

// socket is the same over the socket.
func (a *agent) socket() target {
	return target{"unix", a.paths.Socket(), a.cmd.Process.Pid, [][]byte{get("localhost", tokenPath(profile(0)), "")}}
}

func tokenPath(profile string) string { return "/v1/profiles/" + profile + "/token" }

// beside starts a handler without checks that answers as the agent does, and
// returns what to ask it. It must be given the same request: reading that is
// work too.
func (b *bench) beside(ctx context.Context, ours target) (target, error) {
	answer, err := ours.once()
	if err != nil {
		return target{}, err
	}
	address, pid, err := b.child(ctx, "bare-handler", answer)
	if err != nil {
		return target{}, err
	}
	request := bytes.Replace(ours.requests[0], []byte(ours.address), []byte(address), 1)
	theirs := target{"tcp", address, pid, [][]byte{request}}
	its, err := theirs.once()
	if err != nil {
		return target{}, err
	}
	if a, b := plain(answer), plain(its); a != b {
		return target{}, fmt.Errorf("the two answers differ:\n%s\n%s", a, b)
	}
	return theirs, nil
}

// plain is an answer without what changes from second to second.
func plain(answer []byte) string {
	head, _, _ := strings.Cut(string(answer), "\r\n\r\n")
	var kept []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if !strings.HasPrefix(line, "Date: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// homes are folders for agents, short enough for a socket's path.
func (b *bench) home(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, os.MkdirAll(dir, 0o700)
}
