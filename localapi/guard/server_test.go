package guard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/secret"
	"langkeep/localapi/client"
)

// answering answers whom it lets in, and where asked to reads the body first.
func answering(g *Guard) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, p := g.Check(r, WayIn(r))
		if p != nil {
			WriteProblem(w, p)
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			kind := client.TypeBadRequest
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				kind = client.TypeTooLarge
			}
			WriteProblem(w, client.NewProblem(kind, err.Error()))
			return
		}
		_, _ = io.WriteString(w, "hello "+caller.Name)
	})
}

// serve runs a server until the test ends.
func serve(t *testing.T, s *http.Server, listeners ...net.Listener) {
	t.Helper()
	var running sync.WaitGroup
	for _, l := range listeners {
		running.Go(func() {
			if err := s.Serve(l); err != http.ErrServerClosed {
				t.Errorf("serving %s: %v", l.Addr(), err)
			}
		})
	}
	t.Cleanup(func() {
		_ = s.Close()
		running.Wait()
	})
}

func listenTCP(t *testing.T) []net.Listener {
	t.Helper()
	l, err := ListenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// testServer serves the owner of ownerToken1 on loopback.
func testServer(t *testing.T, g *Guard, listeners ...net.Listener) *http.Server {
	s := NewServer(ServerConfig{Handler: answering(g), Log: quiet()})
	serve(t, s, listeners...)
	return s
}

func ownersGuard() *Guard {
	return New(Config{Authority: OwnerToken(secret.New(ownerToken1)), Log: quiet()})
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// send writes a raw request and reads the answer.
func send(t *testing.T, c net.Conn, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, crlf(text)); err != nil {
		t.Fatal(err)
	}
	return receive(t, c)
}

func receive(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func problemOf(body string) string {
	var p client.Problem
	if json.Unmarshal([]byte(body), &p) != nil {
		return body
	}
	return p.Kind()
}

func TestRawRequests(t *testing.T) {
	listeners := listenTCP(t)
	testServer(t, ownersGuard(), listeners...)
	if len(listeners) < 2 {
		t.Log("this computer has no ::1")
	}
	const auth = "\nAuthorization: Bearer " + ownerToken1
	for _, l := range listeners {
		addr := l.Addr().String()
		_, port, _ := net.SplitHostPort(addr)
		authed := "\nHost: " + addr + auth
		tests := []struct {
			name    string
			request string
			status  int
			body    string // the whole body, or the problem
		}{
			{"owner", "GET / HTTP/1.1" + authed + "\n\n", 200, "hello owner"},
			{"owner at localhost", "GET / HTTP/1.1\nHost: localhost:" + port + auth + "\n\n", 200, "hello owner"},
			{"owner by the other family's name", "GET / HTTP/1.1\nHost: [::1]:" + port + auth + "\n\n", 200, "hello owner"},
			{"owner with HTTP/1.0", "GET / HTTP/1.0" + authed + "\n\n", 200, "hello owner"},
			{"upgrade to h2c is ignored", "GET / HTTP/1.1" + authed + "\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\n\n", 200, "hello owner"},
			{"body", "POST / HTTP/1.1" + authed + "\nContent-Length: 2\n\n{}", 200, "hello owner"},

			{"no bearer", "GET / HTTP/1.1\nHost: " + addr + "\n\n", 401, client.TypeUnauthorized},
			{"wrong bearer", "GET / HTTP/1.1" + authed + "x\n\n", 401, client.TypeUnauthorized},
			{"two bearers", "GET / HTTP/1.1" + authed + auth + "\n\n", 401, client.TypeUnauthorized},
			{"folded bearer", "GET / HTTP/1.1\nHost: " + addr + "\nAuthorization: Bearer\n " + ownerToken1 + "\n\n", 200, "hello owner"},
			{"rebound name", "GET / HTTP/1.1\nHost: evil.example:" + port + auth + "\n\n", 421, client.TypeForbiddenHost},
			{"two Hosts", "GET / HTTP/1.1" + authed + "\nHost: " + addr + "\n\n", 400, "400 Bad Request"},
			{"no Host", "GET / HTTP/1.1" + auth + "\n\n", 400, "400 Bad Request: missing required Host header"},
			{"no Host with HTTP/1.0", "GET / HTTP/1.0" + auth + "\n\n", 421, client.TypeForbiddenHost},
			{"absolute target", "GET http://" + addr + "/ HTTP/1.1" + authed + "\n\n", 400, client.TypeBadRequest},
			{"absolute target with another Host", "GET http://" + addr + "/ HTTP/1.1\nHost: evil.example" + auth + "\n\n", 400, client.TypeBadRequest},
			{"OPTIONS of everything", "OPTIONS * HTTP/1.1" + authed + "\n\n", 400, client.TypeBadRequest},
			{"CONNECT", "CONNECT " + addr + " HTTP/1.1" + authed + "\n\n", 400, client.TypeBadRequest},
			{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\n\nSM\n\n", 400, client.TypeBadRequest},
			{"preflight of a page", "OPTIONS / HTTP/1.1\nHost: " + addr + "\nOrigin: http://evil.example\nAccess-Control-Request-Method: GET\nAccess-Control-Request-Headers: authorization\n\n", 403, client.TypeForbiddenOrigin},
			{"two Origins", "GET / HTTP/1.1" + authed + "\nOrigin: http://" + addr + "\nOrigin: http://" + addr + "\n\n", 403, client.TypeForbiddenOrigin},
			{"space before a colon", "GET / HTTP/1.1" + authed + "\nX-Forwarded-For : a\n\n", 400, "400 Bad Request: invalid header name"},
			{"header with a line break", "GET / HTTP/1.1" + authed + "\nOrigin\n\n", 400, "400 Bad Request"},
			{"transfer coding unknown", "POST / HTTP/1.1" + authed + "\nTransfer-Encoding: gzip\n\n", 501, "Unsupported transfer encoding"},
			{"two lengths", "POST / HTTP/1.1" + authed + "\nContent-Length: 1\nContent-Length: 2\n\n{}", 400, "400 Bad Request"},
			{"headers too long", "GET / HTTP/1.1" + authed + "\nX: " + strings.Repeat("a", 64<<10) + "\n\n", 431, "431 Request Header Fields Too Large"},
			{"body too long", "POST / HTTP/1.1" + authed + "\nContent-Length: 1048577\n\n" + strings.Repeat("a", 1048577), 413, client.TypeTooLarge},
			{"chunks too long", "POST / HTTP/1.1" + authed + "\nTransfer-Encoding: chunked\n\n100001\n" + strings.Repeat("a", 1048577) + "\n0\n\n", 413, client.TypeTooLarge},
		}
		for _, test := range tests {
			t.Run(addr[:4]+" "+test.name, func(t *testing.T) {
				answer, body := send(t, dial(t, "tcp", addr), test.request)
				if answer.StatusCode != test.status || body != test.body && problemOf(body) != test.body {
					t.Errorf("%d %q, want %d %q", answer.StatusCode, body, test.status, test.body)
				}
				for name := range answer.Header {
					if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
						t.Errorf("the answer has %s", name)
					}
				}
				// net/http itself answers what it cannot read, with nothing of ours in it.
				if answer.Header.Get("Content-Type") == "application/problem+json" || answer.StatusCode == 200 {
					if answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
						t.Errorf("the answer lacks a header: %v", answer.Header)
					}
				}
				if answer.StatusCode != 200 && !answer.Close {
					t.Error("a refused connection is kept")
				}
				if (answer.StatusCode == 401) != (answer.Header.Get("WWW-Authenticate") == "Bearer") {
					t.Errorf("WWW-Authenticate: %q", answer.Header.Get("WWW-Authenticate"))
				}
			})
		}
	}
}

func TestHalfClosedClientIsHeard(t *testing.T) {
	listeners := listenTCP(t)
	testServer(t, ownersGuard(), listeners...)
	addr := listeners[0].Addr().String()
	c := dial(t, "tcp", addr)
	if _, err := io.WriteString(c, crlf("GET / HTTP/1.1\nHost: "+addr+bearerLine+"\n\n")); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if answer, body := receive(t, c); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestConnectionIsKept(t *testing.T) {
	listeners := listenTCP(t)
	g := ownersGuard()
	if runtime.GOOS == "linux" {
		real, n := g.lookUp, 0
		g.lookUp = func(remote, local netip.AddrPort) (peer, error) {
			if n++; n > 1 {
				t.Error("looked up again")
			}
			return real(remote, local)
		}
	}
	testServer(t, g, listeners...)
	addr := listeners[0].Addr().String()
	c := dial(t, "tcp", addr)
	for range 3 {
		if answer, body := send(t, c, "GET / HTTP/1.1\nHost: "+addr+bearerLine+"\n\n"); answer.StatusCode != 200 || answer.Close {
			t.Errorf("%d %s", answer.StatusCode, body)
		}
	}
}

func TestSlowClients(t *testing.T) {
	const limit = 400 * time.Millisecond
	listeners := listenTCP(t)
	s := NewServer(ServerConfig{Handler: answering(ownersGuard()), Log: quiet()})
	if s.ReadHeaderTimeout != 5*time.Second || bodyTimeout != 10*time.Second || bodyBytes != 1<<20 || s.ReadTimeout != headerTimeout+bodyTimeout {
		t.Error("not the contract's limits")
	}
	s.ReadHeaderTimeout = limit
	s.Handler = limited(answering(ownersGuard()), limit)
	serve(t, s, listeners...)
	addr := listeners[0].Addr().String()
	authed := "\nHost: " + addr + bearerLine

	var slow []net.Conn
	for i := range 200 {
		c := dial(t, "tcp", addr)
		slow = append(slow, c)
		text := "GET / HTTP/1.1" + authed // no end of the headers
		switch i % 4 {
		case 1:
			text = "POST / HTTP/1.1" + authed + "\nContent-Length: 100\n\n{"
		case 2:
			text = "POST / HTTP/1.1" + authed + "\nTransfer-Encoding: chunked\n\n1\n{\n"
		case 3:
			text = "" // not a byte
		}
		if _, err := io.WriteString(c, crlf(text)); err != nil {
			t.Fatal(err)
		}
	}
	// Each slow client sends a byte now and then, which wins it no time.
	stop := make(chan struct{})
	var trickle sync.WaitGroup
	trickle.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(limit / 4):
				for i, c := range slow {
					if i%4 == 0 {
						_, _ = io.WriteString(c, "x")
					}
				}
			}
		}
	})
	honest := dial(t, "tcp", addr)
	for range 50 {
		if answer, body := send(t, honest, "GET / HTTP/1.1"+authed+"\n\n"); answer.StatusCode != 200 {
			t.Fatalf("an honest request gets %d %s", answer.StatusCode, body)
		}
	}
	for i, c := range slow {
		got, _ := io.ReadAll(c) // ends, as the deadline of dial is far
		switch {
		case i%4 == 1 || i%4 == 2:
			if !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "timeout") {
				t.Errorf("a slow body gets %q", got)
			}
		case len(got) != 0:
			t.Errorf("slow headers get %q", got)
		}
	}
	close(stop)
	trickle.Wait()
}

// What net/http refuses before any handler has a body too, which may never come.
func TestSlowBodyThatNoHandlerSees(t *testing.T) {
	listeners := listenTCP(t)
	s := NewServer(ServerConfig{Handler: http.NotFoundHandler(), Log: quiet()})
	s.ReadTimeout = 100 * time.Millisecond
	serve(t, s, listeners...)
	c := dial(t, "tcp", listeners[0].Addr().String())
	answer, _ := send(t, c, "POST / HTTP/1.1\nHost: a\nExpect: x\nContent-Length: 100\n\n{")
	if answer.StatusCode != http.StatusExpectationFailed || !ended(c) {
		t.Errorf("%d, and the connection is kept", answer.StatusCode)
	}
}

// A refused stranger is answered at once, however much body is still to come.
func TestRefusalWaitsForNoBody(t *testing.T) {
	listeners := listenTCP(t)
	testServer(t, ownersGuard(), listeners...)
	addr := listeners[0].Addr().String()
	started := time.Now()
	answer, _ := send(t, dial(t, "tcp", addr), "POST / HTTP/1.1\nHost: "+addr+"\nContent-Length: 100\n\n{")
	if answer.StatusCode != 401 || time.Since(started) > bodyTimeout/2 {
		t.Errorf("%d after %s", answer.StatusCode, time.Since(started))
	}
}

// The time for the body is not a time for the answer.
func TestAnswerMayTakeLongerThanTheBody(t *testing.T) {
	const limit = 50 * time.Millisecond
	listeners := listenTCP(t)
	s := NewServer(ServerConfig{Log: quiet()})
	s.Handler = limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			t.Error("the request ended with the time for its body")
		case <-time.After(4 * limit):
		}
	}), limit)
	serve(t, s, listeners...)
	addr := listeners[0].Addr().String()
	for _, text := range []string{
		"GET / HTTP/1.1\nHost: a\n\n",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n",
	} {
		if answer, _ := send(t, dial(t, "tcp", addr), text); answer.StatusCode != 200 {
			t.Errorf("%d", answer.StatusCode)
		}
	}
}

func TestStreamsHaveOnlyTheHeaderLimit(t *testing.T) {
	s := NewServer(ServerConfig{Handler: http.NotFoundHandler(), Log: quiet(), Streams: true})
	if s.ReadHeaderTimeout != headerTimeout || s.WriteTimeout != 0 || s.ReadTimeout != 0 {
		t.Errorf("%+v", s)
	}
	listeners := listenTCP(t)
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	serve(t, s, listeners...)
	_, body := send(t, dial(t, "tcp", listeners[0].Addr().String()),
		"POST / HTTP/1.1\nHost: a\nContent-Length: 2097152\n\n"+strings.Repeat("a", 2<<20))
	if body != "2097152 <nil>" {
		t.Error(body)
	}
}

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
		p := g.CheckProxy(r, nil)
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
				if !strings.Contains(err.Error(), fmt.Sprintf("1:%d", port)) && !strings.Contains(err.Error(), fmt.Sprintf("1]:%d", port)) || !strings.Contains(err.Error(), "--listen") {
					t.Errorf("%s is held: %v", l.Addr(), err)
				}
			}
			_ = l.Close()
			// What could not be had whole was given back.
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

func TestWriteProblem(t *testing.T) {
	seconds := int64(7)
	for kindOf, closes := range map[string]bool{
		client.TypeUnauthorized: true, client.TypeForbidden: true, client.TypeForbiddenOrigin: true, client.TypeForbiddenHost: true,
		client.TypeBadRequest: true, client.TypeTooLarge: true, client.TypeNotFound: false, client.TypeMethodNotAllowed: false,
		client.TypeSignInRequired: false, client.TypeServerUnreachable: false, client.TypeLifetimeTooShort: false,
	} {
		w := &recorder{header: http.Header{"Allow": {"GET"}, "Content-Type": {"text/event-stream"}}}
		p := client.NewProblem(kindOf, "a\x1b\"<b>")
		p.RetryAfter = &seconds
		WriteProblem(w, p)
		var got client.Problem
		if err := json.Unmarshal(w.body, &got); err != nil || got.Type != p.Type || got.Detail != p.Detail || *got.RetryAfter != 7 || w.status != p.Status {
			t.Errorf("%s: %s, %v", kindOf, w.body, err)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Retry-After": "7", "Allow": "GET",
		} {
			if w.header.Get(name) != want {
				t.Errorf("%s: %s is %q", kindOf, name, w.header.Get(name))
			}
		}
		if (w.header.Get("Connection") == "close") != closes {
			t.Errorf("%s: Connection %q", kindOf, w.header.Get("Connection"))
		}
	}
}

type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { r.body = append(r.body, p...); return len(p), nil }

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
