//go:build real && linux

package trials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// faultHeader is that of the tables of docs/faults.md.
func faultHeader() []string {
	return []string{"what goes wrong", "state, reason", "exit code", "what is lost", "when it heals"}
}

// home is a LANGKEEP_HOME whose agent keeps its secrets in a file.
type home struct {
	t       *testing.T
	program string
	dir     string
	paths   paths.Paths
	env     []string
	user    uint32 // who runs it; 0: whoever runs the test
}

// buildProgram is the program, built once.
func buildProgram(t *testing.T) string {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// shortDir makes a folder with room for a socket's path below it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newHome makes a home in dir, or takes the one that is there.
func newHome(t *testing.T, program, dir string) *home {
	t.Helper()
	h := &home{t: t, program: program, dir: dir, paths: paths.Paths{
		Config: filepath.Join(dir, "config"), State: filepath.Join(dir, "state"), Run: filepath.Join(dir, "run"), Home: dir,
	}}
	if err := h.paths.Create(); err != nil {
		t.Fatal(err)
	}
	passphrase := filepath.Join(dir, "passphrase")
	h.env = []string{
		"LANGKEEP_HOME=" + dir, "LANGKEEP_PASSPHRASE_FILE=" + passphrase, "HOME=" + dir, "PATH=" + os.Getenv("PATH"),
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + filepath.Join(dir, "no-bus"),
	}
	if _, err := os.Stat(h.paths.ConfigFile()); err == nil {
		return h
	}
	h.write(passphrase, "only for tests\n")
	h.write(h.paths.ConfigFile(), "schema = 1\nlisten = '127.0.0.1:0'\nstore = 'file'\n")
	return h
}

func (h *home) write(path, content string) {
	h.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, args...)
	cmd.Env, cmd.Dir = h.env, "/"
	if h.user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: h.user, Gid: h.user}}
	}
	return cmd
}

// typing runs a command with stdin to its end.
func (h *home) typing(stdin string, args ...string) done {
	h.t.Helper()
	cmd := h.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("run %v: %v", args, err)
	}
	return done{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func (h *home) do(args ...string) done { h.t.Helper(); return h.typing("", args...) }

func (h *home) must(code int, args ...string) done {
	h.t.Helper()
	d := h.do(args...)
	if d.code != code {
		h.t.Fatalf("%v ends with %d, want %d: %s", args, d.code, code, d.stderr)
	}
	return d
}

// signIn signs prod in as the stand-in's user, and returns how that went.
func (h *home) signIn(url string, flags ...string) done {
	h.t.Helper()
	admin := langflowtest.Admin()
	return h.typing(admin.Password+"\n", append([]string{"login", "prod", url, "--username", admin.Name, "--password-stdin", "--no-start"}, flags...)...)
}

// start starts the agent in the background of the test, and waits until it
// answers; stop ends it.
func (h *home) start() (stop func()) {
	h.t.Helper()
	cmd := h.command("run", "--headless")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // an error: it was killed
	stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	h.t.Cleanup(stop)
	h.answers(ended, &said)
	return stop
}

// answers waits until the agent does.
func (h *home) answers(ended <-chan struct{}, said fmt.Stringer) {
	h.t.Helper()
	h.eventually("the agent answers", func() bool {
		select {
		case <-ended:
			h.t.Fatalf("the agent did not start: %s", said)
		default:
		}
		_, err := h.asked()
		return err == nil
	})
}

// eventually waits for something that must be so before long.
func (h *home) eventually(what string, is func() bool) {
	h.t.Helper()
	h.within(30*time.Second, what, is)
}

func (h *home) within(limit time.Duration, what string, is func() bool) {
	h.t.Helper()
	for begin := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > limit {
			log, _ := os.ReadFile(h.paths.Log())
			h.t.Fatalf("not so after %v: %s; the log ends with\n%s", limit, what, log[max(0, len(log)-2000):])
		}
	}
}

// status is what the agent says of everything.
func (h *home) status() client.Status {
	h.t.Helper()
	s, err := h.asked()
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// asked asks for the status over the socket, which is quicker than a command.
func (h *home) asked() (s client.Status, err error) {
	h.t.Helper()
	if h.user != 0 { // whom the socket would take us for
		err := json.Unmarshal([]byte(h.do("status", "--json", "--no-start").stdout), &s)
		return s, err
	}
	c, err := client.New(client.Options{Socket: h.paths.Socket()})
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	return c.Status(h.t.Context())
}

// profile is prod as the agent has it; nil: it has none.
func (h *home) profile() *client.Profile {
	h.t.Helper()
	for _, p := range h.status().Profiles {
		if p.Name == "prod" {
			return &p
		}
	}
	return nil
}

// shown is a cell: the state of prod, its reason, and whether it is stored.
func (h *home) shown() string {
	h.t.Helper()
	p := h.profile()
	if p == nil {
		return "no profile"
	}
	cell := string(p.State)
	if p.Reason != nil {
		cell += ", " + string(*p.Reason)
	}
	if !p.Saved && (p.State == client.Fresh || p.State == client.Retrying) {
		cell += "; not saved"
	}
	return cell
}

// settles waits until prod is neither loading nor being renewed, and returns
// what is shown then.
func (h *home) settles() string {
	h.t.Helper()
	h.eventually("prod settles", func() bool {
		p := h.profile()
		return p == nil || p.State != client.Stale && (p.State != client.Fresh || p.Saved)
	})
	return h.shown()
}

// copyTo copies the home, without what runs in it.
func (h *home) copyTo(t *testing.T, dir string) *home {
	t.Helper()
	if out, err := exec.Command("cp", "-a", h.dir, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
	return newHome(t, h.program, dir)
}
