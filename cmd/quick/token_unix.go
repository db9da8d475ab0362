//go:build !windows

package quick

import (
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
	if token(os.Args[1:], os.Stdout, os.Getenv) {
		os.Exit(0)
	}
}

// token prints the token that the arguments ask for, or returns false.
func token(args []string, stdout io.Writer, getenv func(string) string) bool {
	prefix, accept := "", "text/plain"
	switch {
	case len(args) == 2, len(args) == 4 && args[2] == "--output" && args[3] == "raw":
	case len(args) == 4 && args[2] == "--output" && args[3] == "header":
		prefix = Header
	case len(args) == 4 && args[2] == "--output" && args[3] == "json":
		accept = "application/json"
	default:
		return false
	}
	if args[0] != "token" || vocabulary.ValidName(args[1]) != nil || getenv("LANGKEEP_URL") != "" || getenv("LANGKEEP_TOKEN") != "" {
		return false
	}
	p, err := paths.Resolve(getenv)
	if err != nil {
		return false
	}
	answer, ok := ask(p.Socket(), "/v1/profiles/"+args[1]+"/token", accept)
	if !ok {
		return false
	}
	out := answer.Reveal()
	if accept == "text/plain" {
		if !Printable(answer) {
			return false
		}
		out = prefix + out + "\n"
	}
	_, err = io.WriteString(stdout, out)
	return err == nil
}

// patience bounds each read and write, in seconds. It is enough for a token in the agent's
// memory; after it the command asks again in the usual way, and waits there for the refresh,
// or the person's answer, that has begun meanwhile.
const patience = 1

// ask sends a GET. ok: the answer was a success with a length, and its body is whole.
func ask(socket, path, accept string) (body secret.Text, ok bool) {
	conn, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return body, false
	}
	defer syscall.Close(conn)
	for _, of := range []int{syscall.SO_SNDTIMEO, syscall.SO_RCVTIMEO} {
		if syscall.SetsockoptTimeval(conn, syscall.SOL_SOCKET, of, &syscall.Timeval{Sec: patience}) != nil {
			return body, false
		}
	}
	if syscall.Connect(conn, &syscall.SockaddrUnix{Name: socket}) != nil {
		return body, false
	}
	request := "GET " + path + " HTTP/1.1\r\nHost: langkeep\r\nAccept: " + accept + "\r\nConnection: close\r\n\r\n"
	if n, err := syscall.Write(conn, []byte(request)); err != nil || n != len(request) {
		return body, false
	}
	const most = 64 << 10 // bytes
	answer := make([]byte, 0, most)
	for {
		n, err := syscall.Read(conn, answer[len(answer):most])
		if err != nil || n == 0 && len(answer) == most {
			return body, false
		}
		if n == 0 {
			break
		}
		answer = answer[:len(answer)+n]
	}
	head, text, _ := strings.Cut(string(answer), "\r\n\r\n")
	_, length, _ := strings.Cut(head+"\r\n", "\r\nContent-Length: ")
	length, _, _ = strings.Cut(length, "\r\n")
	return secret.New(text), strings.HasPrefix(head, "HTTP/1.1 200 ") && length == strconv.Itoa(len(text))
}
