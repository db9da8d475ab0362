package trials

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
	"langkeep/localapi/proof"
)

// forger listens where an agent was, answers as one would, and keeps all that it
// is sent.
type forger struct {
	*httptest.Server
	mu   sync.Mutex // protects sent
	sent []byte
}

// forge starts a forger, whose answer to the question for a proof is prove's.
func forge(t *testing.T, prove func(question []byte) (status int, answer string)) *forger {
	t.Helper()
	return forgeAt(t, "127.0.0.1:0", prove)
}

func forgeAt(t *testing.T, address string, prove func(question []byte) (status int, answer string)) *forger {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := httputil.DumpRequest(r, true)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		f.sent = append(f.sent, text...)
		f.mu.Unlock()
		status, answer := http.StatusOK, `{"name":"prod","version":"forged","access_token":"forged","profiles":[{"name":"prod","state":"fresh"}],"methods":["password"]}`
		if r.URL.Path == "/v1/proof" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			status, answer = prove(body)
		}
		w.Header().Set("Content-Type", "application/json")
		if status >= http.StatusBadRequest {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	_ = f.Listener.Close() // httptest's own
	f.Listener = listener
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// learntNothing fails the test if the forger was sent a token, a password or anything
// but questions for a proof, or nothing at all, and says so.
func (f *forger) learntNothing(t *testing.T, secrets ...string) (happened string) {
	t.Helper()
	f.Close() // what is under way ends
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sent) == 0 {
		t.Error("nothing was asked of the forger")
	}
	asked := strings.Count(string(f.sent), " HTTP/1.1\r\n")
	if strings.Count(string(f.sent), "POST /v1/proof HTTP/1.1\r\n") != asked {
		t.Errorf("the forger was sent more than the question: %s", f.sent)
	}
	for _, s := range append(secrets, "uthorization") {
		if bytes.Contains(f.sent, []byte(s)) {
			t.Errorf("the forger has %q", s)
		}
	}
	return "nothing but the question is sent"
}

// typedPassword is what the commands that are attacked are given on stdin.
const typedPassword = "what-was-typed"

// fooled runs the commands that send a bearer or a password over TCP, as programs
// have them on Windows and with LANGKEEP_URL, at the forger's address, and wants
// each to end with a code.
func (v *victim) fooled(t *testing.T, f *forger, want int) (happened string) {
	t.Helper()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"status", "token prod", "refresh prod", "client list", "login prod --username ana --password-stdin", "open --print", "exec prod -- " + exe + " version",
	} {
		cmd := program(t, v.paths, strings.Fields(args)...)
		cmd.Env = append(cmd.Env, "LANGKEEP_URL="+f.URL, "LANGKEEP_TOKEN="+v.words["owner"])
		cmd.Stdin = strings.NewReader(typedPassword + "\n")
		out, _ := cmd.CombinedOutput() // its code tells
		if code := cmd.ProcessState.ExitCode(); code != want || strings.Contains(string(out), "forged") {
			t.Errorf("langkeep %s ends with %d, want %d: %s", args, code, want, out)
		}
	}
	return fmt.Sprintf("%s, and each command ends with %d", f.learntNothing(t, v.words["owner"], typedPassword), want)
}

// question is one for a proof of the owner's token.
func (v *victim) question() []byte {
	return fmt.Appendf(nil, `{"key":%q,"nonce":%q}`, proof.Of(secret.New(v.words["owner"])).ID(), strings.Repeat("A", 43))
}

// proves asks the agent for a proof.
func (v *victim) proves(t *testing.T, question []byte) (status int, answer string) {
	t.Helper()
	res, err := http.Post(v.url+"/v1/proof", "application/json", bytes.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// asked has a client send the owner's token and a password to the forger's address.
func (v *victim) asked(t *testing.T, f *forger, want error) (happened string) {
	t.Helper()
	c, err := client.New(client.Options{URL: f.URL, Token: secret.New(v.words["owner"])})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	login := client.Login{Method: client.Password, Username: "ana", Password: secret.New(typedPassword)}
	if _, err := c.Login(t.Context(), "prod", login); !errors.Is(err, want) {
		t.Errorf("it is answered: %v", err)
	}
	return because(f.learntNothing(t, v.words["owner"], typedPassword), want.Error())
}
