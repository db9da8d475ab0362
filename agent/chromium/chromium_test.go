package chromium

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const address = "http://127.0.0.1:1/langflow"

// opens opens a window of a fake browser in a new folder.
func opens(t *testing.T, name string, p patience) (w *Window, dir string, err error) {
	t.Helper()
	t.Setenv(behaviour, name)
	t.Setenv("DISPLAY", ":99")
	dir = filepath.Join(t.TempDir(), "browser")
	w, err = open(t.Context(), p, program(), dir, address, []string{"--extra"})
	if err == nil {
		t.Cleanup(func() { _ = w.Close() }) // a test that needs its error has asked
	}
	return w, dir, err
}

// opened is a window that is open.
func opened(t *testing.T, name string) (w *Window, dir string) {
	t.Helper()
	w, dir, err := opens(t, name, usual)
	if err != nil {
		t.Fatal(err)
	}
	return w, dir
}

// within waits for something that must come.
func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not come", what)
	}
}

// isGone wants nothing to be left below dir.
func isGone(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left below the folder: %v, %v", left, err)
	}
}

// ends closes a window and wants nothing to be left.
func ends(t *testing.T, w *Window, dir string) {
	t.Helper()
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-w.Closed():
	default:
		t.Error("Closed is not closed")
	}
	isGone(t, dir)
	if _, err := w.Cookies(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("cookies of a closed window: %v", err)
	}
}

func TestOpenAndClose(t *testing.T) {
	t.Setenv("LANGKEEP_TOKEN", hidden)
	t.Setenv("https_proxy", "http://proxy.example:3128")
	w, dir := opened(t, "good")
	cookies, err := w.Cookies(t.Context())
	if err != nil || len(cookies) != 2 {
		t.Fatal(cookies, err)
	}
	args, env := cookies[0].Value.Reveal(), cookies[1].Value.Reveal()
	for _, want := range []string{"--remote-debugging-pipe ", "--user-data-dir=" + dir, " --extra --new-window " + address, " --no-first-run "} {
		if !strings.Contains(args, want) {
			t.Errorf("its arguments %q lack %q", args, want)
		}
	}
	for _, bad := range []string{"--remote-debugging-port", "--app", "--remote-allow", "--enable-automation", "--no-proxy", "--ignore-certificate", "--no-sandbox", "--disable-web-security"} {
		if strings.Contains(args, bad) {
			t.Errorf("its arguments %q have %q", args, bad)
		}
	}
	if strings.Contains(env, "LANGKEEP_") || !strings.Contains(env, "https_proxy=http://proxy.example:3128") || !strings.Contains(env, "DISPLAY=:99") {
		t.Errorf("its environment is %s", env)
	}
	if runtime.GOOS != "windows" { // where the access list is dir's
		for _, path := range []string{dir, w.folder} {
			if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeDir|0o700 {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
	select {
	case <-w.Closed():
		t.Error("it is closed before anybody closed it")
	default:
	}
	ends(t, w, dir)
}

func TestTwoWindows(t *testing.T) {
	t.Setenv(behaviour, "good")
	t.Setenv("DISPLAY", ":99")
	dir := t.TempDir()
	var all []*Window
	for range 2 {
		w, err := Open(t.Context(), program(), dir, address)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	if err := all[0].Close(); err != nil {
		t.Error(err)
	}
	if _, err := all[1].Cookies(t.Context()); err != nil {
		t.Errorf("the second one's cookies: %v", err)
	}
	ends(t, all[1], dir)
}

// TestNeverOpen is the browsers that don't get as far as a window.
func TestNeverOpen(t *testing.T) {
	short := patience{answer: 300 * time.Millisecond, end: 100 * time.Millisecond, delete: 5 * time.Second}
	for name, c := range map[string]struct {
		patience
		want error
	}{
		"hangs at once":       {short, ErrSilent},
		"hears, says nothing": {short, ErrSilent},
		"garbage":             {usual, ErrSilent},
		"another JSON":        {usual, ErrSilent},
		"no end":              {usual, ErrSilent},
		"ends at once":        {usual, ErrFailed},
		"no sandbox":          {usual, ErrFailed},
		"forbidden":           {usual, ErrForbidden},
		"no display":          {usual, ErrNoDisplay},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.patience
			p.end = short.end
			w, dir, err := opens(t, name, p)
			if !errors.Is(err, c.want) || w != nil {
				t.Errorf("it says %v, want %v", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), hidden) {
				t.Errorf("the error %v has what the browser sent", err)
			}
			isGone(t, dir)
		})
	}
}

// TestEndsByItself is the browsers whose windows somebody or something else closes.
func TestEndsByItself(t *testing.T) {
	for _, name := range []string{"crashes later", "closes its pipe", "leaves a child", "closes its window"} {
		t.Run(name, func(t *testing.T) {
			w, dir, err := opens(t, name, patience{answer: usual.answer, end: 200 * time.Millisecond, delete: usual.delete})
			if err != nil {
				t.Fatal(err)
			}
			// The answer, if there is one, is not the point.
			_, _ = w.Cookies(t.Context())
			within(t, w.Closed(), "the window's end")
			within(t, w.gone, "the folder's deletion")
			isGone(t, dir)
			ends(t, w, dir)
		})
	}
}

func TestKilled(t *testing.T) {
	w, dir := opened(t, "good")
	w.tree.kill()
	within(t, w.Closed(), "the window's end")
	within(t, w.gone, "the folder's deletion")
	isGone(t, dir)
}

func TestContextEnds(t *testing.T) {
	for _, name := range []string{"good", "hangs later"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(behaviour, name)
			t.Setenv("DISPLAY", ":99")
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			w, err := open(ctx, patience{usual.answer, 100 * time.Millisecond, usual.delete}, program(), dir, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			within(t, w.Closed(), "the window's end")
			ends(t, w, dir)
		})
	}
}

func TestContextEndsWhileOpening(t *testing.T) {
	t.Setenv(behaviour, "hangs at once")
	t.Setenv("DISPLAY", ":99")
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for { // until its browser is there
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := open(ctx, patience{time.Hour, 100 * time.Millisecond, usual.delete}, program(), dir, address, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it says %v", err)
	}
	isGone(t, dir)
}

func TestCookiesOfABrowserThatHangs(t *testing.T) {
	w, dir, err := opens(t, "hangs later", patience{usual.answer, 100 * time.Millisecond, usual.delete})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Many more than a pipe takes: none may wait longer than its context.
	for range 5000 {
		if _, err := w.Cookies(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("it says %v", err)
		}
	}
	if n := len(w.pipe.waiting); n != 0 {
		t.Errorf("%d answers are waited for", n)
	}
	ends(t, w, dir)
}

func TestAnswersOutOfOrder(t *testing.T) {
	w, dir := opened(t, "out of order")
	var got sync.Map
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			cookies, err := w.Cookies(t.Context())
			if err != nil || len(cookies) != 1 {
				t.Errorf("%v, %v", cookies, err)
				return
			}
			got.Store(cookies[0].Value.Reveal(), true)
		})
	}
	all.Wait()
	for _, id := range []string{"3", "4"} {
		if _, ok := got.Load(id); !ok {
			t.Errorf("nobody got the answer to %s", id)
		}
	}
	if _, err := w.Cookies(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	ends(t, w, dir)
}

func TestManyCookies(t *testing.T) {
	w, dir := opened(t, "many cookies")
	cookies, err := w.Cookies(t.Context())
	if err != nil || len(cookies) != 3300 || len(cookies[3299].Value.Reveal()) != 4096 {
		t.Errorf("%d cookies, %v", len(cookies), err)
	}
	ends(t, w, dir)
}

func TestStrangeAnswers(t *testing.T) {
	for name, want := range map[string]string{
		"refuses":                 "the browser refuses Storage.getCookies",
		"cookies in another form": "unknown form",
	} {
		t.Run(name, func(t *testing.T) {
			w, _, err := opens(t, name, patience{usual.answer, 100 * time.Millisecond, usual.delete})
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Cookies(t.Context())
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), hidden) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// A browser that writes more to stderr than a pipe takes goes on.
func TestStderr(t *testing.T) {
	w, dir := opened(t, "loud")
	if _, err := w.Cookies(t.Context()); err != nil {
		t.Error(err)
	}
	ends(t, w, dir)
}

func TestOpenRefuses(t *testing.T) {
	t.Setenv(behaviour, "good")
	t.Setenv("DISPLAY", ":99")
	dir := t.TempDir()
	for _, bad := range []string{"", "langflow.example", "file:///etc/passwd", "javascript:alert(1)", "--no-sandbox", "https://", "http://user:" + hidden + "@langflow.example/", "http://\x00" + hidden} {
		if w, err := Open(t.Context(), program(), dir, bad); err == nil {
			t.Errorf("%q is opened", bad)
			w.Close()
		} else if strings.Contains(err.Error(), hidden) {
			t.Errorf("%v has the password", err)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "missing"), dir, address); !errors.Is(err, ErrFailed) {
		t.Errorf("a missing program: %v", err)
	}
	isGone(t, dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), program(), file, address); err == nil {
		t.Error("a file is taken for the folder")
	}
	if runtime.GOOS == "linux" {
		t.Setenv("DISPLAY", "")
		t.Setenv("WAYLAND_DISPLAY", "")
		if _, err := Open(t.Context(), program(), dir, address); !errors.Is(err, ErrNoDisplay) {
			t.Errorf("without a desktop: %v", err)
		}
	}
}

// TestSweep kills a process that has opened a window.
func TestSweep(t *testing.T) {
	t.Setenv("DISPLAY", ":99")
	for _, name := range []string{"good", "hangs later"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "browser")
			if err := Sweep(dir); err != nil {
				t.Errorf("where nothing is: %v", err)
			}
			opener := exec.Command(program(), dir, name)
			opener.Env = append(os.Environ(), behaviour+"=opener")
			out, err := opener.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := opener.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if strings.TrimSpace(line) != "open" {
				t.Errorf("it says %q, %v", line, err)
			}
			_ = opener.Process.Kill()
			_ = opener.Wait() // an error: it was killed
			found, err := filepath.Glob(filepath.Join(dir, "*", "profile", "Cookies"))
			if err != nil || len(found) != 1 {
				t.Errorf("the folder has %v, %v", found, err)
			}
			// Files of others in that folder stay.
			for _, other := range []string{"other", folderPrefix} {
				if err := os.WriteFile(filepath.Join(dir, other), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := sweep(dir, patience{end: 300 * time.Millisecond, delete: usual.delete}); err != nil {
				t.Error(err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 2 {
				t.Errorf("it has %v, %v", left, err)
			}
		})
	}
}
