package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"langkeep/agent/paths"
	"langkeep/assets/casebook"
	"langkeep/localapi/client"
	"langkeep/localapi/client/clienttest"
)

// answering runs a command against an agent that answers everything in one way.
func answering(t *testing.T, handler http.HandlerFunc, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(clienttest.Agent("lk_x", handler))
	defer server.Close()
	env := map[string]string{"LANGKEEP_URL": server.URL, "LANGKEEP_TOKEN": "lk_x", "LANGKEEP_HOME": t.TempDir()}
	var out, words bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &words, func(name string) string { return env[name] })
	return code, out.String(), words.String()
}

func problem(p *client.Problem) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p)
	}
}

func TestExitCodes(t *testing.T) {
	var table [][]string
	codes := map[string]int{
		client.TypeBadRequest:        2,
		client.TypeUnauthorized:      7,
		client.TypeForbidden:         7,
		client.TypeForbiddenOrigin:   7,
		client.TypeForbiddenHost:     7,
		client.TypeSignInRequired:    3,
		client.TypeNotFound:          1,
		client.TypeMethodNotAllowed:  1,
		client.TypeTooLarge:          1,
		client.TypeConflict:          1,
		client.TypeNotSupported:      1,
		client.TypeLifetimeTooShort:  1,
		client.TypeTooManyRequests:   1,
		client.TypeInternal:          1,
		client.TypeServerUnreachable: 4,
		client.TypeKeychainLocked:    6,
		client.TypeLocked:            7,
		client.TypeNotAllowedYet:     7,
		"of-a-newer-agent":           1,
	}
	openAPI, err := os.ReadFile("../../localapi/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(openAPI), "urn:langkeep:problems/ and one of ")
	list, _, _ = strings.Cut(list, `"`)
	documented := append(strings.Split(list, ", "), "of-a-newer-agent")
	slices.Sort(documented)
	if tried := slices.Sorted(maps.Keys(codes)); !slices.Equal(tried, documented) {
		t.Errorf("openapi.yaml has %q, and this test %q", documented, tried)
	}
	for _, kind := range slices.Sorted(maps.Keys(codes)) {
		want := codes[kind]
		p := client.NewProblem(kind, "what to do\x1b[2J next")
		if p.Status != 0 {
			table = append(table, []string{"`" + kind + "`", strconv.Itoa(p.Status), strconv.Itoa(want)})
		}
		p.Status = max(p.Status, 400)
		for _, args := range [][]string{{"token", "prod"}, {"refresh", "prod"}, {"status"}, {"status", "--watch"}, {"remove", "--all"}} {
			code, stdout, stderr := answering(t, problem(p), args...)
			if code != want {
				t.Errorf("%s: %v ends with %d, want %d", kind, args, code, want)
			}
			if stdout != "" || !strings.HasPrefix(stderr, "langkeep: what to do[2J next\n") {
				t.Errorf("%s: %v says %q and %q", kind, args, stdout, stderr)
			}
		}
	}
	casebook.Table(t, "docs/api.md", "TestExitCodes in cmd/langkeep", []string{"`type` ends in", "status", "a command's exit code"}, table)
}

func TestReady(t *testing.T) {
	for states, want := range map[string]int{
		"":                                      3,
		"fresh":                                 0,
		"fresh retrying":                        0,
		"fresh stale":                           4,
		"stale keychain-locked fresh":           6,
		"stale keychain-locked signed-out":      3,
		"sign-in-required":                      3,
		"keychain-locked":                       6,
		"half-asleep":                           1,
		"half-asleep stale":                     4,
		"fresh fresh fresh fresh fresh stale":   4,
		"retrying retrying retrying signed-out": 3,
	} {
		var status client.Status
		for i, s := range strings.Fields(states) {
			status.Profiles = append(status.Profiles, client.Profile{Name: fmt.Sprint("p", i), State: client.State(s)})
		}
		code, stdout, stderr := answering(t, func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(status) }, "status", "--ready")
		if code != want || stdout != "" || (stderr == "") != (want == 0) {
			t.Errorf("%q: %d, want %d, with %q and %q", states, code, want, stdout, stderr)
		}
	}
}

func TestAWriteThatFailsIsAnError(t *testing.T) {
	server := httptest.NewServer(clienttest.Agent("lk_x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"name":"prod","access_token":"eyJ","profiles":[{"name":"prod"}]}`)
	})))
	defer server.Close()
	env := map[string]string{"LANGKEEP_URL": server.URL, "LANGKEEP_TOKEN": "lk_x", "LANGKEEP_HOME": t.TempDir()}
	for _, args := range []string{"version", "completion bash", "token prod", "token prod --output json", "status prod", "status", "status --json"} {
		var words bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), nil, full{}, &words, func(name string) string { return env[name] }); code != 1 {
			t.Errorf("%s ends with %d: %s", args, code, words.String())
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestRemoveAllGoesOn(t *testing.T) {
	code, stdout, stderr := answering(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			_, _ = io.WriteString(w, `{"profiles":[{"name":"a"},{"name":"b"}]}`)
		case strings.HasSuffix(r.URL.Path, "/a"):
			problem(client.NewProblem(client.TypeKeychainLocked, "unlock the keychain"))(w, r)
		default:
			_, _ = io.WriteString(w, `{"name":"b"}`)
		}
	}, "remove", "--all")
	const want = "langkeep: a: unlock the keychain\nlangkeep: b: removed\n" +
		"langkeep: some profiles are still there: remove them again later\n"
	if code != 6 || stdout != "" || stderr != want {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
}

func TestATokenIsChecked(t *testing.T) {
	for _, token := range []string{"", "eyJ\nX-Evil: 1", "eyJ\x1b[2J"} {
		code, stdout, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token})
		}, "token", "prod", "--output", "header")
		if code != 1 || stdout != "" {
			t.Errorf("%q: %d, %q", token, code, stdout)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(clienttest.Agent("lk_x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })))
	defer server.Close()
	env := map[string]string{"LANGKEEP_URL": server.URL, "LANGKEEP_TOKEN": "lk_x", "LANGKEEP_HOME": t.TempDir()}
	var out, words bytes.Buffer
	code := run(ctx, []string{"refresh", "prod"}, nil, &out, &words, func(name string) string { return env[name] })
	if code != 1 || words.String() != "langkeep: interrupted\n" {
		t.Errorf("%d, %q", code, words.String())
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	root := newRoot(&app{})
	commands := append([]*cobra.Command{root}, root.Commands()...)
	var names []string
	for _, c := range commands {
		names = append(names, c.Name())
		if c.Long == "" || c.Short == "" || !strings.Contains(c.Example, "langkeep") {
			t.Errorf("%s has no full help", c.Name())
		}
		if !c.DisableFlagsInUseLine {
			t.Errorf("%s has [flags] in its usage", c.Name())
		}
		// A feature's script reads as its documentation.
		if _, err := os.Stat(filepath.Join("testdata", "script", c.Name()+".txtar")); err != nil && c != root {
			t.Errorf("%s has no script", c.Name())
		}
	}
	for _, name := range strings.Fields("run start stop restart login logout remove refresh status token open demo version completion autostart doctor") {
		if !slices.Contains(names, name) {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for in, want := range map[string]string{
		"secret":          "secret",
		"secret\n":        "secret",
		"secret\r\n":      "secret",
		"secret\nmore\n":  "secret",
		" with blanks \n": " with blanks ",
		long:              long,
		// Editors and PowerShell write these.
		"\ufeffsecret\r\n":               "secret",
		"\ufeff":                         "!empty",
		"\ufeff\r\n":                     "!empty",
		"se\ufeffcret":                   "se\ufeffcret",
		"\xff\xfes\x00e\x00\r\x00\n\x00": "!UTF-16",
		"\xfe\xff\x00s\x00e\x00\r\x00\n": "!UTF-16",
		"":                               "!empty",
		"\n":                             "!empty",
		"\r\n":                           "!empty",
		long + "x":                       "!over 64 KiB",
	} {
		r := strings.NewReader(in)
		got, err := readLine(r)
		if failure, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), failure) {
				t.Errorf("%.20q: %v", in, err)
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("%.20q is read as %.20q, %v", in, got, err)
		}
		if rest, _ := io.ReadAll(r); in == "secret\nmore\n" && string(rest) != "more\n" {
			t.Errorf("what follows is %q", rest)
		}
	}
}

func TestReadPassphrase(t *testing.T) {
	home := t.TempDir()
	file := filepath.Join(home, "passphrase")
	for in, want := range map[string]string{
		"secret": "secret", "secret\nmore": "secret", "secret\r\n": "secret", "\ufeffsecret\r\n": "secret",
		"\ufeff\n": "", "": "", "\xff\xfes\x00": "",
	} {
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{file, "~/passphrase"} {
			a := app{getenv: func(v string) string {
				return map[string]string{"LANGKEEP_PASSPHRASE_FILE": name, "HOME": home, "USERPROFILE": home}[v]
			}}
			got, err := a.passphrase()
			if got.Reveal() != want || (err == nil) != (want != "") || err != nil && (codeOf(err) != exitKeychainLocked || !strings.Contains(err.Error(), name)) {
				t.Errorf("%q in %s: %q, %v", in, name, got.Reveal(), err)
			}
		}
	}
}

func TestAgentEnv(t *testing.T) {
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got := agentEnv([]string{
		"PATH=/bin", "LANGKEEP_TOKEN=lk_x", "LANGKEEP_URL=http://127.0.0.1:1", "LANGKEEP_PROFILE=prod",
		"LANGKEEP_HOME=here", "LANGKEEP_PASSPHRASE_FILE=pass", "EMPTY=", "A=b=c",
	}, paths.Paths{Home: "/somewhere/here"})
	want := []string{
		"PATH=/bin", "LANGKEEP_PASSPHRASE_FILE=" + filepath.Join(cwd, "pass"), "EMPTY=", "A=b=c",
		"LANGKEEP_HOME=/somewhere/here",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLastLine(t *testing.T) {
	for in, want := range map[string]string{
		"langkeep: one\nlangkeep: two\n": "two",
		"panic: no\n\n":                  "panic: no",
		"":                               "it said nothing; langkeep run may say more",
		strings.Repeat("x\n", 1<<16) + "langkeep: the end": "the end",
	} {
		if got := lastLine(strings.NewReader(in)); got != want {
			t.Errorf("%.30q: %q, want %q", in, got, want)
		}
	}
}

// writer is this test binary, run again to write to its stderr when told to.
const writer = "LANGKEEP_TEST_WRITER"

func TestAnAgentOutlivesItsReader(t *testing.T) {
	if mode := os.Getenv(writer); mode != "" {
		if mode == "outlive" {
			outliveStderr()
		}
		_, _ = io.ReadAll(os.Stdin) // until the reader has gone
		for range 3 {
			fmt.Fprintln(os.Stderr, "does anybody read this")
		}
		fmt.Println("alive")
		os.Exit(0)
	}
	for mode, alive := range map[string]bool{"outlive": true, "die": false} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAnAgentOutlivesItsReader$")
		cmd.Env = append(os.Environ(), writer+"="+mode, "GORACE=atexit_sleep_ms=0")
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = w
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Close(), r.Close()
		_ = stdin.Close()
		err = cmd.Wait()
		if got := strings.Contains(stdout.String(), "alive"); got != alive && (alive || !onWindows) {
			t.Errorf("%s: alive is %v, %v", mode, got, err)
		}
	}
}

// onWindows a broken pipe ends nobody.
const onWindows = runtime.GOOS == "windows"
