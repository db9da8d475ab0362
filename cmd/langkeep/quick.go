package main

import (
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// quickToken is langkeep token for the plain case: the agent runs, has a socket, and
// has the token. In every other case, and after any error, it returns false, and the
// command itself asks again.
//
// It exists for speed, since scripts start this command all the time: signals, the
// flags of all commands and net/http's client make it take 1.6 times as long.
func quickToken(args []string, stdout io.Writer, getenv func(string) string) bool {
	o := credentialOptions{app: &app{stdout: stdout}, prefix: tokenHeader, output: "raw"}
	switch {
	case len(args) == 2:
	case len(args) == 4 && args[2] == "--output":
		o.output = args[3]
	default:
		return false
	}
	if args[0] != "token" || config.ValidName(args[1]) != nil || getenv("LANGKEEP_URL") != "" || getenv("LANGKEEP_TOKEN") != "" {
		return false
	}
	accept := "text/plain"
	switch o.output {
	case "raw", "header":
	case "json":
		accept = "application/json"
	default:
		return false
	}
	p, err := paths.Resolve(getenv)
	if err != nil {
		return false
	}
	body, ok := quickGet(p.Socket(), "/v1/profiles/"+args[1]+"/token", accept)
	if !ok {
		return false
	}
	if o.output == "json" {
		return o.result(body) == nil
	}
	return o.print(secret.New(body)) == nil
}

// quickPatience is enough for a token in the agent's memory. If it is over, the command
// waits for the same refresh in the usual way.
const quickPatience = time.Second

// quickGet sends a GET, and takes only a success that comes in one piece.
func quickGet(socket, path, accept string) (body string, ok bool) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(quickPatience)) // a failure shows in what follows
	_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: langkeep\r\nAccept: "+accept+"\r\nConnection: close\r\n\r\n")
	if err != nil {
		return "", false
	}
	const most = 64 << 10 // bytes
	answer, err := io.ReadAll(io.LimitReader(conn, most))
	if err != nil {
		return "", false
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	_, length, _ := strings.Cut(head+"\r\n", "\r\nContent-Length: ")
	length, _, _ = strings.Cut(length, "\r\n")
	return body, strings.HasPrefix(head, "HTTP/1.1 200 ") && length == strconv.Itoa(len(body))
}
