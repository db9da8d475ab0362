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

// ErrEnvironment means that LANGKEEP_URL and LANGKEEP_TOKEN can't be used as
// they are set.
var ErrEnvironment = errors.New("LANGKEEP_URL and LANGKEEP_TOKEN")

// Running is what agent.json says of the agent that wrote it last.
type Running struct {
	Schema int    `json:"schema"` // 1
	URL    string `json:"url"`
	PID    int    `json:"pid"`
}

// ReadRunning reads agent.json. A missing file is fs.ErrNotExist. That it is
// there does not mean that the agent still runs.
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
		return Running{}, fmt.Errorf("%s has schema %d, and this langkeep knows 1", p.Agent(), r.Schema)
	}
	return r, nil
}

// Find finds the agent: the one that LANGKEEP_URL and LANGKEEP_TOKEN name, else
// this user's own, over its Unix socket or, where it has none, over TCP with the
// owner's token. The error wraps ErrEnvironment, or ErrNoAgent when none
// answers.
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
		return New(Options{Socket: p.Socket()})
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return findTCP(ctx, p)
}

// FindAs finds the agent as Find does, to ask with another token than the
// owner's.
func FindAs(ctx context.Context, getenv func(string) string, p paths.Paths, token secret.Text) (*Client, error) {
	if u := getenv("LANGKEEP_URL"); u != "" {
		return New(Options{URL: u, Token: token})
	}
	if answers(ctx, p.Socket()) {
		return New(Options{Socket: p.Socket(), Token: token})
	}
	running, err := runningTCP(p)
	if err != nil {
		return nil, err
	}
	return New(Options{URL: running.URL, Token: token})
}

// runningTCP is where the agent answers over TCP. An agent that was killed leaves
// agent.json behind, and somebody else may listen there now, who must be sent
// nothing; only one that lives holds the lock.
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

// answers tells whether somebody listens on the socket.
func answers(ctx context.Context, socket string) bool {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// findTCP finds an agent that could not make a socket: on Wine, or where the
// path is longer than the system allows.
func findTCP(ctx context.Context, p paths.Paths) (*Client, error) {
	running, err := runningTCP(p)
	if err != nil {
		return nil, err
	}
	token, err := paths.ReadFile(p.Token(), 4<<10)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	c, err := New(Options{URL: running.URL, Token: secret.New(strings.TrimSpace(string(token)))})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoAgent, p.Agent(), err)
	}
	// It may have ended just now, and somebody else listen there.
	if _, err := c.StatusJSON(ctx); err != nil {
		var p *Problem
		if !errors.As(err, &p) {
			return nil, err
		}
	}
	return c, nil
}
