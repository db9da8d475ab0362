package langflow_test

import (
	"compress/gzip"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
)

func TestPrivateCA(t *testing.T) {
	s := langflowtest.NewInProcess(langflowtest.Options{})
	defer s.Close()
	https := httptest.NewUnstartedServer(s)
	https.Config.ErrorLog = discard()
	https.StartTLS()
	defer https.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})

	transport, err := langflow.NewTransport(ca)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	c, err := langflow.New(https.URL, langflow.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Login(t.Context(), "admin", secret.New(langflowtest.Admin().Password)); err != nil {
		t.Error(err)
	}

	c, err = langflow.New(https.URL, langflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Login(t.Context(), "admin", secret.New(langflowtest.Admin().Password))
	if e := wantKind(t, err, langflow.Certificate); !strings.Contains(e.Detail, "issued by O=Acme Co") || !strings.Contains(e.Error(), "--ca-file") {
		t.Errorf("%v", e)
	}

	for _, bad := range []string{"x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if _, err := langflow.NewTransport([]byte(bad)); err == nil {
			t.Errorf("NewTransport(%q) gives no error", bad)
		}
	}
}

// The environment's proxies are read once a process, so the client runs in one
// of its own.
func TestHTTPSProxy(t *testing.T) {
	const child = "LANGKEEP_TEST_PROXY_CHILD"
	if os.Getenv(child) != "" {
		c, err := langflow.New("https://langflow.test", langflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Version(t.Context())
		wantKind(t, err, langflow.Unreachable)
		return
	}
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHTTPSProxy$")
	cmd.Env = append(os.Environ(), child+"=1", "HTTPS_PROXY="+proxy.URL, "https_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(asked) != 1 || <-asked != "CONNECT langflow.test:443" {
		t.Error("the proxy was not asked to connect")
	}
}

// counting counts what is read of its answers' bodies.
type counting struct {
	http.RoundTripper
	read int
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &countingBody{resp.Body, c}
	}
	return resp, err
}

type countingBody struct {
	io.ReadCloser
	c *counting
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.c.read += n
	return n, err
}

func TestHugeBodies(t *testing.T) {
	const most = 1<<20 + 1
	s := langflowtest.NewInProcess(langflowtest.Options{})
	defer s.Close()
	for status, kind := range map[int]langflow.Kind{
		200: langflow.NotLangflow, 401: langflow.Gateway, 302: langflow.NotLangflow,
		429: langflow.RateLimited, 500: langflow.ServerError, 503: langflow.ServerError,
	} {
		s.ClearFaults()
		s.Fault("/version", langflowtest.Fault{Status: status, Body: `{"version":"1","package":"x"}`, Giant: true})
		transport := &counting{RoundTripper: s.RoundTripper()}
		c, err := langflow.New(s.URL, langflow.Options{Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Version(t.Context())
		wantKind(t, err, kind)
		if transport.read > most {
			t.Errorf("status %d: read %d bytes", status, transport.read)
		}
	}

	// 100 MB that travel as 100 KB.
	bomb := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		chunk := []byte(strings.Repeat(" ", 1<<20))
		for range 100 {
			if _, err := z.Write(chunk); err != nil {
				return
			}
		}
		_ = z.Close()
	}))
	defer bomb.Close()
	inner, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &counting{RoundTripper: inner}
	c, err := langflow.New(bomb.URL, langflow.Options{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Version(t.Context())
	wantKind(t, err, langflow.NotLangflow)
	if transport.read > most {
		t.Errorf("read %d bytes", transport.read)
	}
}

func TestStreaming(t *testing.T) {
	base, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := langflow.Streaming(base).(*http.Transport)
	if !ok || s == base || s.ResponseHeaderTimeout != 0 || !s.DisableCompression || s.TLSHandshakeTimeout != base.TLSHandshakeTimeout {
		t.Errorf("%+v", s)
	}
	if base.ResponseHeaderTimeout == 0 || base.DisableCompression {
		t.Error("the other one changed")
	}
}

// Each case is an answer of DNS, over a real resolver and real sockets. A dead address
// does not hide one that works.
func TestNames(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{})
	defer s.Close()
	dns, err := langflowtest.NewDNS()
	if err != nil {
		t.Skip("there can be no name server here: ", err)
	}
	defer dns.Close()
	before := net.DefaultResolver
	net.DefaultResolver = dns.Resolver()
	defer func() { net.DefaultResolver = before }()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	const name = "langflow.test"
	transport, err := langflow.NewTransport(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport.Proxy, transport.DisableKeepAlives = nil, true
	c, err := langflow.New("http://"+name+":"+port, langflow.Options{Transport: transport, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	fails := func() {
		t.Helper()
		_, err := c.Version(t.Context())
		if e := wantKind(t, err, langflow.Unreachable); !strings.Contains(e.Detail, name) {
			t.Errorf("it does not say which name: %v", e)
		}
	}
	works := func() {
		t.Helper()
		if _, err := c.Version(t.Context()); err != nil {
			t.Error(err)
		}
	}
	fails() // there is no such name
	dns.Set(name+".", "127.0.0.1")
	works()
	dns.Fail(true)
	fails()
	dns.Fail(false)
	works()
	dns.Set(name+".", "100::1", "::1", "127.0.0.1")
	works()
	dns.Set(name+".", "::1")
	_, err = c.Version(t.Context())
	wantKind(t, err, langflow.Unreachable)
	if dns.Asked(name+".") == 0 {
		t.Error("nobody asked for the name")
	}
}
