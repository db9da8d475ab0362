// Package mcp is an MCP server on stdin and stdout that relays every message, whatever
// its method, to another server over streamable HTTP, and back. So a client whose
// configuration can only name a program reaches a server that wants a credential. The
// package follows the transports of MCP 2025-06-18. Each message with an id gets the
// server's answer or an error; batches are split, in both directions.
package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"sync"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/sse"
)

const (
	maxMessage = 64 << 20 // bytes
	// away is how long a message waits for a proxy that does not listen: the agent may
	// be restarting.
	away      = 15 * time.Second
	awayRetry = 200 * time.Millisecond
	// listenRetry is the pause between two streams of the server's own messages.
	listenRetry = 2 * time.Second
	// notice bounds the sending of a message without an answer. Later messages wait for
	// it, so that the order stays.
	notice = 10 * time.Second
	// last is the time for open requests, and for the end of the session, once the
	// client has gone.
	last = 3 * time.Second
)

// The errors of JSON-RPC 2.0, and one from the range that servers may use.
const (
	codeParse   = -32700
	codeInvalid = -32600
	codeFailed  = -32000
)

// Config is what a Relay is made from.
type Config struct {
	URL    string      // of the server's streamable HTTP, at the proxy
	Token  secret.Text // a client token
	Client *http.Client
	In     io.Reader // messages of the client, one a line
	Out    io.Writer // messages to the client, one a line
	Warn   func(string)
}

// relay is one client's connection.
type relay struct {
	Config

	writing  sync.Mutex // held while a line is written
	renewing sync.Mutex // held while a new session begins

	mu          sync.Mutex // protects the following
	session     session    // the current one
	initialize  []byte     // the client's own, to repeat if the server has forgotten the session
	initialized []byte     // the notification after it
	listening   bool
}

// session is the result of initialize; the zero session is none.
type session struct {
	id      string // Mcp-Session-Id; "" on servers without
	version string // of the protocol
}

func (r *relay) current() session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// Run relays messages until the client's end, or ctx's.
func Run(ctx context.Context, c Config) error {
	r := &relay{Config: c}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asking sync.WaitGroup
	lines := bufio.NewReaderSize(c.In, 64<<10)
	read := make(chan []byte)
	ended := make(chan error, 1)
	go func() {
		for {
			line, err := readLine(lines)
			if err != nil {
				// Answer the open requests, for a moment.
				limit := time.AfterFunc(last, cancel)
				defer limit.Stop()
				ended <- err
				<-ctx.Done()
				return
			}
			select {
			case read <- line:
			case <-ctx.Done():
				return
			}
		}
	}()
	for first := true; ; first = false {
		select {
		case line := <-read:
			if first {
				line = bytes.TrimPrefix(line, byteOrderMark)
			}
			r.pass(ctx, line, &asking)
			continue
		case err := <-ended:
			asking.Wait()
			r.leave(ctx)
			if err != io.EOF {
				return fmt.Errorf("read a message: %w", err)
			}
			return nil
		case <-ctx.Done():
			r.leave(ctx)
			return nil
		}
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxMessage {
			return nil, bufio.ErrTooLong
		}
		switch {
		case err == nil, err == io.EOF && len(bytes.TrimSpace(line)) > 0:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// pass sends the messages of a line.
func (r *relay) pass(ctx context.Context, line []byte, asking *sync.WaitGroup) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	if !json.Valid(line) {
		r.fail(nil, codeParse, "that is no json")
		return
	}
	batch, ok := members(line)
	switch {
	case !ok:
		r.passOne(ctx, line, asking)
	case len(batch) == 0:
		r.fail(nil, codeInvalid, "the batch is empty")
	}
	for _, message := range batch {
		r.passOne(ctx, message, asking)
	}
}

// passOne sends one message. It finishes a message without an answer, or initialize,
// before the next message; other requests run at the same time.
func (r *relay) passOne(ctx context.Context, message []byte, asking *sync.WaitGroup) {
	e, err := open(message)
	if err != nil {
		r.fail(e.id, codeInvalid, err.Error())
		return
	}
	switch {
	case e.method == "initialize":
		r.mu.Lock()
		r.initialize, r.initialized, r.session = message, nil, session{}
		r.mu.Unlock()
		r.ask(ctx, message, e)
	case e.method == "notifications/initialized":
		r.mu.Lock()
		r.initialized = message
		r.mu.Unlock()
		r.ask(ctx, message, e)
		r.listen(ctx)
	case e.asks:
		asking.Go(func() { r.ask(ctx, message, e) })
	default:
		r.ask(ctx, message, e)
	}
}

// ask posts a message and writes the answer, or an error.
func (r *relay) ask(ctx context.Context, message []byte, e envelope) {
	if !e.asks {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, notice)
		defer cancel()
	}
	in := r.current()
	err := r.post(ctx, in, message, e, r.write)
	if errors.Is(err, errForgotten) {
		if err = r.renew(ctx, in); err == nil {
			err = r.post(ctx, r.current(), message, e, r.write)
		}
	}
	switch {
	case err == nil || errors.Is(ctx.Err(), context.Canceled):
	case e.asks:
		r.fail(e.id, codeFailed, err.Error())
	default:
		r.Warn(err.Error())
	}
}

// errForgotten means that the server does not know the session.
var errForgotten = errors.New("the server has forgotten the session")

// post sends a message in a session, and gives the answers to take.
func (r *relay) post(ctx context.Context, in session, message []byte, e envelope, take func([]byte)) error {
	res, err := r.send(ctx, http.MethodPost, in, message)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound && in.id != "":
		return errForgotten
	case res.StatusCode/100 != 2:
		return refusal(res)
	}
	answered := !e.asks
	got := func(message []byte) {
		if a, err := open(message); err == nil && a.answers(e) {
			answered = true
			if e.method == "initialize" {
				r.agreed(res.Header.Get("Mcp-Session-Id"), message)
			}
		}
		take(message)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		err = r.stream(res.Body, got)
	case res.StatusCode == http.StatusAccepted || res.StatusCode == http.StatusNoContent:
	default:
		var body []byte
		body, err = io.ReadAll(io.LimitReader(res.Body, maxMessage+1))
		body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
		if err == nil && len(body) > 0 {
			if len(body) > maxMessage || !json.Valid(body) {
				return errors.New("the server's answer is no json")
			}
			each(body, got)
		}
	}
	if !answered {
		if err == nil {
			err = errors.New("the server gave no answer")
		}
		return err
	}
	return nil
}

// stream reads the messages of a stream to its end.
func (r *relay) stream(body io.Reader, got func([]byte)) error {
	for event, err := range sse.Read(body, maxMessage) {
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("the server's answer broke off: %w", err)
		case (event.Name == "" || event.Name == "message") && json.Valid(event.Data):
			each(event.Data, got)
		}
	}
	return nil
}

// each gives the messages of a server's answer, which may be a batch, to got.
func each(answer []byte, got func([]byte)) {
	batch, ok := members(answer)
	if !ok {
		got(answer)
	}
	for _, message := range batch {
		got(message)
	}
}

// agreed notes the session from an answer to initialize.
func (r *relay) agreed(id string, message []byte) {
	var answer struct {
		Result struct {
			Version string `json:"protocolVersion"`
		} `json:"result"`
	}
	_ = json.Unmarshal(message, &answer) // after an error the version is ""
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = session{id, answer.Result.Version}
}

// renew begins a new session with the client's own initialize, unless another message
// has done so. forgotten is the lost session.
func (r *relay) renew(ctx context.Context, forgotten session) error {
	r.renewing.Lock()
	defer r.renewing.Unlock()
	r.mu.Lock()
	initialize, initialized, now := r.initialize, r.initialized, r.session
	r.mu.Unlock()
	if now != forgotten {
		return nil
	}
	if initialize == nil {
		return errForgotten
	}
	e, _ := open(initialize) // it was checked before
	// The client has had its answers to these, so drop the new ones. The old session
	// stays until the server has agreed, so that a failure here is tried again.
	nobody := func([]byte) {}
	err := r.post(ctx, session{}, initialize, e, nobody)
	if err == nil && initialized != nil {
		err = r.post(ctx, r.current(), initialized, envelope{}, nobody)
	}
	return err
}

// listen relays the server's own messages, until ctx ends or the server refuses to
// stream them.
func (r *relay) listen(ctx context.Context) {
	r.mu.Lock()
	begun := r.listening
	r.listening = true
	r.mu.Unlock()
	if begun {
		return
	}
	go func() {
		for told := false; ctx.Err() == nil; {
			in := r.current()
			res, err := r.send(ctx, http.MethodGet, in, nil)
			if err == nil {
				kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
				switch {
				case res.StatusCode == http.StatusOK && kind == "text/event-stream":
					_ = r.stream(res.Body, r.write) // and again
				case res.StatusCode == http.StatusNotFound && in.id != "":
					err = r.renew(ctx, in)
				case res.StatusCode/100 == 4 || res.StatusCode == http.StatusOK:
					_ = res.Body.Close() // the server does not stream
					return
				}
				_ = res.Body.Close()
			}
			if err != nil && !told && ctx.Err() == nil {
				r.Warn("the server's own messages are missed: " + err.Error())
			}
			told = err != nil
			select {
			case <-time.After(listenRetry):
			case <-ctx.Done():
			}
		}
	}()
}

// leave ends the session on the server.
func (r *relay) leave(ctx context.Context) {
	in := r.current()
	if in.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
	defer cancel()
	if res, err := r.send(ctx, http.MethodDelete, in, nil); err == nil {
		_ = res.Body.Close() // a server may refuse that
	}
}

// send sends a request. If the proxy does not listen it waits and tries again, since
// nothing was sent.
func (r *relay) send(ctx context.Context, method string, in session, body []byte) (*http.Response, error) {
	for begun := time.Now(); ; {
		req, err := http.NewRequestWithContext(ctx, method, r.URL, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("X-Api-Key", r.Token.Reveal())
		req.Header.Set("Accept", "application/json, text/event-stream")
		if method == http.MethodGet {
			req.Header.Set("Accept", "text/event-stream")
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		if in.id != "" {
			req.Header.Set("Mcp-Session-Id", in.id)
		}
		if in.version != "" {
			req.Header.Set("Mcp-Protocol-Version", in.version)
		}
		res, err := r.Client.Do(req)
		var refused *net.OpError
		if err == nil || !errors.As(err, &refused) || refused.Op != "dial" || time.Since(begun) > away {
			return res, unwrapped(err)
		}
		select {
		case <-time.After(awayRetry):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unwrapped is an error without the URL, which says nothing that helps.
func unwrapped(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return fmt.Errorf("langkeep's proxy can't be reached: %w", inner)
	}
	return err
}

// refusal is the error in an answer other than 2xx.
func refusal(res *http.Response) error {
	const most = 4 << 10 // bytes
	body, _ := io.ReadAll(io.LimitReader(res.Body, most))
	var said struct {
		Detail  string `json:"detail"`
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &said) // it may be anything
	for _, detail := range []string{said.Detail, said.Message, said.Error.Message} {
		if detail != "" {
			return fmt.Errorf("%s (%d)", detail, res.StatusCode)
		}
	}
	return fmt.Errorf("the server answers %s", res.Status)
}

// write writes a message as one line.
func (r *relay) write(message []byte) {
	var line bytes.Buffer
	if json.Compact(&line, message) != nil {
		return // not JSON; every caller has checked that
	}
	line.WriteByte('\n')
	r.writing.Lock()
	defer r.writing.Unlock()
	_, _ = r.Out.Write(line.Bytes()) // a client that has gone ends its messages too
}

// fail answers with an error; id is nil if the request's id is unknown.
func (r *relay) fail(id json.RawMessage, code int, message string) {
	answer, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": "langkeep: " + message},
	})
	if err == nil {
		r.write(answer)
	}
}
