package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
	"langkeep/agent/secret"
)

// patient is a Server about a stand-in, with an agent that keeps a session.
type patient struct {
	t        *testing.T
	langflow *langflowtest.Server
	agent    *agent.Agent
	server   Server
}

func newPatient(t *testing.T, o langflowtest.Options) *patient {
	t.Helper()
	p := &patient{t: t, langflow: langflowtest.New(o)}
	t.Cleanup(p.langflow.Close)
	p.agent = agent.New(agent.Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: t.TempDir(),
	})
	p.server = Server{
		Profile: config.Profile{Name: "prod", ServerURL: p.langflow.URL, Method: "password"},
		Credential: func(ctx context.Context) (*langflow.Client, langflow.Credential, error) {
			return p.agent.Credential(ctx, "prod")
		},
		Key: func(ctx context.Context) (*langflow.Client, langflow.Credential, error) {
			return p.agent.KeyCredential(ctx, "prod")
		},
		EndsKeys: func() bool { return p.agent.EndsKeys("prod") },
		Proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
	}
	if _, err := p.agent.Add(p.server.Profile); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *patient) signIn(c agent.Credentials) {
	p.t.Helper()
	if _, err := p.agent.Login(p.t.Context(), "prod", c); err != nil {
		p.t.Fatal(err)
	}
	p.server.Profile.Method = c.Method
}

func (p *patient) signInWithPassword() {
	p.t.Helper()
	p.signIn(agent.Credentials{Method: "password", Username: "admin", Password: secret.New(langflowtest.Admin().Password)})
}

// examine runs the checks and returns what they found by name.
func (p *patient) examine() map[string]Finding {
	p.t.Helper()
	found := map[string]Finding{}
	for _, r := range Run(p.t.Context(), "", p.server.Checks()...) {
		found[r.Check] = r.Finding
	}
	return found
}

// want is the last check, with what it found.
func (p *patient) want(name string, verdict Verdict, part string) {
	p.t.Helper()
	f, made := p.examine()[name]
	if !made {
		p.t.Errorf("%s was not made", name)
		return
	}
	wants(p.t, name, f, verdict, part)
}

// ends wants a check that fails, and none after it.
func (p *patient) ends(name, part string) {
	p.t.Helper()
	results := Run(p.t.Context(), "", p.server.Checks()...)
	last := results[len(results)-1]
	if last.Check != name {
		p.t.Errorf("it ends with %+v", last)
		return
	}
	wants(p.t, name, last.Finding, Failed, part)
}

func TestServerWithToken(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.signInWithPassword()
	found := p.examine()
	for name, want := range map[string]struct {
		verdict Verdict
		part    string
	}{
		"server-url":    {OK, p.langflow.URL},
		"dns":           {OK, "127.0.0.1 is an address"},
		"tcp":           {OK, "accepts connections"},
		"tls":           {OK, "none is needed"},
		"root-path":     {OK, "None."},
		"langflow":      {OK, "Langflow 1.13.0 answers."},
		"clock":         {OK, "agrees with"},
		"sign-in":       {OK, "accepts a password"},
		"token":         {OK, "accepts it for admin"},
		"key":           {OK, "One that ends by itself is held, and the server accepts it for admin"},
		"account":       {OK, "admin is no superuser there."},
		"tweaks":        {OK, "LANGFLOW_TWEAKS_POLICY=off and LANGFLOW_FALLBACK_TO_ENV_VAR=false, which stop that, can't be told"},
		"routes-any":    {OK, "open to the token"},
		"routes-token":  {OK, "open to the token"},
		"routes-key":    {OK, "open to the key"},
		"routes-cookie": {OK, "not tried"},
	} {
		wants(t, name, found[name], want.verdict, want.part)
		delete(found, name)
	}
	if len(found) > 0 {
		t.Errorf("beside these: %v", found)
	}
	if n := p.langflow.Count("/login"); n != 1 {
		t.Errorf("it signed in %d times", n-1)
	}
}

func TestServerWithKey(t *testing.T) {
	p := newPatient(t, langflowtest.Options{AutoLogin: true, RootPath: "/team/a"})
	p.signIn(agent.Credentials{Method: "api-key", APIKey: p.langflow.AddAPIKey("admin")})
	p.want("root-path", OK, "/team/a.")
	p.want("sign-in", OK, "lets everybody in")
	p.want("token", OK, "signs in with an API key")
	p.want("key", OK, "accepts it for admin")
	p.want("routes-any", OK, "open to the key")
	p.want("routes-token", OK, "has a key")
	p.want("routes-key", OK, "open to the key")
	p.want("routes-cookie", OK, "not tried")
}

func TestServerWithSuperuser(t *testing.T) {
	admin := langflowtest.Admin()
	admin.Superuser = true
	p := newPatient(t, langflowtest.Options{Users: []langflowtest.User{admin}})
	p.signInWithPassword()
	p.want("account", Warning, "admin is a superuser there: a program with the scope proxy can take the whole server")
	p.langflow.Deactivate("admin")
	p.want("token", Failed, "deactivated")
}

func TestServerOfAnOlderVersion(t *testing.T) {
	p := newPatient(t, langflowtest.Options{Version: "1.4"})
	p.signInWithPassword()
	p.want("tweaks", Warning, "may take code in tweaks (1.4.3 does), and shares results of components between users: a program with the scope tweak or edit can take the account")
	p.want("routes-token", OK, "no route to try")
}

func TestServerWithoutAgent(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.server.Credential = nil
	p.want("token", Warning, "no agent runs")
	if _, made := p.examine()["key"]; made {
		t.Error("a key was tried")
	}
}

func TestServerAddress(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.server.Profile.ServerURL = "http://flows.example.org"
	p.ends("server-url", "http://flows.example.org sends your password unprotected")
	p.server.Profile.ServerURL = "flows.example.org"
	p.ends("server-url", "no scheme")
	p.server.Profile.ServerURL = "https://flows.example.org"
	p.server.Profile.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	p.ends("server-url", "can't be read")
	if err := os.WriteFile(p.server.Profile.CAFile, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.ends("server-url", "no certificate")
	p.server.Profile.CAFile = ""
	for name, value := range map[string]string{"https_proxy": "http://ann:12#hunter@p:1", "HTTPS_PROXY": "http://ann:hun%ter@p:1", "ALL_PROXY": "http://ann:12/hunter@p"} {
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name) // the same variable there
		}
		p.server.Proxy = langflow.NewForward(func(n string) string {
			if n == name {
				return value
			}
			return ""
		}).ForRequest
		p.ends("server-url", name+" is not a URL.")
	}
}

func TestServerNameAndConnection(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.server.Profile.ServerURL = "https://flows.example.org/team"
	var dialled string
	refuse := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = address
			return nil, err
		}
	}
	p.server.Resolve = func(_ context.Context, host string) ([]string, error) {
		return nil, errors.New("no such host")
	}
	p.ends("dns", "flows.example.org can't be looked up")
	p.server.Resolve = func(_ context.Context, host string) ([]string, error) { return []string{"192.0.2.1", "192.0.2.2"}, nil }
	p.server.Dial = refuse(errors.New("connection refused"))
	p.ends("tcp", "flows.example.org:443 refuses connections")
	p.want("dns", OK, "flows.example.org is 192.0.2.1 and 1 more")
	p.server.Dial = refuse(os.ErrDeadlineExceeded)
	p.ends("tcp", "doesn't answer in time")
	p.server.Dial = refuse(context.DeadlineExceeded)
	p.ends("tcp", "doesn't answer in time")

	// Through a proxy, that is what has to be reached.
	for proxy, want := range map[string]string{
		"http://ann:hunter2@proxy.example.org:3128": "proxy.example.org:3128", "http://proxy.example.org": "proxy.example.org:80",
		"socks5://proxy.example.org": "proxy.example.org:1080",
	} {
		p.server.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
		p.ends("tcp", want)
		if dialled != want {
			t.Errorf("dialled %s", dialled)
		}
		p.want("server-url", OK, "through the proxy proxy.example.org")
		if f := p.examine()["server-url"]; strings.Contains(f.Found, "hunter2") {
			t.Error(f.Found)
		}
	}
}

// overTLS puts a certificate before the stand-in that ends so many days from
// now, and an hour.
func overTLS(t *testing.T, p *patient, days int) {
	t.Helper()
	front := httptest.NewTLSServer(p.langflow)
	t.Cleanup(front.Close)
	leaf := front.Certificate()
	jumped := clock.NewJumping()
	jumped.Jump(time.Until(leaf.NotAfter) - time.Duration(days)*24*time.Hour - time.Hour)
	p.server.Clock = jumped
	p.server.Profile.ServerURL = front.URL
	p.server.Transport = func([]byte) (http.RoundTripper, error) {
		roots := x509.NewCertPool()
		roots.AddCert(leaf)
		return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, nil
	}
}

func TestServerTLS(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	overTLS(t, p, 39)
	p.want("tls", OK, "ends in 39 days")
	p.want("tls", OK, "issued by O=Acme Co")
	overTLS(t, p, 14)
	p.want("tls", OK, "ends in 14 days")
	overTLS(t, p, 13)
	p.want("tls", Warning, "ends in 13 days")
	p.server.Transport = nil
	p.ends("tls", "isn't trusted (issued by O=Acme Co")

	// The CA of the profile makes it trusted.
	front := httptest.NewTLSServer(p.langflow)
	defer front.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p.server.Clock, p.server.Profile.ServerURL, p.server.Profile.CAFile = nil, front.URL, ca
	p.want("tls", OK, "issued by O=Acme Co")
	p.want("langflow", OK, "1.13.0")

	// Something that hangs up.
	p.server.Profile.CAFile = ""
	p.server.Transport = func([]byte) (http.RoundTripper, error) { return broken{}, nil }
	p.ends("tls", "no TLS connection")

	// Something that wants a client certificate.
	wants := httptest.NewUnstartedServer(http.NotFoundHandler())
	wants.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	wants.Config.ErrorLog = log.New(io.Discard, "", 0)
	wants.StartTLS()
	defer wants.Close()
	p.server.Profile.ServerURL = wants.URL
	p.server.Transport = func([]byte) (http.RoundTripper, error) { return wants.Client().Transport, nil }
	p.ends("tls", "A gateway in front of the server wants a client certificate")

	// http to another computer, where that was allowed.
	p.server.Transport = func([]byte) (http.RoundTripper, error) { return through{p.langflow.URL}, nil }
	p.server.Profile.ServerURL, p.server.Profile.AllowHTTP = "http://flows.example.org", true
	p.server.Resolve = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
	p.server.Dial = func(context.Context, string, string) (net.Conn, error) { a, _ := net.Pipe(); return a, nil }
	p.want("tls", Warning, "can read the traffic")
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("hung up") }

// through sends every request to another server.
type through struct{ url string }

func (t through) RoundTrip(r *http.Request) (*http.Response, error) {
	target, err := url.Parse(t.url)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = target.Scheme, target.Host
	return http.DefaultTransport.RoundTrip(r)
}

func TestServerRootPath(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.server.Profile.ServerURL = p.langflow.URL + "/team/a"
	p.ends("root-path", "Langflow is at "+p.langflow.URL+", without /team/a")
	p.langflow.Stop()
	front := httptest.NewServer(http.NotFoundHandler())
	defer front.Close()
	p.server.Profile.ServerURL = front.URL + "/team/a"
	p.want("root-path", OK, "can't be told yet")
	p.ends("langflow", "isn't Langflow")
}

func TestServerVersion(t *testing.T) {
	other := langflowtest.New(langflowtest.Options{})
	defer other.Close()
	for part, fault := range map[string]langflowtest.Fault{
		"isn't Langflow": langflowtest.HTML(200),
		"A gateway in front of the server wants you to sign in (it redirects to https://[::1]:1/sign-in)": langflowtest.Redirect(302, "https://[::1]:1/sign-in"),
		"a problem of its own (502)": langflowtest.HTML(502),
		"moved (" + other.URL + ")":  langflowtest.Redirect(301, other.URL+"/api/v1/version"),
		"can't be asked":             {Reset: true},
	} {
		p := newPatient(t, langflowtest.Options{})
		p.langflow.Fault("/version", fault)
		p.ends("langflow", part)
	}
}

func TestServerClock(t *testing.T) {
	for part, tc := range map[string]struct {
		date    string
		verdict Verdict
	}{
		"ahead of this computer's":     {time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), Warning},
		"behind this computer's":       {time.Now().Add(-2 * time.Hour).UTC().Format(http.TimeFormat), Warning},
		"s ahead of":                   {time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat), OK},
		"doesn't tell its time":        {"", Warning},
		"agrees with this computer's.": {time.Now().UTC().Format(http.TimeFormat), OK},
	} {
		p := newPatient(t, langflowtest.Options{})
		p.server.Credential = nil
		p.langflow.Fault("/version", langflowtest.Date(tc.date))
		p.want("clock", tc.verdict, part)
	}
}

func TestServerSignIn(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.server.Profile.Method = "auto-login"
	f := p.examine()["sign-in"]
	wants(t, "auto login off", f, Failed, "no auto login any more")
	if f.Advice != "Run langkeep login prod --method password." {
		t.Error(f.Advice)
	}
	p.langflow.Fault("/auto_login", langflowtest.HTML(403))
	p.want("sign-in", Warning, "gateway in front of the server wants you to sign in (it refused)")
}

func TestServerToken(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	if _, err := p.agent.Logout(t.Context(), "prod"); err != nil { // nothing is read from the store before the agent runs
		t.Fatal(err)
	}
	p.ends("token", "Signed out.")
	p.signInWithPassword()
	p.langflow.RotateSecret()
	p.ends("token", "does not accept it")
	p.langflow.Fault("/users/whoami", langflowtest.HTML(200))
	p.ends("token", "isn't Langflow")
	p.langflow.ClearFaults()

	key := p.langflow.AddAPIKey("admin")
	p.signIn(agent.Credentials{Method: "api-key", APIKey: key})
	p.langflow.RevokeAPIKey(key)
	f := p.examine()["key"]
	wants(t, "a revoked key", f, Failed, "does not accept it")
	if f.Advice != "Run langkeep login prod." {
		t.Error(f.Advice)
	}
}

// The doctor tells that a gateway refuses one class of routes, and tries the other
// classes all the same.
func TestServerRoutes(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.signInWithPassword()
	p.langflow.Fault("/session", langflowtest.HTML(502))
	p.want("routes-token", Failed, "a problem of its own")
	p.langflow.ClearFaults()
	p.langflow.Fault("/session", langflowtest.JSON(200, `{"authenticated":false}`))
	p.want("routes-token", Failed, "don't open to the token")
	p.langflow.ClearFaults()
	p.langflow.Fault("/process/none", langflowtest.JSON(400, `{"detail":"deprecated"}`))
	p.want("routes-key", OK, "open to the key")
	p.langflow.ClearFaults()
	p.langflow.Fault("/process/none", langflowtest.JSON(403, `{"detail":"Invalid API key"}`))
	p.want("routes-key", Failed, "don't open to the key")
}

// Langflow 1.0.19 ignores the ends of keys, and answers 500 on the one route by
// which a key could be tried.
func TestServerThatIgnoresEnds(t *testing.T) {
	p := newPatient(t, langflowtest.Options{Version: "1.4"})
	p.signInWithPassword()
	p.want("key", OK, "does not end by itself")
	p.langflow.Fault("/process/none", langflowtest.JSON(500, `{"detail":"x"}`))
	p.want("routes-key", Failed, "a problem of its own")
	p.langflow.Fault("/version", langflowtest.JSON(200, `{"version":"1.0.19","main_version":"1.0.19","package":"Langflow"}`))
	p.want("routes-key", OK, "no route to try")
}

// A server that gives the account no keys is told of, and the rest goes on.
func TestServerWithoutKeys(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	p.signInWithPassword()
	p.langflow.Fault("/api_key/", langflowtest.JSON(403, `{"detail":"API keys are disabled"}`))
	p.want("key", Warning, "API keys are disabled")
	p.want("routes-any", OK, "open to the token")
	p.want("routes-key", Failed, "API keys are disabled")
}

func TestProfileChecks(t *testing.T) {
	p := paths.Paths{Config: t.TempDir()}
	run := func(name string) []Result { return Run(t.Context(), "", ProfileChecks(p, name, "test", nil)...) }
	for _, name := range []string{"absent", "../config", ""} {
		if got := run(name); len(got) != 1 || got[0].Verdict != Failed || got[0].Advice == "" {
			t.Errorf("%q: %+v", name, got)
		}
	}
	server := langflowtest.New(langflowtest.Options{})
	defer server.Close()
	if err := os.Mkdir(p.ProfilesDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.ProfileFile("prod"), fmt.Appendf(nil, "server_url = '%s'\n", server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run("prod"); len(got) != 9 || got[5].Found != "Langflow 1.13.0 answers." {
		t.Errorf("%+v", got)
	}
}

// The fault of a certificate decides the advice.
func TestServerCertificates(t *testing.T) {
	p := newPatient(t, langflowtest.Options{})
	ca := langflowtest.NewAuthority()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	const day = 24 * time.Hour
	for part, c := range map[string]struct {
		cert   tls.Certificate
		caFile string
		advice string
	}{
		"expired on":         {ca.Issue("localhost", now.Add(-3*day), now.Add(-2*day)), file, "Have the server's administrator renew it."},
		"not valid before":   {ca.Issue("localhost", now.Add(2*day), now.Add(3*day)), file, "Set the clock, or ask the server's administrator."},
		"it is for a.test":   {ca.Issue("a.test", now.Add(-day), now.Add(day)), file, "Use such a name in the url, or have the server's administrator renew it."},
		"no authority known": {ca.Issue("localhost", now.Add(-day), now.Add(day)), "", "If it is your company's or your own, add its CA with --ca-file."},
	} {
		front := httptest.NewUnstartedServer(p.langflow)
		front.Config.ErrorLog = log.New(io.Discard, "", 0)
		front.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}}
		front.StartTLS()
		p.server.Profile.ServerURL, p.server.Profile.CAFile = strings.Replace(front.URL, "127.0.0.1", "localhost", 1), c.caFile
		p.ends("tls", part)
		if f := p.examine()["tls"]; f.Advice != c.advice {
			t.Errorf("%s: the advice is %q", part, f.Advice)
		}
		front.Close()
	}
}

// A forward proxy that is in the way is told with its variable, without its
// password.
func TestServerForwardProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
		t.Setenv(name, "")
	}
	p := newPatient(t, langflowtest.Options{})
	p.server.Proxy, p.server.Profile.AllowHTTP = nil, true
	for variable, c := range map[string]struct{ value, server, check, found, advice string }{
		"HTTPS_PROXY": {"http://ann:hunter2@PROXY", "https://flows.test", "tls", "of HTTPS_PROXY refuses the user name and password in it (407).", "Correct them, and restart the agent."},
		"HTTP_PROXY":  {"http://PROXY", "http://flows.test/team", "langflow", "of HTTP_PROXY wants a user name and password (407).", "Put them into it"},
		"ALL_PROXY":   {"http://ann:hunter2%z@PROXY", "https://flows.test", "server-url", "The variable ALL_PROXY is not a URL.", "Correct it, with special characters"},
	} {
		t.Setenv(variable, strings.Replace(c.value, "PROXY", strings.TrimPrefix(proxy.URL, "http://"), 1))
		p.server.Profile.ServerURL = c.server
		p.ends(c.check, c.found)
		for name, f := range p.examine() {
			if strings.Contains(f.Found+f.Advice, "hunter2") || strings.Contains(f.Found+f.Advice, "ann") {
				t.Errorf("%s tells a password: %+v", name, f)
			}
			if name == c.check && !strings.HasPrefix(f.Advice, c.advice) {
				t.Errorf("%s: the advice is %q", variable, f.Advice)
			}
		}
		t.Setenv(variable, "")
	}
}

// The doctor goes through the gateway that the profile's headers open, as the agent does.
func TestThroughAGateway(t *testing.T) {
	langflow := langflowtest.New(langflowtest.Options{})
	t.Cleanup(langflow.Close)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Pass") != "friend" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		langflow.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	at := paths.Paths{Config: t.TempDir(), State: t.TempDir()}
	if err := os.MkdirAll(at.ProfilesDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	a := agent.New(agent.Config{
		Store: keychain.NewMemory(), Clock: clock.System(), Log: slog.New(slog.DiscardHandler), ProfilesDir: at.ProfilesDir(),
	})
	if _, err := a.Add(config.Profile{Name: "prod", ServerURL: front.URL}); err != nil {
		t.Fatal(err)
	}
	examine := func(a *agent.Agent) map[string]Result {
		found := map[string]Result{}
		for _, r := range Run(t.Context(), "", ProfileChecks(at, "prod", "test", a)...) {
			found[r.Check] = r
		}
		return found
	}
	if f := examine(a)["langflow"]; f.Verdict != Failed || !strings.Contains(f.Advice, "langkeep login prod --browser") {
		t.Errorf("without the header: %+v", f)
	}
	_, err := a.Login(t.Context(), "prod", agent.Credentials{
		Method: "password", Username: "admin", Password: secret.New(langflowtest.Admin().Password),
		Headers: map[string]secret.Text{"X-Pass": secret.New("friend")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for check, f := range examine(a) {
		if f.Verdict == Failed {
			t.Errorf("%s: %s", check, f.Found)
		}
	}
	// Without an agent nobody has the header.
	if f := examine(nil)["langflow"]; f.Verdict != Failed || !strings.Contains(f.Found, "No agent runs, so neither kept headers") || f.Advice != "Run langkeep doctor without --no-start." {
		t.Errorf("without an agent: %+v", f)
	}
}
