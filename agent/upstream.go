package agent

import (
	"net/http"
	"net/url"
)

// Upstream is a profile's server and the way to it, for a proxy. The error is
// an *Error.
func (a *Agent) Upstream(name string) (*url.URL, http.RoundTripper, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[name]
	switch {
	case s == nil:
		return nil, nil, noProfile(name)
	case s.clientErr != nil:
		return nil, nil, errorOf(name, s.clientErr)
	}
	u, err := url.Parse(s.client.URL())
	return u, s.ways.streams, err
}

// ProxyNeeds is what a proxy asks for with every request.
type ProxyNeeds struct {
	Origins       string // whose pages may use it, with spaces between them
	Version       string // what the server last called itself, "" if that is not known
	UnknownRoutes bool   // the scope proxy may use routes that no known version has
}

// ProxyNeeds is empty for a profile that is not there.
func (a *Agent) ProxyNeeds(name string) ProxyNeeds {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[name]; s != nil {
		return ProxyNeeds{Origins: s.profile.ProxyOrigins, Version: s.version, UnknownRoutes: s.profile.UnknownRoutes}
	}
	return ProxyNeeds{}
}

// The reasons for which a proxy has no port.
const (
	ProxyTaken   = "port-taken"
	ProxyExposed = "port-of-another-user" // who may have been sent tokens of it
)

// ProxyIs notes whether a profile's proxy has its port, and why not, for
// snapshots to tell.
func (a *Agent) ProxyIs(name string, open bool, reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[name]; s != nil {
		s.proxyOpen, s.proxyReason = open, reason
		a.changed(s)
	}
}
