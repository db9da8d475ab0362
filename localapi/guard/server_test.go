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
	"runtime"
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
	if s.ReadHeaderTimeout != 5*time.Second || bodyTimeout != 10*time.Second || bodyBytes != 1<<20 || s.ReadTimeout != headerTimeout {
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

// A request that net/http refuses before any handler has a body too, which may never
// come.
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
