//go:build real && linux

package trials

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"langkeep/agent/chromium"
	"langkeep/agent/sessionbus/displaytest"
)

// signingIn is a browser in which a person signs in, as the agent opens it.
type signingIn struct {
	window    *chromium.Window
	dir       string // of all such browsers
	folder    string // of this one
	processes []int  // the first one first
	secret    string // the value of a cookie
}

// newSigningIn opens a browser on a page that sets a cookie, and waits for that.
func newSigningIn(t *testing.T) *signingIn {
	t.Helper()
	program, err := chromium.Find("")
	if err != nil {
		t.Skip(err)
	}
	t.Setenv("DISPLAY", displaytest.Start(t))
	s := &signingIn{dir: filepath.Join(t.TempDir(), "browser"), secret: "hunter2-hunter2"}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "gateway", Value: s.secret, Path: "/", HttpOnly: true, MaxAge: 3600})
	}))
	t.Cleanup(page.Close)
	// Chromium refuses its sandbox to root.
	if s.window, err = chromium.Open(t.Context(), program, s.dir, page.URL, "--no-sandbox"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.window.Close() }) // a trial has looked at what is left
	if !eventually(func() bool { return s.cookie(t) == s.secret }) {
		t.Fatal("the browser has no cookie")
	}
	locks, err := filepath.Glob(filepath.Join(s.dir, "*", "lock"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	s.folder = filepath.Dir(locks[0])
	text, err := os.ReadFile(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	s.processes = inGroup(t, first)
	if len(s.processes) < 3 || s.processes[0] != first {
		t.Fatalf("its processes are %v", s.processes)
	}
	return s
}

// cookie is the value that the agent reads.
func (s *signingIn) cookie(t *testing.T) string {
	t.Helper()
	all, err := s.window.Cookies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Name == "gateway" {
			return c.Value.Reveal()
		}
	}
	return ""
}

// inGroup are the processes of a process group, by number.
func inGroup(t *testing.T, group int) (ids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if id, err := strconv.Atoi(e.Name()); err == nil {
			if its, err := syscall.Getpgid(id); err == nil && its == group {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// listeners counts the TCP sockets on which processes listen.
func listeners(t *testing.T, processes ...int) (n int) {
	t.Helper()
	const listen = "0A"
	listening := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(file) // there may be no IPv6
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == listen {
				listening["socket:["+f[9]+"]"] = true
			}
		}
	}
	for _, id := range processes {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", id))
		for _, fd := range fds {
			if link, _ := os.Readlink(fd); listening[link] {
				n++
			}
		}
	}
	return n
}

// The browser in which a person signs in has the cookies that the agent wants.
func TestAttackBrowser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	s := newSigningIn(t)
	first := s.processes[0]
	runTrials(t, []trial{
		{"a debugging port, on any address", func(t *testing.T) string {
			if n := listeners(t, s.processes...); n != 0 {
				t.Errorf("the browser listens on %d", n)
			}
			if listeners(t, os.Getpid()) == 0 {
				t.Error("not even the page's server is seen to listen")
			}
			return "no process of the browser listens on a TCP port"
		}},
		{"another user: the pipe, the memory, the environment and the open files of the browser's processes, and a signal to them", func(t *testing.T) string {
			const tries = `cd /proc/%d || exit; for f in environ maps fd/3 fd/4; do [ -r $f ] && head -c 1 $f >/dev/null 2>&1 && echo reads $f
				[ -w $f ] && (: >$f) 2>/dev/null && echo opens $f; done; ls fd 2>/dev/null; kill -%s %[1]d 2>/dev/null && echo is heard`
			// A search that finds nothing proves something only if it can find.
			own := exec.Command("bash", "-c", fmt.Sprintf(tries, os.Getpid(), "0"))
			if out, _ := own.Output(); !strings.Contains(string(out), "reads environ\n") || !strings.Contains(string(out), "is heard\n") {
				t.Errorf("of itself the test finds %q", out)
			}
			for _, id := range s.processes {
				script := fmt.Sprintf(tries, id, "STOP")
				if out := asNobody(t, script, "bash"); out != "" {
					t.Errorf("of process %d it reaches %q", id, out)
				}
			}
			return "none can be opened or listed, and no signal is sent"
		}},
		{"another user: the browser's arguments, which everybody can read", func(t *testing.T) string {
			out := asNobody(t, fmt.Sprintf("tr '\\0' ' ' </proc/%d/cmdline", first), "bash")
			if !strings.Contains(out, "--remote-debugging-pipe --user-data-dir="+s.folder) || strings.Contains(out, s.secret) || strings.Contains(out, "--remote-debugging-port") {
				t.Errorf("it reads %q", out)
			}
			return "the address, the folder and the settings; no cookie"
		}},
		{"another user: the folder with the cookies, where somebody has opened the folders above it", func(t *testing.T) string {
			for dir := s.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
				info, err := os.Stat(dir)
				if err == nil {
					err = os.Chmod(dir, 0o755)
				}
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Chmod(dir, info.Mode().Perm()) })
			}
			if out := asNobody(t, "ls '"+s.dir+"'", "bash"); !strings.Contains(out, filepath.Base(s.folder)) {
				t.Errorf("the folders are not open: %q", out)
			}
			paths := []string{s.folder, filepath.Join(s.folder, "lock"), filepath.Join(s.folder, "profile"), filepath.Join(s.folder, "profile", "Default", "Cookies")}
			for _, path := range paths {
				if _, err := os.Lstat(path); err != nil {
					t.Error(err)
				}
			}
			return untouched(t, paths)
		}},
		{"another user: the socket by which a second start of the browser speaks to the first", func(t *testing.T) string {
			socket, err := os.Readlink(filepath.Join(s.folder, "profile", "SingletonSocket"))
			if err != nil {
				t.Fatal(err)
			}
			return untouched(t, []string{socket, filepath.Join(filepath.Dir(socket), "SingletonCookie")})
		}},
		{"a program of the same user: a command into the browser's end of the pipe, `/proc/PID/fd/3`", func(t *testing.T) string {
			if got := s.cookie(t); got != s.secret {
				t.Errorf("before it the agent reads %q", got)
			}
			pipe, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/3", first), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer pipe.Close()
			// An answer that the agent has not asked for, and then an end.
			if _, err := pipe.WriteString(`{"id":1000000,"method":"Storage.clearCookies"}` + "\x00"); err != nil {
				t.Fatal(err)
			}
			if !eventually(func() bool { return s.cookie(t) == "" }) {
				t.Error("the browser does not obey")
			}
			if _, err := pipe.WriteString(`{"id":1000001,"method":"Browser.close"}` + "\x00"); err != nil {
				t.Fatal(err)
			}
			<-s.window.Closed()
			if err := s.window.Close(); err != nil {
				t.Error(err)
			}
			if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
				t.Errorf("it has left %v, %v", left, err)
			}
			return "the browser obeys, as every browser of that user's would: it forgets its cookies, and ends; the folder is deleted"
		}},
	})
}
