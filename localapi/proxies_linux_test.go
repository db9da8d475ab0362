package localapi

import (
	"encoding/json"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"langkeep/localapi/client"
)

// takePort opens and closes the proxy of prod, and listens where it was. give
// gives that listener to another user, which takes root.
func (r *rig) takePort() (give func()) {
	r.t.Helper()
	if os.Getuid() != 0 {
		r.t.Skip("only root can give a socket to another user")
	}
	u, err := url.Parse(*r.setProxy(true).ProxyURL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.setProxy(false)
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // which hides the socket to be given away
	other, err := plain.Listen(r.t.Context(), "tcp", u.Host)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = other.Close() })
	return func() {
		r.t.Helper()
		raw, err := other.(*net.TCPListener).SyscallConn()
		if err != nil {
			r.t.Fatal(err)
		}
		const nobody = 65534
		var chown error
		if err := raw.Control(func(fd uintptr) { chown = syscall.Fchown(int(fd), nobody, nobody) }); err != nil || chown != nil {
			r.t.Fatal(err, chown)
		}
	}
}

func (r *rig) setProxy(on bool) client.Profile {
	r.t.Helper()
	body := `{"proxy":false}`
	if on {
		body = `{"proxy":true}`
	}
	var p client.Profile
	if err := json.Unmarshal([]byte(r.must(200, "PATCH", "/v1/profiles/prod", body)), &p); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// A port that another user holds may have been sent tokens: they are taken back.
func TestProxyPortOfAnotherUser(t *testing.T) {
	r := newRig(t)
	r.signIn()
	give := r.takePort()
	token := r.newClient("tool", "run")
	give()
	if p := r.setProxy(true); p.ProxyURL != nil || p.ProxyReason == nil || *p.ProxyReason != "port-of-another-user" {
		t.Errorf("%v, %v", p.ProxyURL, p.ProxyReason)
	}
	r.refused(client.TypeUnauthorized, token, "GET", "/v1/status", "")
}

// It may come to that while the port is waited for.
func TestProxyPortOfAnotherUserLater(t *testing.T) {
	r := newRig(t)
	r.signIn()
	give := r.takePort()
	token := r.newClient("tool", "read")
	r.setProxy(true)
	if status, _, body := r.ask(token, "GET", "/v1/status", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	give()
	r.server.proxies.reconcile(t.Context(), "prod") // as every 10 s
	r.refused(client.TypeUnauthorized, token, "GET", "/v1/status", "")
}
