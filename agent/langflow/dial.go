package langflow

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	dialTimeout   = 10 * time.Second // the look-up of the name included
	systemTimeout = 5 * time.Second  // how long the system may look for a name: mDNS takes that long to find nothing
	systemAtOnce  = 4                // how many names the system is asked for at once
)

// Dialer connects to servers. Where Go's own resolver finds no address for a name
// it asks the system: without cgo Go knows /etc/hosts and DNS alone, and none of
// what nsswitch.conf has besides (mDNS, systemd-resolved, a company's own).
type Dialer struct {
	plain  net.Dialer
	system func(ctx context.Context, host string) ([]string, error) // nil: Go asks the system itself
	turns  chan struct{}
}

// NewDialer makes a Dialer.
func NewDialer() *Dialer {
	return &Dialer{
		plain: net.Dialer{
			Control:         controlSocket,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		},
		system: systemLookup,
		turns:  make(chan struct{}, systemAtOnce),
	}
}

// Dial connects to host:port within 10 s.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := d.plain.DialContext(ctx, network, address)
	host, port, splitErr := net.SplitHostPort(address)
	if err == nil || splitErr != nil {
		return conn, err
	}
	addresses := d.askSystem(ctx, host, err)
	for i, a := range addresses {
		// Each address gets its share of the time left.
		end, _ := ctx.Deadline()
		attempt, cancel := context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addresses)-i))
		conn, err = d.plain.DialContext(attempt, network, net.JoinHostPort(a, port))
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// Lookup finds a host's addresses as Dial does.
func (d *Dialer) Lookup(ctx context.Context, host string) ([]string, error) {
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		if found := d.askSystem(ctx, host, err); len(found) > 0 {
			return found, nil
		}
	}
	return addresses, err
}

// askSystem returns the addresses that the system has for a name that Go's
// resolver failed to find with err; none for any other error. A name server that
// does not answer would not answer the system either.
func (d *Dialer) askSystem(ctx context.Context, host string, err error) []string {
	var unknown *net.DNSError
	if d.system == nil || !errors.As(err, &unknown) || unknown.IsTimeout || strings.HasPrefix(host, "-") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, systemTimeout)
	defer cancel()
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return nil
	}
	found, err := d.system(ctx, host)
	if err != nil {
		return nil
	}
	return found
}

// parseHosts reads what getent ahosts prints: a line for each address and kind of
// socket, the best address first.
func parseHosts(out string) []string {
	var addresses []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil && !slices.Contains(addresses, a.String()) {
			addresses = append(addresses, a.String())
		}
	}
	return addresses
}
