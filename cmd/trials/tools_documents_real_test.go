//go:build real && linux

package trials

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
	"langkeep/cmd/trials/documents"
	"langkeep/cmd/trials/pty"
	"langkeep/localapi/client"
	"langkeep/localapi/words"
)

// testDocuments runs the commands of the README, docs/ and .github/ as a new user
// would: in their order, with the system's own folders, at a terminal that
// answers what is asked. The server is the real one in place of the example's.
func (s *tools) testDocuments(p *person) {
	r := newReader(p, s)
	n := 0
	for _, c := range documents.Commands(p.t, filepath.Join("..", "..")) {
		if c.Inline || c.Document == "docs/headless.md" { // which assets/packaging runs under a real systemd
			continue
		}
		if why, ok := notRunHere[firstWords(c.Text)]; ok {
			p.t.Logf("%s: %q is not run here: %s", c.Document, c.Text, why)
			continue
		}
		n++
		p.t.Run(c.Document+"/"+firstWords(c.Text), func(t *testing.T) { r.try(t, c) })
	}
	p.t.Run("recipes", func(*testing.T) { r.recipes() })
	p.t.Run("Python", func(t *testing.T) { r.programs(t) })
	p.say(p.t, "%d commands of the documents were run", n)
}

// notRunHere are the commands that this test does not run, and why.
var notRunHere = map[string]string{
	"make demo":  "testdata/script/demo.txtar does",
	"make test":  "it is what runs this",
	"make check": "it comes before every change, and this with it",
	"make bench": "it takes ten minutes; cmd/bench has a test of it",
	"go test":    "the benchmarks of one request promise nothing",

	"docker run": "no Docker is here; TestContainers mounts that folder",
	"socat TCP-LISTEN:17861,bind=127.0.0.1,fork,reuseaddr": "it stays in the container; TestContainers asks through the socket itself",

	"uv tool":        "assets/packaging does, in a clean Debian",
	"uv pip":         "and so",
	"sudo apt":       "and that",
	"brew install":   "no Homebrew is here",
	"winget install": "nor winget",
	"make dist":      "assets/packaging runs it",
	"make build":     "the program that is tested was built so",

	"LANGKEEP_WRITE_DOCS=1 go": "it would write into this tree; assets/casebook has a test of it",
}

// firstWords are a command's first two words.
func firstWords(command string) string {
	return strings.Join(strings.Fields(command)[:min(2, len(strings.Fields(command)))], " ")
}

// reader is somebody who does what the documents say.
type reader struct {
	*person
	env      []string
	home     string
	work     string            // where they type
	typed    map[string]string // by what is asked
	meant    *strings.Replacer // the example's servers, files and ids
	password string
	server   string
}

func newReader(p *person, s *tools) *reader {
	local := langflowtest.New(langflowtest.Options{AutoLogin: true})
	p.t.Cleanup(local.Close)
	home, err := os.MkdirTemp("", "reader-") // short, for the socket's sake
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { os.RemoveAll(home) })
	s.server.AddUser("ci", s.server.Password, true)
	key, _ := s.server.AddAPIKey()
	_, another := s.server.AddAPIKey()
	refresh := refreshToken(p.t, s.server)
	p.secret("an API key", key.Reveal())
	p.secret("a refresh token", refresh)
	r := &reader{
		person: p, home: home, work: home + "/work", password: s.server.Password, server: s.server.URL,
		typed: map[string]string{
			"user name: ": s.server.Username, "user name [" + s.server.Username + "]: ": s.server.Username,
			"password of " + s.server.Username + ": ": s.server.Password, "refresh token: ": refresh, "API key: ": key.Reveal(), "? y or n [n]: ": "y",
		},
		env: append(p.session.Env(), "DO_NOT_TRACK=true", "HOME="+home, "XDG_CONFIG_HOME="+home+"/config", "XDG_STATE_HOME="+home+"/state",
			"XDG_RUNTIME_DIR="+home+"/run", "DISPLAY=:none", "PATH="+home+"/bin:"+filepath.Dir(s.server.Program("python"))+":"+os.Getenv("PATH")),
	}
	for _, dir := range []string{r.work, home + "/bin", home + "/run", home + "/config/langkeep", home + "/config/Claude", home + "/.claude"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	for file, text := range map[string]string{
		"config/langkeep/config.toml": "schema = 1\nlisten = '127.0.0.1:0'\nbrowser = '" + home + "/bin/some-browser'\n",
		"bin/uvx":                     "#!/bin/sh\nexec lfx-mcp\n",
		"bin/pass":                    "#!/bin/sh\necho '" + s.server.Password + "'\n",
		"work/ask.py":                 strings.ReplaceAll(openAIProgram(p.t), "my-flow", "echo"),
		"work/my_script.py":           "import os\nprint(os.environ['LANGFLOW_URL'])\n",
		"passphrase":                  "a phrase to pass\n",
	} {
		if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, dir := range []string{home + "/bin", r.work} { // where make build puts it, too
		if err := os.Symlink(p.binary, dir+"/langkeep"); err != nil {
			p.t.Fatal(err)
		}
	}
	gateways := newDocumented(p.t, s.server, r.work, home+"/bin")
	maps.Copy(r.typed, gateways.typed)
	p.t.Cleanup(func() { r.shell("langkeep remove --all --no-start; langkeep stop") })
	r.signedIn()
	r.must0("langkeep exec prod -- lfx pull && cp flows/Echo.json flow.json")
	r.meant = strings.NewReplacer(append(gateways.meant,
		"https://flows.example.org", s.server.URL, "http://127.0.0.1:7860", local.URL,
		"/etc/langkeep.pass", home+"/passphrase", "/etc/ssl/company-ca.pem", "/etc/ssl/certs/ca-certificates.crt",
		"--revoke ID", "--revoke "+another, "--project ID", "--project "+s.project, "/run/my-flow", "/run/echo", "--min-valid 10m", "--min-valid 1m", // this server's tokens live two
	)...)
	return r
}

// refreshToken is what the server gives a browser.
func refreshToken(t *testing.T, server *real.Server) string {
	res, err := http.PostForm(server.URL+"/api/v1/login", url.Values{"username": {server.Username}, "password": {server.Password}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var pair struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&pair); err != nil {
		t.Fatal(err)
	}
	return pair.RefreshToken
}

// pythonPrograms are the blocks of Python in the documents.
func pythonPrograms(t *testing.T) (all []documents.Document) {
	for _, d := range documents.Read(t, filepath.Join("..", ".."), "README.md", "docs/*.md") {
		for _, part := range strings.Split(d.Text, "\n```python\n")[1:] {
			program, _, _ := strings.Cut(part, "```\n")
			all = append(all, documents.Document{Path: d.Path, Text: program})
		}
	}
	return all
}

// openAIProgram is the one that a command of docs/python.md runs.
func openAIProgram(t *testing.T) string {
	for _, p := range pythonPrograms(t) {
		if p.Path == "docs/python.md" && strings.Contains(p.Text, "from openai import OpenAI") {
			return p.Text
		}
	}
	t.Fatal("docs/python.md has no program for the OpenAI SDK")
	return ""
}

// programs runs the documents' programs that use the module for Python.
func (r *reader) programs(t *testing.T) {
	r.signedIn()
	module, err := filepath.Abs(filepath.Join("..", "..", "assets", "packaging", "python"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range pythonPrograms(t) {
		if !strings.Contains(p.Text, "langkeep.Auth(") {
			continue
		}
		n++
		text := strings.ReplaceAll(r.meant.Replace(p.Text), "my-flow", "echo") + "\nassert answer.status_code == 200 and 'hello' in answer.text, answer.text\n"
		if err := os.WriteFile(filepath.Join(r.work, "documented.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if d := r.shell("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='" + module + "' python documented.py"); d.code != 0 {
			t.Errorf("%s: %s\nends with %d: %s%s", p.Path, p.Text, d.code, d.stdout, d.stderr)
		}
	}
	if n != 2 {
		t.Errorf("%d programs were run", n)
	}
}

// recipes runs the texts that the control page offers to copy.
func (r *reader) recipes() {
	r.signedIn()
	for _, recipe := range words.Recipes(client.Profile{Name: "prod", ServerURL: r.server}) {
		for _, step := range recipe.Steps {
			text := strings.ReplaceAll(step.Text, "my-flow", "echo")
			if strings.HasSuffix(step.Title, ".py") {
				if err := os.WriteFile(filepath.Join(r.work, step.Title), []byte(text), 0o600); err != nil {
					r.t.Fatal(err)
				}
				continue
			}
			switch d := r.shell(text); {
			case d.code != 0:
				r.t.Errorf("%s: %s ends with %d: %s%s", recipe.Name, text, d.code, d.stdout, d.stderr)
			case strings.Contains(step.Title, "Run") && !strings.Contains(d.stdout, "hello"):
				r.t.Errorf("%s: %s says %.300s", recipe.Name, text, d.stdout)
			}
		}
	}
}

// signedIn sees that there is the profile that all commands speak of.
func (r *reader) signedIn() {
	r.must0("langkeep status prod --ready || pass | langkeep login prod " + r.server + " --username admin --password-stdin")
}

// must0 runs a command that the test itself needs, and returns what it prints.
func (r *reader) must0(command string) string {
	r.t.Helper()
	d := r.shell(command)
	if d.code != 0 {
		r.t.Fatalf("%s: exit code %d: %s%s", command, d.code, d.stdout, d.stderr)
	}
	return d.stdout
}

// try runs what a document says.
func (r *reader) try(t *testing.T, c documents.Command) {
	r.signedIn()
	command := r.meant.Replace(c.Text)
	if strings.Contains(command, ":17860") { // the agent takes another port at each start
		port := r.must0("langkeep status --json | python -c 'import json, sys; print(json.load(sys.stdin)[\"url\"].split(\":\")[-1])'")
		command = strings.ReplaceAll(command, ":17860", ":"+strings.TrimSpace(port))
	}
	if strings.Contains(command, "langkeep run ") {
		// It goes on until it is told to end.
		command = "langkeep stop; " + command + " & until langkeep status --no-start; do sleep 0.1; done; kill $! && wait $!"
	}
	if d := r.shell(command); d.code != 0 {
		t.Errorf("%s says\n%s\nwhich ends with %d: %s%s", c.Document, c.Text, d.code, d.stdout, d.stderr)
	}
}

// shell runs a command at a terminal whose reader answers what is asked.
func (r *reader) shell(command string) done {
	person, program := pty.Open(r.t)
	defer person.Close()
	defer program.Close()
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	cmd.Env, cmd.Dir, cmd.Stdin = r.env, r.work, program
	var stdout bytes.Buffer
	stderr := &asked{typed: r.typed, terminal: person}
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	// A program that stays in the background keeps stdout and stderr open.
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		r.t.Errorf("run %s: %v", command, err)
		return done{code: -1}
	}
	return done{cmd.ProcessState.ExitCode(), stdout.String(), stderr.said.String()}
}

// asked is what a program says, with somebody who answers its questions.
type asked struct {
	said     bytes.Buffer // not embedded: its ReadFrom would go past Write
	typed    map[string]string
	terminal *os.File
}

func (a *asked) Write(b []byte) (int, error) {
	for question, answer := range a.typed {
		if bytes.HasSuffix(b, []byte(question)) {
			_, _ = a.terminal.WriteString(answer + "\n") // the program that waits for it tells if this fails
		}
	}
	return a.said.Write(b)
}
