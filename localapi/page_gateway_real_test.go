//go:build real && linux

package localapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/paths"
)

// gate is a gateway in front of a stand-in: an imitation of Cloudflare Access, whose sign-in
// page is its own, so that a browser asks nobody else. Programs get through with a header,
// browsers with a cookie that the page sets as soon as signs is true.
type gate struct {
	*httptest.Server
	signs atomic.Bool
	pass  atomic.Value // the cookie that is let through, a string
}

func newGate(t *testing.T, to *langflowtest.Server) *gate {
	g := &gate{}
	g.pass.Store("first")
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("CF_Authorization")
		switch {
		case r.Header.Get("CF-Access-Client-Id") == "friend", err == nil && cookie.Value == g.pass.Load():
			to.ServeHTTP(w, r)
		case strings.Contains(r.Header.Get("Accept"), "text/html"):
			if g.signs.Load() {
				http.SetCookie(w, &http.Cookie{Name: "CF_Authorization", Value: g.pass.Load().(string), Path: "/", HttpOnly: true})
			}
			_, _ = io.WriteString(w, "<html><title>Sign in</title><meta http-equiv=refresh content=1><form>Sign in</form></html>")
		default:
			http.Redirect(w, r, "https://team.cloudflareaccess.com/cdn-cgi/access/login/flows.example.org", http.StatusFound)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// gateways signs in behind gateways: with headers, a command, and in the browser.
func (c *chromium) gateways(t *testing.T) {
	// The browser that the person signs in in is a real Chromium too. It needs no display,
	// but the agent asks for one.
	wrapper := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec chromium --headless=new --no-sandbox --disable-gpu \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	a := startAgentWith(t, fmt.Sprintf("schema = 1\nbrowser = %q\n", wrapper), "DISPLAY=:none")
	langflow := langflowtest.New(langflowtest.Options{Version: "1.13"})
	t.Cleanup(langflow.Close)
	open := langflowtest.New(langflowtest.Options{Version: "1.13", AutoLogin: true})
	t.Cleanup(open.Close)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(paths.Paths{State: filepath.Join(a.home, "state")}.Log())
			t.Logf("the agent's log:\n%s", log)
		}
	})
	b := c.tab(t)
	b.open(a.link())
	b.reads("sign in once")

	front := newGate(t, langflow)
	host := strings.TrimPrefix(front.URL, "http://")
	wants := "Cloudflare Access in front of " + host + " wants you to sign in."
	b.fill("Address of your Langflow", front.URL)
	b.reads(wants)
	b.fill("Name of the profile", "corp")
	b.shots("add-gateway")
	b.press("Add")
	b.says("corp", wants)
	b.says("corp", "In front of the server")
	if names := value[[]string](b, card("corp")+` && [...document.querySelectorAll("[name=header_name]")].map((e) => e.value)`); strings.Join(names, " ") != "CF-Access-Client-Id CF-Access-Client-Secret" {
		t.Errorf("the headers offered are %v", names)
	}
	b.shots("gateway")

	// The browser opens, and is cancelled.
	b.press("Sign in in the browser")
	b.says("corp", "Finish signing in in the browser window.")
	b.shots("signing-in")
	b.press("Cancel")
	b.says("corp", "Not signed in yet.")
	if said := value[string](b, card("corp")+`.querySelector(".error").textContent`); said != "" {
		t.Errorf("after the person cancelled, the card says %q", said)
	}

	// The form says an error of the gateway's part beside that part.
	b.press("Sign in")
	b.says("corp", "Its value")
	b.fill("User name", langflowtest.Admin().Name)
	b.fill("Password", langflowtest.Admin().Password)
	b.fill("Command that prints a header", "[nothing")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.says("corp", "A command that begins with [ is a JSON array of words.")
	b.fill("Command that prints a header", " ")
	b.fill("Its value", "enemy")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.until(fmt.Sprintf(`%s.querySelector("form .error").textContent.includes(%q)`, card("corp"), wants))
	b.fill("Its value", "friend")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.says("corp", "Signed in as "+langflowtest.Admin().Name)

	// One kept header is replaced beside the sign-in, and then within it.
	b.choose("corp", "Gateway headers")
	b.script(`document.querySelector("form[aria-label='Gateway headers of corp']").requestSubmit()`)
	b.says("corp", "Type a new value.")
	b.fill("Cf-Access-Client-Id", "enemy")
	b.shots("headers")
	b.script(`document.querySelector("form[aria-label='Gateway headers of corp']").requestSubmit()`)
	b.says("corp", "refused the headers that Langkeep keeps for it.")
	b.script(card("corp") + `.querySelector("[aria-label='Sign in corp']").click()`)
	b.says("corp", "Its value")
	b.fill("User name", langflowtest.Admin().Name)
	b.fill("Password", langflowtest.Admin().Password)
	b.fill("Its value", "friend")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.says("corp", "Signed in as "+langflowtest.Admin().Name)

	// A command in place of the headers, which are removed.
	b.choose("corp", "Sign out")
	b.says("corp", "Signed out.")
	b.press("Sign in")
	b.says("corp", wants)
	b.fill("User name", langflowtest.Admin().Name)
	b.fill("Password", langflowtest.Admin().Password)
	b.fill("Command that prints a header", "echo friend")
	b.fill("Header for what it prints", "CF-Access-Client-Id")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.says("corp", "Signed in as "+langflowtest.Admin().Name)
	if p, err := a.profile("corp"); err != nil || strings.Join(p.HeaderCommand, " ") != "echo friend" || *p.HeaderCommandFor != "CF-Access-Client-Id" {
		t.Errorf("the profile is %+v, %v", p, err)
	}

	// In the browser, until the gateway's cookie ends, and again.
	lab := newGate(t, open)
	lab.signs.Store(true)
	b.press("Add a profile")
	b.fill("Address of your Langflow", lab.URL)
	b.reads("in front of " + strings.TrimPrefix(lab.URL, "http://"))
	b.fill("Name of the profile", "lab")
	b.press("Add")
	lab.signs.Store(false)
	b.press("Sign in in the browser")
	b.says("lab", "Finish signing in in the browser window.")
	// A page that is loaded again finds the sign-in, which goes on.
	b.script("location.reload()")
	b.says("lab", "Finish signing in in the browser window.")
	lab.signs.Store(true)
	b.says("lab", "Signed in")
	b.reads("All is well.")
	lab.pass.Store("second")
	b.choose("lab", "Refresh now")
	b.says("lab", "Your Langflow session is kept.")
	b.reads("lab needs you.")
	if said := value[string](b, card("lab")+`.querySelector(".error").textContent`); said != "" {
		t.Errorf("the card says it twice: %q", said)
	}
	b.shots("gateway-ended")
	b.script(card("lab") + `.querySelector("[aria-label='Sign in lab']").click()`)
	b.says("lab", "Signed in")
	b.reads("All is well.")
	if all, err := os.ReadDir(paths.Paths{State: filepath.Join(a.home, "state")}.Browsers()); err == nil && len(all) > 0 {
		t.Errorf("the browsers left %v", all)
	}

	// A web server's name and password, and the other ways on request.
	var changed atomic.Bool // the password
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || changed.Load() || name != "änne" || password != "only for the web" {
			w.Header().Set("WWW-Authenticate", `Basic realm="flows"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		langflow.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	b.press("Add a profile")
	b.fill("Address of your Langflow", web.URL)
	b.reads("wants a user name and password of its own.")
	b.fill("Name of the profile", "web")
	b.press("Add")
	b.says("web", "User name for the web server")
	b.fill("User name", langflowtest.Admin().Name)
	b.fill("Password", langflowtest.Admin().Password)
	b.fill("User name for the web server", "änne")
	b.fill("Password for the web server", "only for the web")
	b.press("Other ways through")
	b.says("web", "Client certificate")
	b.shots("basic")
	b.script(`document.querySelector("form[aria-label='Sign in to web']").requestSubmit()`)
	b.says("web", "Signed in as "+langflowtest.Admin().Name)
	if p, err := a.profile("web"); err != nil || strings.Join(p.GatewayHeaders, " ") != "Authorization" {
		t.Errorf("the profile is %+v, %v", p, err)
	}
	// The page names the kept headers, shows no value, and can remove them.
	changed.Store(true)
	b.choose("web", "Refresh now")
	b.says("web", "refused the headers that Langkeep keeps for it.")
	b.reads("web needs you soon.")
	b.script(card("web") + `.querySelector("[aria-label='Sign in web']").click()`)
	b.says("web", "Sign in with")
	b.press("Other ways through")
	b.says("web", "Kept: Authorization.")
	b.shots("kept")
	b.script(card("web") + `.querySelector("[aria-label='Remove the kept headers']").click()`)
	b.says("web", "The kept headers are removed when you sign in.")
	if text := value[string](b, "document.body.innerHTML"); strings.Contains(text, "only for the web") || strings.Contains(text, "w6RubmU6b25seSBmb3IgdGhlIHdlYg") {
		t.Error("the page has the web server's password")
	}
	b.press("Cancel")

	certificate(t, a, b, langflow)

	// With a token that a command prints.
	held := strings.TrimSpace(a.command("token", "corp"))
	b.choose("corp", "Sign out")
	b.says("corp", "Signed out.")
	b.script(card("corp") + `.querySelector("[aria-label='Sign in corp']").click()`)
	b.says("corp", "Token of an identity provider")
	b.script(`document.querySelector("input[value=external]").click()`)
	b.fill("Command that prints the token", "echo "+held)
	b.shots("external")
	b.script(`document.querySelector("form[aria-label='Sign in to corp']").requestSubmit()`)
	b.says("corp", "with the tokens of `echo`")
	b.innocent(a)
}

// certificate adds a profile behind a gateway that wants a client certificate, of a CA that
// this computer does not trust, and signs in with one.
func certificate(t *testing.T, a *running, b *tab, langflow *langflowtest.Server) {
	t.Helper()
	ca, dir := langflowtest.NewAuthority(), t.TempDir()
	issue := func(name string, change func(*x509.Certificate)) tls.Certificate {
		made := ca.IssueWith(name, change)
		key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string][]byte{
			"ca.pem": ca.PEM(), name + ".pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}),
			name + ".key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		} {
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return made
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	front := httptest.NewUnstartedServer(langflow)
	front.TLS = &tls.Config{
		Certificates: []tls.Certificate{issue("front", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: roots,
	}
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.StartTLS()
	t.Cleanup(front.Close)
	issue("ann", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	at := func(file string) string { return filepath.Join(dir, file) }

	b.press("Add a profile")
	b.fill("Address of your Langflow", front.URL)
	b.fill("CA file (--ca-file)", at("ca.pem"))
	b.press("Trust this CA")
	b.reads("wants a client certificate.")
	b.fill("Name of the profile", "cert")
	b.press("Add")
	b.says("cert", "Its private key")
	b.fill("User name", langflowtest.Admin().Name)
	b.fill("Password", langflowtest.Admin().Password)
	b.fill("Client certificate", at("ann.pem"))
	b.fill("Its private key", at("none.key"))
	send := `document.querySelector("form[aria-label='Sign in to cert']").requestSubmit()`
	b.script(send)
	b.says("cert", "none.key")
	b.fill("Its private key", at("ann.key"))
	b.shots("certificate")
	b.script(send)
	b.says("cert", "Signed in as "+langflowtest.Admin().Name)
	if p, err := a.profile("cert"); err != nil || p.ClientCert == nil || *p.ClientCert != at("ann.pem") || *p.ClientKey != at("ann.key") {
		t.Errorf("the profile is %+v, %v", p, err)
	}
}
