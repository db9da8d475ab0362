package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"langkeep/agent/paths"
	"langkeep/agent/secret"
	"langkeep/localapi/client/clienttest"
)

// home makes the folders of an agent in a short path, which a socket needs.
func home(t *testing.T) paths.Paths {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := paths.Paths{Config: filepath.Join(dir, "c"), State: filepath.Join(dir, "s"), Run: filepath.Join(dir, "r"), Home: dir}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	return p
}

// listen answers like an agent whose version is what.
func listen(t *testing.T, network, address, what, wantBearer string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: clienttest.Agent(strings.TrimPrefix(wantBearer, "Bearer "), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != wantBearer {
			t.Errorf("%s: Authorization is %q, want %q", what, got, wantBearer)
		}
		_, _ = fmt.Fprintf(w, `{"version":%q}`, what)
	}))}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := paths.WriteFile(path, []byte(content)); err != nil {
		t.Fatal(err)
	}
}

func none(string) string { return "" }

func TestFind(t *testing.T) {
	p := home(t)
	find := func(getenv func(string) string) (string, error) {
		c, err := Find(t.Context(), getenv, p)
		if err != nil {
			return "", err
		}
		defer c.Close()
		s, err := c.Status(t.Context())
		return s.Version, err
	}
	if _, err := find(none); !errors.Is(err, ErrNoAgent) {
		t.Fatalf("with nothing there: %v", err)
	}

	tcp := listen(t, "tcp", "127.0.0.1:0", "tcp", "Bearer lk_owner")
	write(t, p.Agent(), `{"schema":1,"url":"http://`+tcp+`","pid":7}`)
	write(t, p.Token(), "lk_owner\n")
	lock := paths.NewLock(p.Lock())
	if ok, err := lock.TryLock(); !ok {
		t.Fatal(err)
	}
	defer lock.Unlock()
	if got, err := find(none); err != nil || got != "tcp" {
		t.Errorf("with agent.json: %s, %v", got, err)
	}
	if r, err := ReadRunning(p); err != nil || r.PID != 7 {
		t.Errorf("agent.json is read as %+v, %v", r, err)
	}

	if runtime.GOOS != "windows" {
		write(t, p.Socket(), "") // what a crash left behind
		if got, err := find(none); err != nil || got != "tcp" {
			t.Errorf("with a dead socket: %s, %v", got, err)
		}
		if err := os.Remove(p.Socket()); err != nil {
			t.Fatal(err)
		}
		listen(t, "unix", p.Socket(), "socket", "")
		if got, err := find(none); err != nil || got != "socket" {
			t.Errorf("with a socket: %s, %v", got, err)
		}
	}

	named := listen(t, "tcp", "127.0.0.1:0", "named", "Bearer lk_client")
	env := map[string]string{"LANGKEEP_URL": "http://" + named, "LANGKEEP_TOKEN": "lk_client"}
	getenv := func(name string) string { return env[name] }
	if got, err := find(getenv); err != nil || got != "named" {
		t.Errorf("with LANGKEEP_URL: %s, %v", got, err)
	}
	env["LANGKEEP_URL"] = "http://192.0.2.1:17860"
	if _, err := find(getenv); !errors.Is(err, ErrEnvironment) {
		t.Errorf("with another computer's URL: %v", err)
	}
	for _, name := range []string{"LANGKEEP_URL", "LANGKEEP_TOKEN"} {
		env = map[string]string{name: "http://127.0.0.1:1"}
		if _, err := find(getenv); !errors.Is(err, ErrEnvironment) {
			t.Errorf("with %s alone: %v", name, err)
		}
	}
}

func TestFindIsNotFooled(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<html>")
	}))
	defer stranger.Close()
	for name, content := range map[string]string{
		"a stranger on the port": `{"schema":1,"url":"` + stranger.URL + `","pid":7}`,
		"another computer":       `{"schema":1,"url":"http://192.0.2.1:17860","pid":7}`,
		"a newer schema":         `{"schema":2,"url":"` + stranger.URL + `","pid":7}`,
		"half a file":            `{"schema":`,
	} {
		p := home(t)
		write(t, p.Agent(), content)
		write(t, p.Token(), "lk_old")
		lock := paths.NewLock(p.Lock())
		if ok, err := lock.TryLock(); !ok {
			t.Fatal(err)
		}
		defer lock.Unlock()
		if _, err := Find(t.Context(), none, p); !errors.Is(err, ErrNoAgent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program that listens at a killed agent's address gets nothing, however well it
// answers.
func TestFindIsNotFooledAfterACrash(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("it was asked for %s", r.URL)
		_, _ = io.WriteString(w, `{"version":"as an agent"}`)
	}))
	defer stranger.Close()
	p := home(t)
	write(t, p.Agent(), `{"schema":1,"url":"`+stranger.URL+`","pid":7}`)
	write(t, p.Token(), "lk_old")
	if _, err := Find(t.Context(), none, p); !errors.Is(err, ErrNoAgent) {
		t.Errorf("the owner finds %v", err)
	}
	if _, err := FindAs(t.Context(), none, p, secret.New("lk_client")); !errors.Is(err, ErrNoAgent) {
		t.Errorf("a client finds %v", err)
	}
}

// With any text in agent.json, the owner's token goes to this computer alone.
func FuzzRunning(f *testing.F) {
	for _, s := range []string{
		`{"schema":1,"url":"http://127.0.0.1:17860","pid":42}`, `{"schema":1,"url":"http://127.0.0.1@evil.test/","pid":-1}`,
		`{"schema":1,"url":"http://localhost.evil.test:1"}`, `{"schema":1,"url":"https://[::1%25eth0]:1"}`, `{"schema":1,"url":"//127.0.0.1"}`,
		`{"schema":2}`, `{"schema":1,"url":"http://127.0.0.1:1#@evil.test"}`, `{"schema":1,"url":"http://2130706433:1"}`, `[]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		p := paths.Paths{State: t.TempDir()}
		if err := os.WriteFile(p.Agent(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := ReadRunning(p)
		if err != nil {
			return
		}
		if r.Schema != 1 {
			t.Errorf("took schema %d", r.Schema)
		}
		c, err := New(Options{URL: r.URL, Token: secret.New("lk_x")})
		if err != nil {
			return
		}
		defer c.Close()
		u, err := url.Parse(c.base + "/v1/status")
		if err != nil || u.User != nil || u.Scheme != "http" || u.Path != "/v1/status" {
			t.Fatalf("%q leads to %q, %v", r.URL, c.base, err)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !addr.IsLoopback()) {
			t.Errorf("%q leads to %q", r.URL, c.base)
		}
	})
}

func TestHolder(t *testing.T) {
	for name, tt := range map[string]struct{ lock, agent, words string }{
		"neither file":         {"", "", ""},
		"the lock":             {`{"schema":1,"pid":7}`, `{"schema":1,"url":"http://127.0.0.1:1","pid":8}`, " (process 7)"},
		"a lock without it":    {"", `{"schema":1,"url":"http://127.0.0.1:1","pid":8}`, " (process 8)"},
		"a lock that is cut":   {`{"schema":1,"p`, `{"schema":1,"url":"http://127.0.0.1:1","pid":8}`, " (process 8)"},
		"a newer agent's file": {"", `{"schema":2,"url":"http://127.0.0.1:1","pid":8}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := home(t)
			for path, text := range map[string]string{p.Lock(): tt.lock, p.Agent(): tt.agent} {
				if text != "" {
					write(t, path, text)
				}
			}
			if got := HolderWords(p); got != tt.words {
				t.Errorf("got %q, want %q", got, tt.words)
			}
		})
	}
}
