package keychaintest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Screen is an X server that shows nothing to anybody, with a person's keyboard.
type Screen struct {
	tb       testing.TB
	display  string
	pictured bool

	keyboard sync.Mutex // for one person at a time
}

// StartScreen starts an X server, and ends it with the test. It skips the test where Xvfb
// or xdotool is not installed.
func StartScreen(tb testing.TB) *Screen {
	tb.Helper()
	for _, program := range []string{"Xvfb", "xdotool"} {
		if _, err := exec.LookPath(program); err != nil {
			tb.Skipf("%s is not installed", program)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1000x700x24", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { end(x) })
	w.Close()
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		tb.Fatalf("Xvfb did not start: %v", err)
	}
	return &Screen{tb: tb, display: ":" + strings.TrimSpace(number)}
}

// picture leaves a picture of the screen where the logs of .ci/test are, once, if the test
// has failed and ImageMagick is installed.
func (x *Screen) picture() {
	if x.pictured || !x.tb.Failed() {
		return
	}
	x.pictured = true
	root, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return
	}
	file := filepath.Join(filepath.Dir(string(root)), ".cache", "test", strings.ReplaceAll(x.tb.Name(), "/", "-")+".png")
	cmd := exec.Command("import", "-window", "root", file)
	cmd.Env = append(os.Environ(), "DISPLAY="+x.display)
	if err := cmd.Run(); err == nil {
		x.tb.Logf("the screen at the end: %s", file)
	}
}

// Display is the server's, for DISPLAY.
func (x *Screen) Display() string { return x.display }

// xdotool runs one command of it; it fails where there is no such window.
func (x *Screen) xdotool(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // it may wait for ever for a window that has gone
	defer cancel()
	cmd := exec.CommandContext(ctx, "xdotool", args...)
	cmd.Env = append(os.Environ(), "DISPLAY="+x.display)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// windows are the windows on the screen with that title, a regular expression. xdotool
// itself searches in WM_NAME, which KWallet's windows leave empty.
func (x *Screen) windows(title string) (found []string) {
	// It fails where a window goes while it looks; the root window is always there.
	ids, err := x.xdotool("search", "--onlyvisible", "--name", ".*")
	for try := 0; err != nil && try < 5; try++ {
		ids, err = x.xdotool("search", "--onlyvisible", "--name", ".*")
	}
	for id := range strings.FieldsSeq(ids) {
		if name, err := x.xdotool("getwindowname", id); err == nil && regexp.MustCompile(title).MatchString(name) {
			found = append(found, id)
		}
	}
	return found
}

// Shows tells whether a window with that title, a regular expression, is on the screen.
func (x *Screen) Shows(title string) bool { return len(x.windows(title)) > 0 }

// Answer waits for a window with that title, and does in it what makes it go away: clicks,
// as in "@109,167", text to type, as in "=secret", and keys by xdotool's names.
func (x *Screen) Answer(title string, acts ...string) {
	x.tb.Helper()
	until(x.tb, "a window "+title, func() bool { return x.Shows(title) })
	window := x.windows(title)[0]
	for range 5 {
		x.act(window, acts)
		for begin := time.Now(); time.Since(begin) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
			if !slices.Contains(x.windows(title), window) {
				return
			}
		}
	}
	x.tb.Fatalf("the window %s stays on the screen", title)
}

// act does something in a window.
func (x *Screen) act(window string, acts []string) {
	x.keyboard.Lock()
	defer x.keyboard.Unlock()
	// Not with --sync, which waits for the focus of a window that has gone meanwhile.
	_, _ = x.xdotool("windowfocus", window) // an error: it has gone
	for _, act := range acts {
		switch act[0] {
		case '@':
			at := strings.Split(act[1:], ",")
			_, _ = x.xdotool("mousemove", "--window", window, at[0], at[1], "click", "1")
		case '=':
			_, _ = x.xdotool("type", "--delay", "5", act[1:])
		default:
			_, _ = x.xdotool("key", act)
		}
	}
}

// AnswerAll has a person sit at the screen until the test ends, who answers each window
// with that title as Answer does. The function returned says how many there were.
func (x *Screen) AnswerAll(title string, acts ...string) (answered func() int) {
	leave, left := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	go func() {
		defer close(left)
		var before []string // a program that starts anew has the same numbers of windows again
		for {
			now := x.windows(title)
			for _, window := range now {
				if !slices.Contains(before, window) {
					n.Add(1)
				}
				x.act(window, acts)
			}
			before = now
			select {
			case <-leave:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	x.tb.Cleanup(func() { close(leave); <-left })
	return func() int { return int(n.Load()) }
}
