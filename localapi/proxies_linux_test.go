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

// A port that another user holds may have been sent tokens: they are taken back.
func TestProxyPortOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a socket to another user")
	}
	r := newRig(t)
	r.signIn()
	var p client.Profile
	if err := json.Unmarshal([]byte(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)), &p); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(*p.ProxyURL)
	if err != nil {
		t.Fatal(err)
	}
	token := r.newClient("tool", "run")
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":false}`)

	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // which hides the socket to be given away
	other, err := plain.Listen(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	raw, err := other.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	var chown error
	if err := raw.Control(func(fd uintptr) { chown = syscall.Fchown(int(fd), nobody, nobody) }); err != nil || chown != nil {
		t.Fatal(err, chown)
	}
	p = client.Profile{}
	if err := json.Unmarshal([]byte(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)), &p); err != nil {
		t.Fatal(err)
	}
	if p.ProxyURL != nil || p.ProxyReason == nil || *p.ProxyReason != "port-of-another-user" {
		t.Errorf("%v, %v", p.ProxyURL, p.ProxyReason)
	}
	r.refused(client.TypeUnauthorized, token, "GET", "/v1/status", "")
}

// It may come to that while the port is waited for.
func TestProxyPortOfAnotherUserLater(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a socket to another user")
	}
	r := newRig(t)
	r.signIn()
	var p client.Profile
	if err := json.Unmarshal([]byte(r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)), &p); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(*p.ProxyURL)
	if err != nil {
		t.Fatal(err)
	}
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":false}`)
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	other, err := plain.Listen(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	token := r.newClient("tool", "read")
	r.must(200, "PATCH", "/v1/profiles/prod", `{"proxy":true}`)
	if status, _, body := r.ask(token, "GET", "/v1/status", ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	raw, err := other.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = syscall.Fchown(int(fd), 65534, 65534) }); err != nil {
		t.Fatal(err)
	}
	r.server.proxies.settle(t.Context(), "prod") // as every 10 s
	r.refused(client.TypeUnauthorized, token, "GET", "/v1/status", "")
}
