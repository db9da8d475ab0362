package guard

import (
	"net/netip"
	"testing"
)

// Whatever the kernel answers, a connection's user is told only by an answer
// about exactly that connection, with an inode.
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
