//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/keychain/keychaintest"
	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// computer is what the persons of a test share: the program, a session with a
// Secret Service, and the evidence of what was written where.
type computer struct {
	binary  string
	dir     string // of all that Langkeep may write to
	session *keychaintest.Session
	begin   time.Time

	mu       sync.Mutex // protects the following
	secrets  map[string]string
	commands map[string]bool
}

// newComputer builds the program and starts the session.
func newComputer(t *testing.T) *computer {
	t.Helper()
	c := &computer{
		session: keychaintest.Start(t), begin: time.Now(),
		secrets: map[string]string{}, commands: map[string]bool{},
	}
	// Not t.TempDir, whose long names would leave no room for a socket's path.
	dir, err := os.MkdirTemp("", "langkeep-session-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.dir = dir
	if c.binary, err = built(); err != nil {
		t.Fatal(err)
	}
	c.watchCommands(t)
	return c
}

// say tells how far the test is.
func (c *computer) say(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("%6s  %s", time.Since(c.begin).Round(time.Second), fmt.Sprintf(format, args...))
}

// secret notes what must be found nowhere.
func (c *computer) secret(what, text string) {
	if text == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[text] = what
}

// watchCommands notes the arguments of every process that runs below a person's
// shell, while the test does.
func (c *computer) watchCommands(t *testing.T) {
	every(t, 200*time.Millisecond, func() {
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, process := range processes {
			environ, err := os.ReadFile(process + "/environ")
			if err != nil || !bytes.Contains(environ, []byte("LANGKEEP_HOME="+c.dir)) {
				continue // somebody else's, or gone
			}
			if arguments, err := os.ReadFile(process + "/cmdline"); err == nil && len(arguments) > 0 {
				c.mu.Lock()
				c.commands[string(arguments)] = true
				c.mu.Unlock()
			}
		}
	})
}

// found lists the secrets in a text: as they are, or as a URL, base64 or, for a
// token, the signature alone shows them.
func (c *computer) found(text []byte) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []string
	for secret, what := range c.secrets {
		forms := []string{
			secret, url.QueryEscape(secret), url.PathEscape(secret),
			base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		}
		if parts := strings.Split(secret, "."); len(parts) == 3 {
			forms = append(forms, parts[2])
		}
		if slices.ContainsFunc(forms, func(form string) bool { return bytes.Contains(text, []byte(form)) }) {
			found = append(found, what)
		}
	}
	return found
}

// foundBelow searches every file below a folder, and returns how many it read.
// The owner's token is in one file, where it belongs.
func (c *computer) foundBelow(t *testing.T, dir string) (found []string, files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, "/run/token") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, what := range c.found(text) {
			found = append(found, what+" in "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, files
}

// person has a LANGKEEP_HOME, and a shell in the session.
type person struct {
	*computer
	t     *testing.T
	paths paths.Paths
	tmp   string   // TMPDIR
	said  string   // what Langkeep says to people
	env   []string // beside the session's
	agent *foreground
}

// foreground is an agent in another shell; nil in it if there is none.
type foreground struct{ *exec.Cmd }

// in is the same person in a part of the test.
func (p *person) in(t *testing.T) *person {
	other := *p
	other.t = t
	return &other
}

// person makes one whose agent takes any free port and tells all it knows. In
// the end everything of the person is removed.
func (c *computer) person(t *testing.T, name string) *person {
	t.Helper()
	home := filepath.Join(c.dir, name, "home")
	p := &person{
		computer: c, t: t, agent: &foreground{}, tmp: filepath.Join(c.dir, name, "tmp"), said: filepath.Join(c.dir, name, "said"),
		paths: paths.Paths{
			Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"),
			Run: filepath.Join(home, "run"), Home: home,
		},
	}
	for _, dir := range []string{p.tmp, p.said, p.paths.Config} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	settings := "schema = 1\nlisten = \"127.0.0.1:0\"\nlog_level = \"debug\"\n"
	if err := os.WriteFile(p.paths.ConfigFile(), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(p.paths.Log())
			t.Logf("the end of %s's log:\n%s", name, log[max(0, len(log)-8000):])
		}
		if p.running() != 0 {
			p.noteAnswers()
			p.command("stop").Run() // what is left is killed below
		}
		p.killAgent()
	})
	// Each refresh token is in the Secret Service until the next one.
	every(t, time.Second, func() { p.stored() })
	return p
}

// every does something again and again until the test ends.
func every(t *testing.T, d time.Duration, do func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				do()
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// program prepares any program to run in the person's shell.
func (p *person) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(p.session.Env(), "LANGKEEP_HOME="+p.paths.Home, "TMPDIR="+p.tmp)
	cmd.Env = append(cmd.Env, p.env...)
	cmd.Dir = "/"
	p.mu.Lock()
	p.commands[strings.Join(cmd.Args, "\x00")] = true
	p.mu.Unlock()
	return cmd
}

// command prepares a langkeep command.
func (p *person) command(args ...string) *exec.Cmd { return p.program(p.binary, args...) }

// done is a command that has ended.
type done struct {
	code           int
	stdout, stderr string
}

// run runs a program with stdin to its end.
func (p *person) run(cmd *exec.Cmd, stdin string) done {
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Errorf("run %s: %v", cmd.Path, err)
		return done{code: -1}
	}
	p.note(stderr.Bytes())
	if cmd.Path == p.binary && slices.Contains([]string{"audit", "doctor", "login", "refresh", "status"}, cmd.Args[1]) {
		p.note(stdout.Bytes()) // that of others can be a secret
	}
	return done{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// note keeps words for people, for the search.
func (p *person) note(words []byte) {
	if len(words) == 0 {
		return
	}
	f, err := os.OpenFile(filepath.Join(p.said, "commands"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(words)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		p.t.Error(err)
	}
}

// noteAnswers keeps what the agent answers, but for tokens and keys, for the search.
func (p *person) noteAnswers() {
	for _, route := range []string{"status", "clients", "apps", "audit", "events/recent", "settings", "asks"} {
		a := p.curl("", p.socket("/v1/"+route)...)
		if a.status != http.StatusOK {
			p.t.Errorf("/v1/%s answers %d", route, a.status)
		}
		p.note([]byte(a.body))
	}
}

// do runs a langkeep command.
func (p *person) do(args ...string) done { return p.run(p.command(args...), "") }

// must runs a langkeep command whose exit code is known beforehand.
func (p *person) must(code int, args ...string) done {
	p.t.Helper()
	return p.mustTyping("", code, args...)
}

// mustTyping is must with something on stdin.
func (p *person) mustTyping(stdin string, code int, args ...string) done {
	p.t.Helper()
	d := p.run(p.command(args...), stdin)
	if d.code != code {
		p.t.Fatalf("langkeep %s: exit code %d, want %d: %s", strings.Join(args, " "), d.code, code, d.stderr)
	}
	return d
}

// runAgent runs the agent in the foreground of another shell, and waits until
// it answers.
func (p *person) runAgent(flags ...string) {
	p.t.Helper()
	p.runInForeground(append([]string{"--headless"}, flags...)...)
}

// runOnDesktop is runAgent for an agent that shows notifications.
func (p *person) runOnDesktop() { p.t.Helper(); p.runInForeground() }

func (p *person) runInForeground(flags ...string) {
	p.t.Helper()
	f, err := os.CreateTemp(p.said, "agent-")
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	cmd := p.command(append([]string{"run"}, flags...)...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.agent.Cmd = cmd
	p.eventually(10*time.Second, "the agent answers", func() bool { return p.do("status", "--no-start").code == 0 })
	p.owner()
}

// killAgent ends it as a crash would.
func (p *person) killAgent() {
	if p.agent.Cmd == nil {
		return
	}
	_ = p.agent.Process.Kill()
	_ = p.agent.Wait() // an error: it was killed
	p.agent.Cmd = nil
}

// owner is the owner's token.
func (p *person) owner() string {
	p.t.Helper()
	token, err := os.ReadFile(p.paths.Token())
	if err != nil {
		p.t.Fatal(err)
	}
	p.secret("the owner's token", string(token))
	return string(token)
}

// running is the process of the agent, 0 if none runs.
func (p *person) running() int {
	r, err := client.ReadRunning(p.paths)
	if err != nil {
		return 0
	}
	// That of a process that ended but was not waited for is empty.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.PID)); err != nil || len(line) == 0 {
		return 0
	}
	return r.PID
}

// eventually waits for something that must be so before long.
func (p *person) eventually(limit time.Duration, what string, is func() bool) time.Duration {
	p.t.Helper()
	begin := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Since(begin) > limit {
			p.t.Fatalf("not so after %v: %s", limit, what)
		}
		<-tick.C
	}
	return time.Since(begin)
}

// profile is what `langkeep status` says of a profile.
func (p *person) profile(name string) client.Profile {
	p.t.Helper()
	var profile client.Profile
	p.fromJSON(p.must(0, "status", name, "--json", "--no-start").stdout, &profile)
	return profile
}

// token is a profile's token, which must be there.
func (p *person) token(name string) string {
	p.t.Helper()
	token := strings.TrimSpace(p.must(0, "token", name, "--no-start").stdout)
	p.secret("an access token", token)
	return token
}

// stored lists what the Secret Service has of the person, and notes the
// secrets.
func (p *person) stored() []string {
	search := p.run(p.program("secret-tool", "search", "--all", "service", p.paths.KeychainService()), "")
	var accounts []string
	for line := range strings.Lines(search.stdout + search.stderr) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch key {
		case "attribute.username":
			accounts = append(accounts, value)
		case "secret":
			var item struct {
				Secret  string
				Gateway bool // a gateway's cookies alone can be a session
			}
			if err := json.Unmarshal([]byte(value), &item); err != nil || item.Secret == "" && !item.Gateway {
				p.t.Errorf("an item in the Secret Service is not as the contract says: %v", err)
			}
			p.secret("what the Secret Service keeps", item.Secret)
		}
	}
	slices.Sort(accounts)
	return accounts
}

// answer is what curl got.
type answer struct {
	status int // 0: no answer
	body   string
	kind   string // of the problem that it is
}

// curl runs curl. Secrets go into config, in the form that its option -K reads, since its
// arguments show.
func (p *person) curl(config string, args ...string) answer {
	return p.curlAs(0, config, args...)
}

// curlAs is curl by another user, if user is not 0.
func (p *person) curlAs(user uint32, config string, args ...string) answer {
	p.t.Helper()
	cmd := p.program("curl", append([]string{"-sS", "--max-time", "30", "--noproxy", "*", "-K", "-", "-w", "\n%{http_code}"}, args...)...)
	if user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	return answered(p.run(cmd, config).stdout)
}

// answered reads what curl prints, with the status in the last line.
func answered(stdout string) answer {
	last := strings.LastIndexByte(stdout, '\n')
	status, _ := strconv.Atoi(stdout[last+1:])
	a := answer{status: status, body: stdout[:max(last, 0)]}
	var problem client.Problem
	if status/100 != 2 && json.Unmarshal([]byte(a.body), &problem) == nil {
		a.kind = problem.Kind()
	}
	return a
}

// fromJSON reads an answer, which is not quoted: it may hold a token.
func (p *person) fromJSON(body string, v any) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		p.t.Fatalf("an answer of %d bytes is not the JSON expected", len(body))
	}
}

// socket are curl's arguments for a route on the socket.
func (p *person) socket(route string) []string {
	return []string{"--unix-socket", p.paths.Socket(), "http://localhost" + route}
}

// watcher follows /v1/events with curl.
type watcher struct {
	mu     sync.Mutex // protects the following
	events []client.Event
}

// watch follows the events, from one agent to the next, until the test ends.
func (p *person) watch() *watcher {
	w := &watcher{}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil {
			w.follow(ctx, p.note, p.program("curl", append([]string{"-sN"}, p.socket("/v1/events")...)...))
		}
	})
	p.t.Cleanup(func() { cancel(); following.Wait() })
	return w
}

// follow reads one stream to its end, and notes what it says.
func (w *watcher) follow(ctx context.Context, note func([]byte), curl *exec.Cmd) {
	out, err := curl.StdoutPipe()
	if err != nil || curl.Start() != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = curl.Process.Kill() })
	defer stop()
	kind := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "event":
			kind = value
		case "data":
			note([]byte(value))
			var profile client.Profile
			if json.Unmarshal([]byte(value), &profile) == nil {
				w.mu.Lock()
				w.events = append(w.events, client.Event{Profile: profile, Removed: kind == "removed"})
				w.mu.Unlock()
			}
		}
	}
	_ = curl.Wait() // an error: the agent went away, or the test has ended
	pause := time.NewTimer(100 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}

// of are the events of one profile so far.
func (w *watcher) of(profile string) []client.Profile {
	w.mu.Lock()
	defer w.mu.Unlock()
	var of []client.Profile
	for _, e := range w.events {
		if e.Profile.Name == profile && !e.Removed {
			of = append(of, e.Profile)
		}
	}
	return of
}

// refreshes counts the token pairs that the events tell of. The API gives whole
// seconds, and no two pairs are made within one.
func refreshes(events []client.Profile) int {
	seen := map[time.Time]bool{}
	for _, e := range events {
		if e.LastRefreshAt != nil {
			seen[*e.LastRefreshAt] = true
		}
	}
	return len(seen)
}
