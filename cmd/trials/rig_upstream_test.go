package trials

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// upstream stands where the server of the profiles is: it is Langflow for the
// agent, and writes down what comes through a proxy.
type upstream struct {
	*httptest.Server
	langflow *langflowtest.Server

	mu     sync.Mutex // protects the following
	seen   []seen
	answer http.HandlerFunc // what a proxied request is answered; nil: 200
	asked  []seen           // by the agent itself
	own    http.HandlerFunc // what the agent is answered; nil: as Langflow does
}

// seen is a request that came through a proxy.
type seen struct {
	line   string // the method and the target, as they were sent
	host   string
	header http.Header // the trailers' names included
	body   string
}

func newUpstream(t *testing.T, o langflowtest.Options) *upstream {
	t.Helper()
	u := &upstream{langflow: langflowtest.New(o)}
	t.Cleanup(u.langflow.Close)
	u.Server = httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what came of it
	r.Body = io.NopCloser(bytes.NewReader(body))
	if strings.HasPrefix(r.UserAgent(), "langkeep/") {
		u.mu.Lock()
		u.asked = append(u.asked, seen{r.Method + " " + r.RequestURI, r.Host, r.Header.Clone(), string(body)})
		own := u.own
		u.mu.Unlock()
		if own == nil {
			own = u.langflow.ServeHTTP
		}
		own(w, r)
		return
	}
	header := r.Header.Clone()
	for name, values := range r.Trailer {
		header[name] = append(header[name], values...)
	}
	u.mu.Lock()
	u.seen = append(u.seen, seen{r.Method + " " + r.RequestURI, r.Host, header, string(body)})
	answer := u.answer
	u.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	_, _ = io.WriteString(w, "reached")
}

// take returns what has come since the last time.
func (u *upstream) take() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.seen
	u.seen = nil
	return all
}

// takeAsked returns what the agent itself has asked since the last time.
func (u *upstream) takeAsked() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.asked
	u.asked = nil
	return all
}

// answersAgent sets the answers to the agent from now on, nil for Langflow's.
func (u *upstream) answersAgent(with http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.own = with
}

// answers sets what proxied requests are answered from now on.
func (u *upstream) answers(with http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = with
}

// hijacked answers with raw text, in which \n is a line's end, and then closes
// the connection.
func hijacked(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return // the client has gone
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n"))
	}
}

// gzipped compresses text.
func gzipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // into memory
	_ = w.Close()
	return b.Bytes()
}

// elsewhere is a place where nobody must go.
type elsewhere struct {
	url string

	mu    sync.Mutex // protects the following
	heard []string   // what came first, of each connection
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &elsewhere{url: "http://" + l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.mu.Lock()
			n := len(e.heard)
			e.heard = append(e.heard, "")
			e.mu.Unlock()
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // fails only on a closed connection
				first := make([]byte, 4<<10)
				got, _ := c.Read(first) // whatever there is
				e.mu.Lock()
				e.heard[n] = string(first[:got])
				e.mu.Unlock()
			}()
		}
	}()
	return e
}

// carried is what came, but for a question of the agent's own for a version, and the
// way to ask it, that carry no credential.
func (e *elsewhere) carried() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, heard := range e.heard {
		low := strings.ToLower(heard)
		question := strings.HasPrefix(heard, "GET /api/v1/version HTTP/1.1\r\n") || strings.HasPrefix(heard, "CONNECT ")
		for _, credential := range []string{"authorization:", "cookie:", "x-api-key:", strings.ToLower(password)} {
			question = question && !strings.Contains(low, credential)
		}
		if heard != "" && !question {
			all = append(all, heard)
		}
	}
	return all
}

// asked is how many connections came.
func (e *elsewhere) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.heard)
}
