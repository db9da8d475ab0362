package guard

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// connect dials; the network "mapped" reaches an IPv4 address over an IPv6
// socket, as programs do that know IPv6 alone.
func connect(network, addr string) (net.Conn, error) {
	if network != "mapped" {
		return net.Dial(network, addr)
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), addr)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func pair(t *testing.T, network, listen string) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skipf("listening on %s: %v", listen, err)
	}
	defer l.Close()
	c, err := connect(network, l.Addr().String())
	if err != nil {
		t.Skipf("connecting to %s: %v", l.Addr(), err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// lookUp works as a server does: with the ends of the accepted connection.
func lookUp(users *tcpUsers, server *net.TCPConn) (uint32, error) {
	c := newConn(server)
	p, err := users.lookUp(c.remote, c.local)
	return p.uid, err
}

func TestLookUp(t *testing.T) {
	users := new(tcpUsers)
	for _, test := range []struct{ name, network, listen string }{
		{"IPv4", "tcp4", "127.0.0.1:0"},
		{"IPv6", "tcp6", "[::1]:0"},
		{"mapped", "mapped", "127.0.0.1:0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, s := pair(t, test.network, test.listen)
			for range 3 {
				if uid, err := lookUp(users, s); err != nil || uid != uint32(os.Getuid()) {
					t.Fatalf("%d, %v", uid, err)
				}
			}
			// With its writing side closed, the client is still somebody's.
			_ = c.CloseWrite()
			if uid, err := lookUp(users, s); err != nil || uid != uint32(os.Getuid()) {
				t.Errorf("half closed: %d, %v", uid, err)
			}
			_ = c.Close()
			if uid, err := lookUp(users, s); err != errNobody {
				t.Errorf("closed: %d, %v", uid, err)
			}
		})
	}
}

// Where there is no such connection the kernel answers with a listener on the
// same port, which must not pass for the client.
func TestLookUpTakesNoListenerForAClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listening := l.Addr().(*net.TCPAddr).AddrPort()
	users := new(tcpUsers)
	p, err := users.lookUp(listening, netip.MustParseAddrPort("127.0.0.1:9"))
	if err != errNobody {
		t.Errorf("%+v, %v", p, err)
	}
	answer, err := users.exchange(diagRequest(listening, netip.MustParseAddrPort("127.0.0.1:9"), ^uint32(0), 0))
	if err != nil || len(answer) < answerLen || binary.BigEndian.Uint16(answer[headerLen+4:]) != listening.Port() {
		t.Errorf("the kernel answers otherwise now: %x, %v", answer, err)
	}
}

func TestMappedClientIsHeard(t *testing.T) {
	listeners := listenTCP(t)
	g := ownersGuard()
	testServer(t, g, listeners...)
	addr := listeners[0].Addr().String()
	c, err := connect("mapped", addr)
	if err != nil {
		t.Skipf("connecting to %s over IPv6: %v", addr, err)
	}
	defer c.Close()
	answer, body := send(t, c, "GET / HTTP/1.1\nHost: "+addr+bearerLine+"\n\n")
	if answer.StatusCode != 200 || g.PeerLookup() != nil {
		t.Errorf("%d %s, %v", answer.StatusCode, body, g.PeerLookup())
	}
}

func TestLookUpOpensAgain(t *testing.T) {
	_, s := pair(t, "tcp4", "127.0.0.1:0")
	users := new(tcpUsers)
	if _, err := lookUp(users, s); err != nil {
		t.Fatal(err)
	}
	// In place of the netlink socket comes something that takes no requests.
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(users.fd)
	users.fd = null
	if uid, err := lookUp(users, s); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("%d, %v", uid, err)
	}
}

func TestLookUpSkipsOldAnswers(t *testing.T) {
	_, s := pair(t, "tcp4", "127.0.0.1:0")
	users := new(tcpUsers)
	if _, err := lookUp(users, s); err != nil {
		t.Fatal(err)
	}
	// An answer that nobody read, of a look-up that was given up.
	old := diagRequest(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"), ^uint32(0), 0)
	if err := unix.Sendto(users.fd, old, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	if uid, err := lookUp(users, s); err != nil || uid != uint32(os.Getuid()) {
		t.Errorf("%d, %v", uid, err)
	}
}

// A kernel that does not know TCP fails the dump that a look-up begins with:
// seen here with a protocol that no kernel knows.
func TestKernelThatKnowsNoProtocol(t *testing.T) {
	fd, err := dialDiag()
	if err != nil {
		t.Fatal(err)
	}
	users := &tcpUsers{fd: fd, open: true}
	defer unix.Close(fd)
	request := diagRequest(netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2"), 0, unix.NLM_F_DUMP)
	if _, err := users.exchange(request); err != nil {
		t.Errorf("TCP: %v", err)
	}
	request[headerLen+1] = 200
	if _, err := users.exchange(request); !errors.Is(err, unix.ENOENT) {
		t.Errorf("protocol 200: %v", err)
	}
}

// diagAnswer is the kernel's answer about a connection of user 1000.
func diagAnswer(remote, local netip.AddrPort) []byte {
	m := make([]byte, answerLen)
	binary.NativeEndian.PutUint16(m[4:], unix.SOCK_DIAG_BY_FAMILY)
	a := m[headerLen:]
	a[0] = unix.AF_INET
	if remote.Addr().Is6() {
		a[0] = unix.AF_INET6
	}
	binary.BigEndian.PutUint16(a[4:], remote.Port())
	binary.BigEndian.PutUint16(a[6:], local.Port())
	copy(a[8:], remote.Addr().AsSlice())
	copy(a[24:], local.Addr().AsSlice())
	binary.NativeEndian.PutUint32(a[64:], 1000)
	binary.NativeEndian.PutUint32(a[68:], 4711)
	return m
}

func TestOwnerOfAnAnswer(t *testing.T) {
	remote, local := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:17860")
	good := diagAnswer(remote, local)

	for name, change := range map[string]func(m []byte) []byte{
		"too short":          func(m []byte) []byte { return m[:answerLen-1] },
		"another message":    func(m []byte) []byte { m[4] = unix.NLMSG_DONE; return m },
		"another source":     func(m []byte) []byte { m[headerLen+11] = 2; return m },
		"another port":       func(m []byte) []byte { m[headerLen+5]++; return m },
		"another end":        func(m []byte) []byte { m[headerLen+27] = 2; return m },
		"another end's port": func(m []byte) []byte { m[headerLen+7]++; return m },
		"another family":     func(m []byte) []byte { m[headerLen] = unix.AF_UNIX; return m },
		"IPv6 not mapped":    func(m []byte) []byte { m[headerLen] = unix.AF_INET6; return m },
		"no inode":           func(m []byte) []byte { copy(m[headerLen+68:], make([]byte, 4)); return m },
	} {
		if p, err := owner(change(append([]byte(nil), good...)), remote, local); err != errNobody {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, err := owner(good, remote, local); err != nil || p.uid != 1000 {
		t.Errorf("unchanged: %v, %v", p, err)
	}
}

// Nobody can listen on our port beside us, however hard they ask.
func TestNobodyListensBesideUs(t *testing.T) {
	listeners := listenTCP(t)
	_, port, _ := net.SplitHostPort(listeners[0].Addr().String())
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
				if err := unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}}
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "::1", "::"} {
		if l, err := share.Listen(t.Context(), "tcp", net.JoinHostPort(host, port)); err == nil {
			t.Errorf("%s is given beside us", l.Addr())
			_ = l.Close()
		}
	}
	for _, l := range listeners {
		_ = l.Close()
	}
}

// Another user gets nothing, not with the owner's token either, and not where
// the modes of files would let them in.
func TestAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be another user")
	}
	folder, err := os.MkdirTemp("", "lk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(folder, "another")
	copyTo(t, self)

	listeners := listenTCP(t)
	open, err := ListenSocket(filepath.Join(folder, "open"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open.Addr().String(), 0o666); err != nil {
		t.Fatal(err)
	}
	shut, err := ListenSocket(filepath.Join(folder, "shut"))
	if err != nil {
		t.Fatal(err)
	}
	g := ownersGuard()
	testServer(t, g, append(listeners, open, shut)...)

	var targets, want []string
	for _, l := range listeners {
		targets = append(targets, "tcp="+l.Addr().String())
		want = append(want, "403 forbidden")
		if strings.HasPrefix(l.Addr().String(), "127.") && len(listeners) == 2 {
			targets = append(targets, "mapped="+l.Addr().String())
			want = append(want, "403 forbidden")
		}
	}
	targets = append(targets, "unix="+open.Addr().String(), "unix="+shut.Addr().String())
	want = append(want, "403 forbidden", "permission denied")

	for _, token := range []string{"", ownerToken1} {
		c := exec.Command(self)
		c.Env = []string{"GUARD_TEST_TARGETS=" + strings.Join(targets, " "), "GUARD_TEST_TOKEN=" + token}
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(got) != len(want) {
			t.Fatalf("%s", out)
		}
		for i := range want {
			if !strings.HasSuffix(got[i], want[i]) {
				t.Errorf("%s gets %q, want %q", targets[i], got[i], want[i])
			}
		}
	}
	if g.PeerLookup() != nil {
		t.Error(g.PeerLookup())
	}
}

// askAs is a request as another user would make it, with a stolen token or
// without.
func askAs(network, addr string) string {
	request := "GET / HTTP/1.0\r\nHost: " + addr + "\r\n"
	if network == "unix" {
		request = "GET / HTTP/1.0\r\nHost: a\r\n"
	}
	if token := os.Getenv("GUARD_TEST_TOKEN"); token != "" {
		request += "Authorization: Bearer " + token + "\r\n"
	}
	c, err := connect(network, addr)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		return err.Error()
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err.Error()
	}
	body, _ := io.ReadAll(answer.Body)
	return fmt.Sprint(answer.StatusCode, " ", problemOf(string(body)))
}

// TestMain lets the test binary be the other user of TestAnotherUser.
func TestMain(m *testing.M) {
	if targets := os.Getenv("GUARD_TEST_TARGETS"); targets != "" {
		for target := range strings.FieldsSeq(targets) {
			network, addr, _ := strings.Cut(target, "=")
			io.WriteString(os.Stdout, askAs(network, addr)+"\n")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func copyTo(t *testing.T, path string) {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, copyErr := io.Copy(to, from)
	if err := to.Close(); err != nil || copyErr != nil {
		t.Fatal(copyErr, err)
	}
}

func BenchmarkLookUp(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	users := new(tcpUsers)
	for b.Loop() {
		if _, err := lookUp(users, s.(*net.TCPConn)); err != nil {
			b.Fatal(err)
		}
	}
}

// Of all that the kernel can answer, only an answer about exactly that connection, with
// an inode, tells its user.
func FuzzOwner(f *testing.F) {
	remote, local := netip.MustParseAddrPort("127.0.0.1:50000"), netip.MustParseAddrPort("127.0.0.1:17860")
	good := diagAnswer(remote, local)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(diagAnswer(local, remote))
	f.Add(diagAnswer(netip.MustParseAddrPort("[::ffff:127.0.0.1]:50000"), netip.MustParseAddrPort("[::ffff:127.0.0.1]:17860")))
	f.Fuzz(func(t *testing.T, answer []byte) {
		p, err := owner(answer, remote, local)
		if err != nil {
			if p != (peer{}) {
				t.Errorf("%+v with %v", p, err)
			}
			return
		}
		if p.inode == 0 || len(answer) < answerLen {
			t.Fatalf("%+v of %x", p, answer)
		}
		// The same answer with any of the four ends changed is of nobody.
		for _, ends := range [][2]netip.AddrPort{
			{netip.AddrPortFrom(remote.Addr(), remote.Port()+1), local}, {remote, netip.AddrPortFrom(local.Addr(), local.Port()+1)},
			{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), remote.Port()), local}, {remote, netip.AddrPortFrom(netip.MustParseAddr("::1"), local.Port())},
		} {
			if _, err := owner(answer, ends[0], ends[1]); err == nil {
				t.Errorf("one answer is of two connections: %x", answer)
			}
		}
	})
}
