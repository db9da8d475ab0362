//go:build unix

package trials

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Somebody may listen where the agent, or a proxy, wants to.
func TestAttackPorts(t *testing.T) {
	runTrials(t, []trial{
		{"the port is held, on 127.0.0.1, `::1`, 0.0.0.0 or `::`, whichever of the two loopback addresses the agent asks for",
			func(t *testing.T) string {
				for _, holder := range []string{"127.0.0.1", "::1", "0.0.0.0", "::"} {
					l, port := hold(t, holder)
					for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
						a := launch(t, homeFor(t), "--listen", net.JoinHostPort(host, port))
						if a.url != "" || a.ProcessState.ExitCode() != exitFailed || !strings.Contains(a.said, ":"+port) || !strings.Contains(a.said, "--listen") {
							t.Errorf("%s is held, and the agent at %s says %q", l.Addr(), host, a.said)
						}
					}
					_ = l.Close()
				}
				return "the agent does not start, and names the address: who says `localhost` could reach the other program"
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
			for _, host := range []string{"127.0.0.1", "::1", "0.0.0.0", "::"} {
				if l, err := reuse.Listen(t.Context(), "tcp", net.JoinHostPort(host, port)); err == nil {
					t.Errorf("%s is given away", l.Addr())
					_ = l.Close()
				}
			}
			return "the system refuses"
		}},
		{"the agent is killed, and somebody listens where it was, and answers as it would", func(t *testing.T) string {
			a := launch(t, homeFor(t))
			_ = a.Process.Kill()
			_ = a.Wait() // an error: it was killed
			l, err := net.Listen("tcp", strings.TrimPrefix(a.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			stranger := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				t.Errorf("it is sent %s %s", r.Method, r.URL)
				_, _ = io.WriteString(w, `{"profiles":[{"name":"prod","state":"fresh"}]}`)
			})}
			go func() { _ = stranger.Serve(l) }()
			t.Cleanup(func() { _ = stranger.Close() })
			for _, args := range []string{"status", "token prod", "login prod --username admin --password-stdin", "refresh prod"} {
				cmd := program(t, a.paths, append(strings.Fields(args), "--no-start")...)
				cmd.Stdin = strings.NewReader("hunter2\n")
				out, _ := cmd.CombinedOutput() // its code tells
				if code := cmd.ProcessState.ExitCode(); code != exitNoAgent {
					t.Errorf("%s ends with %d: %s", args, code, out)
				}
			}
			return "no command sends anything there: exit code 5"
		}},
		{"a proxy's port is held, on either address, when the agent starts", func(t *testing.T) string {
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
				if !eventually(func() bool { return strings.Contains(a.status(t), `"proxy_reason":"port-taken"`) }) || !strings.Contains(a.status(t), `"proxy_url":null`) {
					t.Errorf("%s is held: %s", holder, a.status(t))
				}
				if out, err := program(t, p, "proxy", "prod", "on").CombinedOutput(); err != nil || bytes.Contains(out, []byte(":"+port)) || !bytes.Contains(out, []byte("http://127.0.0.1:")) {
					t.Errorf("asked for again: %s, %v", out, err)
				}
			}
			return "the proxy does not open: `proxy_reason` is `port-taken`; asked for again, it takes another port"
		}},
		{"`--listen` with an address that others can reach, or that only looks like this computer's: 0.0.0.0, `::`, 127.0.0.2, a name", func(t *testing.T) string {
			for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "127.0.0.2:0", "localhost.evil.example:0", "[::ffff:127.0.0.1]:0", "192.0.2.1:0"} {
				if a := launch(t, homeFor(t), "--listen", address); a.url != "" || a.ProcessState.ExitCode() != exitUsage {
					t.Errorf("%s: %s", address, a.said)
				}
			}
			return "refused: exit code 2"
		}},
		{"`LANGKEEP_URL` names another computer, by a number or a name", func(t *testing.T) string {
			for _, url := range []string{"http://192.0.2.1:17860", "http://evil.example:17860", "https://127.0.0.1:17860", "http://127.0.0.1:17860@evil.example", "http://localhost.evil.example"} {
				cmd := program(t, homeFor(t), "status", "--no-start")
				cmd.Env = append(cmd.Env, "LANGKEEP_URL="+url, "LANGKEEP_TOKEN=lk_x")
				out, _ := cmd.CombinedOutput() // its code tells
				if code := cmd.ProcessState.ExitCode(); code != exitUsage {
					t.Errorf("%s ends with %d: %s", url, code, out)
				}
			}
			return "refused: exit code 2, and nothing is sent"
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
