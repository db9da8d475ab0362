package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// ErrEnvironment means that the values of LANGKEEP_URL and LANGKEEP_TOKEN can't be
// used.
var ErrEnvironment = errors.New("LANGKEEP_URL and LANGKEEP_TOKEN")

// Running is agent.json: it describes the agent that wrote it last.
type Running struct {
	Schema int    `json:"schema"` // 1
	URL    string `json:"url"`
	PID    int    `json:"pid"`
	// Makeshift means that a command has started the agent without a session bus, which
	// its keychain needs: a command that has one may replace it.
	Makeshift bool `json:"makeshift,omitempty"`
}

// ReadRunning reads agent.json. A missing file is fs.ErrNotExist. The file may outlive
// its agent.
func ReadRunning(p paths.Paths) (Running, error) {
	data, err := paths.ReadFile(p.Agent(), 64<<10)
	if err != nil {
		return Running{}, err
	}
	var r Running
	if err := json.Unmarshal(data, &r); err != nil {
		return Running{}, fmt.Errorf("read %s: %w", p.Agent(), err)
	}
	if r.Schema != 1 {
		return Running{}, fmt.Errorf("%s has schema %d, and this langkeep knows 1: use the langkeep that started the agent", p.Agent(), r.Schema)
	}
	return r, nil
}

// Holder is the process that holds the agent's lock, or held it last; 0 if unknown. The
// lock's file names the process from the agent's first moment on, except on Windows,
// where a locked file can't be read.
func Holder(p paths.Paths) int {
	var holder Running
	data, err := paths.ReadFile(p.Lock(), 4<<10)
	if err != nil || json.Unmarshal(data, &holder) != nil || holder.PID == 0 {
		holder, _ = ReadRunning(p) // PID is 0 if it can't be read
	}
	return holder.PID
}

// HolderWords is Holder as a part of a sentence, such as " (process 7)"; nothing if
// it is not known.
func HolderWords(p paths.Paths) string {
	if pid := Holder(p); pid != 0 {
		return fmt.Sprintf(" (process %d)", pid)
	}
	return ""
}

// newOwn makes a Client of this user's own agent, whose process it can name.
func newOwn(o Options, p paths.Paths) (*Client, error) {
	c, err := New(o)
	if err == nil {
		c.process = func() string { return HolderWords(p) }
	}
	return c, err
}

// Find finds the agent: the one that LANGKEEP_URL and LANGKEEP_TOKEN name, else
// this user's own, over its Unix socket or, where it has none, over TCP with the
// owner's token. The error wraps ErrEnvironment, ErrNoAgent when none answers,
// or ErrStuck over TCP; over the socket the first call says that.
func Find(ctx context.Context, getenv func(string) string, p paths.Paths) (*Client, error) {
	if u, token := getenv("LANGKEEP_URL"), getenv("LANGKEEP_TOKEN"); u != "" || token != "" {
		if u == "" || token == "" {
			return nil, fmt.Errorf("%w go together: set both or none", ErrEnvironment)
		}
		c, err := New(Options{URL: u, Token: secret.New(token)})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrEnvironment, err)
		}
		return c, nil
	}
	if answers(ctx, p.Socket()) {
		return newOwn(Options{Socket: p.Socket()}, p)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return findTCP(ctx, p)
}

// FindAs finds the agent like Find, for a Client with another token than the owner's.
func FindAs(ctx context.Context, getenv func(string) string, p paths.Paths, token secret.Text) (*Client, error) {
	if u := getenv("LANGKEEP_URL"); u != "" {
		return New(Options{URL: u, Token: token})
	}
	if answers(ctx, p.Socket()) {
		return newOwn(Options{Socket: p.Socket(), Token: token}, p)
	}
	running, err := runningTCP(p)
	if err != nil {
		return nil, err
	}
	return newOwn(Options{URL: running.URL, Token: token}, p)
}

// runningTCP returns the agent's TCP address. A killed agent leaves agent.json behind,
// and another program may listen at that address now, which must get nothing. So the
// lock must be held too: only a living agent holds it.
func runningTCP(p paths.Paths) (Running, error) {
	running, err := ReadRunning(p)
	switch {
	case err != nil:
		return Running{}, fmt.Errorf("%w: %w", ErrNoAgent, err)
	case p.LockFree():
		return Running{}, fmt.Errorf("%w: the one at %s has ended", ErrNoAgent, running.URL)
	}
	return running, nil
}

// answers tells whether a program listens on the socket.
func answers(ctx context.Context, socket string) bool {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return isFull(err)
	}
	_ = conn.Close()
	return true
}

// OwnerToken reads the owner's token.
func OwnerToken(p paths.Paths) (secret.Text, error) {
	token, err := paths.ReadFile(p.Token(), 4<<10)
	return secret.New(strings.TrimSpace(string(token))), err
}

// findTCP finds an agent that could not make a socket: on Wine, or because the path is
// longer than the system allows.
func findTCP(ctx context.Context, p paths.Paths) (*Client, error) {
	running, err := runningTCP(p)
	if err != nil {
		return nil, err
	}
	token, err := OwnerToken(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	c, err := newOwn(Options{URL: running.URL, Token: token}, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoAgent, p.Agent(), err)
	}
	// The agent may have ended just now, and another program may listen there.
	if _, err := c.StatusJSON(ctx); err != nil {
		var p *Problem
		if !errors.As(err, &p) {
			return nil, err
		}
	}
	return c, nil
}
