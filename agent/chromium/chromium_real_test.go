//go:build real && linux

package chromium

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"

	"langkeep/agent/langflow/langflowtest"
	"langkeep/agent/sessionbus/displaytest"
)

// TestReal is a real Chromium on a real X server.
func TestReal(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *rig)
	}{
		{"sign in", signIn},
		{"the person closes the window", personCloses},
		{"a popup", popup},
		{"the context ends", contextEnds},
		{"a page that wants to stay", staysOpen},
		{"crash", crash},
		{"the opener is killed", openerKilled},
		{"the opener is killed and the browser hangs", openerKilledAndHanging},
		{"policy", policy},
		{"no display", noDisplay},
		{"root", asRoot},
		{"proxy", proxied},
		{"certificates", certificates},
		{"which cookies are sent", whichAreSent},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Chromium's files of a short life are in a folder where they are seen.
			// The path is short, for its socket there may have one of 107 characters.
			tmp, err := os.MkdirTemp("/tmp", "lk-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(tmp)
			t.Setenv("TMPDIR", tmp)
			c.test(t, r)
			if left, _ := filepath.Glob(filepath.Join(tmp, "*hromium*")); len(left) != 0 {
				t.Errorf("left among the temporary files: %q", left)
			}
		})
	}
}

// rig has the browser, and a server that it goes to.
type rig struct {
	program string
	extra   []string
	url     string

	mu    sync.Mutex // protects the following
	asked []string   // host, path and names of cookies of each request
}

func newRig(t *testing.T) *rig {
	t.Helper()
	program, err := Find("")
	if err != nil {
		t.Skip(err)
	}
	for _, program := range []string{"xdotool", "certutil", "pk12util", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	displaytest.Use(t)
	r := &rig{program: program}
	if os.Getuid() == 0 {
		r.extra = []string{"--no-sandbox"} // which Chromium else refuses
	}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

const (
	visible = "gateway"
	httpOnl = "refresh_token_lf"
)

func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var names []string
	for _, c := range req.Cookies() {
		names = append(names, c.Name)
	}
	r.mu.Lock()
	r.asked = append(r.asked, req.Host+req.URL.RequestURI()+" "+strings.Join(names, " "))
	r.mu.Unlock()
	w.Header().Set("Content-Type", "text/html")
	switch {
	case req.URL.Query().Has("n"): // it changes nothing
	case req.URL.Path == "/favicon.ico":
		w.WriteHeader(http.StatusNotFound)
	case strings.HasPrefix(req.URL.Path, "/set/"):
		setMany(w)
	case req.URL.Path == "/popup":
		fmt.Fprint(w, `<title>popup</title><body onclick="window.open('/inner', '', 'width=300,height=200')">click`)
	case req.URL.Path == "/inner":
		fmt.Fprint(w, `<title>inner</title><script>document.cookie = "popup=1"</script>`)
	case req.URL.Path == "/stay":
		fmt.Fprint(w, `<title>stay</title><body onclick="document.cookie = 'clicked=1'">click
			<script>onbeforeunload = (e) => { e.preventDefault(); return "stay"; }; setInterval(() => { for (const end = Date.now() + 200; Date.now() < end;); }, 250)</script>`)
	default:
		http.SetCookie(w, &http.Cookie{Name: visible, Value: hidden, Path: "/", MaxAge: 3600})
		http.SetCookie(w, &http.Cookie{Name: httpOnl, Value: hidden, Path: "/", HttpOnly: true})
		fmt.Fprint(w, `<title>sign in</title>`)
	}
}

// saw waits until the server was asked by a browser, and returns the rest of that line.
func (r *rig) saw(t *testing.T, begins string) (rest string) {
	t.Helper()
	found := until(t, "a request "+begins, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, line := range r.asked {
			if after, ok := strings.CutPrefix(line, begins); ok {
				rest = after
				return true
			}
		}
		return false
	})
	if !found {
		t.FailNow()
	}
	return rest
}

// until asks until something is so.
func until(t *testing.T, what string, so func() bool) bool {
	t.Helper()
	for give := time.Now().Add(30 * time.Second); time.Now().Before(give); time.Sleep(20 * time.Millisecond) {
		if so() {
			return true
		}
	}
	t.Errorf("%s does not come", what)
	return false
}

// open opens a window.
func (r *rig) open(t *testing.T, ctx context.Context, path string, extra ...string) (w *Window, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "browser")
	begin := time.Now()
	w, err := Open(ctx, r.program, dir, r.url+path, append(extra, r.extra...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() }) // a test that needs its error has asked
	t.Logf("it answers after %v", time.Since(begin).Round(time.Millisecond))
	return w, dir
}

// has waits until the browser has a cookie.
func has(t *testing.T, w *Window, name string) (all []Cookie) {
	t.Helper()
	until(t, "the cookie "+name, func() bool {
		var err error
		if all, err = w.Cookies(t.Context()); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(c Cookie) bool { return c.Name == name })
	})
	return all
}

// processes are the ids of those that have to do with a folder, or are in a group.
func processes(t *testing.T, dir string, group int) (ids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil || id == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // it may have ended
		its, _ := syscall.Getpgid(id)
		if strings.Contains(string(line), dir) || its == group && len(line) != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// none wants no process and no file to be left.
func none(t *testing.T, dir string, group int) {
	t.Helper()
	until(t, "the end of the browser's processes", func() bool { return len(processes(t, dir, group)) == 0 })
	isGone(t, dir)
}

// listening are the TCP sockets on which the processes listen.
func listening(t *testing.T, ids []int) (all []string) {
	t.Helper()
	inodes := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // there is no IPv6
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	for _, id := range ids {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", id))
		for _, fd := range fds {
			if link, _ := os.Readlink(fd); inodes[link] {
				all = append(all, link)
			}
		}
	}
	return all
}

func signIn(t *testing.T, r *rig) {
	w, dir := r.open(t, t.Context(), "/signed-in")
	all := has(t, w, visible)
	u, _ := url.Parse(r.url)
	if got := For(all, u); len(all) != 2 || len(got) != 2 || !got[1].HTTPOnly || !got[0].HostOnly || got[0].Value.Reveal() != hidden || got[0].Expires.IsZero() || !got[1].Expires.IsZero() {
		t.Errorf("it has %+v; sent are %+v", all, got)
	}
	ids := processes(t, dir, w.tree.group)
	if len(ids) < 3 {
		t.Errorf("its processes are %v", ids)
	}
	if ports := listening(t, ids); len(ports) != 0 {
		t.Errorf("it listens: %v", ports)
	}
	if own := listening(t, []int{os.Getpid()}); len(own) == 0 {
		t.Error("not even the server of the test is seen to listen")
	}
	for _, path := range []string{dir, w.folder, filepath.Join(w.folder, profileName)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	begin := time.Now()
	ends(t, w, dir)
	t.Logf("it is closed after %v", time.Since(begin).Round(time.Millisecond))
	none(t, dir, w.tree.group)
}

// xdotool does as a person.
func xdotool(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	text, err := exec.Command("xdotool", args...).Output()
	return strings.TrimSpace(string(text)), err
}

// window is the X window with a title.
func window(t *testing.T, title string) (id string) {
	t.Helper()
	until(t, "the window "+title, func() bool {
		var err error
		id, err = xdotool(t, "search", "--name", "^"+title+" - ")
		return err == nil && id != "" && !strings.Contains(id, "\n")
	})
	return id
}

// click clicks into a window until the browser has a cookie for it.
func click(t *testing.T, w *Window, id, cookie string) {
	t.Helper()
	until(t, "the cookie "+cookie, func() bool {
		if out, err := xdotool(t, "mousemove", "--window", id, "200", "200", "click", "1"); err != nil {
			t.Fatal(out, err)
		}
		all, err := w.Cookies(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(c Cookie) bool { return c.Name == cookie })
	})
}

// quit closes a window as its button does.
func quit(t *testing.T, id string) {
	t.Helper()
	number, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	x, err := xgb.NewConn()
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	atom := func(name string) uint32 {
		reply, err := xproto.InternAtom(x, false, uint16(len(name)), name).Reply()
		if err != nil {
			t.Fatal(err)
		}
		return uint32(reply.Atom)
	}
	message := xproto.ClientMessageEvent{
		Format: 32, Window: xproto.Window(number), Type: xproto.Atom(atom("WM_PROTOCOLS")),
		Data: xproto.ClientMessageDataUnionData32New([]uint32{atom("WM_DELETE_WINDOW"), 0, 0, 0, 0}),
	}
	if err := xproto.SendEventChecked(x, false, xproto.Window(number), 0, string(message.Bytes())).Check(); err != nil {
		t.Fatal(err)
	}
}

func personCloses(t *testing.T, r *rig) {
	w, dir := r.open(t, t.Context(), "/")
	has(t, w, visible)
	quit(t, window(t, "sign in"))
	within(t, w.Closed(), "the window's end")
	within(t, w.gone, "the folder's deletion")
	none(t, dir, w.tree.group)
}

// A window that opens another, as some ways to sign in do, is open till both are closed.
func popup(t *testing.T, r *rig) {
	w, dir := r.open(t, t.Context(), "/popup")
	first := window(t, "popup")
	click(t, w, first, "popup")
	second := window(t, "inner")
	quit(t, first)
	until(t, "the first window's end", func() bool {
		w.pipe.mu.Lock()
		defer w.pipe.mu.Unlock()
		return len(w.pipe.tabs) == 1
	})
	if _, err := w.Cookies(t.Context()); err != nil {
		t.Errorf("while the popup is open: %v", err)
	}
	quit(t, second)
	within(t, w.gone, "the folder's deletion")
	none(t, dir, w.tree.group)
}

func contextEnds(t *testing.T, r *rig) {
	ctx, cancel := context.WithCancel(t.Context())
	w, dir := r.open(t, ctx, "/")
	cancel()
	within(t, w.gone, "the folder's deletion")
	none(t, dir, w.tree.group)
}

// A page can ask the person whether to leave it, and can be busy: neither keeps the
// browser.
func staysOpen(t *testing.T, r *rig) {
	w, dir := r.open(t, t.Context(), "/stay")
	id := window(t, "stay")
	click(t, w, id, "clicked") // Chromium heeds beforeunload only after a click
	begin := time.Now()
	ends(t, w, dir)
	if took := time.Since(begin); took > usual.end {
		t.Errorf("it took %v", took)
	}
	none(t, dir, w.tree.group)
}

func crash(t *testing.T, r *rig) {
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV} {
		t.Run(signal.String(), func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			w, dir := r.open(t, t.Context(), "/")
			has(t, w, visible)
			if err := syscall.Kill(w.tree.group, signal); err != nil { // the first process alone
				t.Fatal(err)
			}
			within(t, w.Closed(), "the window's end")
			within(t, w.gone, "the folder's deletion")
			none(t, dir, w.tree.group)
			err := filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error {
				if filepath.Ext(path) == ".dmp" {
					t.Errorf("the crash has left %s, which has the browser's memory", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// killedOpener has another process open a window, and kills that process once the window
// has asked the server. It returns the id of the browser's first process, for which before
// is called at last.
func (r *rig) killedOpener(t *testing.T, dir, path string, before func(browser int)) (browser int) {
	t.Helper()
	opener := exec.Command(program(), append([]string{dir, "real", r.program, r.url + path}, r.extra...)...)
	opener.Env = append(os.Environ(), behaviour+"=opener")
	out, err := opener.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := opener.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "open" {
		t.Fatalf("it says %q, %v", line, err)
	}
	r.saw(t, strings.TrimPrefix(r.url, "http://")+path)
	locks, err := filepath.Glob(filepath.Join(dir, "*", lockName))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	text, err := os.ReadFile(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	if browser, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	before(browser)
	if err := opener.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = opener.Wait() // an error: it was killed
	return browser
}

func openerKilled(t *testing.T, r *rig) {
	dir := filepath.Join(t.TempDir(), "browser")
	group := r.killedOpener(t, dir, "/opener-killed", func(int) {})
	begin := time.Now()
	until(t, "the browser's end", func() bool { return len(processes(t, dir, group)) == 0 })
	t.Logf("without the process that opened it, the browser ends within %v", time.Since(begin).Round(10*time.Millisecond))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it has left %v, %v", left, err)
	}
	if err := Sweep(dir); err != nil {
		t.Error(err)
	}
	none(t, dir, group)
}

func openerKilledAndHanging(t *testing.T, r *rig) {
	dir := filepath.Join(t.TempDir(), "browser")
	group := r.killedOpener(t, dir, "/opener-killed-and-hanging", func(browser int) {
		if err := syscall.Kill(browser, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	})
	if len(processes(t, dir, group)) == 0 {
		t.Fatal("the browser does not hang")
	}
	if err := sweep(dir, patience{end: 500 * time.Millisecond, delete: usual.delete}); err != nil {
		t.Error(err)
	}
	none(t, dir, group)
}

// policies is where Debian's Chromium reads its policies.
const policies = "/etc/chromium/policies/managed"

func policy(t *testing.T, r *rig) {
	if os.Getuid() != 0 || !strings.HasPrefix(filepath.Base(r.program), "chromium") {
		t.Skip("only root can set a policy, and here for Debian's Chromium alone")
	}
	made := ""
	for dir := policies; dir != "/etc"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			made = dir
		}
	}
	if err := os.MkdirAll(policies, 0o755); err != nil {
		t.Fatal(err)
	}
	if made != "" {
		t.Cleanup(func() { _ = os.RemoveAll(made) })
	}
	file := filepath.Join(policies, "langkeep-test.json")
	t.Cleanup(func() { _ = os.Remove(file) })
	if err := os.WriteFile(file, []byte(`{"RemoteDebuggingAllowed": false}`), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	begin := time.Now()
	_, err := Open(t.Context(), r.program, dir, r.url+"/policy", r.extra...)
	if !errors.Is(err, ErrForbidden) {
		t.Errorf("it says %v", err)
	}
	t.Logf("it says so after %v", time.Since(begin).Round(10*time.Millisecond))
	none(t, dir, -1)
}

func noDisplay(t *testing.T, r *rig) {
	t.Setenv("DISPLAY", ":987") // where no server is
	dir := t.TempDir()
	_, err := Open(t.Context(), r.program, dir, r.url, r.extra...)
	if !errors.Is(err, ErrNoDisplay) {
		t.Errorf("it says %v", err)
	}
	none(t, dir, -1)
}

// Chromium refuses root, and says so.
func asRoot(t *testing.T, r *rig) {
	if os.Getuid() != 0 {
		t.Skip("only root can be root")
	}
	dir := t.TempDir()
	_, err := Open(t.Context(), r.program, dir, r.url)
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "as root") {
		t.Errorf("it says %v", err)
	}
	none(t, dir, -1)
}

// The person's proxy is the browser's.
func proxied(t *testing.T, r *rig) {
	t.Setenv("http_proxy", r.url)
	dir := t.TempDir()
	w, err := Open(t.Context(), r.program, dir, "http://gateway.test/through", r.extra...)
	if err != nil {
		t.Fatal(err)
	}
	r.saw(t, "gateway.test/through ")
	ends(t, w, dir)
}

// The person's certificates are the browser's: a company's authority, and one that a
// gateway wants of its clients.
func certificates(t *testing.T, r *rig) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	ca := langflowtest.NewAuthority()
	client := ca.IssueWith("person", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	keepCertificates(t, filepath.Join(home, ".pki", "nssdb"), ca, client)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: req.TLS.PeerCertificates[0].Subject.CommonName, Value: "1"})
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue("localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	w, err := Open(t.Context(), r.program, dir, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), r.extra...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	until(t, "the cookie for the certificate", func() bool {
		// The browser asks which one to send: the person takes the first.
		ids, _ := xdotool(t, "search", "--onlyvisible", "--name", ".") // none is there yet
		for id := range strings.FieldsSeq(ids) {
			_, _ = xdotool(t, "windowfocus", id, "key", "Return") // an error: it has closed
		}
		all, err := w.Cookies(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(c Cookie) bool { return c.Name == "person" })
	})
	ends(t, w, dir)
}

// keepCertificates puts certificates where a person's browsers look for them.
func keepCertificates(t *testing.T, store string, ca *langflowtest.Authority, client tls.Certificate) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	plant(t, at("ca.pem"), string(ca.PEM()), 0o600)
	plant(t, at("client.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Certificate[0]})), 0o600)
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"certutil", "-N", "-d", "sql:" + store, "--empty-password"},
		{"certutil", "-A", "-d", "sql:" + store, "-n", "company", "-t", "C,,", "-i", at("ca.pem")},
		{"openssl", "pkcs12", "-export", "-in", at("client.pem"), "-out", at("client.p12"), "-passout", "pass:x"},
		{"pk12util", "-i", at("client.p12"), "-d", "sql:" + store, "-W", "x"},
	} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", words, err, out)
		}
	}
}

// The names of cookies that setMany sets say what they are for.
func setMany(w http.ResponseWriter) {
	for _, c := range []string{
		"host=1; Path=/", "domain=1; Domain=lf.example.test; Path=/", "above=1; Domain=example.test; Path=/",
		"path=1; Path=/set", "deeper=1; Path=/set/deeper", "slash=1; Path=/set/", "likewise=1; Path=/se", "default=1",
		"secure=1; Path=/; Secure", "ended=1; Path=/; Max-Age=0", "hour=1; Path=/; Max-Age=3600", "strict=1; Path=/; SameSite=Strict",
		"none=1; Path=/; SameSite=None; Secure", "partitioned=1; Path=/; Secure; Partitioned; SameSite=None",
		"__Host-h=1; Path=/; Secure", "http=1; Path=/; HttpOnly", "escaped=1; Path=/a%2Fb",
	} {
		w.Header().Add("Set-Cookie", c)
	}
	fmt.Fprint(w, `<title>set</title><script>document.cookie = "script=1; Path=/"</script>`)
}

// whichAreSent compares For with the browser's own choice, for hosts and paths.
func whichAreSent(t *testing.T, r *rig) {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	// A cookie is set by a page of each of these, and then each path is asked for.
	hosts := []string{"lf.example.test", "a.lf.example.test", "example.test", "127.0.0.1", "localhost", "a.localhost"}
	w, dir := r.open(t, t.Context(), "/set/first", "--host-resolver-rules=MAP *.test 127.0.0.1")
	goTo := func(address string) {
		t.Helper()
		if _, err := w.pipe.call(t.Context(), "Target.createTarget", map[string]string{"url": address}); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range hosts {
		goTo("http://" + host + ":" + port + "/set/" + host)
		r.saw(t, host+":"+port+"/set/"+host)
	}
	var cookies []Cookie
	until(t, "every host's cookies", func() bool {
		if cookies, err = w.Cookies(t.Context()); err != nil {
			t.Fatal(err)
		}
		set := 0
		for _, c := range cookies {
			if c.Name == "script" && slices.Contains(hosts, c.Domain) {
				set++
			}
		}
		return set == len(hosts)
	})
	sent := 0
	for n, host := range append(hosts, "b.example.test", "evilexample.test") {
		for m, path := range []string{"/", "/set", "/set/deeper/yet", "/settle", "/a%2Fb", "/a/b"} {
			u, err := url.Parse(fmt.Sprintf("http://%s:%s%s?n=%d.%d", host, port, path, n, m))
			if err != nil {
				t.Fatal(err)
			}
			goTo(u.String())
			got := strings.Fields(r.saw(t, u.Host+u.RequestURI()+" "))
			var want []string
			for _, c := range For(cookies, u) {
				want = append(want, c.Name)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("to %s%s Chromium sends\n%q, For says\n%q", host, path, got, want)
			}
			sent += len(got)
		}
	}
	t.Logf("%d cookies were kept, %d sent", len(cookies), sent)
	ends(t, w, dir)
}
