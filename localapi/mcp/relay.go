// Package mcp is an MCP server on stdin and stdout that relays every message, whatever
// its method, to another server over streamable HTTP, and back. So a client whose
// configuration can only name a program reaches a server that wants a credential. The
// package follows the transports of MCP 2025-11-25 and 2026-07-28. Each message with an id
// gets the server's answer or an error, unless the client cancels it; batches are split,
// in both directions. The relay goes on whatever happens to the agent: see Config.Connect.
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
	"net/http"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/flight"
	"langkeep/localapi/sse"
)

const (
	maxMessage = 64 << 20 // bytes
	// serverStarts is how long a message that may be sent twice waits for a server that
	// does not answer yet. Codex gives a program 10 s for its first answer.
	serverStarts = 8 * time.Second
	serverRetry  = 500 * time.Millisecond
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
	// Connect finds a way to the server. The relay calls it for the first message, and
	// again when the agent is gone or does not know the token; never twice at a time.
	// While the error is client.ErrNoAgent, the relay tries again for a while. Any other
	// error goes to the MCP client, whose next message tries again.
	Connect func(context.Context) (*Way, error)
	In      io.Reader // messages of the client, one a line
	Out     io.Writer // messages to the client, one a line
	Warn    func(string)
}

// relay is one client's connection.
type relay struct {
	Config
	life   context.Context // of the relay
	asking sync.WaitGroup  // the messages under way
	before chan struct{}   // closed when the next message may be sent; only accept uses it
	gone   chan struct{}   // closed when the client sends nothing more

	connect    flight.Slot
	connecting sync.WaitGroup // calls of Connect

	buffers  sync.Pool  // of *[]byte, for answers
	writing  sync.Mutex // held while a line is written
	renewing sync.Mutex // held while a new session begins

	mu          sync.Mutex // protects the following
	way         *Way       // nil: none
	session     session    // the current one
	initialize  *envelope  // the client's own, to repeat if the server has forgotten the session
	initialized *envelope  // the notification after it
	listening   bool
	requests    map[string]*request // that wait for their answer, by the value of their id
}

// request is one of the client's that waits for its answer.
type request struct {
	envelope
	cancel context.CancelFunc
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
	ctx, cancel := context.WithCancel(ctx)
	r := &relay{Config: c, life: ctx, before: make(chan struct{}), gone: make(chan struct{}), requests: map[string]*request{}}
	defer r.connecting.Wait() // so that Connect is not called any more
	defer cancel()
	close(r.before)
	lines := bufio.NewReaderSize(c.In, 64<<10)
	read := make(chan []byte)
	ended := make(chan error, 1)
	go func() {
		for {
			line, err := readLine(lines)
			if err != nil {
				close(r.gone)
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
			r.pass(ctx, line)
			continue
		case err := <-ended:
			r.asking.Wait()
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
func (r *relay) pass(ctx context.Context, line []byte) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	batch, ok := members(line)
	switch {
	case !ok:
		r.accept(ctx, line)
	case len(batch) == 0:
		r.fail(nil, codeInvalid, "the batch is empty")
	}
	for _, message := range batch {
		r.accept(ctx, message)
	}
}

// accept sends one message, in a goroutine of its own. Later messages wait until a
// message without an answer, or initialize, is done; other requests run at the same time.
func (r *relay) accept(ctx context.Context, message []byte) {
	e, err := open(message)
	switch {
	case err == errNoJSON:
		r.fail(nil, codeParse, err.Error())
		return
	case err != nil:
		r.fail(e.id, codeInvalid, err.Error())
		return
	case e.method == "notifications/cancelled" && r.cancel(e):
		return
	}
	leave := func() {}
	if e.asks {
		ctx, leave = r.enter(ctx, e)
	}
	before, done := r.before, make(chan struct{})
	if !e.asks || e.method == "initialize" {
		r.before = done
	}
	r.asking.Go(func() {
		defer close(done)
		defer leave()
		select {
		case <-before:
			r.relay(ctx, e)
		case <-ctx.Done():
		}
	})
}

// enter notes a request that waits for its answer, so that the client can cancel it. The
// caller calls leave when it is done.
func (r *relay) enter(ctx context.Context, e envelope) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	waiting, id := &request{e, cancel}, e.idValue()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[id] = waiting
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.requests[id] == waiting { // the client may have used the id again
			delete(r.requests, id)
		}
	}
}

// cancel ends the connection of the request that a notifications/cancelled names, which
// is the signal for servers without sessions: Langflow (1.13.0) knows its requests by no
// other means, and MCP 2026-07-28 has no other signal over HTTP. It tells whether the
// server needs no notification beside it.
func (r *relay) cancel(e envelope) (done bool) {
	id, ok := e.cancels()
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	cancelled := r.requests[id]
	if cancelled == nil || cancelled.method == "initialize" { // which no client may cancel
		return false
	}
	cancelled.cancel()
	return cancelled.stateless()
}

// relay sends one message and passes on its answer.
func (r *relay) relay(ctx context.Context, e envelope) {
	switch e.method {
	case "initialize":
		r.mu.Lock()
		r.initialize, r.initialized, r.session = &e, nil, session{}
		r.mu.Unlock()
	case "notifications/initialized":
		r.mu.Lock()
		r.initialized = &e
		r.mu.Unlock()
		defer r.listen(r.life)
	}
	r.ask(ctx, e)
}

// ask posts a message and writes the answer, or an error.
func (r *relay) ask(ctx context.Context, e envelope) {
	if !e.asks {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, notice)
		defer cancel()
	}
	err := r.postPatiently(ctx, e)
	var no *refusal
	switch {
	case err == nil || errors.Is(ctx.Err(), context.Canceled):
	case e.asks && errors.As(err, &no) && no.said != nil:
		r.answer(e.id, no.said)
	case e.asks:
		r.fail(e.id, codeFailed, err.Error())
	default:
		r.Warn(err.Error())
	}
}

// postPatiently posts a message in the current session, and in a new one if the server
// has forgotten that. A message that may be sent twice waits for a server that starts.
func (r *relay) postPatiently(ctx context.Context, e envelope) error {
	var begun time.Time // of the wait
	for {
		in := r.current()
		if e.stateless() {
			in = session{}
		}
		err := r.post(ctx, in, e, r.write)
		if errors.Is(err, errForgotten) {
			if err = r.renew(ctx, in); err == nil {
				err = r.post(ctx, r.current(), e, r.write)
			}
		}
		if begun.IsZero() { // the agent may have been waited for before
			begun = time.Now()
		}
		if err == nil || !e.repeatable() || !passing(err) || time.Since(begun) > serverStarts {
			return err
		}
		select {
		case <-time.After(serverRetry):
		case <-r.gone:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errForgotten means that the server does not know the session.
var errForgotten = errors.New("the server has forgotten the session")

// post sends a message in a session, and gives the answers to take.
func (r *relay) post(ctx context.Context, in session, e envelope, take func(envelope)) error {
	res, err := r.send(ctx, http.MethodPost, in, e)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound && in.id != "":
		return errForgotten
	case res.StatusCode/100 != 2:
		return refusalIn(res)
	}
	answered := !e.asks
	got := func(a envelope) {
		if a.answers(e) {
			answered = true
			if e.method == "initialize" {
				r.agreed(res.Header.Get("Mcp-Session-Id"), a.text)
			}
		}
		take(a)
	}
	buffer, ok := r.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	defer r.buffers.Put(buffer)
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case kind == "text/event-stream":
		err = r.stream(res.Body, buffer, got)
	case res.StatusCode == http.StatusAccepted || res.StatusCode == http.StatusNoContent:
	default:
		err = readAll(res.Body, buffer)
		text := bytes.TrimSpace(bytes.TrimPrefix(*buffer, byteOrderMark))
		if err == nil && len(text) > 0 && (len(text) > maxMessage || !each(text, got)) {
			return errors.New("the server's answer is no json")
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

// readAll reads a body, or a little more than maxMessage of it, into the buffer.
func readAll(body io.Reader, buffer *[]byte) error {
	const piece = 64 << 10 // bytes
	all := (*buffer)[:0]
	defer func() { *buffer = all }()
	for len(all) <= maxMessage {
		all = sse.Grown(all, piece)
		n, err := body.Read(all[len(all):cap(all)])
		all = all[:len(all)+n]
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// stream reads the messages of a stream to its end.
func (r *relay) stream(body io.Reader, buffer *[]byte, got func(envelope)) error {
	for event, err := range sse.ReadInto(body, maxMessage, buffer) {
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("the server's answer broke off: %w", err)
		case event.Name == "" || event.Name == "message":
			each(event.Data, got) // which passes over a text that is no JSON
		}
	}
	return nil
}

// each gives the messages of a server's answer, which may be a batch, to got. It returns
// false for a text that is no JSON.
func each(answer []byte, got func(envelope)) bool {
	batch, ok := members(answer)
	if !ok {
		batch = [][]byte{answer}
	}
	for _, message := range batch {
		e, err := open(message)
		if err == errNoJSON {
			return false
		}
		if err != nil {
			e = envelope{text: message, lines: true} // passed on, since the client may know it
		}
		got(e)
	}
	return true
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
	// The client has had its answers to these, so drop the new ones. The old session
	// stays until the server has agreed, so that a failure here is tried again.
	nobody := func(envelope) {}
	err := r.post(ctx, session{}, *initialize, nobody)
	if err == nil && initialized != nil {
		err = r.post(ctx, r.current(), *initialized, nobody)
	}
	return err
}

// listen relays the server's own messages, until ctx ends or the server refuses to
// stream them. It looks for no way to the server: only a message of the client starts an
// agent, or opens a proxy, that its user has stopped or closed.
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
			in, way := r.current(), r.currentWay()
			err := errNoWay
			if way != nil {
				var res *http.Response
				if res, _, err = way.send(ctx, http.MethodGet, in, envelope{}); err == nil {
					kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
					switch {
					case res.StatusCode == http.StatusOK && kind == "text/event-stream":
						_ = r.stream(res.Body, new([]byte), r.write) // and again
					case res.StatusCode == http.StatusNotFound && in.id != "":
						err = r.renew(ctx, in)
					case unknownToken(res):
						err = errNoWay // the client's next message finds another way
					case res.StatusCode/100 == 4 || res.StatusCode == http.StatusOK:
						_ = res.Body.Close() // the server does not stream
						return
					}
					_ = res.Body.Close()
				}
			}
			if err != nil && !told && ctx.Err() == nil {
				r.Warn("the server's own messages are missed: " + err.Error())
			}
			told = err != nil
			_ = clock.Pause(ctx, listenRetry) // the loop looks at ctx
		}
	}()
}

// leave ends the session on the server.
func (r *relay) leave(ctx context.Context) {
	in, way := r.current(), r.currentWay()
	if in.id == "" || way == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
	defer cancel()
	if res, _, err := way.send(ctx, http.MethodDelete, in, envelope{}); err == nil {
		_ = res.Body.Close() // a server may refuse that
	}
}

// write writes a message as one line.
func (r *relay) write(e envelope) {
	text := e.text
	if e.lines {
		var compact bytes.Buffer
		_ = json.Compact(&compact, text) // open has read it, so it is JSON
		text = compact.Bytes()
	}
	const small = 64 << 10 // bytes, which are copied so that a client gets them at once
	r.writing.Lock()
	defer r.writing.Unlock()
	// A client that has gone ends its messages too.
	if len(text) < small {
		_, _ = r.Out.Write(append(bytes.Clone(text), '\n'))
		return
	}
	_, _ = r.Out.Write(text)
	_, _ = r.Out.Write([]byte{'\n'})
}

// fail answers with an error of our own; id is nil if the request's id is unknown.
func (r *relay) fail(id json.RawMessage, code int, message string) {
	r.answer(id, map[string]any{"code": code, "message": "langkeep: " + message})
}

// answer answers with an error object of JSON-RPC.
func (r *relay) answer(id json.RawMessage, failure any) {
	answer, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "error": failure})
	if err == nil {
		r.write(envelope{text: answer})
	}
}
