package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ErrServerRefused says that an untrusted kubeconfig leads to a server that it must not lead to: the daemon's own machine, the
// metadata service of its cloud, or a host that the operator does not allow.
var ErrServerRefused = errors.New("server not allowed")

// Servers are the rules for the servers of untrusted kubeconfigs. The author of such a kubeconfig makes the daemon open connections
// from its own network. nil holds the default rules.
type Servers struct {
	names    []string // exact, in lower case
	suffixes []string // with the dot, in lower case
	networks []netip.Prefix
}

// NewServers reads rules: names of hosts, names with "*." in front for all below them, addresses, and networks in CIDR form. With any
// rule, all other servers are refused. Without one, all are allowed but those at refused addresses, which only a rule for the address
// or its network allows. The error names the rule by its place.
func NewServers(rules []string) (*Servers, error) {
	s := &Servers{}
	var errs []error
	for i, rule := range rules {
		rule = strings.ToLower(strings.TrimSpace(rule))
		suffix, wild := strings.CutPrefix(rule, "*")
		network, err := netip.ParsePrefix(rule)
		if address, plain := netip.ParseAddr(rule); plain == nil {
			network, err = netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
		}
		switch {
		case err == nil:
			s.networks = append(s.networks, network.Masked())
		case wild && strings.HasPrefix(suffix, ".") && isHostName(suffix[1:]):
			s.suffixes = append(s.suffixes, suffix)
		case !wild && isHostName(rule):
			s.names = append(s.names, rule)
		default:
			errs = append(errs, fmt.Errorf("[%d]: %q: want a host (east.example), all hosts below one (*.example), an address or a network (10.0.0.0/8)", i, rule))
		}
	}
	return s, errors.Join(errs...)
}

func isHostName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// refusedNetworks hold no physical cluster, but services that trust their network: the machine itself, its links, and the metadata
// services of clouds.
var refusedNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
}

// embedded are networks of IPv6 whose addresses stand for one of IPv4, which begins at the given byte.
var embedded = map[netip.Prefix]int{
	netip.MustParsePrefix("64:ff9b::/96"):   12, // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"): 12, // NAT64, local
	netip.MustParsePrefix("2002::/16"):      2,  // 6to4
	netip.MustParsePrefix("::/96"):          12, // IPv4-compatible
}

// allowsHost checks a server's host as it is written. A name that no rule names may still resolve to an allowed network; the dialer finds out.
func (s *Servers) allowsHost(host string) error {
	if address, err := netip.ParseAddr(host); err == nil {
		return s.allowsAddress(host, address)
	}
	if s == nil || len(s.networks) > 0 || len(s.names)+len(s.suffixes) == 0 || s.named(host) {
		return nil
	}
	return fmt.Errorf("%w: no rule allows the host %q", ErrServerRefused, host)
}

func (s *Servers) named(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.Contains(s.names, host) || slices.ContainsFunc(s.suffixes, func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

// allowsAddress checks the address that a host has or resolves to.
func (s *Servers) allowsAddress(host string, address netip.Addr) error {
	if s == nil {
		s = &Servers{}
	}
	address = address.WithZone("").Unmap()
	within := func(networks []netip.Prefix) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(address) })
	}
	if within(s.networks) {
		return nil
	}
	for network, at := range embedded {
		if raw := address.As16(); address.Is6() && network.Contains(address) {
			inner := netip.AddrFrom4([4]byte(raw[at : at+4]))
			if err := s.allowsAddress(host, inner); err != nil {
				return err
			}
		}
	}
	switch {
	case within(refusedNetworks):
		return fmt.Errorf("%w: the host %q is at the address %s, which is local to a machine or a metadata service", ErrServerRefused, host, address)
	case len(s.names)+len(s.suffixes)+len(s.networks) > 0 && !s.named(host):
		return fmt.Errorf("%w: no rule allows the host %q at the address %s", ErrServerRefused, host, address)
	}
	return nil
}

// dialer opens connections for one server. The check is made on the address that is really dialed, after its name was resolved: a name
// may lead elsewhere each time it is resolved. Connections to a proxy of the daemon's environment are the operator's and stay free.
func (s *Servers) dialer(server string) (dialer, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("server: no URL")
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	own := net.JoinHostPort(u.Hostname(), port)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
		if strings.EqualFold(address, own) {
			d.Control = func(_, resolved string, _ syscall.RawConn) error { return s.allowsDial(u.Hostname(), resolved) }
		}
		return d.DialContext(ctx, network, address)
	}, nil
}

func (s *Servers) allowsDial(host, resolved string) error {
	to, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return fmt.Errorf("%w: the address %q cannot be checked", ErrServerRefused, resolved)
	}
	return s.allowsAddress(host, to.Addr())
}
