//go:build !windows

package quick

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestTokenLeavesTheRest prints nothing but a whole success. The script token.txtar holds
// what is printed to what the usual way prints.
func TestTokenLeavesTheRest(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\na.b.c"
	for name, c := range map[string]struct {
		answer string
		args   []string
		env    string
		want   string
	}{
		"answered":        {answer: good, want: "a.b.c\n"},
		"as a header":     {answer: good, args: []string{"token", "prod", "--output", "header"}, want: "Authorization: Bearer a.b.c\n"},
		"as it is":        {answer: good, args: []string{"token", "prod", "--output", "json"}, want: "a.b.c"},
		"refused":         {answer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\na.b.c"},
		"cut short":       {answer: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\na.b.c"},
		"in pieces":       {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na.b.c\r\n0\r\n\r\n"},
		"nothing":         {},
		"control code":    {answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na.b\x1bc"},
		"another command": {answer: good, args: []string{"key", "prod"}},
		"another flag":    {answer: good, args: []string{"token", "prod", "--min-valid", "1h"}},
		"another output":  {answer: good, args: []string{"token", "prod", "--output", "xml"}},
		"no name":         {answer: good, args: []string{"token", "--help"}},
		"a path":          {answer: good, args: []string{"token", "../keys"}},
		"another agent":   {answer: good, env: "LANGKEEP_URL"},
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
			done := token(args, &out, func(name string) string {
				return map[string]string{"LANGKEEP_HOME": home, c.env: "http://127.0.0.1:1"}[name]
			})
			if out.String() != c.want || done != (c.want != "") {
				t.Errorf("%v, %q; want %q", done, out.String(), c.want)
			}
		})
	}
}
