package guard

import (
	"net"
	"testing"
)

func TestHeldByOther(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("this computer has no %s: %v", address, err)
			continue
		}
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		ours, other := New(Config{Log: quiet()}), New(Config{Log: quiet()})
		other.self++
		if ours.HeldByOther(port) {
			t.Errorf("%s: our own listener is somebody else's", address)
		}
		if !other.HeldByOther(port) {
			t.Errorf("%s: somebody else's listener is not", address)
		}
		_ = l.Close()
		if other.HeldByOther(port) {
			t.Errorf("%s: a closed listener is held", address)
		}
	}
}
