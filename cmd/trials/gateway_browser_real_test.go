//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"langkeep/localapi/client"
)

// startX starts an X server without a screen, and returns its name.
func startX(t *testing.T) (display string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "900x560x24", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = x.Process.Kill()
		_ = x.Wait() // an error: it was killed
	})
	_ = w.Close() // Xvfb has its own
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb did not start: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}

// hasBrowser gives a person a desktop with the real Chromium.
func (p *person) hasBrowser() {
	p.t.Helper()
	p.env = []string{"DISPLAY=" + startX(p.t)}
	// Root's Chromium wants a flag that Langkeep never gives it.
	browser := filepath.Join(p.t.TempDir(), "chromium")
	writeProgram(p.t, browser, "#!/bin/sh\nexec chromium --no-sandbox \"$@\"\n")
	settings, err := os.ReadFile(p.paths.ConfigFile())
	if err != nil {
		p.t.Fatal(err)
	}
	writeFile(p.t, p.paths.ConfigFile(), string(settings)+fmt.Sprintf("browser = %q\n", browser))
}

// signsItselfIn is a page in the place of Langflow's, whose form sends itself. The route
// that it asks, and the cookies that this sets, are the real Langflow's.
const signsItselfIn = `<!doctype html><title>Langflow</title><p>Signing in
<script>fetch("/api/v1/login", {method: "POST", body: new URLSearchParams({username: %q, password: %q})})</script>`

// testBrowser signs in with a real browser through oauth2-proxy's real sign-in, and keeps
// that session going.
func (g *gateways) testBrowser(t *testing.T) {
	address := freeAddress(t)
	g.provider = newProvider(t, address)
	g.front.page = fmt.Sprintf(signsItselfIn, g.server.Username, g.server.Password)
	p := g.c.person(t, "browser")
	p.secret("the password", g.server.Password)
	p.hasBrowser()
	p.runOnDesktop()
	proxy := g.oauth2Proxy(t, address, strings.Repeat("a", 32), "--skip-provider-button", "--cookie-refresh=20s")

	signIn := func() {
		begin := time.Now()
		p.must(exitDone, "login", "prod", "http://"+address, "--browser", "--no-start")
		p.say(t, "signed in by browser in %v", time.Since(begin).Round(time.Second))
		p.accepted("prod", g.server.URL)
		if left, err := os.ReadDir(p.paths.Browsers()); err != nil || len(left) != 0 {
			t.Errorf("the browser leaves %v, %v", left, err)
		}
	}
	signIn()
	if stored := p.stored(); !slices.Contains(stored, "prod/cookies") || !slices.Contains(stored, "prod/refresh-token") {
		t.Errorf("the store has %q", stored)
	}
	g.through(p, "prod")
	if n := g.reads(p, "prod", time.Minute); n < 4 {
		t.Errorf("%d tokens in a minute", n)
	}
	p.killAgent()
	p.runOnDesktop()
	if n := g.reads(p, "prod", time.Minute); n < 4 {
		t.Errorf("%d tokens in a minute", n)
	}
	g.echoed(p, "prod")
	g.called(p, "prod")
	cookies := map[string]bool{}
	arrived(g.front, func(r recorded) bool {
		if cookie, err := r.cookie("_oauth2_proxy"); err == nil {
			cookies[cookie] = true
		}
		return false
	})
	if len(cookies) < 3 {
		t.Errorf("Langkeep has sent %d cookies, which oauth2-proxy renews every 20 s", len(cookies))
	}
	// The browser's other cookies are the browser's, but for Langflow's own to refresh.
	odd := arrived(g.front, func(r recorded) bool {
		return !strings.Contains(r.header.Get("User-Agent"), "Chrome/") && slices.ContainsFunc(r.cookies(), func(name string) bool {
			return name != "_oauth2_proxy" && !(name == "refresh_token_lf" && strings.HasSuffix(r.path, "/refresh"))
		})
	})
	if len(odd) != 0 {
		t.Errorf("with a cookie that is not needed: %q", odd)
	}

	// The gateway's cookies end.
	told := len(g.notices.of("prod"))
	proxy.stop()
	g.oauth2Proxy(t, address, strings.Repeat("b", 32), "--skip-provider-button", "--cookie-refresh=20s")
	p.eventually(time.Minute, "a sign-in is required", func() bool {
		now := p.profile("prod")
		return now.State == client.SignInRequired && *now.Reason == "gateway" && now.Gateway != nil && *now.Gateway == "oauth2-proxy"
	})
	p.must(exitSignIn, "token", "prod", "--no-start")
	p.must(exitSignIn, "status", "prod", "--ready", "--no-start")
	p.eventually(10*time.Second, "a notification tells of it", func() bool { return len(g.notices.of("prod")) > told })
	if !slices.Contains(p.stored(), "prod/refresh-token") {
		t.Error("the session is not kept")
	}
	signIn()
	g.echoed(p, "prod")
	wants := []string{"oauth2-proxy in front of " + address + " wants you to sign in.", "Signed in, and refreshes by itself."}
	all := g.notices.of("prod")[told:]
	if len(all) > 2 || !strings.HasPrefix(all[0], wants[0]) || len(all) == 2 && all[1] != wants[1] {
		t.Errorf("the notifications are %q", all)
	}
}

// testSingleSignOn signs in with a real browser through an oauth2-proxy, at an address,
// that tells Langflow who it let in: Langflow has no sign-in of its own then.
func (g *gateways) testSingleSignOn(t *testing.T, address string) {
	p := g.c.person(t, "sso")
	p.hasBrowser()
	p.runAgent()
	g.oauth2Proxy(t, address, strings.Repeat("a", 32), "--skip-provider-button", "--cookie-refresh=20s", "--pass-authorization-header")
	p.must(exitDone, "login", "sso", "http://"+address, "--browser", "--no-start")
	now := p.profile("sso")
	if now.State != client.Fresh || now.Username == nil || *now.Username != "ana" || *now.Method != client.External {
		t.Errorf("it is %s, for %v by %v", now.State, now.Username, now.Method)
	}
	if stored := p.stored(); !slices.Contains(stored, "sso/cookies") {
		t.Errorf("the store has %q", stored)
	}
	if d := p.must(exitFailed, "token", "sso", "--no-start"); !strings.Contains(d.stderr, "the gateway's cookies sign it in, so there is no access token") {
		t.Errorf("token says %s", d.stderr)
	}
	made := strings.Fields(g.under(p, "sso", g.server.Program("python"), filepath.Join(workingFolder(t), "testdata", "tools", "flow.py")))
	if len(made) != 3 || made[2] != "plain" {
		t.Fatalf("langflow-sdk says %q", made)
	}
	g.project = made[1]
	g.called(p, "sso")
	if d := p.do("doctor", "sso", "--no-start"); d.code != exitDone {
		t.Errorf("doctor:\n%s", d.stdout)
	}
	p.killAgent()
	p.runAgent()
	p.eventually(time.Minute, "the session goes on", func() bool { return p.profile("sso").State == client.Fresh })
	g.echoed(p, "sso")
}

// testWindow opens the window in front of a sign-in that nobody makes, and ends it in
// every way. Neither the browser nor its folder is left.
func (g *gateways) testWindow(t *testing.T) {
	p := g.c.person(t, "window")
	p.hasBrowser()
	p.runAgent()
	address := freeAddress(t)
	var shown atomic.Int32
	serve(t, address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			shown.Add(1)
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<html><title>Sign in</title><form><input type=password></form>") // the browser tells if this fails
	}), nil)
	for _, c := range []struct {
		what string
		ends func(login *exec.Cmd)
		code int
		says string
	}{
		{"Ctrl-C", func(login *exec.Cmd) { _ = login.Process.Signal(os.Interrupt) }, exitFailed, "interrupted"},
		{"the browser is killed", func(*exec.Cmd) { _ = syscall.Kill(p.browserProcesses()[0], syscall.SIGKILL) }, exitSignIn, "closed"},
		{"the browser crashes", func(*exec.Cmd) { _ = syscall.Kill(p.browserProcesses()[0], syscall.SIGSEGV) }, exitSignIn, "closed"},
		{"the agent stops", func(*exec.Cmd) { p.must(exitDone, "stop"); _ = p.agent.Wait(); p.runAgent() }, exitFailed, ""},
		{"the agent is killed", func(*exec.Cmd) { p.killAgent(); p.runAgent() }, exitNoAgent, ""},
	} {
		login := p.command("login", "window", "http://"+address, "--browser", "--no-start")
		var said bytes.Buffer
		login.Stderr = &said
		if err := login.Start(); err != nil {
			t.Fatal(err)
		}
		p.eventually(30*time.Second, "the window shows the sign-in", func() bool { return shown.Swap(0) > 0 && len(p.browserProcesses()) > 0 })
		c.ends(login)
		limit := time.AfterFunc(time.Minute, func() { _ = login.Process.Kill() }) // its code tells
		_ = login.Wait()
		limit.Stop()
		if code := login.ProcessState.ExitCode(); code != c.code || !strings.Contains(said.String(), c.says) {
			t.Errorf("%s: login ends with %d, want %d: %s", c.what, code, c.code, said.String())
		}
		took := p.eventually(20*time.Second, "nothing of the browser is left", func() bool {
			left, err := os.ReadDir(p.paths.Browsers())
			return err == nil && len(left) == 0 && len(p.browserProcesses()) == 0
		})
		p.say(t, "%s: nothing of the browser is left %v later", c.what, took.Round(100*time.Millisecond))
	}
}

// browserProcesses are those of the person's window to sign in with, the first one first.
func (p *person) browserProcesses() (all []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte(p.paths.Browsers())) {
			continue // another, or it has gone
		}
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if bytes.Contains(line, []byte("--remote-debugging-pipe\x00")) && !bytes.Contains(line, []byte("\x00--type=")) {
			all = append([]int{pid}, all...)
		} else {
			all = append(all, pid)
		}
	}
	return all
}
