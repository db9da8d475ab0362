package chromium

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"langkeep/agent/secret"
)

func TestParseCookies(t *testing.T) {
	// As Chromium 156 answers.
	cookies, err := parseCookies(json.RawMessage(`{"cookies":[
		{"name":"refresh_token_lf","value":"` + hidden + `","domain":"langflow.example","path":"/","expires":1796000000.25,"size":30,"httpOnly":true,"secure":true,"session":false,"sameSite":"Lax","priority":"Medium","sourceScheme":"Secure","sourcePort":443},
		{"name":"s","value":"","domain":".Example.com","path":"/a","expires":-1,"size":1,"httpOnly":false,"secure":false,"session":true,"priority":"Medium","sourceScheme":"NonSecure","sourcePort":80,
		 "partitionKey":{"topLevelSite":"https://top.example","hasCrossSiteAncestor":false}},
		{"name":"far","value":"x","domain":"a","path":"/","expires":1e300}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Cookie{
		{Name: "refresh_token_lf", Domain: "langflow.example", HostOnly: true, Path: "/", Expires: time.Unix(1796000000, 250000000), Secure: true, HTTPOnly: true},
		{Name: "s", Domain: "example.com", Path: "/a", Partition: "https://top.example"},
		{Name: "far", Domain: "a", HostOnly: true, Path: "/", Expires: time.Unix(253402300799, 0)},
	}
	for i, c := range cookies {
		c.Value = secret.Text{}
		if c != want[i] {
			t.Errorf("it is %+v, want %+v", c, want[i])
		}
	}
	if cookies[0].Value.Reveal() != hidden || !cookies[1].Value.Empty() {
		t.Error("the values are wrong")
	}
	if printed := fmt.Sprintf("%+v", cookies); strings.Contains(printed, hidden) {
		t.Errorf("it prints %s", printed)
	}
	for _, bad := range []string{``, `[]`, `{"cookies":"` + hidden + `"}`, `{"cookies":[{"value":1}]}`, `{"cookies":[{"value":"` + hidden + `","expires":"` + hidden + `"}]}`} {
		if _, err := parseCookies(json.RawMessage(bad)); err == nil || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if cookies, err := parseCookies(json.RawMessage(`{}`)); err != nil || len(cookies) != 0 {
		t.Errorf("without any: %v, %v", cookies, err)
	}
}

func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := Cookie{Domain: "lf.example.com", HostOnly: true, Path: "/"}
		change := func(f func(*Cookie)) Cookie {
			c := host
			f(&c)
			return c
		}
		domain := func(d string) Cookie { return change(func(c *Cookie) { c.Domain, c.HostOnly = d, false }) }
		only := func(d string) Cookie { return change(func(c *Cookie) { c.Domain = d }) }
		path := func(p string) Cookie { return change(func(c *Cookie) { c.Path = p }) }
		secure := func(c Cookie) Cookie { c.Secure = true; return c }
		until := func(d time.Duration) Cookie { return change(func(c *Cookie) { c.Expires = time.Now().Add(d) }) }
		within := func(site string) Cookie { return change(func(c *Cookie) { c.Partition = site }) }
		for _, c := range []struct {
			name string
			Cookie
			to   string
			sent bool
		}{
			{"the host's own", host, "https://lf.example.com", true},
			{"whatever the port", host, "https://lf.example.com:8443/", true},
			{"whatever the case", host, "https://LF.Example.COM/", true},
			{"for the host alone, a host below", host, "https://a.lf.example.com", false},
			{"for the host alone, the host above", only("example.com"), "https://lf.example.com", false},
			{"of the domain", domain("example.com"), "https://lf.example.com", true},
			{"of the domain, itself", domain("example.com"), "https://example.com", true},
			{"of a domain that ends likewise", domain("example.com"), "https://evilexample.com", false},
			{"of a longer domain", domain("lf.example.com"), "https://example.com", false},
			{"of another domain", domain("other.com"), "https://lf.example.com", false},
			{"of no domain", domain(""), "https://lf.example.com", false},
			{"of nobody", only(""), "https://", false},
			{"an address", only("10.0.0.1"), "https://10.0.0.1", true},
			{"an address that ends like one", domain("0.0.1"), "https://10.0.0.1", false},
			{"an IPv6 address", only("::1"), "http://[::1]:7860", true},

			{"a deeper path", path("/langflow"), "https://lf.example.com/", false},
			{"the path", path("/langflow"), "https://lf.example.com/langflow", true},
			{"below the path", path("/langflow"), "https://lf.example.com/langflow/api", true},
			{"a path that begins likewise", path("/langflow"), "https://lf.example.com/langflow2", false},
			{"a path with a slash at its end", path("/langflow/"), "https://lf.example.com/langflow/api", true},
			{"a path with a slash at its end, without", path("/langflow/"), "https://lf.example.com/langflow", false},
			{"the case of a path", path("/Langflow"), "https://lf.example.com/langflow", false},
			{"an escaped path", path("/a%2Fb"), "https://lf.example.com/a%2Fb", true},
			{"an escaped path is no other", path("/a/b"), "https://lf.example.com/a%2Fb", false},

			{"Secure, over https", secure(host), "https://lf.example.com", true},
			{"Secure, over http", secure(host), "http://lf.example.com", false},
			{"Secure, over http to localhost", secure(only("localhost")), "http://localhost:7860", true},
			{"Secure, over http below localhost", secure(only("a.localhost")), "http://a.localhost:7860", true},
			{"Secure, over http to 127.0.0.1", secure(only("127.0.0.1")), "http://127.0.0.1:7860", true},
			{"Secure, over http to another network", secure(only("10.0.0.1")), "http://10.0.0.1", false},
			{"Secure, over http to a name with localhost in it", secure(only("localhost.example.com")), "http://localhost.example.com", false},

			{"until later", until(time.Second), "https://lf.example.com", true},
			{"until now", until(0), "https://lf.example.com", false},
			{"until before", until(-time.Second), "https://lf.example.com", false},

			{"of the site's partition", within("https://example.com"), "https://lf.example.com", true},
			{"of the partition over http", within("http://example.com"), "https://lf.example.com", false},
			{"of another site's partition", within("https://other.com"), "https://lf.example.com", false},
			{"of a partition that can't be told", within("https://%zz"), "https://lf.example.com", false},
		} {
			u, err := url.Parse(c.to)
			if err != nil {
				t.Fatal(err)
			}
			if sent := len(For([]Cookie{c.Cookie}, u)) == 1; sent != c.sent {
				t.Errorf("%s: to %s it is sent: %v", c.name, c.to, sent)
			}
		}
	})
}

// JoinPath gives a URL without a path one that begins with no slash.
func TestForJoinedPath(t *testing.T) {
	u, _ := url.Parse("https://lf.example.com")
	if len(For([]Cookie{{Domain: "lf.example.com", Path: "/api"}}, u.JoinPath("/api/v1/"))) != 1 {
		t.Error("the cookie of the path is not sent")
	}
}

func TestForOrder(t *testing.T) {
	u, _ := url.Parse("https://lf.example.com/a/b")
	var names []string
	for _, c := range For([]Cookie{
		{Name: "1", Domain: "lf.example.com", Path: "/"}, {Name: "2", Domain: "lf.example.com", Path: "/a"},
		{Name: "3", Domain: "example.com", Path: "/a"}, {Name: "4", Domain: "example.com", Path: "/a/b"}, {Name: "5", Domain: "a.example.com", Path: "/"},
	}, u) {
		names = append(names, c.Name)
	}
	if want := []string{"4", "2", "3", "1"}; !slices.Equal(names, want) {
		t.Errorf("the order is %q, want %q", names, want)
	}
}
