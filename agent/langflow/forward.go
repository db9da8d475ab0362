package langflow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// opForward is the Op of net/http's error for a proxy that can't be connected to.
const opForward = "proxyconnect"

// Forward is the forward proxies of an environment: http_proxy and https_proxy, and
// all_proxy where these are not set, like curl and httpx. Lower case goes before
// capitals, and hosts of no_proxy get no proxy. Requests for a proxy whose value can't
// be read fail: without the proxy they would go a way that the person does not want.
type Forward struct {
	excepted func(*url.URL) (*url.URL, error)
	byScheme map[string]*ProxyVariable
}

// ProxyVariable is a variable that names a forward proxy.
type ProxyVariable struct {
	Name string
	URL  *url.URL // nil if it can't be read; may hold a password
	// Fault is the variable's fault as the end of a sentence, without any part of its
	// value; "" if there is none.
	Fault string
}

// NewForward reads an environment.
func NewForward(getenv func(string) string) Forward {
	first := func(names ...string) *ProxyVariable {
		for _, name := range names {
			if runtime.GOOS == "windows" {
				name = strings.ToUpper(name) // Windows ignores the case of a variable
			}
			if value := getenv(name); value != "" {
				return new(ReadProxy(name, value))
			}
		}
		return nil
	}
	f := Forward{byScheme: map[string]*ProxyVariable{
		"http":  first("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
		"https": first("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
	}}
	noProxy := getenv("no_proxy")
	if noProxy == "" {
		noProxy = getenv("NO_PROXY")
	}
	// Whether a host is excepted does not depend on the proxy.
	const some = "http://proxy.invalid"
	f.excepted = (&httpproxy.Config{HTTPProxy: some, HTTPSProxy: some, NoProxy: noProxy}).ProxyFunc()
	return f
}

func forwardFromEnvironment() Forward { return NewForward(os.Getenv) }

// ReadProxy reads the value of a variable that names a proxy.
func ReadProxy(name, value string) ProxyVariable {
	v := ProxyVariable{Name: name}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	// A part of a password can stand in the place of the host, as in
	// http://ann:12#34@proxy.
	if err != nil || u.Hostname() == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		v.Fault = "is not a URL"
		return v
	}
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "http", "https", "socks5", "socks5h":
	case "socks": // GNOME's spelling
		u.Scheme = "socks5"
	default:
		v.Fault = "is no http, https or socks5 URL"
		return v
	}
	v.URL = u
	return v
}

// For returns the variable whose proxy a URL goes through, nil without one.
func (f Forward) For(u *url.URL) *ProxyVariable {
	v := f.byScheme[u.Scheme]
	if v == nil {
		return nil
	}
	if through, err := f.excepted(u); err != nil || through == nil {
		return nil
	}
	return v
}

// ForwardError is the fault of a forward proxy, with the variable that names it.
type ForwardError struct {
	Found, Advice string // lower case, without a dot
	kind          Kind
}

// Error implements error.
func (e *ForwardError) Error() string { return e.Found + ": " + e.Advice }

// ForRequest returns the proxy that a request goes through, nil without one. The
// error is a *ForwardError.
func (f Forward) ForRequest(r *http.Request) (*url.URL, error) {
	v := f.For(r.URL)
	if v == nil {
		return nil, nil
	}
	if v.Fault != "" {
		return nil, &ForwardError{"the variable " + v.Name + " " + v.Fault,
			"correct it, with special characters of a user name or password as %XX, and restart the agent", ForwardProxy}
	}
	return v.URL, nil
}

// connected looks at a proxy's answer to CONNECT.
func (f Forward) connected(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if v := f.byScheme["https"]; res.StatusCode != http.StatusOK && v != nil {
		return v.refusal(res.StatusCode)
	}
	return nil
}

// refusal translates an answer that the proxy gave in place of the server.
func (v *ProxyVariable) refusal(status int) *ForwardError {
	name := fmt.Sprintf("the proxy %s of %s ", clip(v.URL.Host, 40), v.Name)
	switch {
	case status == http.StatusProxyAuthRequired && v.URL.User != nil:
		return &ForwardError{name + "refuses the user name and password in it (407)", "correct them, and restart the agent", ForwardProxy}
	case status == http.StatusProxyAuthRequired:
		return &ForwardError{name + "wants a user name and password (407)", "put them into it, as in http://NAME:PASSWORD@HOST, and restart the agent", ForwardProxy}
	case status >= 500: // the server's side of it
		return &ForwardError{fmt.Sprintf("%scan't connect to the server (%d)", name, status), "check the url and the proxy", Unreachable}
	}
	return &ForwardError{fmt.Sprintf("%sdoes not connect to this server (%d)", name, status), "ask its administrator, or put the server into NO_PROXY", ForwardProxy}
}

// forwardError returns the error if a forward proxy caused a request's failure, else
// nil.
func (f Forward) forwardError(u *url.URL, err error) *ForwardError {
	if said, ok := errors.AsType[*ForwardError](err); ok {
		return said
	}
	v := f.For(u)
	if v == nil || v.URL == nil {
		return nil
	}
	var op *net.OpError
	name := fmt.Sprintf("the proxy %s of %s ", clip(v.URL.Host, 40), v.Name)
	switch {
	case !errors.As(err, &op):
	case op.Op == opForward:
		return &ForwardError{name + "can't be used (" + clip(op.Err.Error(), 80) + ")", "check it and the network, or restart the agent without it", ForwardProxy}
	// Of net/http's SOCKS client (socks_bundle.go).
	case strings.HasPrefix(op.Op, "socks"):
		switch op.Err.Error() {
		case "no acceptable authentication methods", "username/password authentication failed":
			return v.refusal(http.StatusProxyAuthRequired)
		}
	}
	return nil
}

// ProxyRefusal is the error for an answer with status 407: the proxy on the way to u
// gave it, never the server.
func ProxyRefusal(u *url.URL) *ForwardError {
	if v := forwardFromEnvironment().For(u); v != nil && v.URL != nil {
		return v.refusal(http.StatusProxyAuthRequired)
	}
	return &ForwardError{"a proxy that no variable names wants a user name and password (407)", "ask the administrator of this network", ForwardProxy}
}

// clip bounds foreign text in a sentence of ours.
func clip(s string, most int) string {
	r := []rune(s)
	if len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
