//go:build real && linux

package trials

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"langkeep/agent/langflow/langflowtest/real"
)

// documented are imitations of the gateways of docs/gateways.md in front of the real
// Langflow. meant are pairs of an address there and the address of its imitation; typed
// are the answers to what the commands ask.
type documented struct {
	meant []string
	typed map[string]string
}

// A gateway lets through a request with a header of that value.
var documentedHeaders = map[string]struct{ header, value string }{
	"access": {"Cf-Access-Client-Secret", "the-service-token"},
	"iap":    {"Proxy-Authorization", "Bearer an-id-token"},
	"run":    {"X-Serverless-Authorization", "Bearer an-id-token"},
	"nginx":  {"Authorization", "Basic bWU6b25seS1mb3ItbmdpbngK"},
	"apim":   {"Apikey", "the-gateways-key"},
}

// newDocumented starts the imitations, and writes into dir what the commands read and run:
// me.pem, me.key and the programs in bin.
func newDocumented(t *testing.T, server *real.Server, work, bin string) documented {
	t.Helper()
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := documented{typed: map[string]string{
		"value of CF-Access-Client-Id: ": "the-id", "value of CF-Access-Client-Secret: ": documentedHeaders["access"].value,
		"value of Authorization: ": documentedHeaders["nginx"].value, "value of apikey: ": documentedHeaders["apim"].value,
	}}
	langflow := httputil.NewSingleHostReverseProxy(to)
	front := func(lets func(r *http.Request) bool) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if lets(r) {
				langflow.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<html>forbidden</html>")
		}))
		t.Cleanup(s.Close)
		return s
	}
	open := func(name string, lets func(r *http.Request) bool) {
		s := front(lets)
		s.Start()
		d.meant = append(d.meant, "https://"+name+".example.org", s.URL)
	}
	for name, wants := range documentedHeaders {
		open(name, func(r *http.Request) bool {
			return r.Header.Get(wants.header) == wants.value || name == "access" && r.Header.Get("Cf-Access-Token") == "cloudflareds-token"
		})
	}
	open("space", func(r *http.Request) bool {
		is := r.Header.Get("Authorization") == "Bearer "+server.Password
		r.Header.Del("Authorization") // which a gateway that passes it on does not do: see the page
		return is
	})
	open("sso", func(*http.Request) bool { return true })

	// In the browser the sign-in page signs in by itself, at Langflow too.
	corp := front(nil)
	corp.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("_oauth2_proxy")
		switch {
		case err == nil && c.Value == "a-cookie":
			langflow.ServeHTTP(w, r)
		case strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.SetCookie(w, &http.Cookie{Name: "_oauth2_proxy", Value: "a-cookie", Path: "/", HttpOnly: true})
			http.SetCookie(w, &http.Cookie{Name: "refresh_token_lf", Value: refreshToken(t, server), Path: "/", HttpOnly: true})
			_, _ = io.WriteString(w, "<html>signed in</html>")
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	})
	corp.Start()
	d.meant = append(d.meant, "https://corp.example.org", corp.URL)

	mtls := front(func(r *http.Request) bool { return len(r.TLS.PeerCertificates) > 0 })
	mtls.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	mtls.StartTLS()
	// The person has a certificate of the same maker.
	own := mtls.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	for file, text := range map[string][]byte{
		work + "/ca.pem": cert, work + "/me.pem": cert,
		work + "/me.key":      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		bin + "/cloudflared":  []byte("#!/bin/sh\necho cloudflareds-token\n"),
		bin + "/gcloud":       []byte("#!/bin/sh\necho an-id-token\n"),
		bin + "/oidc-token":   []byte("#!/bin/sh\ncurl -s -d 'username=" + server.Username + "&password=" + server.Password + "' " + server.URL + "/api/v1/login | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/'\n"),
		bin + "/some-browser": []byte("#!/bin/sh\nexec chromium --headless=new --no-sandbox --disable-gpu \"$@\"\n"),
	} {
		mode := os.FileMode(0o600)
		if strings.HasPrefix(file, bin) {
			mode = 0o700
		}
		if err := os.WriteFile(file, text, mode); err != nil {
			t.Fatal(err)
		}
	}
	d.meant = append(d.meant, "https://mtls.example.org", mtls.URL+" --ca-file "+work+"/ca.pem")
	return d
}
