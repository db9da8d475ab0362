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

// ErrStuck means that an agent takes connections and answers nothing, as one does
// that was stopped (SIGSTOP, a frozen cgroup, a debugger).
var ErrStuck = errors.New("the agent does not answer")

const (
	// An answer may take minutes: a server is slow, or a person is asked for a
	// keychain's password. So whether the agent answers anything is asked apart
	// from that, twice, because this process may itself have been stopped
	// meanwhile. All of it is less than 10 s, with quickToken's second too.
	quietLimit  = 2 * time.Second
	answerLimit = 3 * time.Second
	questions   = 2
	// eventsQuiet is for streams of events, which have a comment every 15 s.
	eventsQuiet = 20 * time.Second
	// anybodysRoute takes no token and is not noted in the audit log.
	anybodysRoute = "/ui/icon.svg"
)

// pulse looks after a request: when nothing has come for a while, it asks the
// agent for something else, and ends the request's context with ErrStuck if that
// is not answered.
type pulse struct {
	client *Client
	timer  *time.Timer

	ctx     context.Context // of the request
	end     context.CancelCauseFunc
	looking context.Context
	rest    context.CancelFunc // ends the looking and leaves the request alone
}

// watch begins to look after a request that is made with the pulse's ctx. The
// caller calls end when it is done.
func (c *Client) watch(ctx context.Context) *pulse {
	p := &pulse{client: c}
	p.ctx, p.end = context.WithCancelCause(ctx)
	p.looking, p.rest = context.WithCancel(p.ctx)
	p.timer = time.AfterFunc(eventsQuiet, p.look)
	p.timer.Reset(quietLimit) // look uses the timer, which it must have before it runs
	return p
}

// look asks the agent, and again later.
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

// answersAnything tells whether the agent answers a simple question in time. One
// that has ended, or is about to, counts as if it did: whoever waits for it hears
// of that.
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

// isFull tells whether a Unix socket has no room for another connection, since
// nobody accepts those that wait.
func isFull(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// stuck is ErrStuck with what to do.
func (c *Client) stuck() error {
	return fmt.Errorf("%w%s: langkeep restart replaces it", ErrStuck, c.process())
}

// pulseBody is an answer that goes on, with the pulse that looks after it.
type pulseBody struct {
	io.ReadCloser
	pulse *pulse
}

func (b pulseBody) Close() error {
	defer b.pulse.end(nil)
	return b.ReadCloser.Close()
}

// eventsBody is a stream of events, in which something comes all the time.
type eventsBody struct{ pulseBody }

func (b eventsBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.pulse.timer.Reset(eventsQuiet)
	}
	return n, err
}
