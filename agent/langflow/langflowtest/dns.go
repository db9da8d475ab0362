package langflowtest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// DNS is a name server on loopback that knows what a test tells it.
type DNS struct {
	conn net.PacketConn

	mu    sync.Mutex // protects the following
	names map[string][]netip.Addr
	fails bool
	asked map[string]int
}

// NewDNS starts a name server that knows nothing. Wine 8 has no UDP for it.
func NewDNS() (*DNS, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &DNS{conn: conn, names: map[string][]netip.Addr{}, asked: map[string]int{}}
	go d.serve()
	return d, nil
}

// Close stops it.
func (d *DNS) Close() { _ = d.conn.Close() }

// Resolver asks this name server and no other.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		// With a resolver of its own it does not read net.DefaultResolver, which tests
		// set back while a question is still on its way.
		dialer := net.Dialer{Resolver: new(net.Resolver)}
		return dialer.DialContext(ctx, "udp", d.conn.LocalAddr().String())
	}}
}

// Set gives a name, with its dot at the end, addresses. Without any there is no
// such name.
func (d *DNS) Set(name string, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name] = nil
	for _, a := range addresses {
		d.names[name] = append(d.names[name], netip.MustParseAddr(a))
	}
}

// Fail has it answer every question with SERVFAIL, or no longer.
func (d *DNS) Fail(fails bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = fails
}

// Asked tells how many questions for a name have come.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name]
}

func (d *DNS) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if a := d.answer(buf[:n]); a != nil {
			_, _ = d.conn.WriteTo(a, from)
		}
	}
}

// answer is the reply to a query (RFC 1035, section 4), nil to what is none.
func (d *DNS) answer(query []byte) []byte {
	const header, typeA, typeAAAA = 12, 1, 28
	var name strings.Builder
	end := header
	for end < len(query) && query[end] != 0 {
		next := end + 1 + int(query[end])
		if next >= len(query) {
			return nil
		}
		name.Write(query[end+1 : next])
		name.WriteByte('.')
		end = next
	}
	end += 5 // the root, type and class
	if end > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end-4:])

	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[name.String()]++
	var records []byte
	count := 0
	for _, a := range d.names[name.String()] {
		if (kind == typeA) != a.Is4() || (kind == typeAAAA) != a.Is6() {
			continue
		}
		records = append(records, 0xc0, header) // the name of the question
		records = binary.BigEndian.AppendUint16(records, kind)
		records = append(records, 0, 1, 0, 0, 0, 0) // of the internet, not to be kept
		records = binary.BigEndian.AppendUint16(records, uint16(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
		count++
	}
	code := byte(0)
	switch {
	case d.fails:
		code, records, count = 2, nil, 0
	case d.names[name.String()] == nil:
		code = 3
	}
	reply := []byte{query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, byte(count), 0, 0, 0, 0}
	reply = append(reply, query[header:end]...)
	return append(reply, records...)
}
