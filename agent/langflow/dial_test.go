//go:build unix && !darwin

package langflow_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"langkeep/agent/langflow"
	"langkeep/agent/langflow/langflowtest"
)

// A name that Go's resolver does not find is asked of the system, by a getent that
// stands in for the real one here, and for no other name.
func TestNamesOfTheSystem(t *testing.T) {
	dns, err := langflowtest.NewDNS()
	if err != nil {
		t.Skip("there can be no name server here: ", err)
	}
	defer dns.Close()
	before := net.DefaultResolver
	net.DefaultResolver = dns.Resolver()
	defer func() { net.DefaultResolver = before }()
	s := langflowtest.New(langflowtest.Options{})
	defer s.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))

	folder := t.TempDir()
	log := filepath.Join(folder, "log")
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >>'%s'
case $2 in
nas.local) printf '%%s\n' '100::1 STREAM nas.local' '100::1 DGRAM' '127.0.0.1 STREAM' '127.0.0.1 DGRAM' '127.0.0.1 RAW';;
odd.local) printf '%%s\n' '' 'no address' '127.0.0.1';;
*) exit 2;;
esac
`, log)
	if err := os.WriteFile(filepath.Join(folder, "getent"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	asked := func() string {
		said, _ := os.ReadFile(log) // none if nobody asked
		_ = os.Remove(log)
		return strings.TrimSpace(string(said))
	}
	version := func(host string) error {
		transport, err := langflow.NewTransport(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		transport.Proxy = nil
		c, err := langflow.New("http://"+host+":"+port, langflow.Options{Transport: transport, AllowHTTP: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Version(t.Context())
		return err
	}
	for _, host := range []string{"nas.local", "odd.local"} {
		if err := version(host); err != nil {
			t.Error(err)
		}
		if said := asked(); said != "ahosts "+host {
			t.Errorf("the system was asked %q", said)
		}
	}
	err = version("absent.local")
	if e := wantKind(t, err, langflow.Unreachable); !strings.Contains(e.Detail, "absent.local") {
		t.Errorf("it does not say which name: %v", e)
	}
	asked()
	dns.Set("known.test.", "127.0.0.1")
	for _, host := range []string{"known.test", "127.0.0.1", "-s.local"} { // the last would be an option
		_ = version(host)
		if said := asked(); said != "" {
			t.Errorf("%s: the system was asked %q", host, said)
		}
	}

	addresses, err := langflow.NewDialer().Lookup(t.Context(), "nas.local")
	if err != nil || !slices.Equal(addresses, []string{"100::1", "127.0.0.1"}) {
		t.Errorf("doctor is told %v, %v", addresses, err)
	}
	if _, err := langflow.NewDialer().Lookup(t.Context(), "absent.local"); err == nil {
		t.Error("doctor is told of a name that is not there")
	}

	// A system that hangs is not waited for.
	if err := os.WriteFile(filepath.Join(folder, "getent"), []byte("#!/bin/sh\necho asked >>'"+log+"'\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for asked() == "" {
			runtime.Gosched()
		}
		cancel()
	}()
	if _, err := langflow.NewDialer().Dial(ctx, "tcp", "nas.local:1"); err == nil {
		t.Error("it connects to a name that is not there")
	}
}
