package guard

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestProcessIsFound(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell the process behind a TCP connection")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listeners := listenTCP(t)
	socket, err := ListenSocket(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	g := ownersGuard()
	found := make(chan Process, 1)
	server := NewServer(ServerConfig{Log: quiet(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, p := g.Check(r, WayIn(r)); p != nil {
			t.Error(p)
		}
		found <- FindProcess(r).Wait()
	})})
	for _, l := range append(listeners, socket) {
		go func() { _ = server.Serve(l) }()
		address := l.Addr()
		c := dial(t, address.Network(), address.String())
		host := address.String()
		if l == socket {
			host = "any"
		}
		send(t, c, "GET / HTTP/1.1\nHost: "+host+bearerLine+"\n\n")
		if p := <-found; p.PID != os.Getpid() || p.Exe != exe {
			t.Errorf("%s: found %+v, want %d %s", address, p, os.Getpid(), exe)
		}
	}
	_ = server.Close()
}
