package localapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"langkeep/agent/asks"
)

// BenchmarkToken reads a token over a kept connection, and for comparison the
// same bytes from a handler that checks nothing. make bench has both as
// processes of their own.
func BenchmarkToken(b *testing.B) {
	r := newRig(b)
	r.signIn()
	status, header, body := r.ask("token", "GET", "/v1/profiles/prod/token", "")
	if status != http.StatusOK {
		b.Fatal(status, body)
	}
	b.Run("langkeep", func(b *testing.B) { readTokens(b, strings.TrimPrefix(r.url, "http://"), "token") })
	b.Run("owner", func(b *testing.B) { readTokens(b, strings.TrimPrefix(r.url, "http://"), "owner") })
	if runtime.GOOS == "linux" { // which tells the program that asks
		r.askFirst("new")
		r.answering(asks.AlwaysAllow)
		r.must(200, "GET", "/v1/profiles/prod/token", "")
		b.Run("owner, allowed", func(b *testing.B) { readTokens(b, strings.TrimPrefix(r.url, "http://"), "owner") })
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	header.Del("Date")
	header.Del("Content-Length")
	bare := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		_, _ = io.WriteString(w, body)
	})}
	go func() { _ = bare.Serve(l) }()
	defer bare.Close()
	b.Run("bare", func(b *testing.B) { readTokens(b, l.Addr().String(), "token") })
}

func readTokens(b *testing.B, host, token string) {
	c, err := net.Dial("tcp", host)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := []byte("GET /v1/profiles/prod/token HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + token + "\r\n\r\n")
	in := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		length := 0
		for line := "-"; line != "\r\n"; {
			if line, err = in.ReadString('\n'); err != nil {
				b.Fatal(err)
			}
			if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
				for _, digit := range strings.TrimSpace(n) {
					length = 10*length + int(digit-'0')
				}
			}
		}
		if _, err := in.Discard(length); err != nil {
			b.Fatal(err)
		}
	}
}
