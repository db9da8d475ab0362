//go:build !windows

package quick

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTokenLeavesTheRest prints nothing but a whole success, and leaves every other answer
// as it came. The script token.txtar holds what is printed to what the usual way prints.
func TestTokenLeavesTheRest(t *testing.T) {
	ok := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	const body = `{"profile":"prod","access_token":"a.b.c","token_type":"Bearer"}`
	good := ok(body)
	for name, c := range map[string]struct {
		answer string
		args   []string
		env    string
		want   string
		unsent bool // nothing was asked
	}{
		"answered":        {answer: good, want: "a.b.c\n"},
		"as a header":     {answer: good, args: []string{"token", "prod", "--output", "header"}, want: "Authorization: Bearer a.b.c\n"},
		"as it is":        {answer: good, args: []string{"token", "prod", "--output", "json"}, want: body},
		"refused":         {answer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\na.b.c"},
		"cut short":       {answer: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + body},
		"in pieces":       {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na.b.c\r\n0\r\n\r\n"},
		"nothing":         {},
		"no token":        {answer: ok(`{"profile":"prod"}`)},
		"control code":    {answer: ok(`{"access_token":"a.b` + "\x1b" + `c"}`)},
		"escaped":         {answer: ok(`{"access_token":"a.b\u001bc"}`)},
		"another command": {args: []string{"key", "prod"}, unsent: true},
		"another flag":    {args: []string{"token", "prod", "--min-valid", "1h"}, unsent: true},
		"another output":  {args: []string{"token", "prod", "--output", "xml"}, unsent: true},
		"no name":         {args: []string{"token", "--help"}, unsent: true},
		"a path":          {args: []string{"token", "../keys"}, unsent: true},
		"another agent":   {env: "LANGKEEP_URL", unsent: true},
	} {
		t.Run(name, func(t *testing.T) {
			home, err := os.MkdirTemp("", "quick") // short enough for a socket's path
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(home)
			if err := os.Mkdir(filepath.Join(home, "run"), 0o700); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(home, "run", "agent.sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return // nobody asks
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, c.answer)
				_ = conn.Close()
			}()
			args := c.args
			if args == nil {
				args = []string{"token", "prod"}
			}
			var out bytes.Buffer
			done, begun := token(args, &out, func(name string) string {
				return map[string]string{"LANGKEEP_HOME": home, c.env: "http://127.0.0.1:1"}[name]
			})
			if out.String() != c.want || done != (c.want != "") {
				t.Errorf("%v, %q; want %q", done, out.String(), c.want)
			}
			if (begun == nil) != (done || c.unsent) {
				t.Fatalf("left: %+v", begun)
			}
			if begun == nil {
				return
			}
			defer begun.Answer.Close()
			if left, err := io.ReadAll(begun.Answer); err != nil || string(left) != c.answer || begun.Route != "/v1/profiles/prod/token" {
				t.Errorf("left of %s: %q, %v; want %q", begun.Route, left, err, c.answer)
			}
		})
	}
}

// TestLeave leaves what came, what is still to come, and a connection that can be given up
// while it is read.
func TestLeave(t *testing.T) {
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	agent := os.NewFile(uintptr(ends[1]), "agent")
	defer agent.Close()
	answer := leave("", []byte("came "), ends[0]).Answer
	_, _ = io.WriteString(agent, "later")
	got := make([]byte, len("came later"))
	if _, err := io.ReadFull(answer, got); err != nil || string(got) != "came later" {
		t.Errorf("%q, %v", got, err)
	}
	ended := make(chan error)
	go func() {
		_, err := answer.Read(make([]byte, 1))
		ended <- err
	}()
	_ = answer.Close()
	if err := <-ended; err == nil {
		t.Error("a closed connection was read from")
	}
}
