package guard

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestHolderOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	remote, local := c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort()
	if pid := holderOf(remote, local); pid != os.Getpid() {
		t.Errorf("the connection is of %d, want %d", pid, os.Getpid())
	}
	if pid := holderOf(local, local); pid != 0 {
		t.Errorf("a connection that is none is of %d", pid)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	i, ok := inspect(os.Getpid())
	if !ok || !strings.EqualFold(i.exe, exe) || !SessionAlive(i.session) {
		t.Errorf("this process is %+v, %v; want %s", i, ok, exe)
	}
	if _, ok := inspect(1 << 30); ok {
		t.Error("a process that is none is looked at")
	}
}
