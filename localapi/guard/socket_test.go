package guard

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestListenSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		if _, err := ListenSocket(`C:\agent.sock`); !errors.Is(err, ErrNoSocket) {
			t.Error(err)
		}
		t.Skip("no Unix socket here")
	}
	folder, err := os.MkdirTemp("", "lk") // t.TempDir makes long names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "s")

	t.Run("whose it is", func(t *testing.T) {
		l, err := ListenSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		testServer(t, ownersGuard(), l)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		for text, want := range map[string]string{
			"GET / HTTP/1.1\nHost: anything\n\n":                             "200 hello owner",
			"GET / HTTP/1.1\nHost: anything" + bearerLine + "\n\n":           "200 hello owner",
			"GET / HTTP/1.1\nHost: anything\nAuthorization: Bearer x\n\n":    "401 unauthorized",
			"GET / HTTP/1.1\nHost: anything\nOrigin: http://anything\n\n":    "403 forbidden-origin",
			"GET / HTTP/1.1\nHost: anything\nX-Forwarded-For: 127.0.0.1\n\n": "403 forbidden-origin",
			"GET / HTTP/1.1\nHost: anything\nSec-Fetch-Site: cross-site\n\n": "403 forbidden-origin",
			"GET http://anything/ HTTP/1.1\nHost: anything\n\n":              "400 bad-request",
			"POST / HTTP/1.1\nHost: anything\nContent-Length: 1048577\n\n":   "413 too-large",
		} {
			c := dial(t, "unix", path)
			if strings.Contains(text, "1048577") {
				text += strings.Repeat("a", 1048577)
			}
			answer, body := send(t, c, text)
			if got := fmt.Sprint(answer.StatusCode, " ", problemOf(body)); got != want {
				t.Errorf("%.60q: %s, want %s", text, got, want)
			}
		}
		if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "answers") {
			t.Errorf("a living socket: %v", err)
		}
	})
	t.Run("left behind", func(t *testing.T) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		_ = l.Close()
		again, err := ListenSocket(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = again.Close()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	t.Run("something else", func(t *testing.T) {
		precious := filepath.Join(folder, "precious")
		if err := os.WriteFile(precious, []byte("a"), 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(folder, "link")
		if err := os.Symlink(precious, link); err != nil {
			t.Fatal(err)
		}
		dangling := filepath.Join(folder, "dangling")
		if err := os.Symlink(filepath.Join(folder, "nothing"), dangling); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{precious, link, dangling, folder} {
			if _, err := ListenSocket(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
				t.Errorf("%s: %v", path, err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("%s is gone: %v", path, err)
			}
		}
	})
	t.Run("length", func(t *testing.T) {
		longest := min(104, len(folder)+1+200)
		if runtime.GOOS == "darwin" {
			longest = 103
		}
		path := filepath.Join(folder, strings.Repeat("a", longest-len(folder)-1))
		l, err := ListenSocket(path)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(path), err)
		}
		_ = l.Close()
		if _, err := ListenSocket(path + "a"); !errors.Is(err, ErrNoSocket) {
			t.Errorf("%d bytes: %v", len(path)+1, err)
		}
	})
}
