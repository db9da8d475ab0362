package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"langkeep/agent"
	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/langflow"
	"langkeep/agent/paths"
	"langkeep/localapi/words"
)

// Server checks a profile's server, from its name up to the routes that the credential
// opens. A nil function means this computer's own.
type Server struct {
	Profile   config.Profile
	UserAgent string
	// Credential is Agent.Credential of the profile; nil if no agent runs.
	Credential func(ctx context.Context) (*langflow.Client, langflow.Credential, error)
	// Key is Agent.KeyCredential of the profile.
	Key func(ctx context.Context) (*langflow.Client, langflow.Credential, error)
	// Through returns a way to the server by own that sends along what a gateway in front of
	// it wants, and to other origins by foreign. Nil sends nothing along.
	Through func(own, foreign http.RoundTripper) http.RoundTripper
	// EndsKeys tells whether the server ends the key that Key has returned.
	EndsKeys func() bool

	Clock     clock.Clock
	Resolve   func(ctx context.Context, host string) ([]string, error)
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Proxy     func(*http.Request) (*url.URL, error)
	Transport func(ca []byte) (http.RoundTripper, error)
}

const (
	soon     = 14               // days: warn of a certificate that ends within them
	farClock = 30 * time.Second // warn of a clock that is further off
)

// server is a Server with the data that its checks share.
type server struct {
	Server
	url    *url.URL
	proxy  *url.URL // nil: no forward proxy on the way
	client *langflow.Client
	seen   *recorder
	way    http.RoundTripper // by which client asks
}

// Checks are the checks, each of which needs those before it.
func (s Server) Checks() []Check {
	if s.Clock == nil {
		s.Clock = clock.System()
	}
	if s.Resolve == nil {
		s.Resolve = langflow.NewDialer().Lookup
	}
	if s.Dial == nil {
		s.Dial = langflow.NewDialer().Dial
	}
	if s.Proxy == nil {
		s.Proxy = langflow.NewForward(os.Getenv).ForRequest
	}
	if s.Transport == nil {
		s.Transport = func(ca []byte) (http.RoundTripper, error) { return langflow.NewTransport(ca) }
	}
	c := &server{Server: s}
	checks := []Check{
		{Name: "server-url", Look: c.address, Blocks: true},
		{Name: "dns", Look: c.dns, Blocks: true},
		{Name: "tcp", Look: c.tcp, Blocks: true},
		{Name: "tls", Look: c.tls, Blocks: true},
		{Name: "root-path", Look: c.rootPath, Blocks: true},
		{Name: "langflow", Look: c.version, Blocks: true},
		{Name: "clock", Look: c.clock},
		{Name: "sign-in", Look: c.methods},
	}
	if s.Credential == nil {
		return append(checks, Check{Name: "token", Look: func(context.Context) Finding {
			return warning("Run langkeep doctor without --no-start.", "The token and the key were not tried, since no agent runs.")
		}})
	}
	return append(checks,
		Check{Name: "token", Look: c.token, Blocks: true},
		Check{Name: "key", Look: c.key, Blocks: c.byKey()},
		Check{Name: "account", Look: c.account},
		Check{Name: "tweaks", Look: c.tweaks},
		Check{Name: "routes-any", Look: c.routesAny},
		Check{Name: "routes-token", Look: c.routesToken},
		Check{Name: "routes-key", Look: c.routesKey},
		Check{Name: "routes-cookie", Look: c.routesCookie},
	)
}

// recorder remembers the last answer's connection.
type recorder struct {
	http.RoundTripper
	mu  sync.Mutex // protects the following
	tls *tls.ConnectionState
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.RoundTripper.RoundTrip(req)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tls = res.TLS
	}
	return res, err
}

// address makes the client from the profile's settings.
func (s *server) address(context.Context) Finding {
	var ca []byte
	if s.Profile.CAFile != "" {
		var err error
		if ca, err = paths.ReadFile(s.Profile.CAFile, 1<<20); err != nil {
			return failed("Put the CA's certificate there, or change ca_file.", "The CA file can't be read: %v.", err)
		}
	}
	transport, err := s.Transport(ca)
	if err != nil {
		return failed("Change ca_file.", "%s", words.Sentence(err.Error()))
	}
	s.seen = &recorder{RoundTripper: transport}
	if plain, is := transport.(*http.Transport); is && s.Profile.ClientCert != "" {
		own := plain.Clone()
		langflow.NewClientCert(s.Profile.ClientCert, s.Profile.ClientKey).Use(own)
		s.seen.RoundTripper = own
	}
	s.way = s.seen
	if s.Through != nil {
		s.way = s.Through(s.seen, transport)
	}
	s.client, err = langflow.New(s.Profile.ServerURL, langflow.Options{
		Transport: s.way, AllowHTTP: s.Profile.AllowHTTP, Clock: s.Clock, UserAgent: s.UserAgent,
	})
	var e *langflow.Error
	switch {
	case errors.As(err, &e) && e.Kind == langflow.PlainHTTP:
		return failed("Use https://, or allow it for this server with --allow-http.", "%s sends your password unprotected.", s.Profile.ServerURL)
	case err != nil:
		return failed("Correct server_url.", "%s", words.Sentence(err.Error()))
	}
	if s.url, err = url.Parse(s.client.URL()); err == nil {
		s.proxy, err = s.Proxy(&http.Request{URL: s.url})
	}
	var forward *langflow.ForwardError
	switch {
	case errors.As(err, &forward):
		return failed(words.Sentence(forward.Advice), "%s", words.Sentence(forward.Found))
	case err != nil:
		return failed("Correct server_url.", "%s", words.Sentence(err.Error()))
	}
	if s.proxy != nil {
		return ok("%s, through the proxy %s.", s.client.URL(), s.proxy.Host)
	}
	return ok("%s.", s.client.URL())
}

// hop is the host that this computer connects to: the server, or the forward proxy.
func (s *server) hop() (host, port string) {
	u := s.url
	if s.proxy != nil {
		u = s.proxy
	}
	if port = u.Port(); port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if port == "" {
		port = "1080" // of SOCKS
	}
	return u.Hostname(), port
}

func (s *server) dns(ctx context.Context) Finding {
	host, _ := s.hop()
	if net.ParseIP(host) != nil {
		return ok("%s is an address; there is no name to look up.", host)
	}
	addresses, err := s.Resolve(ctx, host)
	if err != nil || len(addresses) == 0 {
		return failed("Check the name, the network and the VPN.", "The name %s can't be looked up.", host)
	}
	more := ""
	if n := len(addresses) - 1; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return ok("%s is %s%s.", host, addresses[0], more)
}

func (s *server) tcp(ctx context.Context) Finding {
	host, port := s.hop()
	address := net.JoinHostPort(host, port)
	begin := time.Now()
	conn, err := s.Dial(ctx, "tcp", address)
	var timeout net.Error
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent
		return ok("%s accepts connections (%d ms).", address, time.Since(begin).Milliseconds())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return failed("Check the network, the VPN and the firewall.", "%s doesn't answer in time.", address)
	}
	return failed("Check that the server runs, and its port.", "%s refuses connections.", address)
}

func (s *server) tls(ctx context.Context) Finding {
	_, err := s.client.Version(ctx)
	if s.url.Scheme == "http" {
		if ip := net.ParseIP(s.url.Hostname()); s.url.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return ok("None, and none is needed on this computer.")
		}
		return warning("Use https:// if the server has it.", "None: everybody on the network can read the traffic.")
	}
	if e, ok := errors.AsType[*langflow.Error](err); ok && (e.Kind == langflow.Certificate || e.Kind == langflow.ForwardProxy) {
		return s.finding(e)
	}
	s.seen.mu.Lock()
	state := s.seen.tls
	s.seen.mu.Unlock()
	if e, ok := errors.AsType[*langflow.Error](err); ok && e.Kind == langflow.Gateway && state == nil {
		return s.finding(e) // it refused the handshake
	}
	if state == nil || len(state.PeerCertificates) == 0 {
		return failed("Check the proxy or gateway in front of the server.", "There is no TLS connection%s.", because(err))
	}
	certificate := state.PeerCertificates[0]
	days := int(certificate.NotAfter.Sub(s.Clock.Now()) / (24 * time.Hour))
	issuer := cmp.Or(certificate.Issuer.CommonName, certificate.Issuer.String())
	if days < soon {
		return warning("Have the server's administrator renew it.", "The certificate, issued by %s, ends in %d days.", issuer, days)
	}
	return ok("The certificate, issued by %s, ends in %d days.", issuer, days)
}

// because formats an error's text for the end of a sentence; "" without one.
func because(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*langflow.Error](err); ok {
		if e.Detail == "" {
			return ""
		}
		return " (" + e.Detail + ")"
	}
	return " (" + err.Error() + ")"
}

// rootPath checks whether the path in the URL is Langflow's.
func (s *server) rootPath(ctx context.Context) Finding {
	if s.url.Path == "" {
		return ok("None.")
	}
	_, err := s.client.Version(ctx)
	if err == nil {
		return ok("%s.", s.url.Path)
	}
	bare := *s.url
	bare.Path = ""
	atOrigin, newErr := langflow.New(bare.String(), langflow.Options{Transport: s.way, AllowHTTP: true, Clock: s.Clock, UserAgent: s.UserAgent})
	if newErr == nil {
		if _, err := atOrigin.Version(ctx); err == nil {
			return failed("Change server_url to that.", "Langflow is at %s, without %s.", bare.String(), s.url.Path)
		}
	}
	return ok("%s; whether it is right can't be told yet.", s.url.Path)
}

func (s *server) version(ctx context.Context) Finding {
	version, err := s.client.Version(ctx)
	if err != nil {
		return s.finding(err)
	}
	return ok("Langflow %s answers.", version)
}

// finding translates an error of the server.
func (s *server) finding(err error) Finding {
	var e *langflow.Error
	if !errors.As(err, &e) {
		return failed("Try again.", "%s", words.Sentence(err.Error()))
	}
	found, advice := words.Checked(e, s.Profile.Name)
	if e.Kind == langflow.Gateway && s.Through == nil {
		found += " No agent runs, so neither kept headers and cookies nor those of a header_command were sent."
		advice = "Run langkeep doctor without --no-start."
	}
	if e.Kind == langflow.RateLimited {
		return warning(advice, "%s", found)
	}
	return failed(advice, "%s", found)
}

func (s *server) clock(context.Context) Finding {
	offset, known := s.client.Offset()
	switch {
	case !known:
		return warning("Have the proxy or gateway in front of the server send a Date.", "The server doesn't tell its time, so this computer's is taken for right.")
	case offset.Abs() < 2*time.Second: // a Date has whole seconds
		return ok("The server's clock agrees with this computer's.")
	}
	side := "ahead of"
	if offset < 0 {
		side = "behind"
	}
	found := fmt.Sprintf("The server's clock is %s %s this computer's, which is allowed for.", offset.Abs().Truncate(time.Second), side)
	if offset.Abs() > farClock {
		return Finding{Warning, found, "Have both computers set their clocks by the network."}
	}
	return ok("%s", found)
}

// methods asks for the server's methods of sign-in. Only a use of auto login shows
// whether there is one.
func (s *server) methods(ctx context.Context) Finding {
	others := "a password, a refresh token or an API key"
	if s.Profile.Method == "external" {
		others = "a password, a refresh token, an API key or the token of an identity provider that it trusts"
	}
	_, err := s.client.AutoLogin(ctx)
	var e *langflow.Error
	switch {
	case err == nil:
		return ok("This server lets everybody in (auto login), and accepts %s.", others)
	case !errors.As(err, &e):
		return warning("Try again.", "%s", words.Sentence(err.Error()))
	case e.Kind != langflow.AutoLoginOff:
		f := s.finding(e)
		f.Verdict = Warning // a gateway may close this route alone
		return f
	case s.Profile.Method == "auto-login":
		return failed("Run langkeep login "+s.Profile.Name+" --method password.", "This server has no auto login any more; it accepts %s.", others)
	}
	return ok("This server accepts %s.", others)
}

func (s *server) byKey() bool { return s.Profile.Method == "api-key" }

func (s *server) token(ctx context.Context) Finding {
	if s.byKey() {
		return ok("None: this profile signs in with an API key.")
	}
	held := "A valid one is held"
	if s.Profile.Method == "external" && s.Profile.TokenCommand.Words() == nil {
		held = "None: the gateway tells the server who asks" // by its cookies
	}
	return s.accepted(ctx, s.Credential, held)
}

func (s *server) key(ctx context.Context) Finding {
	if !s.byKey() {
		f := s.accepted(ctx, s.Key, "One that ends by itself is held")
		if f.Verdict == OK && !s.EndsKeys() {
			// The key's end is known only once the key was made.
			f.Found = strings.Replace(f.Found, "One that ends by itself is held", "One is held that this server does not end by itself, so that Langkeep deletes it in time", 1)
		}
		return f
	}
	return s.accepted(ctx, s.Credential, "One is held")
}

// accepted tries the held credential.
func (s *server) accepted(ctx context.Context, get func(context.Context) (*langflow.Client, langflow.Credential, error), held string) Finding {
	client, credential, err := get(ctx)
	if err != nil {
		return withoutCredential(err)
	}
	user, err := client.WhoAmI(ctx, credential)
	if err == nil {
		return ok("%s, and the server accepts it for %s.", held, user.Username)
	}
	f := s.finding(err)
	if e, ok := errors.AsType[*langflow.Error](err); ok && (e.Kind == langflow.TokenRefused || e.Kind == langflow.KeyRefused) {
		f.Advice = "Run langkeep login " + s.Profile.Name + "."
	}
	return f
}

// withoutCredential is credentialFinding, and a warning where a token can be had.
func withoutCredential(err error) Finding {
	f := credentialFinding(err)
	if none, ok := errors.AsType[*agent.Error](err); ok && none.Kind == agent.NotSupported {
		f.Verdict = Warning
	}
	return f
}

// credentialFinding says why there is no credential.
func credentialFinding(err error) Finding {
	found, advice := words.Advice(err)
	return Finding{Failed, words.Sentence(found), words.Sentence(cmp.Or(advice, "try again"))}
}

func (s *server) routesAny(ctx context.Context) Finding {
	with := "token"
	if s.byKey() {
		with = "key"
	}
	return s.opens(ctx, s.Credential, with, langflow.AnyCredential, "Flows, projects, users and builds")
}

func (s *server) routesToken(ctx context.Context) Finding {
	const what = "The account's own routes (/session, data export)"
	if s.byKey() {
		return ok("%s take a token; this profile has a key.", what)
	}
	return s.opens(ctx, s.Credential, "token", langflow.TokenOnly, what)
}

func (s *server) routesKey(ctx context.Context) Finding {
	const what = "Run, responses, webhooks and a project's MCP"
	return s.opens(ctx, s.Key, "key", langflow.KeyOnly, what)
}

func (s *server) routesCookie(context.Context) Finding {
	const what = "Webhook events and voice take a cookie or an API key"
	return ok("%s; not tried, since that would open a stream.", what)
}

func (s *server) opens(ctx context.Context, get func(context.Context) (*langflow.Client, langflow.Credential, error), with string, class langflow.Class, what string) Finding {
	client, credential, err := get(ctx)
	opened := false
	if err == nil {
		opened, err = client.Opens(ctx, credential, class)
	}
	var e *langflow.Error
	switch {
	case errors.Is(err, langflow.ErrNoRoute):
		return ok("%s: this version has no route to try.", what)
	case errors.As(err, &e):
		return s.finding(e)
	case err != nil:
		return withoutCredential(err)
	case !opened:
		return failed("Sign in again, or check the proxy or gateway in front of the server.", "%s don't open to the %s.", what, with)
	}
	return ok("%s open to the %s.", what, with)
}
