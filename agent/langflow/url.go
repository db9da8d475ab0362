package langflow

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// ParseURL normalises what a person typed as a server's address, so that two
// spellings of one server compare equal. The result is scheme://host[:port]
// and the root path, without a slash at the end. Errors do not quote parts
// that could hold a password.
func ParseURL(raw string) (string, error) {
	u, err := parseURL(raw)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// Origin returns scheme://host[:port] of a server's address. A stored secret
// is sent to the origin that gave it and to no other.
func Origin(serverURL string) (string, error) {
	u, err := parseURL(serverURL)
	if err != nil {
		return "", err
	}
	return origin(u), nil
}

func parseURL(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return nil, errors.New("the server's url is empty; write it as https://host")
	}
	if !strings.Contains(raw, "://") {
		return nil, errors.New("the server's url has no scheme; write it as https://host, or http://127.0.0.1:7860 for this computer")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// The error of net/url quotes the whole address.
		return nil, errors.New("the server's url can't be read; write it as https://host")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the server's url must not hold a user name or password; leave out what comes before the @")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the server's url must end before any ? or #")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the server's url has the scheme %q; use https or http", clean(u.Scheme))
	}
	host, port := NormalHost(u.Hostname()), u.Port()
	switch {
	case host == "":
		return nil, errors.New("the server's url names no host; write it as https://host")
	case strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		return nil, errors.New("the server's url has a host that is no name of the DNS; write it in punycode, as in https://xn--bcher-kva.example")
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("the server's url has the port %q; ports are 1 to 65535", clean(port))
		}
	}
	root := strings.TrimRight(u.Path, "/")
	// People paste the address of a call.
	if before, _, found := strings.Cut(root+"/", "/api/v1/"); found {
		root = before
	}
	encodedSlash := strings.Count(u.Path, "/") != strings.Count(u.EscapedPath(), "/")
	if root != "" && (path.Clean(root) != root || encodedSlash || clean(root) != root || strings.ContainsAny(root, "\\;")) {
		return nil, errors.New("the server's url has an odd path; write plain segments, as in https://host/team/a")
	}
	u = &url.URL{Scheme: u.Scheme, Host: joinHostPort(u.Scheme, host, port), Path: root}
	return u, nil
}

func joinHostPort(scheme, host, port string) string {
	if port == defaultPort(scheme) {
		port = ""
	}
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// OriginOf returns the origin of any http or https URL.
func OriginOf(u *url.URL) string { return origin(u) }

// origin is that of any http or https URL, a redirect's target included.
func origin(u *url.URL) string {
	scheme := strings.ToLower(u.Scheme)
	return scheme + "://" + joinHostPort(scheme, NormalHost(u.Hostname()), u.Port())
}

// hostNames turns names into those that the DNS has, as browsers and curl do
// (UTS #46, not transitional). Names of containers may have an underscore.
var hostNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// NormalHost makes one spelling of a host's name or address: lower case,
// punycode, without escapes, brackets and a dot at the end. A host that can't be
// a name of the DNS is only decoded.
func NormalHost(host string) string {
	if decoded, err := url.PathUnescape(host); err == nil && !strings.Contains(host, ":") { // an IPv6 address has its zone behind a %
		host = decoded
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String()
	}
	if name, err := hostNames.ToASCII(host); err == nil {
		return strings.TrimSuffix(name, ".") // other characters are mapped to dots
	}
	return host
}

// loopback tells whether a host is this computer without asking a resolver,
// whose answer could change.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
