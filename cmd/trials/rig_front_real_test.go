//go:build real && linux

package trials

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// front stands before the real server and records what comes and goes.
type front struct {
	*httptest.Server
	down     atomic.Bool // it breaks every connection
	page     string      // answers / for a browser, in the place of Langflow's
	mu       sync.Mutex  // protects the following
	requests []recorded
}

type recorded struct {
	method, path, query string
	header              http.Header
}

// cookie is one that a request has sent.
func (r recorded) cookie(name string) (value string, err error) {
	c, err := (&http.Request{Header: r.header}).Cookie(name)
	if err != nil {
		return "", err
	}
	return c.Value, nil
}

// cookies are the names of those that a request has sent.
func (r recorded) cookies() (names []string) {
	for _, c := range (&http.Request{Header: r.header}).Cookies() {
		names = append(names, c.Name)
	}
	return names
}

func newFront(t *testing.T, c *computer, upstream string) *front {
	u, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	pass := &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		ErrorLog: nil,
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() {
			panic(http.ErrAbortHandler)
		}
		f.mu.Lock()
		f.requests = append(f.requests, recorded{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone()})
		f.mu.Unlock()
		if r.URL.Path == "/" && f.page != "" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, f.page) // the browser tells if this fails
			return
		}
		// Langkeep sends these secrets; the test must find them nowhere else.
		c.secret("a managed key", r.Header.Get("X-Api-Key"))
		if _, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
			c.secret("an access token", token)
		}
		for _, cookie := range r.Cookies() {
			c.secret("the cookie "+cookie.Name, cookie.Value)
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

// since are the requests after the first n, and how many there are now.
func (f *front) since(n int) ([]recorded, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests[n:]), len(f.requests)
}

// forward is a forward proxy that HTTP_PROXY names, and nobody must use.
type forward struct {
	url  string
	seen atomic.Int64
}

func newForward(t *testing.T) *forward {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f := &forward{url: "http://" + l.Addr().String()}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			f.seen.Add(1)
			conn.Close()
		}
	}()
	return f
}
