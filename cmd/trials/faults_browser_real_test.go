//go:build real && linux

package trials

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/sessionbus/displaytest"
	"langkeep/assets/casebook"
)

// inBrowser is a person who signs in to prod anew, with a browser. The session from
// before is fresh.
type inBrowser struct {
	*home
	stopAgent func()
	display   string
	login     *exec.Cmd
	said      *bytes.Buffer // by login
	browser   int           // its first process
}

// newInBrowser starts an agent and `langkeep login --browser`, and waits for the window.
func newInBrowser(t *testing.T) *inBrowser {
	t.Helper()
	for _, program := range []string{"chromium", "xdotool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	s := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(s.Close)
	in := newBarrier(t, s.URL)
	b := &inBrowser{home: newHome(t, buildProgram(t), shortDir(t)), display: displaytest.Start(t), said: new(bytes.Buffer)}
	b.env = append(b.env, "DISPLAY="+b.display)
	// Root's Chromium wants a flag that Langkeep never gives it.
	browser := filepath.Join(b.dir, "chromium")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\nexec chromium --no-sandbox \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(b.paths.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	b.write(b.paths.ConfigFile(), string(settings)+"browser = '"+browser+"'\n")
	b.stopAgent = b.start()
	if d := b.signIn(in.URL); d.code != exitDone {
		t.Fatalf("sign in: %s", d.stderr)
	}
	b.login = b.command("login", "prod", "--browser", "--no-start")
	b.login.Stderr = b.said
	if err := b.login.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.login.Process.Kill() }) // an error: it has ended
	b.eventually("the window is there", func() bool {
		locks, _ := filepath.Glob(filepath.Join(b.paths.Browsers(), "*", "lock"))
		if len(locks) != 1 {
			return false
		}
		text, _ := os.ReadFile(locks[0]) // it is being written
		b.browser, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil && in.tried.Load()
	})
	return b
}

// barrier is a server and a gateway in front of it that no sign-in satisfies. It gives a
// browser a cookie, and then refuses the agent with it.
type barrier struct {
	*httptest.Server
	tried atomic.Bool // the agent has tried the browser's cookie
}

func newBarrier(t *testing.T, server string) *barrier {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	g, to := &barrier{}, httputil.NewSingleHostReverseProxy(u)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const name = "gateway"
		_, err := r.Cookie(name)
		switch {
		case strings.Contains(r.UserAgent(), "Chrome/"):
			http.SetCookie(w, &http.Cookie{Name: name, Value: "1", Path: "/"})
		case err == nil:
			g.tried.Store(true)
			w.WriteHeader(http.StatusForbidden)
		default:
			to.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// xdotool does as a person, and returns what it prints; "" if it fails.
func (b *inBrowser) xdotool(args ...string) string {
	cmd := exec.Command("xdotool", args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+b.display)
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// ends waits for the command's end, wants its code and words, and says the code.
func (b *inBrowser) ends(code int, says string) string {
	b.t.Helper()
	_ = b.login.Wait() // its code tells
	if got := b.login.ProcessState.ExitCode(); got != code || !strings.Contains(b.said.String(), says) {
		b.t.Errorf("login ends with %d, want %d: %s", got, code, b.said)
	}
	return fmt.Sprint(code)
}

// gone wants the browser and its folder to be gone.
func (b *inBrowser) gone() {
	b.t.Helper()
	b.eventually("the browser's processes and its folder are gone", func() bool {
		left, err := os.ReadDir(b.paths.Browsers())
		return err == nil && len(left) == 0 && len(inGroup(b.t, b.browser)) == 0
	})
}

// TestFaultsBrowser is what can go wrong while a person signs in with a browser.
func TestFaultsBrowser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("it starts Chromium as root does")
	}
	kill := func(b *inBrowser, signal syscall.Signal) {
		b.t.Helper()
		if err := syscall.Kill(b.browser, signal); err != nil {
			b.t.Fatal(err)
		}
	}
	// left is after the agent's end: the folder stays, and the next start deletes it.
	left := func(b *inBrowser) {
		b.t.Helper()
		if all, err := os.ReadDir(b.paths.Browsers()); err != nil || len(all) != 1 {
			b.t.Errorf("the folder has %v, %v", all, err)
		}
		b.start()
		b.gone()
	}
	const closed = "the browser was closed before you were signed in"
	var rows [][]string
	for _, c := range []struct {
		wrong string
		do    func(b *inBrowser) (code, then string)
	}{
		{"The person closes the window.", func(b *inBrowser) (code, then string) {
			b.eventually("the window is closed", func() bool {
				b.xdotool("search", "--onlyvisible", "--name", "Chromium", "windowfocus", "key", "ctrl+w")
				left, err := os.ReadDir(b.paths.Browsers())
				return err == nil && len(left) == 0
			})
			code = b.ends(exitSignIn, closed)
			b.gone()
			return code, "both are gone at once"
		}},
		{"The browser crashes or is killed.", func(b *inBrowser) (code, then string) {
			kill(b, syscall.SIGKILL)
			code = b.ends(exitSignIn, closed)
			b.gone()
			return code, "both are gone at once"
		}},
		{"The command is interrupted with Ctrl-C.", func(b *inBrowser) (code, then string) {
			if err := b.login.Process.Signal(syscall.SIGINT); err != nil {
				b.t.Fatal(err)
			}
			_ = b.login.Wait() // its code is not ours
			b.gone()
			return "the signal", "both are gone at once"
		}},
		{"The agent is stopped.", func(b *inBrowser) (code, then string) {
			begin := time.Now()
			b.must(exitDone, "stop") // which waits for the agent's end
			b.t.Logf("the agent ends within %v", time.Since(begin).Round(10*time.Millisecond))
			if left, err := os.ReadDir(b.paths.Browsers()); err != nil || len(left) != 0 {
				b.t.Errorf("it has left %v, %v", left, err)
			}
			b.gone()
			code = b.ends(exitFailed, "the agent is stopping")
			b.start()
			return code, "both are gone before the agent is"
		}},
		{"The agent is killed.", func(b *inBrowser) (code, then string) {
			b.stopAgent()
			code = b.ends(exitNoAgent, "")
			b.eventually("the browser ends", func() bool { return len(inGroup(b.t, b.browser)) == 0 })
			left(b)
			return code, "the browser ends by itself, and the agent's next start deletes the folder"
		}},
		{"The agent is killed while the browser hangs.", func(b *inBrowser) (code, then string) {
			kill(b, syscall.SIGSTOP)
			b.stopAgent()
			code = b.ends(exitNoAgent, "")
			left(b)
			return code, "the agent's next start kills the browser, and deletes the folder"
		}},
	} {
		t.Run(c.wrong, func(t *testing.T) {
			b := newInBrowser(t)
			code, then := c.do(b)
			b.eventually("prod is fresh", func() bool { p := b.profile(); return p != nil && p.State == "fresh" })
			rows = append(rows, []string{c.wrong, code, b.shown(), then})
		})
	}
	casebook.Table(t, "docs/faults.md", t.Name()+" in cmd/trials", []string{"what goes wrong", "`langkeep login --browser` ends with", "the session from before", "the browser and its folder"}, rows)
}
