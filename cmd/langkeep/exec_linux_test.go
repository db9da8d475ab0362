package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/cmd/trials/pty"
)

// execRig is an agent in the background with one profile that is signed in.
type execRig struct {
	t   *testing.T
	env []string
}

func newExecRig(t *testing.T) *execRig {
	t.Helper()
	// Under nohup, or in the background of a script, some are ignored, and would
	// be by what is started here; those that are caught are not.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	t.Cleanup(func() { signal.Stop(caught) })
	home := t.TempDir()
	r := &execRig{t: t, env: append(os.Environ(), "LANGKEEP_HOME="+home, "GORACE=atexit_sleep_ms=0")}
	if err := os.MkdirAll(filepath.Join(home, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "config", "config.toml"), []byte("listen = '127.0.0.1:0'\nstore = 'memory'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := langflowtest.New(langflowtest.Options{})
	t.Cleanup(server.Close)
	t.Cleanup(func() { r.must("stop") })
	login := r.command("login", "prod", server.URL, "--username", langflowtest.Admin().Name, "--password-stdin")
	login.Stdin = strings.NewReader(langflowtest.Admin().Password)
	if out, err := login.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return r
}

func (r *execRig) command(args ...string) *exec.Cmd {
	cmd := exec.Command("langkeep", args...)
	cmd.Env = r.env
	return cmd
}

func (r *execRig) must(args ...string) string {
	r.t.Helper()
	out, err := r.command(args...).Output()
	if err != nil {
		r.t.Fatalf("langkeep %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// underExec starts a shell script under exec, without a terminal, whose first
// line must be the agent's URL and its token.
func (r *execRig) underExec(script string) (cmd *exec.Cmd, lines *bufio.Reader, url, token string) {
	r.t.Helper()
	cmd = r.command("exec", "prod", "--", "sh", "-c", `echo $LANGKEEP_URL $LANGKEEP_TOKEN; `+script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines = bufio.NewReader(out)
	if _, err := fmt.Fscanf(lines, "%s %s\n", &url, &token); err != nil {
		r.t.Fatal(err)
	}
	return cmd, lines, url, token
}

// status is what the agent answers to a token, 0 for nothing.
func (r *execRig) status(url, token string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "GET", url+"/v1/status", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// becomes waits until the agent answers so to a token.
func (r *execRig) becomes(url, token string, want int, limit time.Duration) {
	r.t.Helper()
	for start := time.Now(); r.status(url, token) != want; time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > limit {
			r.t.Fatalf("%d after %v, want %d", r.status(url, token), limit, want)
		}
	}
}

func TestExecPassesSignalsOn(t *testing.T) {
	r := newExecRig(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
		t.Run(s.String(), func(t *testing.T) {
			cmd, lines, _, _ := r.underExec(fmt.Sprintf(`trap 'echo got; exit 5' %d; echo ready; while :; do sleep 0.01; done`, s))
			if line, err := lines.ReadString('\n'); line != "ready\n" {
				t.Fatal(line, err)
			}
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			if line, err := lines.ReadString('\n'); line != "got\n" {
				t.Error(line, err)
			}
			if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
				t.Errorf("it ended with %v", cmd.ProcessState)
			}
		})
	}
}

func TestExecWhoseChildIgnoresTerm(t *testing.T) {
	r := newExecRig(t)
	cmd, lines, url, token := r.underExec(`trap '' TERM; echo ready; sleep 5; exit 4`)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	for range 3 {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	// Its token lives as long as it does.
	r.becomes(url, token, 200, time.Second)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.becomes(url, token, 401, time.Second)
	_ = cmd.Wait()
}

func TestExecOutlivesARestart(t *testing.T) {
	r := newExecRig(t)
	cmd, _, _, token := r.underExec(`while :; do sleep 0.01; done`)
	for range 2 {
		r.must("restart")
		url := r.must("status", "--json")
		_, url, _ = strings.Cut(url, `"url":"`)
		url, _, _ = strings.Cut(url, `"`)
		r.becomes(url, token, 200, 5*time.Second)
		// It is held again, not only remembered for a while.
		held := func() bool {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/lease", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusConflict
		}
		time.Sleep(3 * resumeEvery)
		if !held() {
			t.Fatal("the lease was not taken up again")
		}
		if r.status(url, token) != 200 {
			t.Fatal("the token is gone")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("it ended with %d", code)
	}
	for start := time.Now(); r.must("client", "list") != ""; {
		if time.Since(start) > time.Second {
			t.Fatalf("left: %s", r.must("client", "list"))
		}
	}
}

// At a terminal, Ctrl-C reaches the program once: it is the terminal that sends
// it to both.
func TestExecAtATerminal(t *testing.T) {
	r := newExecRig(t)
	person, program := pty.Open(t)
	cmd := r.command("exec", "prod", "--", "sh", "-c", `n=0; trap 'n=$((n+1)); echo got $n' INT; echo ready; while :; do sleep 0.01; done`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(person)
	for lines.Scan() && !strings.Contains(lines.Text(), "ready") {
	}
	for i := 1; i <= 3; i++ {
		if _, err := person.Write([]byte{3}); err != nil { // Ctrl-C
			t.Fatal(err)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), "got") {
		}
		if want := fmt.Sprintf("got %d", i); !strings.HasSuffix(lines.Text(), want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
		time.Sleep(50 * time.Millisecond) // for one that comes twice
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("it ended with %d", code)
	}
}

// Ctrl-Z stops the program and exec, which are one job to the shell, and fg goes
// on with both.
func TestExecIsOneJob(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no shell with job control here: ", err)
	}
	r := newExecRig(t)
	person, program := pty.Open(t)
	end := filepath.Join(t.TempDir(), "end")
	cmd := exec.Command("bash", "--norc", "--noprofile", "-i")
	cmd.Env = r.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(person)
	await := func(what string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return
			}
		}
		t.Fatalf("the terminal ended before %q", what)
	}
	write := func(text string) {
		t.Helper()
		if _, err := person.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	// The quotes keep the terminal's echo from matching.
	write("langkeep exec prod -- sh -c 'echo rea\"\"dy; while [ ! -e " + end + " ]; do sleep 0.01; done; exit 7'\n")
	await("ready")
	write("\x1a")
	await("Stopped")
	write("fg\n")
	if err := os.WriteFile(end, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	write("echo code \"\"$?\nexit\n")
	await("code 7")
	_ = cmd.Wait()
}
