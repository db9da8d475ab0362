//go:build real && linux

package trials

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"langkeep/agent/paths"
	"langkeep/localapi/client"
)

// nobody is the other user.
const nobody = 65534

// asNobody runs a program of another user's and returns what it prints. Its
// script, for a shell, is in stdin.
func asNobody(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = "/", strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return string(out)
}

// curlAsNobody asks with curl; status 0 is no answer.
func curlAsNobody(t *testing.T, config string, args ...string) answer {
	t.Helper()
	return answered(asNobody(t, config, "curl", append([]string{"-sS", "--max-time", "30", "--noproxy", "*", "-K", "-", "-w", "\n%{http_code}"}, args...)...))
}

func bearerConfig(token string) string { return "header = \"Authorization: Bearer " + token + "\"\n" }

// opened lets everybody through the folders to a file, until the test ends.
func (l launched) opened(t *testing.T, file string) {
	t.Helper()
	for dir := filepath.Dir(file); dir != filepath.Dir(filepath.Dir(l.paths.Home)); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, info.Mode().Perm()) })
	}
}

// Another user of this computer, with everything that opens anything.
func TestAttackOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LANGKEEP_PASSPHRASE_FILE", passphrase)
	v := newVictim(t, "--store", "file")
	// A file of each kind: a key and a proxy too.
	if v.ask(t, "GET", "/v1/profiles/prod/api-key", v.words["owner"]) == "" {
		t.Fatal("there is no key")
	}
	proxied, err := v.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
	if err != nil || proxied.ProxyURL == nil {
		t.Fatalf("the proxy is not open: %v", err)
	}
	if err := os.WriteFile(v.paths.ConfigFile(), []byte("schema = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	added, _, err := v.owner.AddClient(t.Context(), client.NewClient{Name: "tool", Scopes: []string{"proxy"}, Profiles: []string{"prod"}})
	if err != nil {
		t.Fatal(err)
	}
	tool := added.Token.Reveal()
	v.begin = v.state(t)
	files := []string{v.paths.ConfigFile(), v.paths.ProfileFile("prod"), v.paths.Lock(), v.paths.Agent(), v.paths.Clients(), v.paths.Keys(),
		v.paths.Audit(), v.paths.Log(), v.paths.Secrets(), v.paths.Token(), v.paths.Socket()}
	forbidden := func(t *testing.T, a answer) (happened string) {
		t.Helper()
		if a.status != http.StatusForbidden || a.kind != client.TypeForbidden {
			t.Errorf("it is answered %d %s", a.status, a.kind)
		}
		return fmt.Sprint(http.StatusForbidden)
	}
	v6 := "http://[::1]:" + v.words["port"]

	runTrials(t, []trial{
		{"TCP, on 127.0.0.1 and `::1`, with the owner's token, a client's, the page's, or none", func(t *testing.T) string {
			var said string
			for _, url := range []string{v.url, v6, "http://localhost:" + v.words["port"]} {
				for _, token := range []string{v.words["owner"], v.words["reader"], v.words["page"], "lk_x"} {
					said = forbidden(t, curlAsNobody(t, bearerConfig(token), url+"/v1/status"))
				}
			}
			return said + ", the same for all"
		}},
		{"a change over TCP, with the owner's token", func(t *testing.T) string {
			var said string
			for _, route := range []string{"/v1/profiles/prod/logout", "/v1/stop", "/v1/page/code"} {
				said = forbidden(t, curlAsNobody(t, bearerConfig(v.words["owner"]), "-X", "POST", v.url+route))
			}
			return said
		}},
		{"the control page's own files, which need no token", func(t *testing.T) string {
			var said string
			for _, route := range []string{"/", "/ui/app.js", "/ui/icon.svg"} {
				said = forbidden(t, curlAsNobody(t, "", v.url+route))
			}
			return said
		}},
		{"the proxy, with a token that it takes", func(t *testing.T) string {
			forbidden(t, curlAsNobody(t, "header = \"x-api-key: "+tool+"\"\n", *proxied.ProxyURL+"/api/v1/users/whoami"))
			return forbidden(t, curlAsNobody(t, "header = \"x-api-key: "+tool+"\"\n", strings.Replace(*proxied.ProxyURL, "127.0.0.1", "[::1]", 1)+"/health"))
		}},
		{"langkeep itself, with a stolen `LANGKEEP_TOKEN`", func(t *testing.T) string {
			out := asNobody(t, fmt.Sprintf("LANGKEEP_HOME=/nonexistent LANGKEEP_URL=%s LANGKEEP_TOKEN=%s %s token prod 2>/dev/null; echo code $?\n", v.url, v.words["owner"], v.Path), "sh")
			if out != fmt.Sprintf("code %d\n", exitNotAllowed) {
				t.Errorf("it prints %q", out)
			}
			return fmt.Sprintf("exit code %d", exitNotAllowed)
		}},
		{"requests whose sender is gone before anybody can look who it was, with the owner's token", func(t *testing.T) string {
			script := fmt.Sprintf("for n in $(seq 50); do exec 3<>/dev/tcp/127.0.0.1/%s && printf 'POST /v1/profiles/prod/logout HTTP/1.1\\r\\nHost: %s\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n' >&3; exec 3>&-; done\n",
				v.words["port"], v.words["host"], v.words["owner"])
			asNobody(t, script, "bash")
			const entry = `"what":"POST /v1/profiles/{name}/logout","refused":"` + client.TypeForbidden + `"`
			said := func() string { return v.ask(t, "GET", "/v1/audit", v.words["owner"]) }
			if !eventually(func() bool { return strings.Contains(said(), entry) }) {
				t.Errorf("the audit log does not tell: %s", said())
			}
			p, err := v.owner.Profile(t.Context(), "prod")
			return "the audit log has `" + entry + "`; " + inState(t, p, err, client.Fresh)
		}},
		{"the socket, with the owner's token and without", func(t *testing.T) string {
			at := []string{"--unix-socket", v.paths.Socket(), "http://localhost/v1/status"}
			const opened fs.FileMode = 0o666
			if a := curlAsNobody(t, "", at...); a.status != 0 {
				t.Errorf("it is answered %d", a.status)
			}
			v.opened(t, v.paths.Socket())
			if a := curlAsNobody(t, "", at...); a.status != 0 { // its own mode
				t.Errorf("where the folders are open it is answered %d", a.status)
			}
			if err := os.Chmod(v.paths.Socket(), opened); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(v.paths.Socket(), 0o600) })
			forbidden(t, curlAsNobody(t, "", at...))
			said := forbidden(t, curlAsNobody(t, bearerConfig(v.words["owner"]), at...))
			return fmt.Sprintf("no answer, in open folders too; where the socket's mode is %04o as well, %s", opened, said)
		}},
		{"reading, writing and replacing each file: " + fileNames(v.paths, files), func(t *testing.T) string {
			dirs := []string{v.paths.Config, v.paths.ProfilesDir(), v.paths.State, v.paths.Run}
			return untouched(t, append(dirs, files...))
		}},
		{"the same where somebody has opened the folders", func(t *testing.T) string {
			for _, file := range files {
				if _, err := os.Lstat(file); err != nil {
					t.Error(err)
				}
				v.opened(t, file)
			}
			said := untouched(t, files)
			// A search that finds nothing proves something only if it can find.
			bait := filepath.Join(v.paths.State, "bait")
			plantFile(0o644, "").do(t, bait)
			defer os.Remove(bait)
			if got := touched(t, []string{bait}); !strings.HasPrefix(got, "read ") {
				t.Errorf("an open file is not found: %q", got)
			}
			return said
		}},
		{"the agent's memory, environment and open files under `/proc`, and a signal to it", func(t *testing.T) string {
			script := fmt.Sprintf("cd /proc/%d || exit; for f in environ mem maps fd/1 task/*/environ; do head -c 1 $f >/dev/null 2>&1 && echo reads $f; done; ls fd 2>/dev/null; readlink cwd exe 2>/dev/null; "+
				"kill -STOP %[1]d 2>/dev/null && echo stops; tr '\\0' ' ' <cmdline\n", v.Process.Pid)
			const arguments = "run --headless --store memory --listen 127.0.0.1:0 --store file"
			if out := asNobody(t, script, "bash"); !strings.HasSuffix(out, "langkeep.exe "+arguments+" ") || strings.Count(out, "\n") != 0 {
				t.Errorf("it prints %q", out)
			}
			return "its arguments are all that can be read: `" + arguments + "`"
		}},
		{"the code of `langkeep open`, read out of the browser's arguments, at once and many times", func(t *testing.T) string {
			return v.raced(t)
		}},
		{"an agent of the other user's own at our port", func(t *testing.T) string {
			l, port := hold(t, "127.0.0.1")
			_ = l.Close() // it is free, and theirs now
			theirs(t, port)
			return launch(t, homeFor(t), "--listen", "127.0.0.1:"+port).endedWith(t, exitFailed, named{"the port", ":" + port})
		}},
		{"the other user holds the port of a proxy, where tools send their tokens", func(t *testing.T) string {
			v := newVictim(t)
			p, err := v.owner.ChangeProfile(t.Context(), "prod", client.ProfileChange{Proxy: new(true)})
			if err != nil || p.ProxyURL == nil {
				t.Fatal(err)
			}
			_ = v.Process.Kill()
			_ = v.Wait() // an error: it was killed
			_, port, _ := net.SplitHostPort(strings.TrimPrefix(*p.ProxyURL, "http://"))
			theirs(t, port)
			const reason = "port-of-another-user"
			a := launch(t, v.paths)
			if !eventually(func() bool { return strings.Contains(a.status(t), `"proxy_reason":"`+reason+`"`) }) {
				t.Errorf("the status is %s", a.status(t))
			}
			good := []string{}
			for _, name := range []string{"reader", "other"} {
				if a.ask(t, "GET", "/v1/status", v.words[name]) != "" {
					good = append(good, name)
				}
			}
			want := []string{"other"} // whose profile is another one
			if !slices.Equal(good, want) {
				t.Errorf("the tokens of %q are good, want %q", good, want)
			}
			return fmt.Sprintf("`proxy_reason` is `%s`; of the profile's client `reader` and of `other`, another profile's, the token of `%s` alone is good", reason, want[0])
		}},
		{"`config.toml`, a profile or `clients.json` that the other user has made, in a folder that was open", func(t *testing.T) string {
			profile := func(p paths.Paths) string { return p.ProfileFile("prod") }
			var said []string
			for name, a := range map[string]planted{
				"config":  {at: paths.Paths.ConfigFile, plant: plantFile(0o644, "allow_users = ['nobody']\n"), says: "belongs to another user"},
				"profile": {at: profile, plant: plantFile(0o644, "server_url = 'https://evil.example'\n"), check: told("belongs to another user")},
				"clients": {at: paths.Paths.Clients, plant: plantFile(0o644, evilClients), check: finding{"no client is let in", func(t *testing.T, l launched, at string) {
					told("belongs to another user").look(t, l, at)
					if l.ask(t, "GET", "/v1/status", evilToken) != "" {
						t.Error("the attacker is let in")
					}
				}}},
			} {
				t.Run(name, func(t *testing.T) { notes(&said, a.ofNobody().tryIt(t)) })
			}
			slices.Sort(said)
			return strings.Join(said, "; or ")
		}},
		{"one of the folders is the other user's", func(t *testing.T) string {
			var said []string
			for name, at := range map[string]func(paths.Paths) string{
				"home": func(p paths.Paths) string { return p.Home }, "config": func(p paths.Paths) string { return p.Config }, "profiles": paths.Paths.ProfilesDir,
				"state": func(p paths.Paths) string { return p.State }, "run": func(p paths.Paths) string { return p.Run },
			} {
				says := "belongs to another user"
				if name == "home" {
					says = "is shared with other users"
				}
				t.Run(name, func(t *testing.T) {
					notes(&said, planted{at: at, plant: plantFolder(0o700), says: says}.ofNobody().tryIt(t))
				})
			}
			slices.Sort(said)
			return strings.Join(said, "; or ")
		}},
	})
	if end := v.state(t); end != v.begin {
		t.Errorf("it was\n%s\nand is\n%s", v.begin, end)
	}
}

// fileNames are the names of files as they stand in the contract.
func fileNames(p paths.Paths, files []string) string {
	var names []string
	for _, f := range files {
		name, _ := filepath.Rel(p.Home, f)
		names = append(names, "`"+name+"`")
	}
	return strings.Join(names, ", ")
}

// touched is what the other user can read or write, or put something beside.
func touched(t *testing.T, files []string) string {
	t.Helper()
	return asNobody(t, strings.Join(files, "\n")+"\n", "bash", "-c", `while read -r f; do
		head -c 1 "$f" >/dev/null 2>&1 && echo "read $f"
		[ -d "$f" ] && ls "$f" >/dev/null 2>&1 && echo "list $f"
		[ -w "$f" ] && echo "write $f"
		(: >"$f.evil") 2>/dev/null && echo "make $f.evil"
		mv "$f" "$f.evil" 2>/dev/null && echo "move $f"
	done`)
}

// untouched wants the other user to reach none of the paths, and says so.
func untouched(t *testing.T, files []string) (happened string) {
	t.Helper()
	if got := touched(t, files); got != "" {
		t.Errorf("the other user can reach\n%s", got)
	}
	return fmt.Sprintf("none of the %d can be read, listed, written, moved or have a file put beside it", len(files))
}

// ofNobody has it planted by the other user.
func (a planted) ofNobody() planted {
	plant := a.plant.do
	a.plant.do = func(t *testing.T, at string) {
		plant(t, at)
		if err := os.Chown(at, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// theirs runs an agent of the other user's own at a port, which is free.
func theirs(t *testing.T, port string) {
	t.Helper()
	home := homeFor(t)
	if err := errors.Join(os.Chmod(filepath.Dir(home.Home), 0o755), os.Mkdir(home.Home, 0o700), os.Chown(home.Home, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, home, "run", "--headless", "--store", "memory", "--listen", "127.0.0.1:"+port)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	lines := started(t, cmd)
	if line, _ := lines.ReadString('\n'); !strings.Contains(line, "listening on") {
		t.Fatalf("the other user's agent says %q", line)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
}

// raced opens the control page with a browser that is slow, while the other user
// reads its arguments, and says how far that one must get.
func (v *victim) raced(t *testing.T) (happened string) {
	const tried, refused = 20, http.StatusForbidden
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte("#!/bin/sh\nsleep 8\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	stolen := make(chan string, 1)
	go func() {
		stolen <- asNobody(t, fmt.Sprintf(`code=
for n in $(seq 2000); do
	code=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -ao '%s/#code=lk_[A-Za-z0-9_-]\{43\}' | head -n 1 | cut -d= -f2)
	[ -z "$code" ] || break
	sleep 0.01
done
echo "$code"
for n in $(seq %[3]d); do
	curl -s --noproxy '*' -o /dev/null -w '%%{http_code}\n' -H 'Origin: %[1]s' -d "{\"code\":\"$code\"}" %[2]s/v1/page/token
done
`, v.url, v.url, tried), "bash")
	}()
	open := program(t, v.paths, "open")
	open.Env = append(open.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	open.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := open.CombinedOutput(); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	code, tries, _ := strings.Cut(<-stolen, "\n")
	if len(code) != 46 {
		t.Fatal("the other user has not seen the code: nothing was tried")
	}
	if want := strings.Repeat(fmt.Sprintln(refused), tried); tries != want {
		t.Errorf("the other user is answered %q", tries)
	}
	if v.exchange(t, code) == "" {
		t.Error("the person's own browser does not get in")
	}
	return fmt.Sprintf("%d, %d times; after that the code is good in the person's own browser", refused, tried)
}
