//go:build real && linux

package trials

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

func (s *tools) testExec(p *person) {
	for code, script := range map[int]string{0: "exit 0", 3: "exit 3", 137: "kill -9 $$", 143: "kill $$"} {
		p.must(code, "exec", "prod", "--", "sh", "-c", script)
	}
	p.must(127, "exec", "prod", "--", "no-such-program")
	p.must(126, "exec", "prod", "--", "/etc/passwd")

	// The agent is killed and comes again in the middle: the program's token goes
	// on, and ends with it.
	cmd := p.command("exec", "prod", "--", "sh", "-c", `echo "$LANGFLOW_API_KEY"
while [ ! -e "$0" ]; do
	printf 'x-api-key: %s\n' "$LANGFLOW_API_KEY" | curl -sS -m 5 -o /dev/null -w '%{http_code}\n' -H @- "$LANGFLOW_URL/api/v1/users/whoami" 2>/dev/null
	sleep 0.1
done
exit 5`, filepath.Join(p.tmp, "end"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	token := lines.Text()
	p.secret("a client token", token)
	await := func(what string, limit time.Duration) {
		p.t.Helper()
		for begin := time.Now(); lines.Scan(); {
			if lines.Text() == what {
				p.say(p.t, "%s after %v", what, time.Since(begin).Round(time.Millisecond))
				return
			}
			if time.Since(begin) > limit {
				p.t.Fatalf("still %s after %v", lines.Text(), limit)
			}
		}
	}
	await("200", 30*time.Second)
	p.killAgent()
	await("000", 10*time.Second)
	p.runAgent()
	await("200", 30*time.Second)
	// It is held, not just remembered for 30 s.
	time.Sleep(35 * time.Second)
	for range 50 {
		lines.Scan()
	}
	await("200", time.Second)
	if err := os.WriteFile(filepath.Join(p.tmp, "end"), nil, 0o600); err != nil {
		p.t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = cmd.Wait() // with 5
	if code := cmd.ProcessState.ExitCode(); code != 5 {
		p.t.Errorf("it ended with %d", code)
	}
	proxied := *p.profile("prod").ProxyURL + "/api/v1/version"
	took := p.eventually(time.Second, "its token is refused", func() bool {
		return p.curl("header = \"x-api-key: "+token+"\"\n", proxied).status == http.StatusUnauthorized
	})
	p.say(p.t, "revoked %v after its program's end", took.Round(time.Millisecond))
}
