//go:build real && linux

package trials

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/localapi/client"
)

// testPython installs the wheel with uv and uses its module on the oldest Python that it
// is for, a new one, and Langflow's.
func (s *tools) testPython(p *person) {
	wheel := p.wheel()
	uv := filepath.Join(workingFolder(p.t), "..", "..", ".cache", "uv", "bin", "uv")
	p.useTool(uv, wheel)

	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	password := langflowtest.Admin().Password
	p.secret("the stand-in's password", password)
	p.mustTyping(password+"\n", 0, "login", "fake", server.URL, "--username", "admin", "--password-stdin")
	defer p.must(0, "remove", "fake")
	lent := strings.TrimSpace(p.must(0, "client", "add", "python", "--profile", "prod", "--scope", "read", "--scope", "token").stdout)
	p.secret("a client's token", lent)
	defer p.must(0, "client", "revoke", "python")

	for _, version := range []string{"3.9", "3.13", "Langflow's"} {
		mine := p.in(p.t)
		p.t.Run(version, func(t *testing.T) { mine.in(t).usePython(s, uv, wheel, version, server, lent) })
	}
}

// wheel makes a wheel of the person's program.
func (p *person) wheel() string {
	p.t.Helper()
	dir := p.t.TempDir()
	tag := "py3-none-manylinux_2_17_" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	cmd := exec.Command("python3", filepath.Join(workingFolder(p.t), "..", "..", "assets", "packaging", "python", "wheel"), "0.9.1-pre5+abc", tag, p.binary, dir)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "langkeep-0.9.1.dev5+abc-"+tag+".whl")
}

// useTool has uv install the program, and run it without that.
func (p *person) useTool(uv, wheel string) {
	p.t.Helper()
	dir := p.t.TempDir()
	said := ""
	for _, args := range [][]string{
		{"tool", "install", "--offline", wheel},
		{"tool", "run", "--offline", "--from", wheel, "langkeep", "demo", "--for", "1s"},
		{"tool", "list"},
		{"tool", "uninstall", "langkeep"},
	} {
		cmd := exec.Command(uv, args...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "UV_TOOL_DIR="+dir+"/tools", "UV_TOOL_BIN_DIR="+dir+"/bin", "UV_CACHE_DIR="+dir+"/cache", "UV_PYTHON_DOWNLOADS=never", "LANGKEEP_HOME=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			p.t.Fatalf("uv %q: %v: %s", args, err, out)
		}
		if said += string(out); args[1] == "install" {
			if out, err := exec.Command(dir+"/bin/langkeep", "version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "langkeep ") {
				p.t.Errorf("the installed program says %s, %v", out, err)
			}
		}
	}
	if !strings.Contains(said, "langkeep v0.9.1.dev5+abc\n- langkeep\n") {
		p.t.Errorf("uv says %s", said)
	}
}

// usePython uses the module with one Python.
func (p *person) usePython(s *tools, uv, wheel, version string, server *langflowtest.Server, lent string) {
	t := p.t
	python := s.server.Program("python")
	if version != "Langflow's" {
		python = filepath.Join(workingFolder(t), "..", "..", ".cache", "python-"+version, "bin", "python")
		if _, err := os.Stat(python); err != nil {
			t.Skipf("no Python %s was found here", version)
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, "--target", dir, wheel).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	use := func(env []string, args ...string) string {
		t.Helper()
		cmd := p.program(python, append([]string{s.script(t, "python_module.py")}, args...)...)
		cmd.Env = append(append(cmd.Env, "PYTHONPATH="+dir), env...)
		d := p.run(cmd, "")
		if d.code != 0 {
			t.Fatalf("%q: exit code %d: %s%s", args, d.code, d.stdout, d.stderr)
		}
		return d.stdout
	}
	want := "with langflow-sdk\n"
	if version == "3.9" {
		want = "without langflow-sdk\n"
	}
	if said := use(nil, "real", p.profile("prod").ServerURL); said != want {
		t.Errorf("with the real Langflow: %s", said)
	}

	// One that is refused is sent again with another token.
	server.Fault("/users/whoami", langflowtest.Fault{Times: 1, Status: http.StatusUnauthorized, Body: "{}"})
	if said := use(nil, "stand-in", server.URL); said != "200 200 " {
		t.Errorf("a refused token: %s", said)
	}
	elsewhere := newListener(t)
	server.Fault("/users/whoami", langflowtest.Redirect(http.StatusFound, elsewhere.URL))
	if said := use(nil, "redirect", server.URL); said != "418 418 418 " {
		t.Errorf("led elsewhere: %s", said)
	}
	server.ClearFaults()

	// As a client, over TCP; and no agent gets a token that proves nothing.
	as := func(url string) []string {
		return []string{"LANGKEEP_URL=" + url, "LANGKEEP_TOKEN=" + lent, "LANGKEEP_HOME="}
	}
	running, err := client.ReadRunning(p.paths)
	if err != nil {
		t.Fatal(err)
	}
	if said := use(as(running.URL), "token"); strings.Count(said, ".") != 2 {
		t.Errorf("a client gets %.100s", said)
	}
	if said := use(as(elsewhere.URL), "token"); !strings.HasPrefix(said, "no-agent: the program that listens at 127.0.0.1:") {
		t.Errorf("from a stranger: %s", said)
	}
	if said := use([]string{"LANGKEEP_PROFILE=none"}, "token"); said != "not-found: no profile \"none\": langkeep status lists them, langkeep login none URL adds it\n" {
		t.Errorf("of no profile: %s", said)
	}
	for _, header := range elsewhere.seen() {
		if header.Get("Authorization") != "" || header.Get("X-Api-Key") != "" {
			t.Errorf("another server got a credential")
		}
	}

	// Where no agent runs, the wheel's own program starts one, also where a killed one's
	// files name an address at which another program listens now.
	fresh := filepath.Join(shortDir(t), "h")
	for file, text := range map[string]string{
		"config/config.toml": "listen = '127.0.0.1:0'\nstore = 'memory'\n",
		"state/agent.json":   `{"schema":1,"url":"` + elsewhere.URL + `","pid":1}`,
		"state/lock":         `{"schema":1,"pid":1}`,
		"run/token":          "lk_of_the_killed_one",
	} {
		file = filepath.Join(fresh, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	started := []string{"LANGKEEP_HOME=" + fresh, "PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
	if said := use(started, "token"); said != "not-found: no profile: run langkeep login NAME URL\n" {
		t.Errorf("where no agent runs: %s", said)
	}
	stop := exec.Command(filepath.Join(dir, "bin", "langkeep"), "stop")
	stop.Env = append(os.Environ(), started...)
	if out, err := stop.CombinedOutput(); err != nil {
		t.Errorf("stop the agent that was started: %v: %s", err, out)
	}
}

// listener is a server that keeps the headers that it gets.
type listener struct {
	*httptest.Server
	mu  sync.Mutex
	all []http.Header
}

func newListener(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, r.Header)
		w.Header().Set("Connection", "close") // as programs with HTTP/1.0 do
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) seen() []http.Header {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
