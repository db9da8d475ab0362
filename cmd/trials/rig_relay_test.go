package trials

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"langkeep/agent/paths"
)

// relayClient is a client of MCP with a langkeep mcp of its own.
type relayClient struct {
	t     *testing.T
	in    io.WriteCloser
	lines *bufio.Reader // of what langkeep mcp answers
}

// startMCP starts a langkeep mcp, which ends with the test.
func startMCP(t *testing.T, cmd *exec.Cmd) *relayClient {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(2*soon, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error: it was killed
	})
	return &relayClient{t, in, bufio.NewReaderSize(out, 64<<10)}
}

// say sends a message.
func (c *relayClient) say(message string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, message+"\n"); err != nil {
		c.t.Fatalf("langkeep mcp has ended: %v", err)
	}
}

// hear is the next line; "" is the end of a langkeep mcp that took too long.
func (c *relayClient) hear() string {
	line, _ := c.lines.ReadString('\n')
	return line
}

// end closes the client's end, with which langkeep mcp ends.
func (c *relayClient) end() { _ = c.in.Close() }

// ask sends a request and returns the next line.
func (c *relayClient) ask(method string) string {
	c.t.Helper()
	c.say(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"name":"echo","arguments":{"text":"` + typedPassword + `"}}}`)
	return c.hear()
}

const mcpAnswer = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}` + "\n"

// serveMCP answers every message of MCP that has an id with mcpAnswer.
func serveMCP(w http.ResponseWriter, r *http.Request) {
	var message map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil || message["id"] == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, mcpAnswer)
}

// configured writes a config.toml for the agents that commands start.
func configured(t *testing.T, p paths.Paths, store string) {
	t.Helper()
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	if err := paths.WriteFile(p.ConfigFile(), []byte("schema = 1\nlisten = '127.0.0.1:0'\nstore = '"+store+"'\n")); err != nil {
		t.Fatal(err)
	}
}

// stopsInTheEnd stops the agent that a command has started.
func stopsInTheEnd(t *testing.T, p paths.Paths) {
	t.Helper()
	t.Cleanup(func() {
		if said, err := program(t, p, "stop").CombinedOutput(); err != nil {
			t.Errorf("stop: %v: %s", err, said)
		}
	})
}
