//go:build real && linux

package tray

import (
	"strings"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// askedWays are the ways to a credential beside reading a token, as a script has them.
var askedWays = map[string]struct {
	script, want string
	got          string // what the script prints once it is allowed
}{
	"key":  {"langkeep key prod | cut -c1-3", "key", "sk-"},
	"exec": {`langkeep exec prod -- sh -c 'curl -s -o /dev/null -w "answer %{http_code}" -H "x-api-key: $LANGFLOW_API_KEY" "$LANGFLOW_URL/api/v1/users/whoami"'`, "lease", "answer 200"},
	// The stand-in has no MCP server, which is what the client then hears.
	"mcp": {`coproc M { langkeep mcp prod; }
echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}' >&${M[1]}
read -r answer <&${M[0]}
echo "$answer"
eval "exec ${M[1]}>&-"
wait $M_PID`, "lease", "404"},
	"client": {"langkeep client add later --profile prod --scope run | cut -c1-3", "client", "lk_"},
}

// TestAskingWays has scripts ask for a key, a lease and a client, which a person denies,
// allows, and leaves unanswered.
func TestAskingWays(t *testing.T) {
	d := newDesktop(t)
	d.startDunst()
	k := newAsker(d)
	// runs starts a script of its own, so that no other's answer counts for it.
	runs := func(way, as string) func() string {
		t.Helper()
		name := way + "-" + as + ".sh"
		d.write(name, 0o600, "set -o pipefail\nlangkeep() { '"+k.program+"' \"$@\"; }\n"+askedWays[way].script+"\necho \"code $?\"\n")
		return k.begins("bash", d.path(name))
	}
	asked := func(way, as string) {
		t.Helper()
		d.await("the question", func() bool {
			all, err := k.client.Asks(t.Context())
			return err == nil && len(all.Asks) == 1 && all.Asks[0].Want == askedWays[way].want && strings.HasPrefix(all.Asks[0].Words, way+"-"+as+".sh")
		})
		d.await("the message", func() bool { return d.run("dunstctl", "count", "displayed") == "1\n" })
	}
	for way, w := range askedWays {
		said := runs(way, "denied")
		asked(way, "denied")
		d.press("Deny")
		if out := said(); !strings.Contains(out, "you have denied "+way+"-denied.sh") || !strings.Contains(out, "code 7") || strings.Contains(out, w.got+"\n") {
			t.Errorf("%s, denied: %s", way, out)
		}
		said = runs(way, "allowed")
		asked(way, "allowed")
		d.press("Allow once")
		if out := said(); !strings.Contains(out, w.got) || strings.Contains(out, "code 7") {
			t.Errorf("%s, allowed: %s", way, out)
		}
	}

	// Nobody answers, for a minute.
	began := time.Now()
	var waiting []func() string
	for way := range askedWays {
		waiting = append(waiting, runs(way, "unanswered"))
	}
	curl := k.curl()
	d.await("all questions", func() bool {
		all, err := k.client.Asks(t.Context())
		return err == nil && len(all.Asks) == len(askedWays)+1
	})
	for open := -1; open != 0; time.Sleep(time.Second) {
		all, err := k.client.Asks(t.Context())
		if err != nil || time.Since(began) > 90*time.Second {
			t.Fatalf("after %v %d questions wait, %v", time.Since(began), len(all.Asks), err)
		}
		open = len(all.Asks)
	}
	if waited := time.Since(began); waited < 59*time.Second {
		t.Errorf("a question waits %v", waited)
	}
	k.gets("curl, unanswered,", curl(), false)
	for _, said := range waiting {
		if out := said(); !strings.Contains(out, "nobody has allowed ") || !strings.Contains(out, "code 7") {
			t.Errorf("unanswered: %s", out)
		}
	}
	d.await("the message's end", func() bool { return d.run("dunstctl", "count", "displayed") == "0\n" })

	// Each refusal is in the audit log.
	noted, err := k.client.Audit(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{} // what is refused again at once is counted later
	for _, e := range noted {
		if e.Refused == client.TypeNotAllowedYet {
			refused[e.What] = true
		}
	}
	for _, what := range []string{"GET /v1/profiles/{name}/api-key", "GET /v1/profiles/{name}/token", "POST /v1/clients", "POST /v1/leases"} {
		if !refused[what] {
			t.Errorf("the audit log has no refused %s", what)
		}
	}
	k.stopNow(t)
}
