package langflow_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// Each gateway shows itself in its own way, and is named by it, whatever was asked. The
// cases imitate the gateways as their documentation describes them.
func TestGateways(t *testing.T) {
	to := func(location string, cookies ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, c := range cookies {
				w.Header().Add("Set-Cookie", c)
			}
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusFound)
		}
	}
	says := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // read by the test
		}
	}
	for name, tt := range map[string]struct {
		answers http.HandlerFunc
		gateway string
	}{
		"Cloudflare Access":            {to("https://team.cloudflareaccess.com/cdn-cgi/access/login/flows.test?kid=1", "CF_AppSession=x"), vocabulary.CloudflareAccess},
		"oauth2-proxy, to its own":     {to("/oauth2/start?rd=%2F"), vocabulary.OAuth2Proxy},
		"oauth2-proxy, to a provider":  {to("https://idp.test/authorize?client_id=o2p", "_oauth2_proxy_csrf=x"), vocabulary.OAuth2Proxy},
		"oauth2-proxy, as JSON":        {says(401, "", "{}"), vocabulary.OAuth2Proxy},
		"oauth2-proxy, a page":         {says(403, "", "<html><footer>Secured with <a>OAuth2 Proxy</a> version 7.15.6"), vocabulary.OAuth2Proxy},
		"IAP":                          {to("https://accounts.google.com/o/oauth2/v2/auth?client_id=1"), vocabulary.IAP},
		"IAP, refusing":                {says(401, "X-Goog-IAP-Generated-Response: true", "Invalid IAP credentials"), vocabulary.IAP},
		"Easy Auth":                    {to("/.auth/login/aad?post_login_redirect_uri=%2F"), vocabulary.EasyAuth},
		"Easy Auth, refusing":          {says(401, `WWW-Authenticate: Bearer realm="flows.test" authorization_uri="https://login.windows.net/x"`, "You do not have permission to view this directory or page."), vocabulary.EasyAuth},
		"basic authentication":         {says(401, `WWW-Authenticate: Basic realm="flows"`, "<html><h1>401 Authorization Required</h1>"), vocabulary.BasicGateway},
		"basic, in JSON":               {says(401, `WWW-Authenticate: Basic realm="flows"`, `{"detail":"no"}`), vocabulary.BasicGateway},
		"nginx without a certificate":  {says(400, "", "<html><center>No required SSL certificate was sent</center>"), vocabulary.ClientCertificate},
		"an ALB":                       {to("https://idp.test/authorize", "AWSELBAuthSessionCookie-0=x"), vocabulary.OtherGateway},
		"Cloud Run":                    {says(403, "", "<html><h1>Error: Forbidden</h1>"), vocabulary.OtherGateway},
		"a sign-in page with 200":      {says(200, "", `<!DOCTYPE HTML><html><form action="/login"><input type="password">`), vocabulary.OtherGateway},
		"a page that leads to one":     {says(200, "", `<html><meta http-equiv="refresh" content="0;url=/login">`), vocabulary.OtherGateway},
		"an API gateway":               {says(401, "WWW-Authenticate: Key", `{"message":"No API key found in request"}`), vocabulary.OtherGateway},
		"AWS's API Gateway":            {says(403, "X-Amzn-Errortype: ForbiddenException", `{"message":"Forbidden"}`), vocabulary.OtherGateway},
		"Azure API Management":         {says(401, "WWW-Authenticate: AzureApiManagementKey realm=\"flows\"", `{"statusCode":401,"message":"Access denied due to missing subscription key."}`), vocabulary.OtherGateway},
		"Apigee":                       {says(401, "", `{"fault":{"faultstring":"Invalid ApiKey","detail":{"errorcode":"oauth.v2.InvalidApiKey"}}}`), vocabulary.OtherGateway},
		"any page":                     {says(200, "", "<html><h1>It works!</h1>"), ""},
		"JSON that may be Langflow's":  {says(401, "", `{"detail":"of another version"}`), ""},
		"Langflow's own, which has it": {says(401, "WWW-Authenticate: Bearer", `{"detail":"Invalid token"}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(tt.answers)
			defer s.Close()
			c, err := langflow.New(s.URL, langflow.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for path, call := range calls(t.Context(), c) {
				err := call()
				if tt.gateway == "" {
					var e *langflow.Error
					if errors.As(err, &e) && (e.Kind == langflow.Gateway || e.Gateway != "") {
						t.Errorf("%s: %v is no gateway's", path, err)
					}
					continue
				}
				if e := wantKind(t, err, langflow.Gateway); e.Gateway != tt.gateway || e.Final() {
					t.Errorf("%s: %q, %v", path, e.Gateway, err)
				}
			}
		})
	}
}

// A private Space of Hugging Face answers whoever it does not know with a page and 404. No
// page with 404 is a gateway's elsewhere.
func TestPrivateSpace(t *testing.T) {
	for host, want := range map[string]langflow.Kind{"ann-flows.hf.space": langflow.Gateway, "flows.test": langflow.NotLangflow, "hf.space.test": langflow.NotLangflow} {
		c, err := langflow.New("https://"+host, langflow.Options{Transport: answering(func(r *http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("<html><h1>404</h1>Sorry, we can't find the page")), Request: r}
		})})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Version(t.Context())
		wantKind(t, err, want)
	}
}

type answering func(*http.Request) *http.Response

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// A server says by an alert of TLS 1.3 that it wants a client certificate, or another
// one. That of TLS 1.2 for none, handshake failure, has other meanings too.
func TestGatewayWantsACertificate(t *testing.T) {
	good, stranger := langflowtest.NewAuthority(), langflowtest.NewAuthority()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(good.PEM())
	issue := func(by *langflowtest.Authority, until time.Time) []tls.Certificate {
		return []tls.Certificate{by.IssueWith("ana", func(c *x509.Certificate) {
			c.NotAfter, c.ExtKeyUsage = until, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})}
	}
	for name, tt := range map[string]struct {
		sends []tls.Certificate
		alert string
	}{
		"none":             {nil, "tls: certificate required"},
		"of an unknown CA": {issue(stranger, time.Now().Add(time.Hour)), "tls: unknown certificate authority"},
		"that has expired": {issue(good, time.Now().Add(-time.Minute)), "tls: expired certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, MinVersion: tls.VersionTLS13}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			defer s.Close()
			transport := s.Client().Transport.(*http.Transport).Clone()
			// Send the certificate in any case: Go's client leaves out one that no CA of the
			// server's has issued.
			transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tt.sends) == 0 {
					return new(tls.Certificate), nil
				}
				return &tt.sends[0], nil
			}
			c, err := langflow.New(s.URL, langflow.Options{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Refresh(t.Context(), secret.New("refresh-token-of-nobody"), "")
			if e := wantKind(t, err, langflow.Gateway); e.Gateway != vocabulary.ClientCertificate || e.Detail != tt.alert {
				t.Errorf("%+v", e)
			}
		})
	}
}
