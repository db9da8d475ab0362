//go:build real && linux

package trials

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"langkeep/agent/langflow/langflowtest"
)

// TestContainers has programs in namespaces, as containers have them, use the proxy: by
// the name of this computer, through slirp4netns, which is podman's own network for
// users; and by the proxy's socket, which is mounted.
func TestContainers(t *testing.T) {
	c := newComputer(t)
	p := c.person(t, "a")
	server := langflowtest.New(langflowtest.Options{})
	t.Cleanup(server.Close)
	p.runAgent("--store", "memory")
	user := langflowtest.Admin()
	p.secret("the password", user.Password)
	p.mustTyping(user.Password+"\n", 0, "login", "prod", server.URL, "--username", user.Name, "--password-stdin", "--no-start")
	address := strings.TrimSpace(p.must(0, "proxy", "prod", "on").stdout)
	token := strings.TrimSpace(p.must(0, "client", "add", "n8n", "--profile", "prod", "--scope", "run").stdout)
	p.secret("a client token", token)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("by a name", func(t *testing.T) {
		p := p.in(t)
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			t.Skipf("slirp4netns can't make a network: %v", err)
		}
		inside := newNamespace(p)
		const here = "10.0.2.2" // slirp4netns' address for the host's loopback
		ask := func(host, token string) answer {
			to := "http://" + host + ":" + u.Port() + "/api/v1/version"
			return inside.curl(token, "--resolve", host+":"+u.Port()+":"+here, to)
		}
		const name = "host.containers.internal"
		p.eventually(10*time.Second, "the network is there", func() bool { return ask(name, token).status != 0 })
		if a := ask(name, token); a.status != 421 {
			t.Errorf("by a name that nobody gave: %d %s", a.status, a.body)
		}
		p.must(0, "proxy", "prod", "on", "--allow-host", name, "--allow-host", here)
		for _, host := range []string{name, here} {
			if a := ask(host, token); a.status != 200 || !strings.Contains(a.body, `"version"`) {
				t.Errorf("by %s: %d %s", host, a.status, a.body)
			}
		}
		if a := ask("evil.example", token); a.status != 421 {
			t.Errorf("by another name: %d %s", a.status, a.body)
		}
		if a := ask(name, ""); a.status != 401 {
			t.Errorf("without a token: %d %s", a.status, a.body)
		}
		p.must(0, "proxy", "prod", "on", "--allow-host", "none")
		if a := ask(name, token); a.status != 421 {
			t.Errorf("by a name that was taken back: %d %s", a.status, a.body)
		}
	})

	t.Run("by the socket", func(t *testing.T) {
		p := p.in(t)
		p.must(0, "proxy", "prod", "on", "--socket")
		folder := p.paths.ProxySocketDir("prod")
		mounted := filepath.Join(p.tmp, "mounted")
		if err := os.Mkdir(mounted, 0o700); err != nil {
			t.Fatal(err)
		}
		inside := newNamespace(p)
		if out, err := inside.command("mount", "--bind", folder, mounted).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		ask := func(token string) answer {
			return inside.curl(token, "--unix-socket", filepath.Join(mounted, "proxy.sock"), "http://localhost/api/v1/version")
		}
		if a := ask(token); a.status != 200 || !strings.Contains(a.body, `"version"`) {
			t.Errorf("with the client's token: %d %s", a.status, a.body)
		}
		for _, token := range []string{"", p.owner()} {
			if a := ask(token); a.status != 401 && a.status != 403 {
				t.Errorf("without a client's token: %d %s", a.status, a.body)
			}
		}
		if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
			t.Errorf("the folder has more than the socket: %v, %v", files, err)
		}
		// The agent's end and return reach through the mount.
		p.must(0, "stop")
		if a := ask(token); a.status != 0 {
			t.Errorf("without an agent: %d", a.status)
		}
		p.runAgent("--store", "memory")
		p.eventually(10*time.Second, "the socket is back", func() bool { return ask(token).status != 0 })
		p.must(0, "proxy", "prod", "on", "--socket=false")
		if a := ask(token); a.status != 0 {
			t.Errorf("a socket that was taken away: %d", a.status)
		}
	})
	p.must(0, "stop")
}

// namespace has a network and mounts of its own.
type namespace struct {
	*person
	pid int
}

// newNamespace makes one, with slirp4netns as its network, until the test ends.
func newNamespace(p *person) *namespace {
	p.t.Helper()
	sleeper := p.program("unshare", "--net", "--mount", "--propagation", "private", "cat")
	hold, err := sleeper.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	n := &namespace{p, start(p, sleeper)}
	p.t.Cleanup(func() { _ = hold.Close() }) // cat ends
	own, _ := os.Readlink("/proc/self/ns/net")
	p.eventually(10*time.Second, "the namespace is there", func() bool {
		inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", n.pid))
		return err == nil && inside != own
	})
	if _, err := os.Stat("/dev/net/tun"); err == nil {
		network := p.program("slirp4netns", "--configure", strconv.Itoa(n.pid), "tap0")
		start(p, network)
		p.t.Cleanup(func() { _ = network.Process.Kill() })
	}
	return n
}

// start starts a program that is waited for when the test ends.
func start(p *person, cmd *exec.Cmd) (pid int) {
	p.t.Helper()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Wait() }) // an error: it may have been killed
	return cmd.Process.Pid
}

// command is a program inside.
func (n *namespace) command(name string, args ...string) *exec.Cmd {
	return n.program("nsenter", append([]string{"--target", strconv.Itoa(n.pid), "--net", "--mount", name}, args...)...)
}

// curl asks from inside, with a token as its key.
func (n *namespace) curl(token string, args ...string) answer {
	n.t.Helper()
	cmd := n.command("curl", append([]string{"-sS", "--max-time", "10", "--noproxy", "*", "-K", "-", "-w", "\n%{http_code}"}, args...)...)
	return answered(n.run(cmd, "header = \"X-Api-Key: "+token+"\"\n").stdout)
}
