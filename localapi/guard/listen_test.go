package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// crowd serves at most four connections; GET /wait goes on until its client
// leaves.
func crowd(t *testing.T) (addr string) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := ownersGuard()
	g.authority = callers
	s := NewServer(ServerConfig{Log: quiet(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p := g.Check(r, TCP); p != nil {
			WriteProblem(w, p)
			return
		}
		if r.URL.Path == "/wait" {
			_, _ = io.WriteString(w, "waiting")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	})})
	serve(t, s, guarded(raw, 4))
	return raw.Addr().String()
}

// ended waits until the server has closed the connection.
func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// kept tells that the server has not closed the connection so far.
func kept(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	defer func() { _ = c.SetReadDeadline(time.Now().Add(20 * time.Second)) }()
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestOldestWaitingConnectionIsClosedFirst(t *testing.T) {
	addr := crowd(t)
	ask := func(c net.Conn, path string) {
		t.Helper()
		if _, err := io.WriteString(c, crlf("GET "+path+" HTTP/1.1\nHost: "+addr+bearerLine+"\n\n")); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
	}
	streaming := dial(t, "tcp", addr)
	ask(streaming, "/wait")
	rested := dial(t, "tcp", addr)
	ask(rested, "/")
	silent := dial(t, "tcp", addr)
	half := dial(t, "tcp", addr)
	if _, err := io.WriteString(half, "GET / HTTP/1.1\r\nHost: "); err != nil {
		t.Fatal(err)
	}

	// Each newcomer proves by its answer that it was accepted, and then waits.
	first := dial(t, "tcp", addr)
	ask(first, "/wait")
	if !ended(silent) || !kept(half) || !kept(rested) {
		t.Fatal("the oldest connection without a request was not the one to go")
	}
	second := dial(t, "tcp", addr)
	ask(second, "/wait")
	if !ended(half) || !kept(rested) {
		t.Fatal("half a request is not a request")
	}
	third := dial(t, "tcp", addr)
	ask(third, "/wait")
	if !ended(rested) {
		t.Fatal("a connection between two requests was kept for one with none")
	}
	// All four are busy now, so a newcomer goes.
	if !ended(dial(t, "tcp", addr)) {
		t.Error("a fifth connection is kept")
	}
	for _, c := range []net.Conn{streaming, first, second, third} {
		if !kept(c) {
			t.Error("a connection was closed in the middle of its request")
		}
	}
	// And where one leaves there is room again.
	_ = first.Close()
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, crlf("GET / HTTP/1.1\nHost: "+addr+bearerLine+"\n\n"))
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		_ = c.Close()
		if err == nil && answer.StatusCode == 200 {
			break
		}
	}
}

// Strangers who fill a listener, with requests that are refused too, keep
// nobody out.
func TestRefusedConnectionsMakeRoom(t *testing.T) {
	addr := crowd(t)
	for i := range 100 {
		c := dial(t, "tcp", addr)
		text := "POST / HTTP/1.1\nHost: " + addr + "\nContent-Length: 100\n\n{" // refused, then lingers
		if i%2 == 0 {
			text = "GET / HTTP/1.1\nX: " + strings.Repeat("a", 40<<10)
		}
		_, _ = io.WriteString(c, crlf(text))
	}
	c := dial(t, "tcp", addr)
	if answer, body := send(t, c, "GET / HTTP/1.1\nHost: "+addr+bearerLine+"\n\n"); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// Strangers who announce bodies to a proxy and never send them keep nobody out.
func TestRefusedBodiesMakeRoom(t *testing.T) {
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := raw.Addr().String()
	g := ownersGuard()
	g.authority = callers
	s := NewServer(ServerConfig{Log: quiet(), Streams: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := g.CheckProxy(r, Allowed{})
		if p == nil {
			token, _ := bearer(r.Header.Get("Authorization"))
			_, p = g.Client(r, token)
		}
		if p != nil {
			WriteProblem(w, p)
		}
	})})
	serve(t, s, guarded(raw, 4))
	for range 20 {
		c := dial(t, "tcp", addr)
		if answer, _ := send(t, c, "POST / HTTP/1.1\nHost: "+addr+"\nContent-Length: 100\n\n"); answer.StatusCode != 401 {
			t.Fatal(answer.Status)
		}
	}
	c := dial(t, "tcp", addr)
	if answer, body := send(t, c, "GET / HTTP/1.1\nHost: "+addr+"\nAuthorization: Bearer lk_client\n\n"); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

// One client can't hold all connections: those beyond its share are served, and go
// first when somebody else comes.
func TestOneClientLeavesRoom(t *testing.T) {
	addr := crowd(t)
	try := func(token string) (net.Conn, error) {
		c := dial(t, "tcp", addr)
		_, _ = io.WriteString(c, crlf("GET /wait HTTP/1.1\nHost: "+addr+"\nAuthorization: Bearer "+token+"\n\n"))
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && answer.StatusCode != 200 {
			err = errors.New(answer.Status)
		}
		return c, err
	}
	wait := func(token string) net.Conn {
		t.Helper()
		c, err := try(token)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := wait("lk_client"), wait("lk_lease")
	third, fourth := wait("lk_client"), wait("lk_lease")
	wait(ownerToken1)
	if !ended(third) || !kept(fourth) {
		t.Fatal("the oldest connection beyond the client's share was not the one to go")
	}
	wait(ownerToken1)
	if !ended(fourth) || !kept(first) || !kept(second) {
		t.Fatal("the client lost what is its share, or kept more")
	}
	// Its share is free again with one that ends.
	_ = first.Close()
	for {
		if _, err := try("lk_client"); err == nil {
			break
		}
	}
	if !ended(dial(t, "tcp", addr)) {
		t.Error("a connection within the client's share made room for a stranger")
	}
}

// All clients together leave room to the owner.
func TestClientsLeaveRoomToTheOwner(t *testing.T) {
	addr := crowd(t)
	ask := func(token string) (net.Conn, error) {
		c := dial(t, "tcp", addr)
		_, _ = io.WriteString(c, crlf("GET /wait HTTP/1.1\nHost: "+addr+"\nAuthorization: Bearer "+token+"\n\n"))
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return c, err
	}
	var held []net.Conn
	for _, token := range []string{"lk_client", "lk_lease", "lk_other", "lk_other"} {
		c, err := ask(token)
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		held = append(held, c)
	}
	if _, err := ask(ownerToken1); err != nil {
		t.Errorf("the owner: %v", err)
	}
	if !ended(held[3]) || !kept(held[0]) || !kept(held[1]) || !kept(held[2]) {
		t.Error("the connection beyond what clients may hold was not the one to go")
	}
}

func TestListenTCP(t *testing.T) {
	t.Run("both families, one port", func(t *testing.T) {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0"} {
			listeners, err := ListenTCP(addr)
			if err != nil {
				t.Fatal(err)
			}
			var hosts []string
			for _, l := range listeners {
				a := l.Addr().(*net.TCPAddr)
				hosts = append(hosts, a.IP.String())
				if a.Port != listeners[0].Addr().(*net.TCPAddr).Port || a.Port == 0 {
					t.Errorf("%s: %s", addr, a)
				}
				_ = l.Close()
			}
			if first := hosts[0]; first != "127.0.0.1" && !strings.HasPrefix(addr, "[") || first != "::1" && strings.HasPrefix(addr, "[") {
				t.Errorf("%s: %v", addr, hosts)
			}
			if slices.Sort(hosts); len(hosts) == 2 && !slices.Equal(hosts, []string{"127.0.0.1", "::1"}) {
				t.Errorf("%s: %v", addr, hosts)
			}
		}
	})
	t.Run("not loopback", func(t *testing.T) {
		for _, addr := range []string{
			"", "17860", ":17860", "0.0.0.0:17860", "[::]:17860", "192.168.1.2:17860", "127.0.0.2:17860", "evil.example:17860",
			"[::1%lo]:17860", "127.0.0.1", "[::ffff:127.0.0.1]:17860", "127.0.0.1:99999", "127.0.0.1:http-nonsense",
		} {
			if l, err := ListenTCP(addr); err == nil {
				t.Errorf("%q gives %v", addr, l[0].Addr())
			}
		}
	})
	t.Run("taken", func(t *testing.T) {
		for _, holder := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
			l, err := net.Listen("tcp", holder)
			if err != nil {
				t.Logf("%s: %v", holder, err)
				continue
			}
			port := l.Addr().(*net.TCPAddr).Port
			for _, host := range []string{"127.0.0.1", "[::1]"} {
				got, err := ListenTCP(fmt.Sprintf("%s:%d", host, port))
				if err == nil {
					for _, l := range got {
						_ = l.Close()
					}
					if runtime.GOOS == "linux" {
						t.Errorf("%s is held, %s is given", l.Addr(), host)
					}
					continue
				}
				if !strings.Contains(err.Error(), fmt.Sprintf("1:%d", port)) && !strings.Contains(err.Error(), fmt.Sprintf("1]:%d", port)) || !strings.Contains(err.Error(), "langkeep start --listen") ||
					runtime.GOOS == "linux" && !strings.HasPrefix(err.Error(), "another program listens at ") {
					t.Errorf("%s is held: %v", l.Addr(), err)
				}
			}
			_ = l.Close()
			// After the failure ListenTCP has given back the address that was free.
			again, err := ListenTCP(fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Errorf("after %s was given back: %v", holder, err)
			}
			for _, l := range again {
				_ = l.Close()
			}
		}
	})
}
