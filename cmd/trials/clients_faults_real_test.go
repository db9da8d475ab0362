//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// conversation is a session with Claude Code, which reads and writes a JSON object a
// line.
type conversation struct {
	*clientHome
	in   io.Writer
	said *bufio.Scanner
}

// passphrase is the variable that leads an agent to the passphrase of its store.
func (c *clientHome) passphrase() string {
	return "LANGKEEP_PASSPHRASE_FILE=" + filepath.Join(c.home.dir, "passphrase")
}

// staysConnected connects the client until the test ends.
func (c *clientHome) staysConnected() {
	c.t.Helper()
	c.connects()
	c.t.Cleanup(c.disconnects)
}

// converse begins a session that lasts until the test ends.
func (c *clientHome) converse() *conversation {
	c.t.Helper()
	cmd := c.started("-p", "--verbose", "--input-format", "stream-json", "--output-format", "stream-json", "--allowedTools", "mcp__langflow-prod__"+c.model.tool)
	cmd.Env = append(cmd.Env, c.passphrase()) // for an agent that the relay starts
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = in.Close() // which ends it
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil && (cmd.ProcessState.ExitCode() != 1 || stderr.Len() > 0) { // 1 after an interrupted turn
			c.t.Errorf("%s: %v %s", c.binary, err, stderr.Bytes())
		}
	})
	said := bufio.NewScanner(out)
	said.Buffer(nil, 1<<20)
	return &conversation{c, in, said}
}

// send writes an object.
func (c *conversation) send(message object) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, encode(message)); err != nil {
		c.t.Fatal(err)
	}
}

// prompt is what a person types.
func (c *conversation) prompt() {
	c.t.Helper()
	c.send(object{"type": "user", "message": object{"role": "user", "content": "go on"}})
}

// answer waits for the end of a turn and returns the text of it.
func (c *conversation) answer() string {
	c.t.Helper()
	for c.said.Scan() {
		var line struct{ Type, Result string }
		if err := json.Unmarshal(c.said.Bytes(), &line); err != nil {
			c.t.Fatalf("%v: %s", err, c.said.Bytes())
		}
		if line.Type == "result" {
			return line.Result
		}
	}
	c.t.Fatal("the program has ended: ", c.said.Err())
	return ""
}

// testAgentAway kills the agent below a session, for longer than a lease lives, and has
// the session call the flow again.
func (c *clientHome) testAgentAway(kill func()) {
	c.t.Cleanup(func() { c.do("stop") }) // the agent that the relay starts
	c.staysConnected()
	talk := c.converse()
	call := func(n int) {
		c.t.Helper()
		begin := time.Now()
		talk.prompt()
		said := talk.answer()
		if heard := c.model.heard(); len(heard) != n || !strings.Contains(said, mirrored) {
			c.t.Fatalf("the model heard %q, and the program says %s", heard, said)
		}
		c.t.Logf("call %d: %.1f s", n, time.Since(begin).Seconds())
	}
	call(1)
	kill()
	<-time.After(40 * time.Second)
	if _, err := c.asked(); err == nil {
		c.t.Fatal("there is an agent before anybody wants one")
	}
	call(2)
	if _, err := c.asked(); err != nil {
		log, _ := os.ReadFile(c.paths.Log())
		c.t.Errorf("there is no agent: %v; the log ends with\n%s", err, log[max(0, len(log)-3000):])
	}
}

// testCancel interrupts a session while the flow runs.
func (c *clientHome) testCancel(s *scoped) {
	ticks := filepath.Join(c.dir, "ticks")
	s.create("proxy", "Slow", s.with(s.component(fmt.Sprintf(`    async def message_response(self) -> Message:
        for _ in range(1000):
            with open(%q, "a") as ticks:
                ticks.write(".")
            await asyncio.sleep(0.1)
        return Message(text="too late")
`, ticks))))
	c.model.tool = "slow"
	c.staysConnected()
	talk := c.converse()
	talk.prompt()
	counted := func() int {
		content, _ := os.ReadFile(ticks) // none: it has not begun
		return len(content)
	}
	c.eventually("the flow runs", func() bool { return counted() > 3 })
	talk.send(object{"type": "control_request", "request_id": "1", "request": object{"subtype": "interrupt"}})
	talk.answer()
	interrupted := counted()
	c.eventually("the flow has ended", func() bool {
		n := counted()
		<-time.After(time.Second) // ten ticks of a flow that goes on
		return counted() == n
	})
	if n := counted(); n > interrupted+100 {
		c.t.Errorf("the flow ran on for %d ticks, and ended by itself", n-interrupted)
	}
}

// testWords looks for Langkeep's own words in the client's list.
func (c *clientHome) testWords() {
	c.t.Cleanup(func() { c.do("stop") }) // the agent that the relay starts
	c.staysConnected()                   // by an agent that connect starts
	c.must(exitDone, "stop")
	tells := func(words string, env ...string) {
		c.t.Helper()
		cmd := c.started(c.list...)
		cmd.Env = append(cmd.Env, env...)
		if said := c.ran(cmd); !strings.Contains(said, "Failed to connect") || !strings.Contains(said, words) {
			c.t.Errorf("no %q in\n%s", words, said)
		}
	}
	tells("the file store needs LANGKEEP_PASSPHRASE_FILE")
	tells("no such file", c.passphrase()+"-lost")
	c.write(c.path(), strings.Replace(string(contentOf(c.t, c.path())), `"prod"`, `"other"`, 1))
	tells("no profile", c.passphrase())
}

// testWordsByHTTP looks for Langkeep's own words where the client asks the proxy itself. It
// must not take them for the wish that it signs in by OAuth.
func testWordsByHTTP(t *testing.T) {
	m := newModern(t)
	claude := mcpClients[0]
	claude.connect = []string{"claude-code", "--http"}
	c := install(t, m.home, claude)
	c.staysConnected()
	tells := func(words string) {
		t.Helper()
		if said := c.ran(c.started(c.list...)); !strings.Contains(said, words) || strings.Contains(said, "Registration") || strings.Contains(said, "authentication") {
			t.Errorf("no %q in\n%s", words, said)
		}
	}
	tells(c.listed)
	m.must(exitDone, "logout", "prod")
	tells("signed out: run langkeep login prod")
	m.must(exitDone, "client", "revoke", "claude-code-prod")
	tells("it was revoked or has expired: run langkeep connect for the tool again")
}
