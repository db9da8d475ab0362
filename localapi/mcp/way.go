package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

const (
	// away is how long a message waits for a way to the server: the agent may be
	// restarting, or starting after a crash.
	away      = 40 * time.Second
	awayRetry = 200 * time.Millisecond
	// connectLimit bounds one call of Connect. A person may be asked first, for a minute.
	connectLimit = 90 * time.Second
)

// Way leads to the server through the agent's proxy, for as long as the agent runs and
// knows the token.
type Way struct {
	URL    string      // of the server's streamable HTTP, at the proxy
	Token  secret.Text // a client token
	Client *http.Client
}

// errNoWay is for work that looks for no way of its own.
var errNoWay = errors.New("the agent is gone, or has taken back this program's token")

func (r *relay) currentWay() *Way {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.way
}

// wayAfter returns the current way, or has Connect find one if that is spent or there is
// none. All messages that need one wait for the same call.
func (r *relay) wayAfter(ctx context.Context, spent *Way) (*Way, error) {
	r.mu.Lock()
	if spent != nil && r.way == spent {
		r.way = nil
		spent.Client.CloseIdleConnections()
	}
	way := r.way
	r.mu.Unlock()
	if way != nil {
		return way, nil
	}
	connecting, _ := r.connect.Join(func(work func()) bool { r.connecting.Go(work); return true }, nil, func() error {
		if r.currentWay() != nil {
			return nil // another message has found one since this one looked
		}
		ctx, cancel := context.WithTimeout(r.life, connectLimit)
		defer cancel()
		found, err := r.Connect(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.way = found
		return err
	})
	if err := connecting.Wait(ctx); err != nil {
		return nil, err
	}
	if way = r.currentWay(); way == nil {
		return nil, client.ErrNoAgent // another message has found it spent already
	}
	return way, nil
}

// send sends a request on the current way. Where nothing of it got to the server, since
// the agent is gone or does not know the token, send finds another way, and waits for it.
func (r *relay) send(ctx context.Context, method string, in session, e envelope) (*http.Response, error) {
	var spent *Way
	for begun := time.Now(); ; {
		way, err := r.wayAfter(ctx, spent)
		if err == nil {
			var res *http.Response
			var taken bool
			res, taken, err = way.send(ctx, method, in, e)
			switch {
			case err == nil && unknownToken(res):
				_ = res.Body.Close() // of an answer that nobody reads
				err = errNoWay
			case err == nil:
				return res, nil
			case taken:
				return nil, broken{err}
			}
			spent = way
		} else if !errors.Is(err, client.ErrNoAgent) {
			return nil, err
		}
		if time.Since(begun) > away {
			return nil, err
		}
		if err := clock.Pause(ctx, awayRetry); err != nil {
			return nil, err
		}
	}
}

// send sends one request, with the message's text if there is one. After an error taken tells whether the proxy may have got a
// part of it.
func (w *Way) send(ctx context.Context, method string, in session, e envelope) (res *http.Response, taken bool, err error) {
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { taken = false }, // net/http may leave a dead connection before it has sent anything
		GotConn: func(httptrace.GotConnInfo) { taken = true },
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), method, w.URL, bytes.NewReader(e.text))
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("X-Api-Key", w.Token.Reveal())
	req.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodGet {
		req.Header.Set("Accept", "text/event-stream")
	}
	if e.text != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if in.id != "" {
		req.Header.Set("Mcp-Session-Id", in.id)
	}
	if in.version != "" {
		req.Header.Set("Mcp-Protocol-Version", in.version)
	}
	e.describe(req.Header)
	res, err = w.Client.Do(req)
	return res, taken, unwrapped(err)
}

// unknownToken tells whether the proxy, and not the server behind it, refuses the token.
func unknownToken(res *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return res.Header.Get(client.UnknownToken) != "" || res.StatusCode == http.StatusUnauthorized && kind == "application/problem+json"
}

// unwrapped is an error without the URL, which says nothing that helps.
func unwrapped(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return fmt.Errorf("langkeep's proxy can't be reached: %w", inner)
	}
	return err
}

// broken is the error of a connection that ended before there was an answer.
type broken struct{ error }

// refusal is an answer other than 2xx.
type refusal struct {
	status int
	kind   string          // of the agent's own refusals, else ""
	said   json.RawMessage // the error object of JSON-RPC; nil if the answer has none
	words  string
}

// Error implements error.
func (n *refusal) Error() string { return n.words }

// passing tells whether the server, or the agent, may be starting.
func passing(err error) bool {
	if _, ok := errors.AsType[broken](err); ok {
		return true
	}
	no, ok := errors.AsType[*refusal](err)
	if !ok || no.kind != "" && no.kind != client.ProblemBase+client.TypeServerUnreachable {
		return false
	}
	switch no.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// refusalIn reads an answer other than 2xx.
func refusalIn(res *http.Response) error {
	const most = 64 << 10 // bytes
	body, _ := io.ReadAll(io.LimitReader(res.Body, most))
	var members map[string]json.RawMessage
	_ = json.Unmarshal(body, &members) // it may be anything
	no := &refusal{status: res.StatusCode, words: "the server answers " + res.Status}
	var failure struct {
		Code    *json.Number `json:"code"`
		Message *string      `json:"message"`
	}
	isError := json.Unmarshal(members["error"], &failure) == nil
	if isError && members["jsonrpc"] != nil && failure.Code != nil && failure.Message != nil {
		no.said = members["error"]
	}
	_ = json.Unmarshal(members["type"], &no.kind) // not of a server's answer
	for _, name := range []string{"detail", "message"} {
		var text string
		if json.Unmarshal(members[name], &text) == nil && text != "" {
			no.words = fmt.Sprintf("%s (%d)", text, res.StatusCode)
			return no
		}
	}
	if isError && failure.Message != nil && *failure.Message != "" {
		no.words = fmt.Sprintf("%s (%d)", *failure.Message, res.StatusCode)
	}
	return no
}
