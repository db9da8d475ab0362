//go:build real && linux

package trials

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// tokenCommand asks the provider for a token, as the commands of the clouds do, and notes
// in runs that it has run. If there is a file broken beside it, it fails.
const tokenCommand = `#!/bin/sh
dir=$(dirname "$0")
echo run >>"$dir/runs"
if [ -e "$dir/broken" ]; then
	echo only-for-stdout-0123456789
	echo "the first line" >&2
	echo "no network here" >&2
	exit 3
fi
curl -sSf -d grant_type=client_credentials -u command:only-for-tests-of-the-command-1234 %s/token |
	sed 's/.*"access_token":"\([^"]*\)".*/\1/'
`

// testExternal keeps a session whose tokens, of 60 s, come from a command. In the end,
// once others don't use it any more, the server gets other settings.
func (g *gateways) testExternal(t *testing.T, unused <-chan struct{}) {
	p := g.c.person(t, "external")
	p.runAgent()
	dir := t.TempDir()
	command := filepath.Join(dir, "token")
	writeProgram(t, command, fmt.Sprintf(tokenCommand, g.provider.URL))
	runs := func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "runs")) // none has run yet
		return strings.Count(string(text), "run\n")
	}
	p.secret("a command's output", "only-for-stdout-0123456789")
	p.must(exitDone, "login", "external", g.front.URL, "--token-command", command, "--no-start")
	p.accepted("external", g.server.URL)

	// The account is the provider's, and has no flow yet.
	made := strings.Fields(g.under(p, "external", g.server.Program("python"), filepath.Join(workingFolder(t), "testdata", "tools", "flow.py")))
	if len(made) != 3 || made[2] != "plain" {
		t.Fatalf("langflow-sdk says %q", made)
	}
	g.flow, g.project = made[0], made[1]
	g.through(p, "external")
	before := runs()
	const reading = tokenLife * 3 / 2
	if n := g.reads(p, "external", reading); n < 2 {
		t.Errorf("%d tokens in %v", n, reading)
	}
	if n := runs() - before; n < 1 || n > 4 {
		t.Errorf("the command ran %d times in %v, and its output lives %v", n, reading, tokenLife)
	}
	p.killAgent()
	p.runAgent()
	p.eventually(20*time.Second, "the session goes on", func() bool { return p.do("token", "external", "--no-start").code == exitDone })
	p.accepted("external", g.server.URL)
	g.echoed(p, "external")

	// The command fails: its last line is told, and nothing that it printed.
	writeFile(t, filepath.Join(dir, "broken"), "")
	p.eventually(2*tokenLife, "the token ends", func() bool { return p.do("token", "external", "--no-start").code == exitUnreachable })
	d := p.must(exitUnreachable, "token", "external", "--no-start")
	if !strings.Contains(d.stderr, "no network here") || strings.Contains(d.stderr, "the first line") || strings.Contains(d.stderr, "only-for-stdout") {
		t.Errorf("a command that fails: %s", d.stderr)
	}
	before = runs()
	p.must(exitUnreachable, "token", "external", "--no-start")
	if n := runs() - before; n > 1 {
		t.Errorf("the command is started %d times for one reader", n)
	}
	if err := os.Remove(filepath.Join(dir, "broken")); err != nil {
		t.Fatal(err)
	}

	// The server now lets such accounts have no keys, and says so; their tokens still work.
	<-unused
	g.server.RestartWith(append(g.provider.accounts(),
		"LANGFLOW_EXTERNAL_AUTH_ACCESS_CEILING_ENABLED=true", "LANGFLOW_EXTERNAL_AUTH_DEFAULT_ACCESS_LEVEL=editor")...)
	p.eventually(150*time.Second, "the session goes on", func() bool { return p.profile("external").State == client.Fresh })
	p.accepted("external", g.server.URL)
	d = p.must(exitFailed, "key", "external", "--min-valid", "24h", "--no-start")
	if !strings.Contains(d.stderr, "makes no api keys for accounts of an identity provider") {
		t.Errorf("a key that is forbidden: %s", d.stderr)
	}
	said := g.under(p, "external", "sh", "-c", curlAsClient+`-f -H 'content-type: application/json' "$LANGFLOW_URL/api/v2/workflows" -d '{"flow_id":"`+g.flow+`","input_value":"without a key"}'`)
	if !strings.Contains(said, "without a key") {
		t.Errorf("a workflow without a key says %.300s", said)
	}
}
