package chromium

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/url"
	"sort"
	"strings"
	"time"

	"langkeep/agent/secret"
)

// Cookie is one of a browser's.
type Cookie struct {
	Name     string
	Value    secret.Text
	Domain   string    // a host, in lower case and without a dot before it, or brackets
	HostOnly bool      // it is for Domain alone, not for the hosts below it
	Path     string    // begins with a slash
	Expires  time.Time // zero if it lasts until the browser's end
	Secure   bool      // for https, and for http to this computer
	HTTPOnly bool      // pages can't read it
	// Partition is the site, such as https://example.com, whose pages alone it is
	// sent from (CHIPS); "" for all sites.
	Partition string
}

// parseCookies reads the answer to Storage.getCookies.
func parseCookies(answer json.RawMessage) ([]Cookie, error) {
	var result struct {
		Cookies []struct {
			Name         string      `json:"name"`
			Value        secret.Text `json:"value"`
			Domain       string      `json:"domain"` // a dot before it: for the hosts below it too
			Path         string      `json:"path"`
			Expires      float64     `json:"expires"` // in seconds, -1 for the browser's end
			Secure       bool        `json:"secure"`
			HTTPOnly     bool        `json:"httpOnly"`
			PartitionKey *struct {
				TopLevelSite string `json:"topLevelSite"`
			} `json:"partitionKey"`
		} `json:"cookies"`
	}
	if json.Unmarshal(answer, &result) != nil { // whose error may quote a value
		return nil, fmt.Errorf("%w: its cookies are in an unknown form", ErrSilent)
	}
	cookies := make([]Cookie, 0, len(result.Cookies))
	for _, c := range result.Cookies {
		domain, below := strings.CutPrefix(strings.ToLower(c.Domain), ".")
		cookie := Cookie{
			Name: c.Name, Value: c.Value, Domain: strings.Trim(domain, "[]"), HostOnly: !below, Path: c.Path,
			Expires: expiry(c.Expires), Secure: c.Secure, HTTPOnly: c.HTTPOnly,
		}
		if c.PartitionKey != nil {
			cookie.Partition = strings.ToLower(c.PartitionKey.TopLevelSite)
		}
		cookies = append(cookies, cookie)
	}
	return cookies, nil
}

// expiry is the time of a number of seconds since 1970; negative is no time.
func expiry(seconds float64) time.Time {
	if seconds < 0 {
		return time.Time{}
	}
	const farthest = 253402300799 // in the year 9999
	whole, part := math.Modf(min(seconds, farthest))
	return time.Unix(int64(whole), int64(part*1e9))
}

// For is the cookies that a browser would send now with a request of its own page to u,
// in the order that it would send them: those with the longer paths first. The path of
// u counts, so give an address of what will be asked for, not only of the origin.
func For(cookies []Cookie, u *url.URL) []Cookie {
	now := time.Now()
	var sent []Cookie
	for _, c := range cookies {
		if c.sentTo(u, now) {
			sent = append(sent, c)
		}
	}
	// RFC 6265, section 5.4. The browser does not tell which of two is the older one.
	sort.SliceStable(sent, func(i, j int) bool { return len(sent[i].Path) > len(sent[j].Path) })
	return sent
}

func (c Cookie) sentTo(u *url.URL, now time.Time) bool {
	host := strings.ToLower(u.Hostname())
	return c.onHost(host) && c.onPath(u.EscapedPath()) && c.inPartition(u.Scheme, host) &&
		(!c.Secure || u.Scheme == "https" || isLoopback(host)) &&
		(c.Expires.IsZero() || c.Expires.After(now))
}

// onHost is the domain-match of RFC 6265, section 5.1.3.
func (c Cookie) onHost(host string) bool {
	if c.HostOnly || net.ParseIP(host) != nil {
		return host != "" && host == c.Domain
	}
	return isBelow(host, c.Domain)
}

// isBelow tells whether a host is another one or below it.
func isBelow(host, other string) bool {
	return other != "" && (host == other || strings.HasSuffix(host, "."+other))
}

// onPath is the path-match of RFC 6265, section 5.1.4.
func (c Cookie) onPath(path string) bool {
	if !strings.HasPrefix(path, "/") { // as that of a URL from JoinPath may
		path = "/" + path
	}
	rest, under := strings.CutPrefix(path, c.Path)
	return under && (rest == "" || rest[0] == '/' || strings.HasSuffix(c.Path, "/"))
}

// inPartition tells whether a page of the host is of the cookie's partition. A site is a
// scheme and a registrable domain, so one that the host is below is the host's own.
func (c Cookie) inPartition(scheme, host string) bool {
	if c.Partition == "" {
		return true
	}
	site, err := url.Parse(c.Partition)
	return err == nil && site.Scheme == scheme && isBelow(host, site.Hostname())
}

// isLoopback tells whether a host is this computer by its name alone. Chromium sends it
// Secure cookies over http, too (net/cookies/cookie_util.cc).
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return isBelow(host, "localhost") || ip != nil && ip.IsLoopback()
}
