package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// target is a server, and what it is asked for in turn.
type target struct {
	network, address string
	pid              int // of the server
	requests         [][]byte
}

// get is a request, written out.
func get(host, path, header string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + header + "\r\n")
}

// load asks a target over connections that stay open. It is not a client of
// net/http: that takes as long for a request as the servers do for an answer,
// and would hide half of what they differ in.
type load struct {
	target
	conns []*conn
}

type conn struct {
	net.Conn
	in   *bufio.Reader
	next int // of the requests
	took []time.Duration
}

func (t target) dial(n int) (*load, error) {
	l := &load{target: t}
	for i := range n {
		c, err := net.Dial(t.network, t.address)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.conns = append(l.conns, &conn{
			Conn: c, in: bufio.NewReaderSize(c, 16<<10), next: i * len(t.requests) / n, took: make([]time.Duration, 0, 1<<16),
		})
	}
	return l, nil
}

func (l *load) Close() error {
	var all []error
	for _, c := range l.conns {
		all = append(all, c.Close())
	}
	return errors.Join(all...)
}

// round is what came of one slice of time.
type round struct {
	rate     float64 // requests a second
	p50, p99 time.Duration
	cpu      time.Duration // of the server's, a request
}

// run asks for a while, over every connection at once.
func (l *load) run(d time.Duration) (round, error) {
	var all sync.WaitGroup
	errs := make([]error, len(l.conns))
	before, err := used(l.pid)
	if err != nil {
		return round{}, err
	}
	began := time.Now()
	for i, c := range l.conns {
		all.Go(func() { errs[i] = c.ask(l.requests, began.Add(d)) })
	}
	all.Wait()
	took := time.Since(began)
	after, err := used(l.pid)
	if err != nil {
		return round{}, err
	}
	var times []time.Duration
	for _, c := range l.conns {
		times = append(times, c.took...)
	}
	slices.Sort(times)
	if err := errors.Join(errs...); err != nil {
		return round{}, err
	}
	n := len(times)
	return round{float64(n) / took.Seconds(), quantile(times, 0.5), quantile(times, 0.99), after.minus(before).cpu / time.Duration(n)}, nil
}

// ask asks until a moment, but once at least, and notes how long each answer took.
func (c *conn) ask(requests [][]byte, until time.Time) error {
	c.took = c.took[:0]
	for at := time.Now(); ; {
		if _, err := c.Write(requests[c.next%len(requests)]); err != nil {
			return err
		}
		c.next++
		if _, err := c.answer(nil); err != nil {
			return err
		}
		now := time.Now()
		c.took = append(c.took, now.Sub(at))
		if !now.Before(until) {
			return nil
		}
		at = now
	}
}

var (
	ok            = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
)

// answer reads one answer, which must be a success with a length. It is added to
// whole, unless that is nil.
func (c *conn) answer(whole []byte) ([]byte, error) {
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return whole, err
		}
		if first && !bytes.HasPrefix(line, ok) {
			return whole, fmt.Errorf("the answer is %q", line)
		}
		if whole != nil {
			whole = append(whole, line...)
		}
		if n, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(n))); err != nil {
				return whole, err
			}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	if length < 0 {
		return whole, errors.New("the answer has no length")
	}
	if whole == nil {
		_, err := c.in.Discard(length)
		return nil, err
	}
	body := make([]byte, length)
	_, err := io.ReadFull(c.in, body)
	return append(whole, body...), err
}

// once asks once, and returns the whole answer.
func (t target) once() ([]byte, error) {
	l, err := t.dial(1)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if _, err := l.conns[0].Write(t.requests[0]); err != nil {
		return nil, err
	}
	return l.conns[0].answer([]byte{})
}

// series are the rounds of one of several that are asked in turn.
type series struct {
	rates         []float64
	p50, p99, cpu []time.Duration
}

// inTurn asks several targets in turn, after a first round that does not count.
func (b *bench) inTurn(conns int, targets ...target) ([]series, error) {
	loads := make([]*load, len(targets))
	for i, t := range targets {
		var err error
		if loads[i], err = t.dial(conns); err != nil {
			return nil, err
		}
		defer loads[i].Close()
	}
	all := make([]series, len(targets))
	for n := range b.rounds + 1 {
		for i, l := range loads {
			r, err := l.run(b.slice)
			if err != nil {
				return nil, err
			}
			if s := &all[i]; n > 0 {
				s.rates, s.cpu = append(s.rates, r.rate), append(s.cpu, r.cpu)
				s.p50, s.p99 = append(s.p50, r.p50), append(s.p99, r.p99)
			}
		}
	}
	return all, nil
}

// String is a series in a cell of the table.
func (s series) String() string {
	return fmt.Sprintf("%.0f/s, p50 %s, p99 %s, CPU %s", median(s.rates), exact(median(s.p50)), exact(median(s.p99)), exact(median(s.cpu)))
}

// compare measures two targets and adds a row. goal is the smallest ratio of
// their requests a second that will do; 0 is none.
func (b *bench) compare(what string, conns int, ours, beside target, goal float64) error {
	all, err := b.inTurn(conns, ours, beside)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	ratio := median(ratios(all[0].rates, all[1].rates))
	r := row{what: what, ours: all[0].String(), beside: all[1].String(), ratio: fmt.Sprintf("%.2f", ratio)}
	if goal > 0 {
		r.goal, r.met = fmt.Sprintf("≥ %.2f", goal), ratio >= goal
	}
	b.add(r)
	return nil
}
