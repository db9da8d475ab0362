//go:build real && linux

package trials

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/langflow/langflowtest/real"
)

// gateways are what the parts of TestGateways share: a Langflow, and what each puts
// in front of it.
type gateways struct {
	c             *computer
	notices       *notices
	server        *real.Server
	flow, project string // the ids of the flow that echoes, and of its project
	ca            *langflowtest.Authority
	caFile        string

	front    *front    // between the gateways of a part and the server
	provider *provider // of a part; nil if it needs none
}

// with is the same for a part of the test, with a front of its own.
func (g *gateways) with(t *testing.T) *gateways {
	t.Helper()
	part := *g
	part.front = newFront(t, g.c, g.server.URL)
	return &part
}

// makeFlow makes the flow that echoes, past all gateways.
func (g *gateways) makeFlow(t *testing.T) {
	t.Helper()
	key, id := g.server.AddAPIKey()
	defer g.server.RevokeAPIKey(id)
	cmd := exec.Command(g.server.Program("python"), "testdata/tools/flow.py")
	cmd.Env = append(os.Environ(), "LANGFLOW_URL="+g.server.URL, "LANGFLOW_API_KEY="+key.Reveal())
	out, err := cmd.Output()
	made := strings.Fields(string(out))
	if err != nil || len(made) != 3 {
		t.Fatalf("the flow is not made: %v, %q", err, out)
	}
	g.flow, g.project = made[0], made[1]
}

// certificate makes one for the server 127.0.0.1, and returns the files of it and of its
// key.
func (g *gateways) certificate(t *testing.T) (cert, key string) {
	t.Helper()
	return g.certificateWith(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
}

// certificateWith is certificate for one that a function changes beforehand.
func (g *gateways) certificateWith(t *testing.T, change func(*x509.Certificate)) (cert, key string) {
	t.Helper()
	made := g.ca.IssueWith("127.0.0.1", change)
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// cached is a file that .ci/setup has installed.
func cached(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", ".cache"}, parts...)...))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: .ci/setup installs it", err)
	}
	return path
}

// freeAddress is an address on loopback that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// beside is a program that runs beside the test.
type beside struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
	log   string // the file of what it writes
}

// runBeside starts a program, waits until it is ready, and ends it with the test.
func runBeside(t *testing.T, ready func() bool, program string, args ...string) *beside {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "log-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &beside{t: t, cmd: exec.Command(program, args...), ended: make(chan struct{}), log: f.Name()}
	b.cmd.Stdout, b.cmd.Stderr = f, f
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.cmd.Wait(); close(b.ended) }() // an error: it was killed
	t.Cleanup(b.stop)
	for begin := time.Now(); !ready(); time.Sleep(50 * time.Millisecond) {
		select {
		case <-b.ended:
			t.Fatalf("%s ended by itself: %s", filepath.Base(program), b.said())
		default:
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("%s is not ready: %s", filepath.Base(program), b.said())
		}
	}
	return b
}

func (b *beside) stop() {
	_ = b.cmd.Process.Kill() // an error: it has ended
	<-b.ended
}

// said is what it has written so far.
func (b *beside) said() []byte {
	text, err := os.ReadFile(b.log)
	if err != nil {
		b.t.Error(err)
	}
	return text
}

// listening tells whether somebody listens at each address.
func listening(addresses ...string) func() bool {
	return func() bool {
		for _, address := range addresses {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	}
}

// provider is the OpenID provider, see testdata/gateways/provider.mjs.
type provider struct {
	*beside
	URL string
}

// tokenLife is that of the access tokens that the provider gives commands.
const tokenLife = 60 * time.Second

// newProvider starts one that lets its gateways be at some addresses.
func newProvider(t *testing.T, gateways ...string) *provider {
	t.Helper()
	address := freeAddress(t)
	settings := struct {
		Port      json.Number `json:"port"`
		Redirects []string    `json:"redirects"`
		TokenLife int         `json:"tokenLife"`
	}{TokenLife: int(tokenLife.Seconds())}
	_, port, _ := net.SplitHostPort(address)
	settings.Port = json.Number(port)
	for _, g := range gateways {
		settings.Redirects = append(settings.Redirects, "http://"+g+"/oauth2/callback")
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return &provider{
		beside: runBeside(t, listening(address), "node", "testdata/gateways/provider.mjs", cached(t, "oidc-provider"), string(text)),
		URL:    "http://localhost:" + port, // by another name, since cookies don't tell ports apart
	}
}

// accounts are Langflow's settings for external authentication with the provider's
// tokens (Langflow 1.13.0).
func (p *provider) accounts() []string {
	var env []string
	for name, value := range map[string]string{
		"ENABLED": "true", "JWKS_URL": p.URL + "/jwks", "ISSUER": p.URL, "AUDIENCE": "langflow", "ALGORITHMS": "RS256", "USERNAME_CLAIM": "preferred_username",
	} {
		env = append(env, "LANGFLOW_EXTERNAL_AUTH_"+name+"="+value)
	}
	return env
}

// providerRequest is a request that the provider was sent.
type providerRequest struct {
	Method, URL string
	Headers     map[string]string
}

// requests are those so far.
func (p *provider) requests() []providerRequest {
	var all []providerRequest
	for lines := bufio.NewScanner(bytes.NewReader(p.said())); lines.Scan(); {
		var one providerRequest
		if json.Unmarshal(lines.Bytes(), &one) == nil && one.Method != "" {
			all = append(all, one)
		}
	}
	return all
}

// oauth2Proxy starts oauth2-proxy at an address before the server, with more flags.
func (g *gateways) oauth2Proxy(t *testing.T, address, cookieSecret string, flags ...string) *beside {
	t.Helper()
	return runBeside(t, listening(address), cached(t, "oauth2-proxy", "oauth2-proxy"), append([]string{
		"--provider=oidc", "--oidc-issuer-url=" + g.provider.URL, "--client-id=langflow", "--client-secret=only-for-tests-of-the-gateway-1234",
		"--cookie-secret=" + cookieSecret, "--email-domain=*", "--insecure-oidc-allow-unverified-email",
		"--upstream=" + g.front.URL, "--http-address=" + address, "--redirect-url=http://" + address + "/oauth2/callback",
		"--cookie-secure=false", "--cookie-expire=1h",
	}, flags...)...)
}

// nginx starts one that has a server for each address, with directives of its own.
func (g *gateways) nginx(t *testing.T, servers map[string]string) *beside {
	t.Helper()
	dir := t.TempDir()
	upstream := strings.TrimPrefix(g.front.URL, "http://")
	var text strings.Builder
	fmt.Fprintf(&text, "daemon off;\nmaster_process off;\nerror_log stderr;\npid %[1]s/pid;\nevents {}\nhttp {\naccess_log /dev/stdout;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&text, "%s_temp_path %s/%s;\n", kind, dir, kind)
	}
	text.WriteString("map $http_upgrade $connection_upgrade { default upgrade; '' ''; }\n")
	for address, directives := range servers {
		flag := ""
		if strings.Contains(directives, "ssl_certificate ") {
			flag = " ssl"
		}
		fmt.Fprintf(&text, `server {
	listen %s%s;
%s
	location / {
		proxy_pass http://%s;
		proxy_http_version 1.1;
		proxy_set_header Host $http_host;
		proxy_set_header Upgrade $http_upgrade;
		proxy_set_header Connection $connection_upgrade;
		proxy_buffering off;
		proxy_read_timeout 1h;
	}
}
`, address, flag, directives, upstream)
	}
	text.WriteString("}\n")
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := listening(slices.Collect(maps.Keys(servers))...)
	return runBeside(t, ready, cached(t, "nginx", "usr", "sbin", "nginx"), "-c", file)
}

// serve answers at an address until stop, or the test's end; with TLS if that is given.
func serve(t *testing.T, address string, answers http.Handler, over *tls.Config) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if over != nil {
		l = tls.NewListener(l, over)
	}
	s := &http.Server{Handler: answers, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.Serve(l) }() // until it is closed
	stop = func() { _ = s.Close() }
	t.Cleanup(stop)
	return stop
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func workingFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
