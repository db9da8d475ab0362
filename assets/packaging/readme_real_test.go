//go:build real && linux

package packaging

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/cmd/trials/documents"
	"langkeep/cmd/trials/pty"
)

// useReadme does what the README says, word for word, as a new user without a desktop in a
// clean Debian that has a network of its own, with the README's server in it. They have
// Langkeep from the deb or, where by is "uv", from the wheel.
func useReadme(t *testing.T, dist, by string) {
	d := newDebian(t)
	d.root(`useradd --create-home --shell /bin/bash ann
		echo 'ann ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ann
		echo '127.0.0.1 localhost flows.example.org' >/etc/hosts
		mkdir -p /dist /opt/httpx; chmod 755 /dist /opt/httpx`)
	d.take(dist+"/langkeep-"+version+"-*manylinux*_"+cpu()+".whl", "/dist")
	d.take(dist+"/langkeep_"+version+"_"+runtime.GOARCH+".deb", "/home/ann")
	d.take("../../.cache/uv/bin/uv", "/usr/local/bin")
	d.take("../../.cache/httpx/lib/python3.*/site-packages/*", "/opt/httpx")

	runtime.LockOSThread() // this thread, and what it starts, has a network of its own
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	loopbackUp(t)
	authority := langflowtest.NewAuthority()
	d.put("/usr/local/share/ca-certificates/example.crt", string(authority.PEM()))
	d.root("chmod 644 /usr/local/share/ca-certificates/example.crt; update-ca-certificates 2>&1")
	flowsExample(t, authority)

	ann := d.user(1000, 1000, "HOME=/home/ann", "LANGKEEP_PASSPHRASE_FILE=/home/ann/passphrase",
		"PIP_NO_INDEX=1", "PIP_FIND_LINKS=/dist", // the index of packages is a folder
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt") // httpx does not ask the system
	ann.env[0] = "PATH=/home/ann/.local/bin:/home/ann/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	d.putFor(1000, "/home/ann/passphrase", "correct horse\n")
	// lfx is played: TestTools has the real one.
	d.putFor(1000, "/home/ann/lfx", "#!/bin/sh\nprintf 'x-api-key: %s' \"$LANGFLOW_API_KEY\" | curl -sSf -H @- \"$LANGFLOW_URL/api/v1/flows/\"\n")
	d.putFor(1000, "/home/ann/uv.toml", "no-index = true\nfind-links = ['/dist']\npython-downloads = 'never'\n")
	d.as(ann, "mkdir -p bin .claude .config/langkeep .config/uv; mv uv.toml .config/uv; mv lfx bin; chmod 755 bin/lfx; echo \"store = 'file'\" >.config/langkeep/config.toml")
	defer func() { _, _ = d.run(ann, "langkeep stop") }()

	want := map[string]string{ // what a command prints, where the README says what that is
		"langkeep status": "flows.example.org",
		"langkeep token":  `"username":"admin"`,
		"langkeep key":    "hello",
		"langkeep exec":   `[{"name":"a flow"}]`,
	}
	meant := strings.NewReplacer("1.0.0", version, "_amd64", "_"+runtime.GOARCH, "--project ID", "--project 3f0c2b1e-6f0c-4a52-9d47-0c1d1f6f2a55")
	elsewhere := map[string]string{"make": "Go", "brew": "Homebrew", "winget": "Windows", "uv": "the wheel", "sudo": "the deb"}
	delete(elsewhere, map[string]string{"uv": "uv", "deb": "sudo"}[by])
	n := 0
	for _, c := range documents.Commands(t, "../..") {
		words := strings.Fields(c.Text)
		if c.Document != "README.md" || c.Inline || elsewhere[words[0]] != "" {
			continue
		}
		n++
		said := d.typed(t, ann, meant.Replace(c.Text))
		if part := want[words[0]+" "+words[1]]; !strings.Contains(said, part) {
			t.Errorf("%s: prints %s, and not %s", c.Text, said, part)
		}
	}
	if n != 8 {
		t.Errorf("%d commands were run", n)
	}

	d.as(ann, "langkeep doctor prod")
	if got := d.as(ann, "langkeep demo --for 3s 2>&1"); !strings.Contains(got, "demo") {
		t.Errorf("the demo says %s", got)
	}
	installed := map[string]string{"deb": "deb", "uv": "wheel, by uv"}[by]
	if got := d.as(ann, "langkeep version --verbose"); !strings.Contains(got, "\ninstalled  "+installed+"\n") || !strings.Contains(got, "\ndate       2023-11-14T22:13:20Z\n") {
		t.Errorf("it says of itself: %s", got)
	}
	if by == "uv" {
		d.putFor(1000, "/home/ann/first.py", pythonOfReadme(t))
		got := d.as(ann, "uv venv --quiet venv; VIRTUAL_ENV=$PWD/venv uv pip install --quiet langkeep; PYTHONPATH=/opt/httpx venv/bin/python first.py")
		if !strings.Contains(got, "hello") {
			t.Errorf("the README's program prints %s", got)
		}
		d.as(ann, "python3 -m venv pips; pips/bin/pip install --quiet langkeep; pips/bin/langkeep version --verbose | grep '^installed  wheel, by pip$'")
	}

	// And all of it away.
	if got := d.as(ann, "langkeep audit --json"); !strings.Contains(got, `"prod"`) {
		t.Errorf("the audit log has %s", got)
	}
	d.as(ann, "langkeep remove --all --yes; langkeep stop")
	if got := d.as(ann, "cat .claude.json 2>/dev/null || true"); strings.Contains(got, "langkeep") {
		t.Errorf("Claude Code's file still has %s", got)
	}
	d.as(ann, map[string]string{"deb": "sudo apt-get purge -q -y langkeep", "uv": "uv tool uninstall langkeep"}[by])
	if out, err := d.run(ann, "command -v langkeep"); err == nil {
		t.Errorf("there still is %s", out)
	}
}

// flowsExample is https://flows.example.org on this network: a stand-in for Langflow that
// has a flow, my-flow, which says what it was told.
func flowsExample(t *testing.T, authority *langflowtest.Authority) {
	server := langflowtest.New(langflowtest.Options{})
	t.Cleanup(server.Close)
	byKey := func(w http.ResponseWriter, r *http.Request) bool {
		ask := httptest.NewRequest(http.MethodGet, "/api/v1/users/whoami", nil)
		ask.Header.Set("X-Api-Key", r.Header.Get("X-Api-Key"))
		answer := httptest.NewRecorder()
		server.ServeHTTP(answer, ask)
		if answer.Code != http.StatusOK {
			http.Error(w, answer.Body.String(), answer.Code)
		}
		return answer.Code == http.StatusOK
	}
	mux := http.NewServeMux()
	mux.Handle("/", server)
	mux.HandleFunc("GET /api/v1/flows/", func(w http.ResponseWriter, r *http.Request) {
		if byKey(w, r) {
			_, _ = w.Write([]byte(`[{"name":"a flow"}]`))
		}
	})
	mux.HandleFunc("POST /api/v1/run/my-flow", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Input string `json:"input_value"`
		}
		if byKey(w, r) && json.NewDecoder(r.Body).Decode(&asked) == nil {
			_ = json.NewEncoder(w).Encode(map[string]any{"session_id": "one", "outputs": []string{asked.Input}})
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	certificate := authority.Issue("flows.example.org", now.Add(-time.Hour), now.Add(24*time.Hour))
	s := &http.Server{
		Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		ErrorLog: log.New(io.Discard, "", 0), // a probe of plain HTTP is none
	}
	go func() { _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close() })
}

// typed runs a command at a terminal whose person answers what login and connect ask, and
// returns its stdout.
func (d *debian) typed(t *testing.T, u user, command string) string {
	t.Helper()
	person, program := pty.Open(t)
	defer person.Close()
	defer program.Close()
	cmd := d.command(u, "bash", "-o", "pipefail", "-euc", command)
	var stdout bytes.Buffer
	answers := &answering{terminal: person}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &stdout, answers
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v: %s%s", command, err, stdout.String(), answers.said.String())
	}
	return stdout.String()
}

// answering is what a program says, with somebody who answers its questions.
type answering struct {
	said     bytes.Buffer
	terminal *os.File
}

func (a *answering) Write(b []byte) (int, error) {
	for question, answer := range map[string]string{
		"user name: ": "admin", "password of admin: ": langflowtest.Admin().Password, "? y or n [n]: ": "y",
	} {
		if bytes.HasSuffix(b, []byte(question)) {
			_, _ = a.terminal.WriteString(answer + "\n") // the program that waits for it tells if this fails
		}
	}
	return a.said.Write(b)
}

// pythonOfReadme is the README's program.
func pythonOfReadme(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, "../../README.md"), "\n```python\n")
	program, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("the README has no program")
	}
	return program
}

// take copies files that a pattern names into a folder of this Debian, for everybody to read.
func (d *debian) take(pattern, folder string) {
	d.t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		d.t.Fatalf("there is no %s: %v", pattern, err)
	}
	output(d.t, exec.Command("cp", slices.Concat([]string{"-rL"}, files, []string{d.dir + folder})...))
}
