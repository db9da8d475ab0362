//go:build real

package langflow_test

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow"
)

// forwarder passes connections on to a server until it falls silent: then it swallows
// all that comes on those that there are, as a firewall does that has forgotten them,
// while new ones work.
type forwarder struct {
	net.Listener

	mu     sync.Mutex // protects the following
	silent chan struct{}
}

func newForwarder(t *testing.T, to string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{Listener: l, silent: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			silent := f.silent
			f.mu.Unlock()
			there, err := net.Dial("tcp", to)
			if err != nil {
				t.Error(err)
				return
			}
			go f.pass(there, here, silent)
			go f.pass(here, there, silent)
		}
	}()
	return f
}

func (f *forwarder) pass(to, from net.Conn, silent chan struct{}) {
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-silent: // read on, and say nothing
		default:
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (f *forwarder) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.silent)
	f.silent = make(chan struct{})
}

// A Way gives up an HTTP/2 connection that has died without a word: soon where nothing
// else is asked, and at once after a time-out or a change of the network. Requests that
// the proxy passes on, which wait for as long as their clients do, get another one too.
func TestSilentConnections(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close) // once all subtests are over
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ask := func(f *forwarder, way http.RoundTripper, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := way.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if proto, err := io.ReadAll(res.Body); err != nil || string(proto) != "HTTP/2.0" {
			t.Errorf("%s, %v", proto, err)
		}
		return nil
	}
	for _, kind := range []string{"calls", "streams"} {
		for _, end := range []string{"a ping", "a time-out", "a change of the network"} {
			t.Run(kind+" "+end, func(t *testing.T) {
				t.Parallel()
				f := newForwarder(t, server.Listener.Addr().String())
				transport, err := langflow.NewTransport(ca)
				if err != nil {
					t.Fatal(err)
				}
				var plain http.RoundTripper = transport
				if kind == "streams" {
					plain = langflow.Streaming(transport)
				}
				way := langflow.NewRenewable(plain)
				if err := ask(f, way, time.Minute); err != nil {
					t.Fatal(err)
				}
				f.silence()
				switch end {
				case "a ping":
					begin := time.Now()
					if err := ask(f, way, time.Minute); err == nil || !strings.Contains(err.Error(), "lost") {
						t.Errorf("an answer came over a silent connection, or %v", err)
					}
					if took := time.Since(begin); took > 18*time.Second {
						t.Errorf("it took %v to notice", took)
					}
				case "a time-out":
					if err := ask(f, way, time.Second); err == nil {
						t.Error("an answer came over a silent connection")
					}
				default:
					way.Renew()
				}
				if err := ask(f, way, 5*time.Second); err != nil {
					t.Errorf("then: %v", err)
				}
			})
		}
	}
}
