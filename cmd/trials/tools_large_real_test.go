//go:build real && linux

package trials

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// testLarge sends 500 MB through the proxy and back: the agent must not grow
// with them.
func testLarge(p *person) {
	const size = 500 << 20
	var got atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.Contains(r.URL.Path, "upload"):
			n, _ := io.Copy(io.Discard, r.Body)
			got.Store(n)
		case strings.Contains(r.URL.Path, "download"):
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = io.CopyN(w, zeros{}, size)
		case strings.HasSuffix(r.URL.Path, "/version"):
			fmt.Fprint(w, `{"version":"1.13.0","main_version":"1.13.0","package":"Langflow"}`)
		default:
			fmt.Fprint(w, `{"id":"1","username":"admin"}`)
		}
	}))
	defer server.Close()
	p.mustTyping("sk-of-this-server-0123456789\n", 0, "login", "large", server.URL, "--method", "api-key", "--token-stdin")
	p.must(0, "proxy", "large", "on")
	token := strings.TrimSpace(p.must(0, "client", "add", "large", "--profile", "large", "--scope", "proxy").stdout)
	p.secret("a client token", token)
	proxied := *p.profile("large").ProxyURL
	before := p.memory()
	req, err := http.NewRequest(http.MethodPost, proxied+"/api/v1/files/upload/x", io.LimitReader(zeros{}, size))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != 200 || got.Load() != size {
		p.t.Fatalf("upload: %v, %+v, %d bytes", err, res, got.Load())
	}
	_ = res.Body.Close()
	if req, err = http.NewRequest(http.MethodGet, proxied+"/api/v1/files/download/x/zeros", nil); err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", token)
	if res, err = http.DefaultClient.Do(req); err != nil {
		p.t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil || n != size {
		p.t.Fatalf("download: %v, %s, %d bytes", err, res.Status, n)
	}
	grown := p.memory() - before
	p.say(p.t, "500 MB up and 500 MB down; the agent's peak grew by %d MB", grown>>20)
	if grown > 32<<20 {
		p.t.Errorf("the agent's peak grew by %d MB", grown>>20)
	}
	p.must(0, "remove", "large")
}

// memory is the agent's peak, in bytes.
func (p *person) memory() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.running()))
	if err != nil {
		p.t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(text), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "kB")
	n, err := strconv.ParseInt(strings.TrimSpace(peak), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n << 10
}

// zeros has no end.
type zeros struct{}
