package langflow_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

// environ is an environment of NAME=value, with spaces between them. On Windows a
// name in capitals is the same variable: the first is it.
func environ(vars string) func(string) string {
	all := map[string]string{}
	for _, kv := range strings.Fields(vars) {
		name, value, _ := strings.Cut(kv, "=")
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		if _, has := all[name]; !has {
			all[name] = value
		}
	}
	return func(name string) string {
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		return all[name]
	}
}

func TestForward(t *testing.T) {
	for vars, want := range map[string][2]string{ // for http, for https: the variable, and the proxy or what is wrong
		"":                                   {"", ""},
		"HTTP_PROXY=p:1":                     {"HTTP_PROXY http://p:1", ""},
		"https_proxy=https://p:1":            {"", "https_proxy https://p:1"},
		"ALL_PROXY=socks5://p:1":             {"ALL_PROXY socks5://p:1", "ALL_PROXY socks5://p:1"},
		"all_proxy=socks://p:1/ ALL_PROXY=q": {"all_proxy socks5://p:1/", "all_proxy socks5://p:1/"},
		"ALL_PROXY=a https_proxy=b HTTPS_PROXY=c":  {"ALL_PROXY http://a", "https_proxy http://b"},
		"ALL_PROXY=a NO_PROXY=.test":               {"", ""},
		"ALL_PROXY=a no_proxy=flows.test NO_PROXY": {"", ""},
		"ALL_PROXY=a NO_PROXY=other.test":          {"ALL_PROXY http://a", "ALL_PROXY http://a"},
		"HTTP_PROXY=http://corp:p%zword@host":      {"HTTP_PROXY is not a URL", ""},
		"HTTPS_PROXY=http://corp:12#word@host":     {"", "HTTPS_PROXY is not a URL"},
		"HTTPS_PROXY=corp:12/word@host":            {"", "HTTPS_PROXY is not a URL"},
		"ALL_PROXY=http://corp:word@":              {"ALL_PROXY is not a URL", "ALL_PROXY is not a URL"},
		"ALL_PROXY=socks4://corp:word@p:1":         {"ALL_PROXY is no http, https or socks5 URL", "ALL_PROXY is no http, https or socks5 URL"},
		"HTTP_PROXY=http://p%z NO_PROXY=*":         {"", ""},
	} {
		f := langflow.NewForward(environ(vars))
		for i, scheme := range []string{"http", "https"} {
			got := ""
			if v := f.For(&url.URL{Scheme: scheme, Host: "flows.test"}); v != nil && v.Fault != "" {
				got = v.Name + " " + v.Fault
			} else if v != nil {
				got = v.Name + " " + v.URL.String()
			}
			want := want[i]
			if runtime.GOOS == "windows" {
				want = strings.NewReplacer("all_proxy", "ALL_PROXY", "https_proxy", "HTTPS_PROXY").Replace(want)
			}
			if got != want {
				t.Errorf("%s for %s: %q, want %q", vars, scheme, got, want)
			}
			if v := f.For(&url.URL{Scheme: scheme, Host: "127.0.0.1:7860"}); v != nil {
				t.Errorf("%s: a proxy for this computer", vars)
			}
		}
	}
}

// socks is a SOCKS5 proxy that lets nobody in.
func socks(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			hello := make([]byte, 2)
			_, _ = io.ReadFull(r, hello) // RFC 1928: version, how many methods
			_, _ = r.Discard(int(hello[1]))
			if hello[1] > 1 { // RFC 1929: wrong name or password
				_, _ = c.Write([]byte{5, 2})
				_, _ = r.ReadByte()
				_, _ = c.Write([]byte{1, 1})
			} else {
				_, _ = c.Write([]byte{5, 0xff})
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// A forward proxy that is in the way is named with the variable that has it, and
// never with its password.
func TestForwardInTheWay(t *testing.T) {
	status := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="corp"`)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<h1>hunter2</h1>")
	}))
	defer proxy.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	at, dead := strings.TrimPrefix(proxy.URL, "http://"), closed.Addr().String()
	const wants, refuses = "wants a user name and password (407)", "refuses the user name and password in it (407)"
	for _, c := range []struct {
		name, value string
		status      int
		https       bool
		kind        langflow.Kind
		found       string
	}{
		{"HTTP_PROXY", "http://" + at, 407, false, langflow.ForwardProxy, "the proxy " + at + " of HTTP_PROXY " + wants},
		{"http_proxy", "http://ann:hunter2@" + at, 407, false, langflow.ForwardProxy, "the proxy " + at + " of http_proxy " + refuses},
		{"HTTPS_PROXY", at, 407, true, langflow.ForwardProxy, "the proxy " + at + " of HTTPS_PROXY " + wants},
		{"ALL_PROXY", "http://ann:hunter2@" + at, 407, true, langflow.ForwardProxy, "the proxy " + at + " of ALL_PROXY " + refuses},
		{"HTTPS_PROXY", at, 403, true, langflow.ForwardProxy, "the proxy " + at + " of HTTPS_PROXY does not connect to this server (403)"},
		{"HTTPS_PROXY", at, 502, true, langflow.Unreachable, "the proxy " + at + " of HTTPS_PROXY can't connect to the server (502)"},
		{"HTTPS_PROXY", "http://ann:hunter2@" + dead, 0, true, langflow.ForwardProxy, "the proxy " + dead + " of HTTPS_PROXY can't be used ("},
		{"ALL_PROXY", "socks5://ann:hunter2@" + socks(t), 0, true, langflow.ForwardProxy, "of ALL_PROXY " + refuses},
		{"all_proxy", "socks5h://" + socks(t), 0, false, langflow.ForwardProxy, "of all_proxy " + wants},
		{"HTTP_PROXY", "http://ann:hunter2%z@" + at, 0, false, langflow.ForwardProxy, "the variable HTTP_PROXY is not a URL"},
		{"HTTPS_PROXY", "http://ann:12#hunter2@" + at, 0, true, langflow.ForwardProxy, "the variable HTTPS_PROXY is not a URL"},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
				t.Setenv(name, "")
				t.Setenv(strings.ToLower(name), "")
			}
			t.Setenv(c.name, c.value)
			status = c.status
			address := "http://flows.test"
			if c.https {
				address = "https://flows.test"
			}
			transport, err := langflow.NewTransport(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			client, err := langflow.New(address, langflow.Options{Transport: langflow.NewRenewable(transport), AllowHTTP: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Version(t.Context())
			e := wantKind(t, err, c.kind)
			want := c.found
			if runtime.GOOS == "windows" {
				want = strings.NewReplacer("all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY").Replace(want)
			}
			found, advice := langflow.SplitDetail(e.Detail)
			if !strings.Contains(found, want) || advice == "" {
				t.Errorf("it says %q, and advises %q; want %q", found, advice, want)
			}
			if said := err.Error(); strings.Contains(said, "hunter2") || strings.Contains(said, "ann") {
				t.Errorf("it tells the password: %s", said)
			}
		})
	}
}

// ALL_PROXY is used where nothing else is set for the server.
func TestAllProxy(t *testing.T) {
	s := langflowtest.New(langflowtest.Options{})
	defer s.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "flows.test" {
			t.Errorf("the proxy is asked for %s", r.URL)
		}
		r.URL.Host, r.RequestURI = strings.TrimPrefix(s.URL, "http://"), ""
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		_, _ = io.Copy(w, res.Body) // or the client has gone
	}))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "NO_PROXY"} {
		t.Setenv(name, "")
		t.Setenv(strings.ToLower(name), "")
	}
	t.Setenv("ALL_PROXY", proxy.URL)
	c, err := langflow.New("http://flows.test", langflow.Options{AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(t.Context()); err != nil {
		t.Error(err)
	}
}
