// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Guard says whether the operator may connect to an address. It is asked about the address that is connected to, whatever
// the name of the broker was resolved to before.
type Guard func(ctx context.Context, address netip.Addr) bool

var (
	// translated are IPv6 addresses that a gateway translates to the IPv4 address in their last four bytes.
	translated = netip.MustParsePrefix("64:ff9b::/96")
	// metadata are addresses beyond the link-local ones at which clouds tell a machine its secrets.
	metadata = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
	}
)

// NewGuard allows all addresses but those of the operator's own machine and network link, those that are no address of a
// machine, and those of the given hosts: the API server's, by name or address.
func NewGuard(hosts ...string) Guard {
	return func(ctx context.Context, address netip.Addr) bool {
		address = plain(address)
		return address.IsValid() && !isLocal(address) && !slices.Contains(metadata, address) &&
			!slices.Contains(addressesOf(ctx, hosts), address)
	}
}

// plain is the address that is meant, however it is written.
func plain(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if translated.Contains(address) {
		last := address.As16()
		return netip.AddrFrom4([4]byte(last[12:]))
	}
	return address
}

func isLocal(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() ||
		a.Is4() && (a.As4()[0] == 0 || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

// addressesOf are those of hosts. A name that cannot be resolved has none that could be connected to by it.
func addressesOf(ctx context.Context, hosts []string) []netip.Addr {
	var all []netip.Addr
	for _, host := range hosts {
		if address, err := netip.ParseAddr(host); err == nil {
			all = append(all, plain(address))
			continue
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			continue
		}
		for _, address := range found {
			all = append(all, plain(address))
		}
	}
	return all
}

// dialer makes connections to addresses that the guard allows. The check stands between resolving and connecting, so a name
// that is resolved to another address the next time is no way around it.
func dialer(guard Guard, timeout time.Duration) *net.Dialer {
	return &net.Dialer{
		Timeout: timeout,
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			remote, err := netip.ParseAddrPort(address)
			if err != nil || !guard(ctx, remote.Addr()) {
				return fmt.Errorf("%s: %w", address, errForbiddenAddress)
			}
			return nil
		},
	}
}

// connect makes a connection to a target, if need be by TLS.
func connect(ctx context.Context, t target, guard Guard, network string) (net.Conn, error) {
	conn, err := dialer(guard, callLimit).DialContext(ctx, network, t.dialled())
	if err != nil || !t.secure {
		return conn, err
	}
	host, _, _ := net.SplitHostPort(t.address)
	secured := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}
