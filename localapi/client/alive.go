package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

// ErrStuck means that an agent takes connections and answers nothing, for instance
// because it was stopped (SIGSTOP, a frozen cgroup, a debugger).
var ErrStuck = errors.New("the agent does not answer")

const (
	// An answer may take minutes: a server is slow, or the keychain asks a person for
	// its password. So a second request checks whether the agent answers at all. It is
	// sent twice, because this process may itself have been stopped meanwhile. All of
	// it takes less than 10 s, with quickToken's second too.
	quietLimit  = 2 * time.Second
	answerLimit = 3 * time.Second
	questions   = 2
	// eventsQuiet is for streams of events, which have a comment every 15 s.
	eventsQuiet = 20 * time.Second
	// anybodysRoute needs no token and is not in the audit log.
	anybodysRoute = "/ui/icon.svg"
)

// pulse watches a request. When no data has come for a while, it sends the agent
// another request, and ends the watched request's context with ErrStuck if the agent
// does not answer.
type pulse struct {
	client *Client
	timer  *time.Timer

	ctx     context.Context // of the request
	end     context.CancelCauseFunc
	looking context.Context
	rest    context.CancelFunc // ends the watch and leaves the request alone
}

// watch begins to watch a request, which the caller makes with the pulse's ctx. The
// caller calls end after it.
func (c *Client) watch(ctx context.Context) *pulse {
	p := &pulse{client: c}
	p.ctx, p.end = context.WithCancelCause(ctx)
	p.looking, p.rest = context.WithCancel(p.ctx)
	p.timer = time.AfterFunc(eventsQuiet, p.look)
	p.timer.Reset(quietLimit) // look uses the timer, which it must have before it runs
	return p
}

// look checks the agent, and sets the timer for the next check.
func (p *pulse) look() {
	for range questions {
		if p.looking.Err() != nil {
			return
		}
		if p.client.answersAnything(p.looking) {
			p.timer.Reset(quietLimit)
			return
		}
	}
	if p.looking.Err() == nil {
		p.end(p.client.stuck())
	}
}

// answersAnything tells whether the agent answers a simple request in time. It is also
// true for an agent that has ended or is about to: the watched request fails by itself
// then.
func (c *Client) answersAnything(ctx context.Context) bool {
	limit, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(limit, http.MethodGet, c.base+anybodysRoute, nil)
	if err != nil {
		return true
	}
	res, err := c.http.Do(req)
	if err != nil {
		return limit.Err() == nil && !isFull(err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxBody)) // so that the connection can be used again
	_ = res.Body.Close()
	return true
}

// isFull tells whether a Unix socket's backlog is full, since the agent accepts no
// connections.
func isFull(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// stuck is ErrStuck with advice.
func (c *Client) stuck() error {
	return fmt.Errorf("%w%s: langkeep restart replaces it", ErrStuck, c.process())
}

// pulseBody is the body of a stream, with the pulse that watches it.
type pulseBody struct {
	io.ReadCloser
	pulse *pulse
}

func (b pulseBody) Close() error {
	defer b.pulse.end(nil)
	return b.ReadCloser.Close()
}

// eventsBody is a stream of events, in which data comes all the time.
type eventsBody struct{ pulseBody }

func (b eventsBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.pulse.timer.Reset(eventsQuiet)
	}
	return n, err
}
