//go:build unix

package trials

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Somebody may listen where the agent, or a proxy, wants to.
func TestAttackPorts(t *testing.T) {
	runTrials(t, []trial{
		{"the port is held, on 127.0.0.1, `::1`, 0.0.0.0 or `::`, whichever of the two loopback addresses the agent asks for",
			func(t *testing.T) string {
				var said string
				for _, holder := range []string{"127.0.0.1", "::1", "0.0.0.0", "::"} {
					l, port := hold(t, holder)
					for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
						a := launch(t, homeFor(t), "--listen", net.JoinHostPort(host, port))
						said = a.endedWith(t, exitFailed, named{"the port", ":" + port}, named{"`--listen`", "--listen"})
					}
					_ = l.Close()
				}
				return because(said, "who says `localhost` could reach the other program")
			}},
		{"while the agent runs somebody takes its port on another address, or on the same one with `SO_REUSEADDR` and `SO_REUSEPORT`", func(t *testing.T) string {
			if runtime.GOOS != "linux" {
				t.Skip("other systems let one listen on 0.0.0.0 beside 127.0.0.1, where the agent is still the one that is reached")
			}
			a := launch(t, homeFor(t))
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
			reuse := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
				controlErr := c.Control(func(fd uintptr) {
					err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1), syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, unix.SO_REUSEPORT, 1))
				})
				return errors.Join(err, controlErr)
			}}
			const refused = syscall.EADDRINUSE
			for _, host := range []string{"127.0.0.1", "::1", "0.0.0.0", "::"} {
				l, err := reuse.Listen(t.Context(), "tcp", net.JoinHostPort(host, port))
				if err == nil {
					_ = l.Close()
				}
				if !errors.Is(err, refused) {
					t.Errorf("%s: %v, want: %v", host, err, refused)
				}
			}
			return "the system refuses: `" + refused.Error() + "`"
		}},
		{"the agent is killed, and somebody listens where it was, and answers as it would", func(t *testing.T) string {
			a := launch(t, homeFor(t))
			_ = a.Process.Kill()
			_ = a.Wait() // an error: it was killed
			l, err := net.Listen("tcp", strings.TrimPrefix(a.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int32
			stranger := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				_, _ = io.WriteString(w, `{"profiles":[{"name":"prod","state":"fresh"}]}`)
			})}
			go func() { _ = stranger.Serve(l) }()
			t.Cleanup(func() { _ = stranger.Close() })
			var said string
			for _, args := range []string{"status", "token prod", "login prod --username admin --password-stdin", "refresh prod"} {
				cmd := program(t, a.paths, append(strings.Fields(args), "--no-start")...)
				cmd.Stdin = strings.NewReader("hunter2\n")
				said, _ = ends(t, cmd, exitNoAgent)
			}
			const want = 0
			if n := asked.Load(); n != want {
				t.Errorf("%d requests come there", n)
			}
			return fmt.Sprintf("%s for each command, and %d requests come there", said, want)
		}},
		{"a proxy's port is held, on either address, when the agent starts", func(t *testing.T) string {
			const reason = "port-taken"
			var again string
			for _, holder := range []string{"127.0.0.1", "::1"} {
				_, port := hold(t, holder)
				p := homeFor(t)
				if err := p.Create(); err != nil {
					t.Fatal(err)
				}
				settings := "schema = 1\nserver_url = 'https://x.test'\nproxy = true\nproxy_port = " + port + "\n"
				if err := os.WriteFile(p.ProfileFile("prod"), []byte(settings), 0o600); err != nil {
					t.Fatal(err)
				}
				a := launch(t, p)
				if !eventually(func() bool { return strings.Contains(a.status(t), `"proxy_reason":"`+reason+`"`) }) || !strings.Contains(a.status(t), `"proxy_url":null`) {
					t.Errorf("%s is held: %s", holder, a.status(t))
				}
				var out []byte
				again, out = ends(t, program(t, p, "proxy", "prod", "on"), exitDone)
				if bytes.Contains(out, []byte(":"+port)) || !bytes.Contains(out, []byte("http://127.0.0.1:")) {
					t.Errorf("asked for again: %s", out)
				}
			}
			return "`proxy_url` is null and `proxy_reason` is `" + reason + "`; asked for again, the proxy takes another port: " + again
		}},
		{"`--listen` with an address that others can reach, or that only looks like this computer's: 0.0.0.0, `::`, 127.0.0.2, a name", func(t *testing.T) string {
			var said string
			for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "127.0.0.2:0", "localhost.evil.example:0", "[::ffff:127.0.0.1]:0", "192.0.2.1:0"} {
				said = launch(t, homeFor(t), "--listen", address).endedWith(t, exitUsage)
			}
			return said
		}},
		{"`LANGKEEP_URL` names another computer, by a number or a name", func(t *testing.T) string {
			var said string
			for _, url := range []string{"http://192.0.2.1:17860", "http://evil.example:17860", "https://127.0.0.1:17860", "http://127.0.0.1:17860@evil.example", "http://localhost.evil.example"} {
				cmd := program(t, homeFor(t), "status", "--no-start")
				cmd.Env = append(cmd.Env, "LANGKEEP_URL="+url, "LANGKEEP_TOKEN=lk_x")
				said, _ = ends(t, cmd, exitUsage)
			}
			return said
		}},
	})
}

// hold takes a free port of an address.
func hold(t *testing.T, host string) (l net.Listener, port string) {
	t.Helper()
	network := "tcp"
	if host == "0.0.0.0" {
		network = "tcp4" // else it would be ::
	}
	l, err := net.Listen(network, net.JoinHostPort(host, "0"))
	if err != nil {
		t.Skipf("this computer has no such address: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return l, port
}
