//go:build unix

package trials

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"langkeep/agent/paths"
)

// A client that an attacker has made, by the hash of its token.
const (
	evilToken   = "lk_0000000000000000000000000000000000000000007"
	evilClients = `{"schema":1,"clients":[{"name":"evil","scopes":["read"],"profiles":["prod"],"created_at":"2026-01-01T00:00:00Z",` +
		`"expires_at":"2099-01-01T00:00:00Z","sha256":"951683063e31f5243aedf3c243241126160c547206e4c325c2bd29a7b012589c"}]}`
)

// planted is something that was there before the agent started.
type planted struct {
	tried, happens string
	at             func(paths.Paths) string
	plant          func(t *testing.T, at string)
	flags          []string // of the agent
	says           string   // what the agent ends with, beside the path; "" if it starts, and then check looks
	check          func(t *testing.T, l launched, at string)
}

// What somebody may have left in the folders while they were open, or by mistake.
func TestAttackFiles(t *testing.T) {
	const (
		refuses = "the agent does not start, and names it"
		waits   = "the agent does not start, and does not wait; no command does"
	)
	var attacks []planted
	for _, dir := range []struct {
		name string
		at   func(paths.Paths) string
	}{
		{"config/", func(p paths.Paths) string { return p.Config }}, {"config/profiles/", paths.Paths.ProfilesDir},
		{"state/", func(p paths.Paths) string { return p.State }}, {"run/", func(p paths.Paths) string { return p.Run }},
	} {
		attacks = append(attacks,
			planted{tried: "`" + dir.name + "` is a link to another folder", happens: refuses, at: dir.at, plant: plantFolderLink, says: "is a symbolic link"},
			planted{tried: "`" + dir.name + "` is a file", happens: refuses, at: dir.at, plant: plantFile(0o600, ""), says: "is not a folder"},
			planted{tried: "`" + dir.name + "` is open to everybody, 0777", happens: "it is closed: 0700", at: dir.at, plant: plantFolder(0o777), check: closedTo(0o700)})
	}
	home := func(p paths.Paths) string { return p.Home }
	profile := func(p paths.Paths) string { return p.ProfileFile("prod") }
	attacks = append(attacks, []planted{
		{tried: "`LANGKEEP_HOME` can be written to by everybody, 0777", happens: "by its user alone: 0755", at: home, plant: plantFolder(0o777), check: closedTo(0o755)},
		{tried: "`LANGKEEP_HOME` is shared, as `/tmp` is: 1777", happens: refuses, at: home, plant: plantFolder(0o777 | fs.ModeSticky), says: "is shared with other users"},

		{tried: "`config.toml` can be changed by everybody, 0666, and lets another user in", happens: refuses, at: paths.Paths.ConfigFile,
			plant: plantFile(0o666, "allow_users = ['nobody']\n"), says: "can be changed by every user"},
		{tried: "`config.toml` is a pipe", happens: waits, at: paths.Paths.ConfigFile, plant: plantPipe, says: "is no ordinary file"},
		{tried: "`config.toml` is a link to a file of one's own", happens: "it is read: people keep settings elsewhere", at: paths.Paths.ConfigFile,
			plant: plantLink("default_profile = 'there'\n"), check: func(t *testing.T, l launched, _ string) {
				if settings := l.ask(t, "GET", "/v1/settings", l.token(t)); !strings.Contains(settings, `"there"`) {
					t.Errorf("the settings are %s", settings)
				}
			}},
		{tried: "`config.toml` is a link to a file of secrets", happens: "the agent does not start; what it says of the line shows nothing of it", at: paths.Paths.ConfigFile,
			plant: plantLink("hunter2 is the password\n"), says: ":1: "},
		{tried: "a profile's file can be changed by everybody, and leads to another server", happens: "it is left alone, and `status` names it", at: profile,
			plant: plantFile(0o666, "server_url = 'https://evil.example'\n"), check: told("can be changed by every user")},
		{tried: "a profile's file is a pipe", happens: "it is left alone, and `status` names it", at: profile, plant: plantPipe, check: told("is no ordinary file")},

		{tried: "`lock` is a link", happens: refuses + "; nothing is made where it leads", at: paths.Paths.Lock, plant: plantDanglingLink, says: "can't lock"},
		{tried: "`lock` is a folder", happens: refuses, at: paths.Paths.Lock, plant: plantFolder(0o700), says: "can't lock"},
		{tried: "`agent.json` is a link", happens: "it is replaced by our file, 0600; what it led to is untouched", at: paths.Paths.Agent, plant: plantLink("precious"), check: replaced},
		{tried: "`agent.json` was made for everybody to change, and leads elsewhere", happens: "it is replaced by our file, 0600", at: paths.Paths.Agent,
			plant: plantFile(0o666, `{"schema":1,"url":"http://127.0.0.1:1","pid":1}`), check: replaced},
		{tried: "`agent.json` is a pipe", happens: "it is replaced by our file, 0600, and no command waits for it", at: paths.Paths.Agent, plant: plantPipe, check: replaced},
		{tried: "`agent.json` is a folder with something in it", happens: refuses, at: paths.Paths.Agent, plant: plantFullFolder, says: "file exists"},
		{tried: "`token` is a link", happens: "it is replaced by our file, 0600; what it led to is untouched", at: paths.Paths.Token, plant: plantLink("precious"), check: replaced},
		{tried: "`token` was made for everybody to read, and somebody holds it open", happens: "it is replaced by our file, 0600; who holds the old one reads nothing", at: paths.Paths.Token,
			plant: plantHeld, check: replaced},
		{tried: "`token` is a folder with something in it", happens: refuses, at: paths.Paths.Token, plant: plantFullFolder, says: "file exists"},
		{tried: "`clients.json` can be changed by everybody, and has a client of the attacker's", happens: "no client is let in, and `status` says why", at: paths.Paths.Clients,
			plant: plantFile(0o666, evilClients), check: func(t *testing.T, l launched, at string) {
				told("can be changed by every user")(t, l, at)
				if l.ask(t, "GET", "/v1/status", evilToken) != "" {
					t.Error("the attacker is let in")
				}
			}},
		{tried: "the same file where nobody else could change it, 0600", happens: "its client is let in", at: paths.Paths.Clients,
			plant: plantFile(0o600, evilClients), check: func(t *testing.T, l launched, _ string) {
				if l.ask(t, "GET", "/v1/status", evilToken) == "" {
					t.Error("it is not: then the case before proves nothing")
				}
			}},
		{tried: "`clients.json` is a pipe", happens: "no client is let in, and `status` says why", at: paths.Paths.Clients, plant: plantPipe, check: told("is no ordinary file")},
		{tried: "`audit.jsonl` is a link", happens: "nothing is written through it, and `status` says so", at: paths.Paths.Audit, plant: plantLink("precious"), check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is a pipe", happens: "the agent does not wait for it, and `status` says so", at: paths.Paths.Audit, plant: plantPipe, check: told("is not an ordinary file")},
		{tried: "`audit.jsonl` is open to everybody, 0666", happens: "it is closed: 0600", at: paths.Paths.Audit, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`log` is a link", happens: refuses + "; what it led to is untouched", at: paths.Paths.Log, plant: plantLink("precious"), says: "is not an ordinary file"},
		{tried: "`log` is a pipe", happens: waits, at: paths.Paths.Log, plant: plantPipe, says: "is not an ordinary file"},
		{tried: "`log` is open to everybody, 0666", happens: "it is closed: 0600", at: paths.Paths.Log, plant: plantFile(0o666, ""), check: closedTo(0o600)},
		{tried: "`secrets.age` is a link", happens: refuses, at: paths.Paths.Secrets, plant: plantLink("precious"), flags: []string{"--store", "file"}, says: "is a symbolic link"},
		{tried: "`secrets.age` can be changed by everybody, 0666", happens: refuses, at: paths.Paths.Secrets, plant: plantFile(0o666, "x"), flags: []string{"--store", "file"},
			says: "can be changed by every user"},
		{tried: "`agent.sock` is a link", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantLink("precious"), says: "is not a socket"},
		{tried: "`agent.sock` is a file", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantFile(0o666, ""), says: "is not a socket"},
		{tried: "`agent.sock` is a socket that another program answers", happens: refuses + ", and leaves it alone", at: paths.Paths.Socket, plant: plantSocket, says: "another program answers"},
		{tried: "`agent.sock` is a socket that nobody answers, open to everybody", happens: "it is replaced by ours, 0600", at: paths.Paths.Socket, plant: plantDeadSocket, check: closedTo(0o600)},
		{tried: "`clients.json` can be read by everybody, 0644", happens: "nobody gets into its folder, 0700, and `doctor` names it", at: paths.Paths.Clients,
			plant: plantFile(0o644, `{"schema":1,"clients":[]}`), check: func(t *testing.T, l launched, at string) {
				closedTo(0o700)(t, l, filepath.Dir(at))
				said, _ := program(t, l.paths, "doctor", "--no-start").Output() // something else may be wrong here too
				if !strings.Contains(string(said), "clients.json is open to other users (0644)") {
					t.Errorf("doctor says %s", said)
				}
			}},
		{tried: "the agent is started where files are made for everybody (umask 000)", happens: "every folder is 0700, every file 0600", at: home,
			plant: func(t *testing.T, _ string) {
				old := syscall.Umask(0)
				t.Cleanup(func() { syscall.Umask(old) })
			}, check: func(t *testing.T, l launched, at string) {
				l.ask(t, "POST", "/v1/page/code", l.token(t)) // which is written down
				err := filepath.WalkDir(at, func(path string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					info, err := d.Info()
					if err == nil && info.Mode().Perm()&0o077 != 0 {
						t.Errorf("%s is %v", path, info.Mode())
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}},
	}...)

	var all []trial
	for _, a := range attacks {
		all = append(all, trial{a.tried, a.happens, a.tryIt})
	}
	runTrials(t, all)
}

func (a planted) tryIt(t *testing.T) {
	p := homeFor(t)
	at := a.at(p)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	a.plant(t, at)
	passphrase := filepath.Join(filepath.Dir(p.Home), "passphrase")
	if err := os.WriteFile(passphrase, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	command := program(t, p, "status", "--no-start")
	late := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
	defer late.Stop()
	_ = command.Run() // there is no agent, which its code says
	if code := command.ProcessState.ExitCode(); code != exitNoAgent {
		t.Errorf("without an agent a command ends with %d", code)
	}
	l := launch(t, p, a.flags...)
	switch {
	case a.says == "" && l.url == "":
		t.Errorf("the agent does not start: %s", l.said)
	case a.says == "":
		a.check(t, l, at)
	case l.url != "":
		t.Error("the agent starts")
	case !strings.Contains(l.said, at) || !strings.Contains(l.said, a.says) || strings.Contains(l.said, "hunter2") || l.ProcessState.ExitCode() <= 0:
		t.Errorf("it ends with %v and says %q, want %q of %s", l.ProcessState, l.said, a.says, at)
	}
}

func plantFolder(mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		if err := errors.Join(os.Mkdir(at, 0o700), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}
}

func plantFullFolder(t *testing.T, at string) {
	if err := os.MkdirAll(filepath.Join(at, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func plantFile(mode fs.FileMode, content string) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		if err := errors.Join(os.WriteFile(at, []byte(content), 0o600), os.Chmod(at, mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// plantHeld makes a file that is held open, and whose holder must read nothing.
func plantHeld(t *testing.T, at string) {
	plantFile(0o666, "")(t, at)
	f, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n, _ := f.Read(make([]byte, 1)); n != 0 {
			t.Error("who holds the old one reads it")
		}
		_ = f.Close() // it was read alone
	})
}

func plantPipe(t *testing.T, at string) {
	if err := syscall.Mkfifo(at, 0o666); err != nil {
		t.Fatal(err)
	}
}

func plantFolderLink(t *testing.T, at string) {
	if err := os.Symlink(t.TempDir(), at); err != nil {
		t.Fatal(err)
	}
}

// plantLink makes a link to a file, which must not change.
func plantLink(content string) func(*testing.T, string) {
	return func(t *testing.T, at string) {
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		if err := errors.Join(os.WriteFile(elsewhere, []byte(content), 0o640), os.Symlink(elsewhere, at)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if text, err := os.ReadFile(elsewhere); string(text) != content {
				t.Errorf("what the link led to is now %q, %v", text, err)
			}
			if info, err := os.Stat(elsewhere); err != nil || info.Mode() != 0o640 {
				t.Errorf("what the link led to is now %v, %v", info, err)
			}
		})
	}
}

func plantDanglingLink(t *testing.T, at string) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file was made where the link leads: %v", err)
		}
	})
}

func plantSocket(t *testing.T, at string) {
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
}

func plantDeadSocket(t *testing.T, at string) {
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(at, 0o777), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until it is so.
func eventually(is func() bool) bool {
	for limit := time.Now().Add(soon); ; time.Sleep(20 * time.Millisecond) {
		if is() || time.Now().After(limit) {
			return is()
		}
	}
}

// closedTo checks a mode, which a file may get when it is first written to.
func closedTo(mode fs.FileMode) func(*testing.T, launched, string) {
	return func(t *testing.T, _ launched, at string) {
		t.Helper()
		if !eventually(func() bool {
			info, err := os.Lstat(at)
			return err == nil && info.Mode().Perm() == mode
		}) {
			t.Errorf("%s is not %v", at, mode)
		}
	}
}

// replaced checks that a file is our own, and has what it should.
func replaced(t *testing.T, l launched, at string) {
	t.Helper()
	info, err := os.Lstat(at)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%s is %v, %v", at, info.Mode(), err)
	}
	text, err := os.ReadFile(at)
	if err != nil || !bytes.Contains(text, []byte(l.url)) && !bytes.HasPrefix(text, []byte("lk_")) {
		t.Errorf("%s has %d bytes, %v", at, len(text), err)
	}
}

// told checks that the status says what is wrong with a file.
func told(what string) func(*testing.T, launched, string) {
	return func(t *testing.T, l launched, at string) {
		t.Helper()
		var said string
		if !eventually(func() bool {
			said = l.status(t)
			return strings.Contains(said, at) && strings.Contains(said, what)
		}) {
			t.Errorf("the status does not say %q of %s: %s", what, at, said)
		}
	}
}

// Somebody may listen where the agent, or a proxy, wants to.
func TestAttackPorts(t *testing.T) {
	runTrials(t, []trial{
		{"the port is held, on 127.0.0.1, `::1`, 0.0.0.0 or `::`, whichever of the two loopback addresses the agent asks for",
			"the agent does not start, and names the address: who says `localhost` could reach the other program", func(t *testing.T) {
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
			}},
		{"while the agent runs somebody takes its port on another address, or on the same one with `SO_REUSEADDR` and `SO_REUSEPORT`", "the system refuses", func(t *testing.T) {
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
		}},
		{"the agent is killed, and somebody listens where it was, and answers as it would", "no command sends anything there: exit code 5", func(t *testing.T) {
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
		}},
		{"a proxy's port is held, on either address, when the agent starts", "the proxy does not open: `proxy_reason` is `port-taken`; asked for again, it takes another port", func(t *testing.T) {
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
		}},
		{"`--listen` with an address that others can reach, or that only looks like this computer's: 0.0.0.0, `::`, 127.0.0.2, a name", "refused: exit code 2", func(t *testing.T) {
			for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "127.0.0.2:0", "localhost.evil.example:0", "[::ffff:127.0.0.1]:0", "192.0.2.1:0"} {
				if a := launch(t, homeFor(t), "--listen", address); a.url != "" || a.ProcessState.ExitCode() != exitUsage {
					t.Errorf("%s: %s", address, a.said)
				}
			}
		}},
		{"`LANGKEEP_URL` names another computer, by a number or a name", "refused: exit code 2, and nothing is sent", func(t *testing.T) {
			for _, url := range []string{"http://192.0.2.1:17860", "http://evil.example:17860", "https://127.0.0.1:17860", "http://127.0.0.1:17860@evil.example", "http://localhost.evil.example"} {
				cmd := program(t, homeFor(t), "status", "--no-start")
				cmd.Env = append(cmd.Env, "LANGKEEP_URL="+url, "LANGKEEP_TOKEN=lk_x")
				out, _ := cmd.CombinedOutput() // its code tells
				if code := cmd.ProcessState.ExitCode(); code != exitUsage {
					t.Errorf("%s ends with %d: %s", url, code, out)
				}
			}
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
