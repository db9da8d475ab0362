package client

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"sync/atomic"
)

// TakeOver has the next GET of route read an answer that was asked for already. If that
// turns out to be broken, the request is sent as usual. The answer is closed with the body,
// or with the request's context.
func (c *Client) TakeOver(route string, answer io.ReadCloser) {
	t := &begun{RoundTripper: c.http.Transport, url: c.base + route}
	t.answer.Store(&answer)
	c.http.Transport = t
}

// begun answers one request from a connection on which it was sent before.
type begun struct {
	http.RoundTripper
	url    string
	answer atomic.Pointer[io.ReadCloser]
}

// RoundTrip implements http.RoundTripper.
func (t *begun) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.URL.String() != t.url {
		return t.RoundTripper.RoundTrip(r)
	}
	answer := t.answer.Swap(nil)
	if answer == nil {
		return t.RoundTripper.RoundTrip(r)
	}
	conn := *answer
	stop := context.AfterFunc(r.Context(), func() { _ = conn.Close() })
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		stop()
		_ = conn.Close()
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return t.RoundTripper.RoundTrip(r)
	}
	res.Body = closing{res.Body, conn}
	return res, nil
}

// closing is a body whose connection ends with it.
type closing struct {
	io.ReadCloser
	conn io.Closer
}

func (b closing) Close() error {
	defer b.conn.Close()
	return b.ReadCloser.Close()
}
