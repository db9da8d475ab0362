//go:build !windows && !darwin

package clipboard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/secret"
)

// compositor is a stand-in for a Wayland compositor, with the part of the protocol that a
// clipboard needs.
type compositor struct {
	t       *testing.T
	globals []string

	mu    sync.Mutex // protects the following
	kinds []string   // of the selection
	owner *wayland   // nil: nobody, or the compositor itself
	from  uint32     // the owner's source
	kept  string     // the selection without an owner
}

// start listens until the test ends, and returns the environment of its clients.
func (c *compositor) start(t *testing.T) func(string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lk") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "wayland-7"))
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		clients.Wait()
		_ = os.RemoveAll(dir)
	})
	c.t = t
	clients.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { c.serve(&wayland{conn: conn.(*net.UnixConn)}) })
		}
	})
	env := map[string]string{"XDG_RUNTIME_DIR": dir, "WAYLAND_DISPLAY": "wayland-7"}
	return func(name string) string { return env[name] }
}

// serve answers one client. It reads and writes as a client does: the messages are alike.
func (c *compositor) serve(w *wayland) {
	defer w.close()
	kinds := map[uint32][]string{}
	for {
		m, err := w.event()
		if err != nil {
			c.mu.Lock()
			if c.owner == w {
				c.owner, c.kinds = nil, nil
			}
			c.mu.Unlock()
			return
		}
		word := func(at int) uint32 { return binary.NativeEndian.Uint32(m.body[at:]) }
		c.mu.Lock()
		switch {
		case m.object == displayObject && m.code == 1:
			w.registry = word(0)
			for i, name := range c.globals {
				_ = w.send(w.registry, 0, nil, uint32(i+1), name, uint32(1))
			}
		case m.object == displayObject:
			_ = w.send(word(0), 0, nil, uint32(0))
		case m.object == w.registry && text(m.body[4:]) != "wl_seat":
			w.manager = word(len(m.body) - 4)
		case m.object == w.manager && m.code == 1:
			w.device = word(0)
			if len(c.kinds) > 0 {
				const offer = uint32(0xff000000)
				_ = w.send(w.device, 0, nil, offer)
				for _, kind := range c.kinds {
					_ = w.send(offer, 0, nil, kind)
				}
				_ = w.send(w.device, 1, nil, offer)
			}
		case m.object == w.manager:
			w.source = word(0)
		case m.object == w.source && m.code == 0:
			kinds[w.source] = append(kinds[w.source], text(m.body))
		case m.object == w.device && word(0) == 0:
			c.owner, c.kinds, c.kept = nil, nil, ""
		case m.object == w.device:
			c.owner, c.from, c.kinds = w, word(0), kinds[word(0)]
		case m.object == 0xff000000: // receive
			if fd, ok := w.file(); ok {
				c.hand(os.NewFile(uintptr(fd), "pipe"), text(m.body))
			}
		}
		c.mu.Unlock()
	}
}

// hand has the owner write into a pipe. It is called with mu held.
func (c *compositor) hand(into *os.File, kind string) {
	defer into.Close()
	if c.owner == nil {
		_, _ = io.WriteString(into, c.kept)
		return
	}
	_ = c.owner.send(c.from, 0, into, kind)
}

// paste is what another client gets; "" for nothing.
func (c *compositor) paste(kind string) string {
	r, into, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	c.mu.Lock()
	if slices.Contains(c.kinds, kind) {
		c.hand(into, kind)
	} else {
		into.Close()
	}
	c.mu.Unlock()
	content, err := io.ReadAll(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(content)
}

// become is another program's copy, or a manager's that takes over.
func (c *compositor) become(content string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner, c.kinds, c.kept = nil, []string{"UTF8_STRING"}, content
}

func TestWayland(t *testing.T) {
	for _, manager := range dataControl {
		c := &compositor{globals: []string{"wl_compositor", "wl_seat", manager}}
		board, err := New(c.start(t))
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("0123456789", 20000) // more than a pipe holds
		for _, s := range []string{"lk_secret", long} {
			if err := board.Copy(secret.New(s)); err != nil {
				t.Fatal(err)
			}
			for kind, want := range map[string]string{"UTF8_STRING": s, "text/plain;charset=utf-8": s, hintName: hintSecret, "image/png": ""} {
				if got := c.paste(kind); got != want {
					t.Errorf("%s: %s gives %d bytes, %.20q, want %.20q", manager, kind, len(got), got, want)
				}
			}
		}
		board.Close()
		if got := c.paste("UTF8_STRING"); got != "" {
			t.Errorf("%s: %.20q is left", manager, got)
		}

		for _, then := range []struct{ copied, want string }{{"theirs", "theirs"}, {"lk_secret", ""}} {
			if err := board.Copy(secret.New("lk_secret")); err != nil {
				t.Fatal(err)
			}
			c.become(then.copied)
			board.Close()
			if got := c.paste("UTF8_STRING"); got != then.want {
				t.Errorf("%s: after another program has copied %q, %q is left", manager, then.copied, got)
			}
		}
	}
}

// A compositor that hangs must not hang the menu.
func TestAHangingCompositor(t *testing.T) {
	dir, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "wayland-7")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	begin := time.Now()
	_, err = New(func(name string) string { return map[string]string{"WAYLAND_DISPLAY": path}[name] })
	if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > 10*waylandLimit {
		t.Errorf("%v after %v", err, took)
	}
}

func TestWhichClipboard(t *testing.T) {
	plain := (&compositor{globals: []string{"wl_compositor", "wl_seat"}}).start(t)
	for name, test := range map[string]struct {
		env  func(string) string
		want string // of the error
	}{
		"no display":                   {func(string) string { return "" }, "there is no display"},
		"Wayland without data control": {plain, "install Xwayland"},
		"a compositor that has gone":   {func(name string) string { return map[string]string{"WAYLAND_DISPLAY": "/nowhere"}[name] }, "reach the compositor"},
		"the same with an X server": {func(name string) string {
			if name == "DISPLAY" {
				return ":0"
			}
			return plain(name)
		}, ""},
	} {
		_, err := New(test.env)
		if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, ErrUnavailable) || !strings.Contains(fmt.Sprint(err), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
