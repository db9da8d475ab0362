package trials

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// built is the program as people have it, made once. LANGKEEP_TEST_PROGRAM names one
// that there is already, for where there is no Go, as on Wine.
var built = sync.OnceValues(func() (string, error) {
	if exe := os.Getenv("LANGKEEP_TEST_PROGRAM"); exe != "" {
		return exe, nil
	}
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run it too
		return "", err
	}
	exe := filepath.Join(dir, "langkeep.exe") // Windows wants a name like that, and the others don't care
	if out, err := exec.Command("go", "build", "-o", exe, "langkeep/cmd/langkeep").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %v\n%s", err, out)
	}
	return exe, nil
})

var buildDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "langkeep-trials-") })

// TestMain leaves nothing of the program behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := buildDir(); err == nil {
		_ = os.RemoveAll(dir) // the next clean-up of the system takes what is left
	}
	os.Exit(code)
}

// homeFor are the folders of an agent that is attacked, which aren't there yet, in
// a path short enough for a socket.
func homeFor(t *testing.T) paths.Paths {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home := filepath.Join(dir, "home")
	return paths.Paths{
		Home: home, Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"), Run: filepath.Join(home, "run"),
	}
}

// program prepares a langkeep command of the one whose home it is.
func program(t *testing.T, p paths.Paths, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LANGKEEP_HOME="+p.Home, "LANGKEEP_URL=", "LANGKEEP_TOKEN=", "LANGKEEP_PROFILE=")
	return cmd
}

// soon is how long what an agent does by itself may take.
const soon = time.Minute

// launched is an agent in the foreground.
type launched struct {
	*exec.Cmd
	paths paths.Paths
	url   string // "": it did not start
	said  string // what it said first
}

// started starts a program, which ends with the test, and returns what it says.
func started(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // an error: it was killed
	})
	return bufio.NewReader(stderr)
}

// launch runs an agent on any free port, unless flags say another, and waits
// until it listens or has ended. A later flag is stronger than an earlier one.
func launch(t *testing.T, p paths.Paths, flags ...string) launched {
	t.Helper()
	args := append([]string{"run", "--headless", "--store", "memory", "--listen", "127.0.0.1:0"}, flags...)
	l := launched{Cmd: program(t, p, args...), paths: p}
	lines := started(t, l.Cmd)
	late := time.AfterFunc(time.Minute, func() { _ = l.Process.Kill() })
	defer late.Stop()
	line, _ := lines.ReadString('\n') // nothing is the end of one that was killed
	l.said = strings.TrimSpace(line)
	if url, ok := strings.CutPrefix(l.said, "langkeep: listening on "); ok {
		l.url = url
		go func() { _, _ = io.Copy(io.Discard, lines) }()
		return l
	}
	_ = l.Wait() // its code tells
	return l
}

// named is something that an agent must say, and how the document calls it.
type named struct{ as, is string }

// endedWith wants an agent not to have started but to have ended with a code, and
// with words that name something, and says so.
func (l launched) endedWith(t *testing.T, want int, names ...named) (happened string) {
	t.Helper()
	if code := l.ProcessState.ExitCode(); l.url != "" || code != want { // -1: it runs
		t.Errorf("%q: exit code %d, want %d: %s", l.Args[1:], code, want, l.said)
	}
	happened = fmt.Sprintf("the agent does not start: exit code %d", want)
	for i, name := range names {
		if !strings.Contains(l.said, name.is) {
			t.Errorf("%q is not named: %s", name.is, l.said)
		}
		happened += []string{", and it names ", " and "}[min(i, 1)] + name.as
	}
	return happened
}

// victim is an agent that is attacked. It is signed in to a stand-in with the
// profiles prod and other, and the attackers know more than they should: each
// {name} in what they send is one of its words.
type victim struct {
	launched
	langflow *langflowtest.Server
	owner    *client.Client
	words    map[string]string
	begin    string
}

func newVictim(t *testing.T, flags ...string) *victim {
	t.Helper()
	v := &victim{langflow: langflowtest.New(langflowtest.Options{})}
	t.Cleanup(v.langflow.Close)
	v.launched = launch(t, homeFor(t), flags...)
	if v.url == "" {
		t.Fatalf("the agent does not start: %s", v.said)
	}
	token := v.token(t)
	host := strings.TrimPrefix(v.url, "http://")
	_, port, _ := strings.Cut(host, ":")
	v.words = map[string]string{"owner": token, "host": host, "port": port, "lf": "\n", "cr": "\r", "nul": "\x00"}
	var err error
	if v.owner, err = client.New(client.Options{URL: v.url, Token: secret.New(token)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.owner.Close)
	for _, name := range []string{"prod", "other"} {
		if _, err := v.owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: v.langflow.URL}); err != nil {
			t.Fatal(err)
		}
		login := client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(langflowtest.Admin().Password)}
		if _, err := v.owner.Login(t.Context(), name, login); err != nil {
			t.Fatal(err)
		}
	}
	got, err := v.owner.Token(t.Context(), "prod", 0)
	if err != nil {
		t.Fatal(err)
	}
	v.words["access"] = got.AccessToken.Reveal()
	for _, c := range []client.NewClient{
		{Name: "reader", Scopes: []string{"read"}, Profiles: []string{"prod"}},
		{Name: "other", Scopes: []string{"read", "token"}, Profiles: []string{"other"}},
		{Name: "revoked", Scopes: []string{"read"}, Profiles: []string{"prod"}},
	} {
		added, _, err := v.owner.AddClient(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		v.words[c.Name] = added.Token.Reveal()
	}
	if err := v.owner.RevokeClient(t.Context(), "revoked"); err != nil {
		t.Fatal(err)
	}
	if v.words["page"] = v.exchange(t, v.code(t)); v.words["page"] == "" {
		t.Fatal("the page gets no token")
	}
	v.begin = v.state(t)
	return v
}

// code is one of langkeep open.
func (v *victim) code(t *testing.T) string {
	t.Helper()
	page, err := v.owner.PageCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link := page.URL.Reveal()
	if strings.HasPrefix(link, "file:") { // where the user behind a connection can't be told
		text, err := os.ReadFile(v.paths.PageFile())
		if err != nil {
			t.Fatal(err)
		}
		link = string(text)
	}
	_, code, _ := strings.Cut(link, "#code=")
	code, _, _ = strings.Cut(code, `"`)
	return code
}

// exchange is the token that the control page gets for a code; "" for none.
func (v *victim) exchange(t *testing.T, code string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.url+"/v1/page/token", strings.NewReader(`{"code":"`+code+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", v.url)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return body.Token
}

// state is all that an attack could have changed.
func (v *victim) state(t *testing.T) string {
	t.Helper()
	var said []any
	note := func(what any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("the agent is not as it was: %v", err)
		}
		said = append(said, what)
	}
	status, err := v.owner.Status(t.Context())
	note(status, err)
	list, err := v.owner.ClientsJSON(t.Context())
	note(string(list), err)
	token, err := v.owner.Token(t.Context(), "prod", 0)
	note(token.AccessToken.Reveal() == v.words["access"], err)
	said = append(said, len(v.langflow.Requests()))
	for _, dir := range []string{filepath.Dir(v.paths.Home), v.paths.Home, v.paths.Config, v.paths.ProfilesDir(), v.paths.Run} {
		entries, err := os.ReadDir(dir)
		note(fmt.Sprint(entries), err)
	}
	config, _ := os.ReadFile(v.paths.ConfigFile()) // there is none
	text, err := json.Marshal(append(said, string(config)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill puts words in for each {name}, {it} first, and ends lines as HTTP does.
func fill(words map[string]string, text string) string {
	pairs := []string{"\n", "\r\n"}
	for name, word := range words {
		if name != "it" {
			pairs = append(pairs, "{"+name+"}", word)
		}
	}
	return strings.NewReplacer(pairs...).Replace(strings.ReplaceAll(text, "{it}", words["it"]))
}

// dial connects in that way.
func (v *victim) dial(t *testing.T, way string) net.Conn {
	t.Helper()
	network, address := "tcp", v.words["host"]
	switch way {
	case "::1":
		network, address = "tcp", "[::1]:"+v.words["port"]
	case "socket":
		network, address = "unix", v.paths.Socket()
	}
	c, err := net.Dial(network, address)
	if err != nil && way != "" {
		t.Skipf("there is no such way in here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // fails only on a closed connection
	return c
}

// send writes raw bytes and returns what the first n answers are, see answers.
func (v *victim) send(t *testing.T, way, text string, n int) string {
	t.Helper()
	return answers(t, v.dial(t, way), fill(v.words, text), n, v.harmless, http.StatusNotFound, http.StatusMethodNotAllowed)
}

// answers writes raw bytes to a connection, which it closes in the end, and
// returns what the first n answers are: the status and the problem of each, or
// "closed". A refusal that leaves the connection open, but for those that may go
// on, and what harmless finds, is told.
func answers(t *testing.T, c net.Conn, raw string, n int, harmless func(*testing.T, *http.Response, []byte), goOn ...int) string {
	t.Helper()
	defer c.Close()
	go func() { _, _ = io.WriteString(c, raw) }() // who is refused may not be read to the end
	method, _, _ := strings.Cut(raw, " ")
	in := bufio.NewReader(c)
	var got []string
	for range n {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			got = append(got, "closed")
			break
		}
		answer := fmt.Sprint(res.StatusCode)
		if res.StatusCode == http.StatusSwitchingProtocols {
			got = append(got, answer)
			break
		}
		body, err := io.ReadAll(res.Body)
		if err != nil && res.StatusCode != http.StatusRequestHeaderFieldsTooLarge { // it reads no further
			t.Errorf("half an answer: %v", err)
		}
		harmless(t, res, body)
		var p client.Problem
		if json.Unmarshal(body, &p) == nil && p.Type != "" {
			answer += " " + p.Kind()
		}
		got = append(got, answer)
		if refused := res.StatusCode/100 == 4 && !slices.Contains(goOn, res.StatusCode); refused || res.Close {
			if more, err := in.ReadByte(); err == nil {
				t.Errorf("after %s it goes on with %q", answer, more)
			} else if os.IsTimeout(err) {
				t.Errorf("after %s the connection is open", answer)
			}
			break
		}
	}
	return strings.Join(got, ", ")
}

// harmless checks what no answer may have.
func (v *victim) harmless(t *testing.T, res *http.Response, body []byte) {
	t.Helper()
	for name := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
			t.Errorf("an answer has the header %s", name)
		}
	}
	for _, name := range []string{"owner", "reader", "other", "page", "access"} {
		if bytes.Contains(body, []byte(v.words[name])) && res.StatusCode != http.StatusOK {
			t.Errorf("an answer has a secret: %s", name)
		}
	}
	if slices.Contains(res.TransferEncoding, "chunked") && res.StatusCode/100 != 2 {
		t.Errorf("a refusal is chunked")
	}
}

// token is the owner's.
func (l launched) token(t *testing.T) string {
	t.Helper()
	token, err := os.ReadFile(l.paths.Token())
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

// ask is an honest request with a token, and returns what is said; "" for a
// refusal.
func (l launched) ask(t *testing.T, method, route, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, l.url+route, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode/100 != 2 {
		return ""
	}
	return string(body)
}

// status is what the agent says of itself.
func (l launched) status(t *testing.T) string {
	t.Helper()
	return l.ask(t, "GET", "/v1/status", l.token(t))
}

// Texts that most attacks have in common.
const (
	status   = "GET /v1/status HTTP/1.1\nHost: {host}\n"
	asOwner  = "Authorization: Bearer {owner}\n"
	asReader = "Authorization: Bearer {reader}\n"
	asOther  = "Authorization: Bearer {other}\n"
	asPage   = "Authorization: Bearer {page}\n"
	stop     = "POST /v1/stop HTTP/1.1\nHost: {host}\n"
	hostIs   = "GET /v1/status HTTP/1.1\nHost: {it}\n" + asOwner + "\n"
	last     = "Connection: close\n"
)

// post is a request with a JSON body.
func post(route, headers, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\nHost: {host}\nContent-Length: %d\n%s\n%s", route, len(body), headers, body)
}

// eventually waits until it is so.
func eventually(is func() bool) bool {
	for limit := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		if is() { // once: a page that is open may set its cookie anew
			return true
		}
		if time.Now().After(limit) {
			return false
		}
	}
}
