package trials

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// betrayed is an agent whose server means harm. elsewhere stands in for a forward proxy,
// and so gets every request that the agent would send to another computer; a server
// that leads to this computer leads there too.
type betrayed struct {
	launched
	paths     paths.Paths
	server    *upstream
	elsewhere *elsewhere
	owner     *client.Client
	made      int // profiles
}

func newBetrayed(t *testing.T, flags ...string) *betrayed {
	t.Helper()
	b := &betrayed{paths: homeFor(t), server: newUpstream(t, langflowtest.Options{}), elsewhere: newElsewhere(t)}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, b.elsewhere.url)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	b.start(t, flags...)
	return b
}

// start runs the agent.
func (b *betrayed) start(t *testing.T, flags ...string) {
	t.Helper()
	b.launched = launch(t, b.paths, flags...)
	if b.url == "" {
		t.Fatalf("the agent does not start: %s", b.said)
	}
	token, err := os.ReadFile(b.paths.Token())
	if err != nil {
		t.Fatal(err)
	}
	if b.owner, err = client.New(client.Options{URL: b.url, Token: secret.New(string(token))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.owner.Close)
}

// stop ends the agent.
func (b *betrayed) stop(t *testing.T) {
	t.Helper()
	b.owner.Close()
	if said, err := program(t, b.paths, "stop").CombinedOutput(); err != nil {
		t.Fatalf("stop: %v: %s", err, said)
	}
	_ = b.Wait() // it was asked to
}

// profile makes a new one.
func (b *betrayed) profile(t *testing.T) string {
	t.Helper()
	b.made++
	name := fmt.Sprint("p", b.made)
	if _, err := b.owner.AddProfile(t.Context(), client.NewProfile{Name: name, ServerURL: b.server.URL}); err != nil {
		t.Fatal(err)
	}
	return name
}

// password is what a sign-in sends.
const password = "admin-Password1"

// signIn tries to sign a profile in.
func (b *betrayed) signIn(t *testing.T, name string) error {
	t.Helper()
	_, err := b.owner.Login(t.Context(), name, client.Login{Method: client.Password, Username: langflowtest.Admin().Name, Password: secret.New(password)})
	return err
}

// signedIn makes a profile that is.
func (b *betrayed) signedIn(t *testing.T) string {
	t.Helper()
	name := b.profile(t)
	if err := b.signIn(t, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// meanwhile has the server answer the agent with something else while do runs.
func (b *betrayed) meanwhile(path string, answer http.HandlerFunc, do func()) {
	b.server.answersAgent(func(w http.ResponseWriter, r *http.Request) {
		short := strings.TrimPrefix(r.URL.Path, "/api/v1")
		switch {
		case strings.HasPrefix(short, path):
			answer(w, r)
			return
		case path == "/login" && short == "/users/whoami": // with a token that is not the stand-in's
			jsonAnswer(200, `{"id":"1","username":"admin"}`)(w, r)
			return
		}
		b.server.langflow.ServeHTTP(w, r)
	})
	defer b.server.answersAgent(nil)
	do()
}

// inState wants a profile to be in a state, and says it.
func inState(t *testing.T, p client.Profile, err error, want client.State) (happened string) {
	t.Helper()
	if err != nil || p.State != want {
		t.Errorf("it is %q, want %q: %v", p.State, want, err)
	}
	return fmt.Sprintf("the profile is `%s`", want)
}

// wantProblem wants an error of the API to be a problem of a status and a kind, and
// says the status.
func wantProblem(t *testing.T, err error, status int, kind string) (happened string) {
	t.Helper()
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Status != status || p.Kind() != kind {
		t.Errorf("it says %v, want %d %s", err, status, kind)
	}
	return fmt.Sprint(status)
}

// wantReason wants an error with one of the reasons, whose words are fit for a
// terminal, and says them.
func wantReason(t *testing.T, err error, reasons ...string) (happened string) {
	t.Helper()
	var p *client.Problem
	switch {
	case !errors.As(err, &p):
		t.Errorf("it says %v", err)
	case !slices.Contains(reasons, p.Reason):
		t.Errorf("the reason is %q (%s), want %q", p.Reason, p.Detail, reasons)
	}
	if err != nil {
		decentWords(t, "an error", err.Error())
	}
	return "`" + strings.Join(reasons, "` or `") + "`"
}

// decentWords wants nothing in a text that moves a cursor, and no secret.
func decentWords(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (!unicode.IsGraphic(r) || r == unicode.ReplacementChar) }); i >= 0 {
		t.Errorf("%s has %q", what, text[max(0, i-20):min(len(text), i+20)])
	}
	if strings.Contains(text, password) {
		t.Errorf("%s has the password", what)
	}
}

// well wants the agent to be as well as ever: it tells its status, and a session
// of an honest server is served.
func (b *betrayed) well(t *testing.T) {
	t.Helper()
	for _, route := range []string{"/v1/status", "/metrics"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, _ := os.ReadFile(b.paths.Token())
		req.Header.Set("Authorization", "Bearer "+string(token))
		res, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s, %v", route, res.StatusCode, body, err)
		}
		decentWords(t, route, string(body))
	}
	b.nothingCarried(t)
}

// nothingCarried wants nothing to have gone elsewhere but questions for a version, which
// carry no credential, and says so.
func (b *betrayed) nothingCarried(t *testing.T) (happened string) {
	t.Helper()
	if carried := b.elsewhere.carried(); len(carried) > 0 {
		t.Errorf("this went elsewhere: %q", carried)
	}
	return "nothing goes elsewhere but a question for a version, without a credential"
}

// memory is what the agent's process has at most had resident, in bytes; 0 where
// the system does not tell.
func (b *betrayed) memory() int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Process.Pid)) // elsewhere there is none
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n << 10
}

// jsonAnswer is an answer of a status and a body.
func jsonAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // or the client has gone
	}
}

// jwt is a token with claims, which nobody signed.
func jwt(claims string) string {
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// betrayal is a trial of an agent whose server means harm.
type betrayal struct {
	tried string
	run   func(*testing.T, *betrayed) (happened string)
}

// betrayals tries them on one agent.
func betrayals(t *testing.T, heading string, b *betrayed, all []betrayal) {
	t.Helper()
	var trials []trial
	for _, c := range all {
		trials = append(trials, trial{c.tried, func(t *testing.T) string {
			happened := c.run(t, b)
			b.well(t)
			return happened
		}})
	}
	runTrialsAs(t, heading, trials)
}

// eventually waits until a profile is as it must be.
func (b *betrayed) eventually(t *testing.T, name, what string, is func(client.Profile) bool) {
	t.Helper()
	var p client.Profile
	var err error
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if p, err = b.owner.Profile(t.Context(), name); err == nil && is(p) {
			return
		}
	}
	t.Fatalf("it never %s: %+v, %v", what, p, err)
}
