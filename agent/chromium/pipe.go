package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// longest is the limit of a message. A browser keeps at most 3,300 cookies of 4 KB
// (net/cookies/cookie_monster.h), of which JSON makes three times as much at worst: six
// characters for one of two bytes.
const longest = 48 << 20

// pipe speaks the Chrome DevTools Protocol with a browser: JSON texts, each ended by a
// NUL byte.
type pipe struct {
	commands chan []byte   // to the goroutine that writes
	broken   chan struct{} // no more answers come
	close    func()

	mu      sync.Mutex // protects the following
	last    int        // the id of the newest command
	waiting map[int]chan<- message
	tabs    map[string]bool // the open ones, by id
	err     error           // why it is broken; ErrEnded or ErrSilent
}

// message is an answer if it has an ID, else an event.
type message struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// newPipe reads answers from out and writes commands to in until it is closed. It calls
// deserted when the last tab was closed.
func newPipe(out io.ReadCloser, in io.WriteCloser, deserted func()) *pipe {
	p := &pipe{
		commands: make(chan []byte, 16), broken: make(chan struct{}),
		waiting: map[int]chan<- message{}, tabs: map[string]bool{},
	}
	p.close = sync.OnceFunc(func() {
		_ = in.Close()  // the browser has ended: nobody misses what was not written
		_ = out.Close() // it was only read
	})
	go p.write(in)
	go p.read(out, deserted)
	return p
}

// write is a goroutine, since a browser that hangs lets a pipe become full.
func (p *pipe) write(in io.Writer) {
	for {
		select {
		case command := <-p.commands:
			if _, err := in.Write(command); err != nil {
				return // the reader finds out, too
			}
		case <-p.broken:
			return
		}
	}
}

func (p *pipe) read(out io.Reader, deserted func()) {
	r := bufio.NewReaderSize(out, 64<<10)
	for {
		m, err := readMessage(r)
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			close(p.broken)
			return
		}
		if m.Method != "" {
			if p.happened(m) {
				deserted()
			}
			continue
		}
		p.mu.Lock()
		answer, asked := p.waiting[m.ID]
		delete(p.waiting, m.ID)
		p.mu.Unlock()
		if asked { // and still waited for
			answer <- m // there is room for one
		}
	}
}

// readMessage reads one message. Its errors quote nothing, for cookies may be in it.
func readMessage(r *bufio.Reader) (message, error) {
	var text []byte
	for {
		piece, err := r.ReadSlice(0)
		if len(text)+len(piece) > longest {
			return message{}, fmt.Errorf("%w: it sent more than %d MiB at once", ErrSilent, longest>>20)
		}
		text = append(text, piece...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return message{}, ErrEnded
		}
	}
	var m message
	if json.Unmarshal(text[:len(text)-1], &m) != nil || m.ID <= 0 && m.Method == "" {
		return message{}, fmt.Errorf("%w: it sent something else than the DevTools protocol", ErrSilent)
	}
	return m, nil
}

// happened notes an event, and tells whether the last tab was closed with it.
func (p *pipe) happened(m message) (deserted bool) {
	var params struct {
		TargetID   string `json:"targetId"`
		TargetInfo struct {
			TargetID string `json:"targetId"`
		} `json:"targetInfo"`
	}
	if json.Unmarshal(m.Params, &params) != nil {
		return false // of an event that we did not ask for
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Target.targetCreated":
		p.tabs[params.TargetInfo.TargetID] = true
	case "Target.targetDestroyed":
		was := len(p.tabs)
		delete(p.tabs, params.TargetID)
		return was > 0 && len(p.tabs) == 0
	}
	return false
}

// command numbers a command and writes it as JSON. Its answer is sent to the channel.
func (p *pipe) command(method string, params any) (id int, text []byte, answer <-chan message, err error) {
	answered := make(chan message, 1)
	p.mu.Lock()
	p.last++
	id = p.last
	p.waiting[id] = answered
	p.mu.Unlock()
	text, err = json.Marshal(struct {
		ID     int    `json:"id"`
		Method string `json:"method"`
		Params any    `json:"params,omitempty"`
	}{id, method, params})
	return id, append(text, 0), answered, err
}

// call sends a command and returns its answer. The error is ErrEnded or ErrSilent where
// the browser can't answer, ctx's where it takes too long, or the browser's own.
func (p *pipe) call(ctx context.Context, method string, params any) (json.RawMessage, error) {
	id, text, answer, err := p.command(method, params)
	if err != nil {
		return nil, err
	}
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
	}()
	select {
	case p.commands <- text:
	case <-p.broken:
		return nil, p.fault()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return nil, fmt.Errorf("the browser refuses %s: %.200q (%d)", method, m.Error.Message, m.Error.Code)
		}
		return m.Result, nil
	case <-p.broken:
		return nil, p.fault()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// post sends a command whose answer nobody needs, unless the pipe is full.
func (p *pipe) post(method string) {
	_, text, _, err := p.command(method, nil)
	if err != nil {
		return
	}
	select {
	case p.commands <- text:
	default:
	}
}

func (p *pipe) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
