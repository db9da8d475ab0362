//go:build !windows

package quick

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

func init() {
	done, begun := token(os.Args[1:], os.Stdout, os.Getenv)
	if done {
		os.Exit(0)
	}
	Begun = begun
}

// token prints the token that the arguments ask for; done tells whether it has. If it has
// only asked, it returns what it has begun.
func token(args []string, stdout io.Writer, getenv func(string) string) (done bool, begun *Request) {
	prefix, whole := "", false
	switch {
	case len(args) == 2, len(args) == 4 && args[2] == "--output" && args[3] == "raw":
	case len(args) == 4 && args[2] == "--output" && args[3] == "header":
		prefix = Header
	case len(args) == 4 && args[2] == "--output" && args[3] == "json":
		whole = true
	default:
		return false, nil
	}
	if args[0] != "token" || vocabulary.ValidName(args[1]) != nil || getenv("LANGKEEP_URL") != "" || getenv("LANGKEEP_TOKEN") != "" {
		return false, nil
	}
	p, err := paths.Resolve(getenv)
	if err != nil {
		return false, nil
	}
	route := "/v1/profiles/" + args[1] + "/token"
	conn, err := send(p.Socket(), route)
	if err != nil {
		return false, nil
	}
	received, body, ok := read(conn)
	out := body.Reveal()
	if ok && !whole {
		_, out, ok = strings.Cut(out, `"access_token":"`)
		out, _, _ = strings.Cut(out, `"`)
		ok = ok && Printable(secret.New(out)) && !strings.Contains(out, `\`)
		out = prefix + out + "\n"
	}
	if !ok {
		return false, leave(route, received, conn)
	}
	_ = syscall.Close(conn)
	_, err = io.WriteString(stdout, out)
	return err == nil, nil
}

// patience bounds each read and write, in seconds. It is enough for a token in the agent's
// memory; after it the command waits for the refresh, or the person's answer.
const patience = 1

// send connects to the socket and sends a GET.
func send(socket, route string) (conn int, err error) {
	conn, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	syscall.CloseOnExec(conn)
	for _, of := range []int{syscall.SO_SNDTIMEO, syscall.SO_RCVTIMEO} {
		if err == nil {
			err = syscall.SetsockoptTimeval(conn, syscall.SOL_SOCKET, of, &syscall.Timeval{Sec: patience})
		}
	}
	if err == nil {
		err = syscall.Connect(conn, &syscall.SockaddrUnix{Name: socket})
	}
	if err == nil {
		request := "GET " + route + " HTTP/1.1\r\nHost: langkeep\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
		var n int
		if n, err = syscall.Write(conn, []byte(request)); err == nil && n != len(request) {
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		_ = syscall.Close(conn)
	}
	return conn, err
}

// read reads the answer, for as long as patience lasts. ok: it was a success with a length,
// and its body is whole.
func read(conn int) (received []byte, body secret.Text, ok bool) {
	const most = 64 << 10 // bytes
	received = make([]byte, 0, most)
	for len(received) < most {
		n, err := syscall.Read(conn, received[len(received):most])
		if err != nil {
			return received, body, false
		}
		if n == 0 {
			break
		}
		received = received[:len(received)+n]
	}
	head, text, _ := strings.Cut(string(received), "\r\n\r\n")
	_, length, _ := strings.Cut(head+"\r\n", "\r\nContent-Length: ")
	length, _, _ = strings.Cut(length, "\r\n")
	return received, secret.New(text), strings.HasPrefix(head, "HTTP/1.1 200 ") && length == strconv.Itoa(len(text))
}

// leave makes a request of what has been received of its answer and the connection for the
// rest.
func leave(route string, received []byte, conn int) *Request {
	_ = syscall.SetNonblock(conn, true) // so that Close ends a Read
	rest := os.NewFile(uintptr(conn), "agent.sock")
	return &Request{route, struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(received), rest), rest}}
}
