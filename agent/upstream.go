package agent

import (
	"context"
	"net/http"
	"net/url"

	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
)

// Upstream returns a profile's server and the RoundTripper to it, for a proxy. The
// error is an *Error.
func (a *Agent) Upstream(name string) (*url.URL, http.RoundTripper, error) {
	s, err := a.session(name)
	if err != nil {
		return nil, nil, err
	}
	m := s.known.Load()
	if m.clientErr != nil {
		return nil, nil, errorOf(name, m.clientErr)
	}
	u, err := url.Parse(m.client.URL())
	return u, m.streams, err
}

// GatewayRefused notes that a gateway refused a request of a profile's proxy, which is as
// it was sent, and tells whether sending it again can help.
func (a *Agent) GatewayRefused(name string, sent *http.Request) (again bool) {
	s, err := a.session(name)
	if err != nil {
		return false
	}
	if s.known.Load().pass.TryAgain(sent) {
		return true
	}
	a.doubt(s)
	return false
}

// Access returns what a profile's proxy identifies itself with where no key can: an
// access token, or the gateway's word, which is an empty token. Errors are as Token's.
func (a *Agent) Access(ctx context.Context, name string) (secret.Text, error) {
	_, cred, err := a.Credential(ctx, name)
	if locked := a.LockedError(name); locked != nil {
		return secret.Text{}, locked
	}
	return cred.Token(), err
}

// AskOf is when a profile has a person asked before a program gets a credential; "" is as
// config.toml says. It costs no snapshot, since every read of a token needs it.
func (a *Agent) AskOf(name string) (string, error) {
	s, err := a.session(name)
	if err != nil {
		return "", err
	}
	return s.known.Load().profile.Ask, nil
}

// ProxyNeeds is the data that a proxy needs for every request.
type ProxyNeeds struct {
	Origins       string // of web pages that may use the proxy, with spaces between them
	Hosts         string // by which programs in containers may reach it, the same
	Version       string // the server's last known version, "" if unknown
	UnknownRoutes bool   // the scope proxy may use routes that no known version has
	Gateway       bool   // the profile sends something to a gateway in front of the server
	NoKeys        bool   // the identity provider's token stands in for keys, which the server does not let the account have
}

// ProxyNeeds is empty for a profile that is not there.
func (a *Agent) ProxyNeeds(name string) ProxyNeeds {
	s, err := a.session(name)
	if err != nil {
		return ProxyNeeds{}
	}
	m := s.known.Load()
	return ProxyNeeds{
		Origins: m.profile.ProxyOrigins, Hosts: m.profile.ProxyHosts, Version: m.version, UnknownRoutes: m.profile.UnknownRoutes,
		Gateway: m.pass.Keeps() || m.profile.HeaderCommand != "" || m.profile.ClientCert != "",
		NoKeys:  m.profile.Method == vocabulary.External && a.keys.Status(name).Reason == vocabulary.KeysForbidden,
	}
}

// ProxyState is how a profile's proxy is.
type ProxyState struct {
	ProxyOpen       bool   // the proxy has its port
	ProxyReason     string // why it has none: vocabulary.PortTaken, PortOfAnotherUser or empty
	ProxySocketPath string // of its Unix socket; "" if it has none
}

// ProxyIs notes for snapshots how a profile's proxy is.
func (a *Agent) ProxyIs(name string, state ProxyState) {
	if s, err := a.session(name); err == nil {
		a.update(s, func(m *machine, _ moment) { m.proxy = state })
	}
}
