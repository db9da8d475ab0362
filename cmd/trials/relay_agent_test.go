package trials

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
)

// TestRelayOutlivesItsAgent has langkeep mcp go on when its agent is gone, and when the
// next one knows its token no more, as 30 s after the end of the one before.
func TestRelayOutlivesItsAgent(t *testing.T) {
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	b := newBetrayed(t, "--store", "file")
	configured(t, b.paths, "file")
	stopsInTheEnd(t, b.paths)
	name := b.signedIn(t)
	b.server.answers(serveMCP)
	c := startMCP(t, program(t, b.paths, "mcp", name))
	wantAnswer := func(method, when string) {
		t.Helper()
		if got := c.ask(method); got != mcpAnswer {
			t.Errorf("%s: %q", when, got)
		}
	}
	forgotten := func() {
		if err := os.Remove(b.paths.Clients()); err != nil {
			t.Fatal(err)
		}
	}
	wantAnswer("initialize", "at first")

	_ = b.Process.Kill()
	_ = b.Wait() // an error: it was killed
	forgotten()
	// Over TCP, the relay may not have noticed yet that the connection has ended: then nobody
	// can tell whether a call got through, and only what may be sent twice is sent again.
	wantAnswer("tools/list", "after the agent was killed")
	wantAnswer("tools/call", "after the agent was killed")

	b.stop(t)
	forgotten()
	b.start(t, "--store", "file")
	wantAnswer("tools/call", "after another start")
	wantAnswer("initialize", "after another start")

	// langkeep restart keeps the token: the lease is taken up.
	if said, err := program(t, b.paths, "restart").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	wantAnswer("tools/call", "after a restart")
}

// TestRelayCancels has a client cancel a request, which ends it at the server.
func TestRelayCancels(t *testing.T) {
	b := newBetrayed(t)
	name := b.signedIn(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	b.server.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") != "tools/call" {
			serveMCP(w, r)
			return
		}
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	c := startMCP(t, program(t, b.paths, "mcp", name))
	c.say(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"slow"}}`)
	<-begun
	c.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"the person has pressed Esc"}}`)
	<-ended
	if got := c.ask("ping"); got != mcpAnswer {
		t.Errorf("after the cancelled request: %q", got)
	}
}

// TestRelayTellsWhatIsInTheWay has langkeep mcp start where an agent can't, where there is
// no profile, and where nobody is signed in. It says so, and works as soon as that is over.
func TestRelayTellsWhatIsInTheWay(t *testing.T) {
	p := homeFor(t)
	configured(t, p, "file")
	stopsInTheEnd(t, p)
	server := newUpstream(t, langflowtest.Options{})
	server.answers(serveMCP)
	cmd := program(t, p, "mcp")
	cmd.Env = append(cmd.Env, "LANGKEEP_PASSPHRASE_FILE=")
	c := startMCP(t, cmd)
	wantWords := func(words string) {
		t.Helper()
		for _, method := range []string{"server/discover", "initialize", "tools/list"} {
			if got := c.ask(method); !strings.HasPrefix(got, `{"error":{"code":-32000,"message":"`) || !strings.Contains(got, words) || !strings.HasSuffix(got, `"id":1,"jsonrpc":"2.0"}`+"\n") {
				t.Errorf("%s: %q, want %q", method, got, words)
			}
		}
	}
	wantWords("the file store needs LANGKEEP_PASSPHRASE_FILE, the name of a file with the passphrase")

	configured(t, p, "memory")
	wantWords("there is no profile yet: langkeep login NAME URL makes one")

	if err := paths.WriteFile(filepath.Join(p.ProfilesDir(), "prod.toml"), []byte("schema = 1\nserver_url = '"+server.URL+"'\nusername = 'admin'\nmethod = 'password'\n")); err != nil {
		t.Fatal(err)
	}
	for got := ""; !strings.Contains(got, "langkeep login prod"); { // once the agent has seen the file
		if got = c.ask("initialize"); got == "" || got == mcpAnswer {
			t.Fatalf("signed out: %q", got)
		}
	}
	wantWords(`profile \"prod\": signed out: run langkeep login prod`)

	login := program(t, p, "login", "prod", "--password-stdin")
	login.Stdin = strings.NewReader(password + "\n")
	if said, err := login.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if got := c.ask("initialize"); got != mcpAnswer {
		t.Errorf("signed in: %q", got)
	}
}
