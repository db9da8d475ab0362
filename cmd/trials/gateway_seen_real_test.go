//go:build real && linux

package trials

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
)

// gate is a gateway that is put in front of a session, at the session's address.
type gate struct {
	profile string
	gateway string // its name in the API
	says    string // to people; %s is the server
	tls     bool
	address string
	// nginx are the directives that make it of nginx, and lets those that let Langkeep
	// through. Else serve answers, or start starts a program.
	nginx, lets string
	serve       http.HandlerFunc
	over        *tls.Config
	start       func() *beside
}

func (g *gate) url() string {
	if g.tls {
		return "https://" + g.address
	}
	return "http://" + g.address
}

// asksOAuth2Proxy has nginx ask an oauth2-proxy about each request, as ingress-nginx does.
const asksOAuth2Proxy = `
	location /oauth2/ {
		auth_request off;
		proxy_pass http://%[1]s;
		proxy_set_header Host $http_host;
	}
	location = /oauth2/auth {
		internal;
		proxy_pass http://%[1]s;
		proxy_pass_request_body off;
		proxy_set_header Content-Length "";
	}
	auth_request /oauth2/auth;
`

// gates are the gateways that testSeen tries. proxy is the address of oauth2-proxy.
func (g *gateways) gates(t *testing.T, proxy string) []*gate {
	t.Helper()
	redirects := func(to string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for _, one := range header {
				name, value, _ := strings.Cut(one, ": ")
				w.Header().Add(name, value)
			}
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
	passwords := filepath.Join(t.TempDir(), "passwords")
	writeFile(t, passwords, "ana:{PLAIN}only-for-nginx\n")
	asks := fmt.Sprintf(asksOAuth2Proxy, proxy)
	basic := "auth_basic flows; auth_basic_user_file " + passwords + ";"
	const signIn = " in front of %s wants you to sign in"
	gates := []*gate{
		{profile: "proxy", gateway: vocabulary.OAuth2Proxy, says: "oauth2-proxy" + signIn, address: proxy, start: func() *beside {
			return g.oauth2Proxy(t, proxy, strings.Repeat("a", 32), "--skip-provider-button")
		}},
		{profile: "proxy-redirects", gateway: vocabulary.OAuth2Proxy, says: "oauth2-proxy" + signIn,
			nginx: asks + "error_page 401 = @start;\nlocation @start { return 302 /oauth2/start?rd=$request_uri; }"},
		{profile: "proxy-page", gateway: vocabulary.OAuth2Proxy, says: "oauth2-proxy" + signIn,
			nginx: asks + "error_page 401 =403 /oauth2/sign_in;"},
		{profile: "basic", gateway: vocabulary.BasicGateway, says: "A web server in front of %s wants a user name and password of its own",
			nginx: basic, lets: basic + "satisfy any; allow 127.0.0.1; deny all;"},
		{profile: "certificate", gateway: vocabulary.ClientCertificate, says: "A gateway in front of %s wants a client certificate", tls: true,
			nginx: "ssl_client_certificate " + g.caFile + "; ssl_verify_client on;", lets: "ssl_client_certificate " + g.caFile + "; ssl_verify_client optional;"},
		// The rest are imitations, of what the products' documentation says of them.
		{profile: "certificate-by-tls", gateway: vocabulary.ClientCertificate, says: "A gateway in front of %s wants a client certificate", tls: true,
			over: &tls.Config{ClientAuth: tls.RequireAnyClientCert}, serve: http.NotFound}, // as Caddy and Traefik, which are made of Go's TLS too
		{profile: "cloudflare", gateway: vocabulary.CloudflareAccess, says: "Cloudflare Access" + signIn,
			serve: redirects("https://team.cloudflareaccess.com/cdn-cgi/access/login/flows.example.org?kid=1", "Set-Cookie: CF_AppSession=x; HttpOnly")},
		{profile: "iap", gateway: vocabulary.IAP, says: "Google's Identity-Aware Proxy" + signIn,
			serve: redirects("https://accounts.google.com/o/oauth2/v2/auth?client_id=1", "X-Goog-Iap-Generated-Response: true")},
		{profile: "easy-auth", gateway: vocabulary.EasyAuth, says: "Azure's sign-in (Easy Auth)" + signIn,
			serve: redirects("/.auth/login/aad?post_login_redirect_uri=%2F")},
		// A load balancer of AWS, which sends people to a provider of their own.
		{profile: "provider", gateway: vocabulary.OtherGateway, says: "A gateway" + signIn,
			serve: redirects(g.provider.URL+"/auth?client_id=langflow", "Set-Cookie: AWSELBAuthSessionCookie-0=x")},
		{profile: "api-gateway", gateway: vocabulary.OtherGateway, says: "A gateway" + signIn, serve: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"message":"Forbidden"}`) // its reader tells if this fails
		}},
	}
	cert, key := g.certificate(t)
	over := "ssl_certificate " + cert + "; ssl_certificate_key " + key + ";\n"
	for _, one := range gates {
		if one.address == "" {
			one.address = freeAddress(t)
		}
		if one.tls {
			one.nginx, one.lets = over+one.nginx, over+one.lets
		}
		if one.over != nil {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			one.over.Certificates = []tls.Certificate{pair}
		}
	}
	return gates
}

// testSeen puts gateways in front of sessions. Each is recognised and named, nothing
// secret goes astray, and the sessions go on by themselves when the gateways are gone
// or let Langkeep through.
func (g *gateways) testSeen(t *testing.T) {
	proxy := freeAddress(t)
	g.provider = newProvider(t, proxy)
	gates := g.gates(t, proxy)
	p := g.c.person(t, "seen")
	notices := g.notices
	p.runOnDesktop()
	events := p.watch()
	nginx := func(of func(*gate) (directives string, ok bool)) *beside {
		servers := map[string]string{}
		for _, one := range gates {
			if directives, ok := of(one); ok {
				servers[one.address] = directives
			}
		}
		return g.nginx(t, servers)
	}
	signIn := func(one *gate, profile string, code int) done {
		args := []string{"login", profile, one.url(), "--username", g.server.Username, "--password-stdin", "--no-start"}
		if one.tls {
			args = append(args, "--ca-file", g.caFile)
		}
		return p.mustTyping(g.server.Password+"\n", code, args...)
	}
	p.secret("the password", g.server.Password)

	before := nginx(func(one *gate) (string, bool) { return one.lets, true })
	for _, one := range gates {
		signIn(one, one.profile, exitDone)
		p.token(one.profile)
	}
	held := p.stored()
	before.stop()
	stops := []func(){nginx(func(one *gate) (string, bool) { return one.nginx, one.serve == nil && one.start == nil }).stop}
	for _, one := range gates {
		switch {
		case one.serve != nil:
			stops = append(stops, serve(t, one.address, one.serve, one.over))
		case one.start != nil:
			stops = append(stops, one.start().stop)
		}
	}
	_, sent := g.front.since(0)
	p.say(t, "%d gateways are in front of their sessions", len(gates))
	for _, one := range gates {
		p.eventually(time.Minute, one.profile+" names its gateway", func() bool {
			now := p.profile(one.profile)
			return now.State == client.Stale && now.Gateway != nil && *now.Gateway == one.gateway && *now.Reason == "gateway"
		})
	}
	for _, one := range gates {
		// The same for somebody who comes for the first time.
		g.wants(t, one, "login", signIn(one, "new-"+one.profile, exitUnreachable))
		g.wants(t, one, "token", p.must(exitUnreachable, "token", one.profile, "--no-start"))
		g.wants(t, one, "refresh", p.must(exitUnreachable, "refresh", one.profile, "--no-start"))
		status := p.must(exitDone, "status", one.profile, "--no-start")
		g.wants(t, one, "status", status)
		if !strings.Contains(status.stdout, "sign in (gateway)") || strings.Contains(status.stdout, "Nothing is lost") {
			t.Errorf("status says of %s:\n%s", one.profile, status.stdout)
		}
		g.wants(t, one, "doctor", p.must(exitFailed, "doctor", one.profile, "--no-start"))
	}
	for _, one := range gates {
		p.eventually(90*time.Second, "a notification tells of "+one.profile, func() bool { return len(notices.of(one.profile)) > 0 })
		want := fmt.Sprintf(one.says, one.address) + ". Your Langflow session is kept."
		if told := notices.of(one.profile); len(told) != 1 || told[0] != want {
			t.Errorf("the notifications of %s are %q, want %q", one.profile, told, want)
		}
	}
	if now := p.stored(); !slices.Equal(now, held) {
		t.Errorf("the store has %q, had %q", now, held)
	}
	if through, _ := g.front.since(sent); len(through) != 0 {
		t.Errorf("%d requests went through: %s %s", len(through), through[0].method, through[0].path)
	}
	g.nothingAstray(t)

	for _, stop := range stops {
		stop()
	}
	g.oauth2Proxy(t, proxy, strings.Repeat("a", 32), "--skip-auth-route=.*")
	nginx(func(one *gate) (string, bool) { return one.lets, one.start == nil })
	gone := time.Now()
	for _, one := range gates {
		p.eventually(time.Until(gone.Add(150*time.Second)), one.profile+" goes on by itself", func() bool { return p.profile(one.profile).State == client.Fresh })
		p.say(t, "%s goes on %v after its gateway was there", one.profile, time.Since(gone).Round(time.Second))
		p.token(one.profile)
		p.eventually(10*time.Second, "a notification tells that "+one.profile+" is back", func() bool { return len(notices.of(one.profile)) > 1 })
		if told := notices.of(one.profile); len(told) != 2 || told[1] != "Signed in, and refreshes by itself." {
			t.Errorf("the notifications of %s are %q", one.profile, told)
		}
		for _, e := range events.of(one.profile) {
			if e.State == client.SignInRequired || e.State == client.SignedOut && e.LastRefreshAt != nil {
				t.Errorf("%s was %s", one.profile, e.State)
			}
		}
	}
}

// wants wants a command to name a gateway, and nothing else to be the matter.
func (g *gateways) wants(t *testing.T, one *gate, command string, d done) {
	t.Helper()
	all := strings.ToLower(d.stdout + d.stderr)
	named := false
	for _, server := range []string{"the server", one.address} {
		named = named || strings.Contains(all, strings.ToLower(fmt.Sprintf(one.says, server)))
	}
	if !named || strings.Contains(all, "isn't langflow") || strings.Contains(all, "moved") || strings.Contains(all, "can't reach") {
		t.Errorf("%s says of %s:\n%s%s", command, one.profile, d.stdout, d.stderr)
	}
}

// nothingAstray wants nobody but oauth2-proxy to have asked the provider for anything.
// Langkeep has only tried, without a credential, whether the server has moved there.
func (g *gateways) nothingAstray(t *testing.T) {
	t.Helper()
	tried := 0
	for _, r := range g.provider.requests() {
		switch {
		case strings.HasPrefix(r.URL, "/.well-known/") || r.URL == "/jwks":
		case r.Method == http.MethodGet && r.URL == "/api/v1/version":
			tried++
			for _, name := range []string{"authorization", "cookie", "x-api-key", "referer"} {
				if _, ok := r.Headers[name]; ok {
					t.Errorf("the provider is sent the header %s", name)
				}
			}
		default:
			t.Errorf("the provider is sent %s %s", r.Method, r.URL)
		}
	}
	if tried == 0 {
		t.Error("no gateway led to the provider")
	}
	for _, what := range g.c.found(g.provider.said()) {
		t.Errorf("the provider is sent %s", what)
	}
}
