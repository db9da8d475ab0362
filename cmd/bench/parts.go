package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"langkeep/agent/keychain"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// size tells how large the program is.
func (b *bench) size(context.Context) error {
	info, err := os.Stat(b.langkeep)
	if err != nil {
		return err
	}
	const most = 13 << 20
	b.add(row{what: "program", ours: fmt.Sprintf("%s (%d bytes)", mib(info.Size()), info.Size()), goal: "≤ 13 MiB", met: info.Size() <= most})
	return nil
}

// tokens compares reading a token with a handler that checks nothing.
func (b *bench) tokens(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	one, err := b.memoryAgent(ctx, server, 1)
	if err != nil {
		return err
	}
	ours, err := one.tcp(1)
	if err != nil {
		return err
	}
	bare, err := b.beside(ctx, ours)
	if err != nil {
		return err
	}
	if err := b.compare("a token, 1 connection; beside a bare handler", 1, ours, bare, 0.92); err != nil {
		return err
	}
	if err := b.compare("a token, 16 connections; beside a bare handler", 16, ours, bare, 0.88); err != nil {
		return err
	}
	if err := b.compare("over the socket, 1 connection; beside TCP", 1, one.socket(), ours, 1); err != nil {
		return err
	}
	if err := b.compare("over the socket, 16 connections; beside TCP", 16, one.socket(), ours, 1); err != nil {
		return err
	}
	many, err := b.memoryAgent(ctx, server, b.many)
	if err != nil {
		return err
	}
	all, err := many.tcp(b.many)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("of %d profiles in turn", b.many)
	if err := b.compare(what+", 1 connection; beside one profile", 1, all, ours, 0.95); err != nil {
		return err
	}
	return b.compare(what+", 16 connections; beside one profile", 16, all, ours, 0.95)
}

// many1000 keeps many sessions whose tokens live for a minute, and measures whether they
// are always valid, and the cost.
func (b *bench) many1000(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Minute)
	if err != nil {
		return err
	}
	a, err := b.memoryAgent(ctx, server, b.many)
	if err != nil {
		return err
	}
	type result struct {
		reads, bad int
		err        error
	}
	done := make(chan result, 1)
	readers, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		reads, bad, err := a.readAll(readers, server, b.many)
		done <- result{reads, bad, err}
	}()
	seen, err := watch(ctx, b.valid, a.cmd.Process.Pid)
	if err != nil {
		return err
	}
	stop()
	r := <-done
	if r.err != nil {
		return r.err
	}
	what := fmt.Sprintf("%d sessions with tokens of 60 s", b.many)
	b.add(row{what: what + ": reads of a token, each tried on the server", ours: fmt.Sprintf("%d, %d not valid", r.reads, r.bad),
		goal: "every one valid", met: r.reads > 0 && r.bad == 0})
	b.add(row{what: what + ": memory, at most", ours: mib(seen[0].most), goal: "≤ 64 MiB", met: seen[0].most <= 64<<20})
	b.add(row{what: what + ": CPU", ours: fmt.Sprintf("%.1f %% of a core", seen[0].share()), goal: "≤ 25 %", met: seen[0].share() <= 25})

	ours, err := a.tcp(1)
	if err != nil {
		return err
	}
	bare, err := b.beside(ctx, ours)
	if err != nil {
		return err
	}
	if err := b.compare("a token while those are refreshed, 1 connection; beside a bare handler", 1, ours, bare, 0); err != nil {
		return err
	}
	return b.compare("a token while those are refreshed, 16 connections; beside a bare handler", 16, ours, bare, 0)
}

// readAll reads tokens of all profiles until ctx ends, and tries each on its
// server.
func (a *agent) readAll(ctx context.Context, server string, profiles int) (reads, bad int, err error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return reads, bad, nil
		case <-ticker.C:
		}
		token, err := a.Token(ctx, profile(rand.N(profiles)), client.AnyLifetime)
		if ctx.Err() != nil {
			return reads, bad, nil
		}
		reads++
		if err != nil {
			bad++
			continue
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/api/v1/users/whoami", nil)
		if err != nil {
			return reads, bad, err
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken.Reveal())
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			if ctx.Err() != nil {
				return reads, bad, nil
			}
			return reads, bad, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil && ctx.Err() == nil {
			return reads, bad, err
		}
		if res.StatusCode != http.StatusOK {
			bad++
		}
	}
}

// idling looks at agents that nobody asks.
func (b *bench) idling(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	sessions := []int{1, 10, b.many}
	var pids []int
	for _, n := range sessions {
		a, err := b.memoryAgent(ctx, server, n)
		if err != nil {
			return err
		}
		pids = append(pids, a.cmd.Process.Pid)
	}
	// The traces of a start last for a little over a minute.
	select {
	case <-time.After(min(b.idle, 75*time.Second)):
	case <-ctx.Done():
		return ctx.Err()
	}
	seen, err := watch(ctx, b.idle, pids...)
	if err != nil {
		return err
	}
	for i, w := range seen {
		all, own, err := resident(pids[i])
		if err != nil {
			return err
		}
		what := fmt.Sprintf("idle for %v with %d sessions: ", b.idle, sessions[i])
		memory := row{what: what + "memory", ours: fmt.Sprintf("%s, of it %s not of the file", mib(all), mib(own))}
		cpu := row{what: what + "CPU", ours: fmt.Sprintf("%.3f %% of a core", w.share())}
		wakes := w.aMinute(float64(w.wakeUps))
		wakeUps := row{what: what + "wake-ups", ours: fmt.Sprintf("%.1f a minute (%.0f switches of threads)", wakes, w.aMinute(float64(w.switches)))}
		switch sessions[i] {
		case 10:
			memory.goal, memory.met = "≤ 16 MiB", all <= 16<<20
			cpu.goal, cpu.met = "≤ 0.05 %", w.share() <= 0.05
			wakeUps.goal, wakeUps.met = "≤ 6", wakes <= 6
		case b.many:
			memory.goal, memory.met = "≤ 64 MiB", all <= 64<<20
			cpu.goal, cpu.met = "≤ 25 %", w.share() <= 25
		}
		b.add(memory)
		b.add(cpu)
		b.add(wakeUps)
	}
	return nil
}

// commands compares langkeep token, as a process, with others.
func (b *bench) commands(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	a, err := b.memoryAgent(ctx, server, 1)
	if err != nil {
		return err
	}
	ours := command{path: b.langkeep, args: []string{"token", profile(0)}, env: a.env}
	empty, err := b.buildEmpty(ctx)
	if err != nil {
		return err
	}
	if err := b.compareCommands(ctx, "langkeep token; beside an empty Go program", ours, command{path: empty}, 1.9); err != nil {
		return err
	}
	oidc, err := b.oidcToken(ctx)
	if errors.Is(err, exec.ErrNotFound) {
		b.add(row{what: "langkeep token; beside oidc-token", beside: "not installed: oidc-agent-cli"})
		return nil
	}
	if err != nil {
		return err
	}
	return b.compareCommands(ctx, "langkeep token; beside oidc-token", ours, oidc, 1.7)
}

// buildEmpty builds a program that does nothing, as the one that is measured is
// built.
func (b *bench) buildEmpty(ctx context.Context) (string, error) {
	path := b.dir + "/empty"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "langkeep/cmd/bench/empty")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build an empty program: %w: %s", err, out)
	}
	return path, nil
}

// command is a program to be started.
type command struct {
	path string
	args []string
	env  []string
}

// start runs it and tells how long it took, from before it was started until it
// had ended.
func (c command) start(ctx context.Context) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = c.env
	began := time.Now()
	err := cmd.Run()
	return time.Since(began), err
}

// prints checks that a command prints something like a token.
func (c command) prints(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = c.env
	out, err := cmd.Output()
	if err == nil && bytes.Count(out, []byte(".")) != 2 {
		err = errors.New("it printed no token")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.path, err)
	}
	return nil
}

// compareCommands starts two commands in turn. goal is how often as long the
// first may take; 0 is none.
func (b *bench) compareCommands(ctx context.Context, what string, ours, beside command, goal float64) error {
	for _, c := range []command{ours, beside} {
		if c.args != nil { // the empty program has nothing to say
			if err := c.prints(ctx); err != nil {
				return err
			}
		}
	}
	var took [2][]float64
	for range b.starts {
		for i, c := range []command{ours, beside} {
			d, err := c.start(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.path, err)
			}
			took[i] = append(took[i], float64(d))
		}
	}
	ratio := median(took[0]) / median(took[1])
	r := row{what: what, ratio: fmt.Sprintf("%.2f", ratio),
		ours: exact(time.Duration(median(took[0]))), beside: exact(time.Duration(median(took[1])))}
	if goal > 0 {
		r.goal, r.met = fmt.Sprintf("≤ %.1f", goal), ratio <= goal
	}
	b.add(r)
	return nil
}

// starting tells how long it takes from the start of an agent to the first
// token, which it must get from the server with what is stored.
func (b *bench) starting(ctx context.Context) error {
	server, _, err := b.child(ctx, "langflow", time.Hour)
	if err != nil {
		return err
	}
	home, err := b.home("file")
	if err != nil {
		return err
	}
	passphrase := b.dir + "/passphrase"
	if err := os.WriteFile(passphrase, []byte("only for a benchmark\n"), 0o600); err != nil {
		return err
	}
	env, err := b.secretService(ctx)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		b.add(row{what: "from an agent's start to the first token, from the keychain", ours: "not measured: " + err.Error()})
	case err != nil:
		return err
	default:
		if err := b.firstToken(ctx, "from the keychain", server, "k", env, "keychain", nil); err != nil {
			return err
		}
	}
	env = []string{"LANGKEEP_PASSPHRASE_FILE=" + passphrase}
	// A passphrase must cost whoever tries them all.
	return b.firstToken(ctx, "from the file, without scrypt", server, "f", env, "file", func() error {
		_, err := keychain.NewFile(home+"/none", secret.New("only for a benchmark"))
		return err
	})
}

// firstToken starts agents, and takes off how long without takes, which may be
// nil.
func (b *bench) firstToken(ctx context.Context, what, server, name string, env []string, store string, without func() error) error {
	home, err := b.home(name)
	if err != nil {
		return err
	}
	a, err := b.startAgent(ctx, home, env, "--store", store)
	if err != nil {
		return err
	}
	if err := a.signIn(ctx, server, 1); err != nil {
		return err
	}
	if err := a.end(); err != nil {
		return err
	}
	var took, off []time.Duration
	for range max(b.starts/10, 1) {
		began := time.Now()
		a, err := b.beginAgent(ctx, home, env, "--store", store)
		if err != nil {
			return err
		}
		for {
			if _, err = a.Token(ctx, profile(0), client.AnyLifetime); err == nil {
				break
			}
			if !errors.Is(err, client.ErrNoAgent) || time.Since(began) > 10*time.Second {
				return err
			}
			time.Sleep(200 * time.Microsecond)
		}
		took = append(took, time.Since(began))
		if err := a.end(); err != nil {
			return err
		}
		if without != nil {
			began := time.Now()
			if err := without(); err != nil {
				return err
			}
			off = append(off, time.Since(began))
		}
	}
	r := row{what: "from an agent's start to the first token, " + what, ours: exact(median(took) - median(off)), goal: "< 50 ms"}
	r.met = median(took)-median(off) < 50*time.Millisecond
	if without != nil {
		r.ours += fmt.Sprintf(" (with it %s)", exact(median(took)))
	}
	b.add(r)
	return nil
}

// secretService starts a session bus with a keyring on it, and returns the
// environment of who is to use it.
func (b *bench) secretService(ctx context.Context) ([]string, error) {
	dir, err := b.home("session")
	if err != nil {
		return nil, err
	}
	address := "unix:path=" + dir + "/bus"
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_DATA_HOME=" + dir, "DBUS_SESSION_BUS_ADDRESS=" + address}
	bus := exec.CommandContext(ctx, "dbus-daemon", "--session", "--nofork", "--nopidfile", "--address="+address, "--print-address")
	ring := exec.CommandContext(ctx, "gnome-keyring-daemon", "--unlock", "--foreground", "--components=secrets", "--control-directory="+dir)
	ring.Stdin = strings.NewReader("only for a benchmark")
	for _, cmd := range []*exec.Cmd{bus, ring} {
		cmd.Env = env
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		b.ends = append(b.ends, func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		})
		// Both say something once they are there.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			return nil, fmt.Errorf("%s did not start: %w", cmd.Path, err)
		}
	}
	return env[1:], nil
}
