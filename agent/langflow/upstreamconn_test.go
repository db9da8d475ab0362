package langflow_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow"
)

// earlyServer answers 413 as soon as it has a request's headers, and closes.
func earlyServer(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large") // read by the test
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// The answer of a server that refuses an upload before its end is heard, each
// time; on Windows nearly so, which forgets what came before a connection's reset.
func TestEarlyAnswer(t *testing.T) {
	url := earlyServer(t)
	base, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	base.Proxy = nil
	transport := langflow.Streaming(base)
	const size = 1 << 20
	lost := 0
	for i := range 400 {
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", size))) // can't be sent again
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // the others are chunked
			req.ContentLength = size
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			lost++
			t.Logf("upload %d: %v", i, err)
			continue
		}
		said, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge || string(said) != "too large" || err != nil {
			t.Fatalf("upload %d: %d %q, %v", i, res.StatusCode, said, err)
		}
	}
	if lost > 0 && (runtime.GOOS != "windows" || lost > 40) {
		t.Errorf("%d answers are lost", lost)
	}
}

// A kept connection that has died loses no request of any method: one that was not sent
// at all goes over a new connection.
func TestEarlyAnswerLeavesDeadConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // read by the test
			}
			_ = c.(*net.TCPConn).SetLinger(0) // the end is a reset
			_ = c.Close()
		}
	}()
	base, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	base.Proxy = nil
	client := &http.Client{Transport: langflow.Streaming(base), Timeout: 10 * time.Second}
	for i := range 100 {
		res, err := client.Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		_ = res.Body.Close()
	}
}
