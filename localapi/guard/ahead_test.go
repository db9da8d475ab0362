package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// waiting is a server whose requests to /wait go on until their context ends or
// they are let go, and whose requests to /take take the connection over.
func waiting(t *testing.T) (address string, begun, left chan string, letGo chan struct{}) {
	t.Helper()
	begun, left, letGo = make(chan string, 10), make(chan string, 10), make(chan struct{})
	listeners := listenTCP(t)
	serve(t, NewServer(ServerConfig{Log: quiet(), Streams: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // of a test's own client
		if r.URL.Path == "/next" {         // of a client that has left
			return
		}
		begun <- r.URL.RawQuery
		switch r.URL.Path {
		case "/take":
			<-letGo
			c, rest, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "taken\n")
			_, _ = io.Copy(c, rest.Reader) // until the client has ended its half
		case "/wait":
			select {
			case <-r.Context().Done():
				left <- r.URL.RawQuery
			case <-letGo:
			}
		}
	})}), listeners...)
	return listeners[0].Addr().String(), begun, left, letGo
}

func soon[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: not within 10 s", what)
	}
	return v
}

// The agent notices that a client leaves, also one that has sent bytes behind its request.
func TestLeavesBehindLateBytes(t *testing.T) {
	address, begun, left, _ := waiting(t)
	const get, post = "GET /wait?%d HTTP/1.1\r\nHost: x\r\n\r\n", "POST /wait?%d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	for i, tt := range []struct{ request, late string }{
		{get, ""}, {get, "\n"}, {get, "G"}, {post, "\r\n"}, {post, "GET / HTTP/1.1\r\n"}, {get, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"}, {get, strings.Repeat("x", mostAhead)},
	} {
		for _, together := range []bool{true, false} {
			c := dial(t, "tcp", address)
			request, late := fmt.Sprintf(tt.request, i), tt.late
			if together {
				request, late = request+late, ""
			}
			_, _ = io.WriteString(c, request) // that it fails shows below
			soon(t, begun, "the request")
			_, _ = io.WriteString(c, late)
			_ = c.Close()
			if got := soon(t, left, fmt.Sprintf("the end behind %.20q", tt.late)); got != fmt.Sprint(i) {
				t.Errorf("%s has left, want %d", got, i)
			}
		}
	}
}

// An upload that comes while the handler of the request before it still ends, as fast as
// the client can, is taken whole.
func TestUploadBehindAnotherRequest(t *testing.T) {
	address, begun, _, letGo := waiting(t)
	for range 20 {
		c := dial(t, "tcp", address)
		answers := bufio.NewReader(c)
		_, _ = io.WriteString(c, "GET /wait?first HTTP/1.1\r\nHost: x\r\n\r\n") // that it fails shows below
		soon(t, begun, "the request")
		sent := make(chan error)
		_, early := io.WriteString(c, "POST /wait?second HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"+strings.Repeat("x", 200_000))
		go func() {
			_, err := io.WriteString(c, strings.Repeat("x", 1_800_000))
			sent <- errors.Join(early, err)
		}()
		letGo <- struct{}{}
		if got := soon(t, begun, "the upload"); got != "second" {
			t.Errorf("%s comes second", got)
		}
		letGo <- struct{}{}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		for range 2 {
			res, err := http.ReadResponse(answers, nil)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatal(res, err)
			}
			_ = res.Body.Close()
		}
		_ = c.Close()
	}
}

// Requests in a row, in pieces of any size, are answered one after the other, and a
// connection that is taken over loses no byte.
func TestNothingThatCameEarlyIsLost(t *testing.T) {
	address, begun, left, letGo := waiting(t)
	c := dial(t, "tcp", address)
	defer c.Close()
	answers := bufio.NewReader(c)
	const n = 20
	var all strings.Builder
	for i := range n {
		body := strings.Repeat("b", i*100)
		fmt.Fprintf(&all, "POST /wait?%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
	}
	all.WriteString("GET /take?last HTTP/1.1\r\nHost: x\r\n\r\nand what comes behind")
	go func() {
		rest := all.String()
		for i := 1; rest != ""; i = i*3%1009 + 1 {
			_, _ = io.WriteString(c, rest[:min(i, len(rest))]) // that it fails shows below
			rest = rest[min(i, len(rest)):]
		}
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	for i := range n {
		if got := soon(t, begun, "a request"); got != fmt.Sprint(i) {
			t.Fatalf("%s comes in the place of %d", got, i)
		}
		select {
		case letGo <- struct{}{}:
		case <-left: // it has ended its half of the connection: so does net/http take it
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(i, res, err)
		}
		_ = res.Body.Close()
	}
	soon(t, begun, "the last request")
	close(letGo)
	text, err := io.ReadAll(answers)
	if string(text) != "taken\nand what comes behind" {
		t.Errorf("the connection that was taken over has %q, %v", text, err)
	}
}

// scripted is a connection whose reads a test answers.
type scripted struct {
	rawConn
	reads chan read
}

type read struct {
	text string
	err  error
}

func (s scripted) Read(p []byte) (int, error) {
	r := <-s.reads
	return copy(p, r.text), r.err
}

// net/http ends its background read by a deadline, which may hit the goroutine that
// reads on, and is over when the next request is read.
func TestDeadlineOfABackgroundRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw := scripted{reads: make(chan read)}
		c := &conn{rawConn: raw, leave: func() { t.Error("the client has left") }}
		c.serve(true)
		go func() { raw.reads <- read{text: "G"} }()
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		got := make(chan string)
		go func() {
			var p [10]byte
			n, err := c.Read(p[:])
			got <- fmt.Sprint(string(p[:n]), err)
		}()
		synctest.Wait() // the next request is waited for
		raw.reads <- read{err: os.ErrDeadlineExceeded}
		raw.reads <- read{text: "ET /"}
		if text := <-got; text != "ET /<nil>" {
			t.Errorf("the next request begins with %s", text)
		}
	})
}

// A client that sends its next request as soon as it has its answer is not waited for by
// a goroutine: that would cost each request of a connection that stays open.
func TestNextRequestIsNotReadAhead(t *testing.T) {
	raw := scripted{reads: make(chan read, 1)}
	left := make(chan bool)
	c := &conn{rawConn: raw, leave: func() { close(left) }}
	c.serve(true)
	c.serve(false)
	raw.reads <- read{text: "G"}
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil || c.ahead.running {
		t.Fatal(n, err, c.ahead.running)
	}
	c.serve(true) // a slow client's byte came before its handler began
	raw.reads <- read{err: io.EOF}
	soon(t, left, "the end behind a byte that came before the handler began")
}
