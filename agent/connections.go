package agent

import (
	"net/http"
	"net/url"
	"time"

	"langkeep/agent/config"
	"langkeep/agent/gateway"
	"langkeep/agent/langflow"
	"langkeep/agent/paths"
)

// trust is what connections are made with.
type trust struct {
	ca        string // PEM; empty: the system's CAs alone
	cert, key string // the files of a client certificate; empty: none
}

// connections are those to all servers with one trust.
type connections struct {
	trust
	calls   *langflow.Renewable // for requests of our own
	streams *langflow.Renewable // for requests that the proxy passes on
}

// upstreamOf makes the way to a profile's server.
func (a *Agent) upstreamOf(p config.Profile) upstream {
	ca, err := readCA(p.CAFile) // the file may be on a network disk that does not answer
	to := a.upstreamBy(p, ca, err, a.newPass(p))
	if words := p.TokenCommand.Words(); words != nil {
		to.token = gateway.NewCommand(words, "", a.clock, a.log)
	}
	return to
}

// upstreamBy is upstreamOf with the CA file's content, or the error of reading it.
func (a *Agent) upstreamBy(p config.Profile, ca []byte, err error, pass *gateway.Pass) upstream {
	to := upstream{pass: pass}
	to.origin, _ = langflow.Origin(p.ServerURL)
	if err == nil {
		to.own, err = a.connectionsBy(trust{string(ca), p.ClientCert, p.ClientKey})
	}
	if err == nil {
		to.foreign, err = a.connectionsBy(trust{ca: string(ca)})
	}
	if err != nil {
		to.clientErr = langflow.CAFileError(err)
		return to
	}
	return a.through(to, p, pass)
}

// newPass makes what a gateway in front of a profile's server wants, without kept headers
// and cookies.
func (a *Agent) newPass(p config.Profile) *gateway.Pass {
	address := &url.URL{} // nothing goes there
	if normal, err := langflow.ParseURL(p.ServerURL); err == nil {
		address, _ = url.Parse(normal) // which ParseURL wrote
	}
	c := gateway.Config{Server: address, TokenHeader: p.TokenHeader}
	if words := p.HeaderCommand.Words(); words != nil {
		c.HeaderCommand = gateway.NewCommand(words, p.HeaderCommandFor, a.clock, a.log)
	}
	return gateway.NewPass(c)
}

// through returns an upstream that sends along what the pass has.
func (a *Agent) through(to upstream, p config.Profile, pass *gateway.Pass) upstream {
	to.pass = pass
	if to.own == nil || to.foreign == nil {
		return to // there is no client, for clientErr
	}
	to.streams = pass.Through(to.own.streams, to.foreign.streams)
	to.client, to.clientErr = langflow.New(p.ServerURL, langflow.Options{
		Transport: pass.Through(to.own.calls, to.foreign.calls), AllowHTTP: p.AllowHTTP, Clock: a.clock, UserAgent: a.userAgent,
		TryAgain: pass.TryAgain,
	})
	return to
}

// close ends the commands of an upstream that is no longer used.
func (to upstream) close() {
	if to.pass != nil && to.pass.HeaderCommand != nil {
		to.pass.HeaderCommand.Close()
	}
	if to.token != nil {
		to.token.Close()
	}
}

// retireLocked gives up what an upstream that is no longer used has of its own: the
// commands, and the connections. now is the one that is used instead.
func (a *Agent) retireLocked(old, now upstream) {
	a.releaseLocked(old)
	if old.pass.HeaderCommand != now.pass.HeaderCommand || old.token != now.token {
		a.crew.begin(old.close) // which waits for commands under way
	}
}

// follow has the store take up the cookies that a gateway's answers renew.
func (a *Agent) follow(s *session, to upstream) {
	to.pass.OnRenewal(func(cookies []gateway.Cookie) { a.storeCookies(s, to, cookies) })
}

// connectionsBy returns the connections of a trust.
func (a *Agent) connectionsBy(t trust) (*connections, error) {
	a.mu.Lock()
	w := a.connections[t]
	a.mu.Unlock()
	if w != nil {
		return w, nil
	}
	transport, err := a.transport([]byte(t.ca))
	if err != nil {
		return nil, err
	}
	if plain, ok := transport.(*http.Transport); ok && t.cert != "" {
		langflow.NewClientCert(t.cert, t.key).Use(plain)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.connections[t]; w != nil {
		return w, nil // another goroutine made it meanwhile
	}
	w = &connections{t, langflow.NewRenewable(transport), langflow.NewRenewable(langflow.Streaming(transport))}
	a.connections[t] = w
	return w, nil
}

// releaseLocked gives up the connections to a server that no session uses any more.
func (a *Agent) releaseLocked(to upstream) {
	for _, w := range []*connections{to.own, to.foreign} {
		if w == nil || a.usedLocked(w) {
			continue
		}
		if a.connections[w.trust] == w {
			delete(a.connections, w.trust)
		}
		w.renew()
	}
}

// usedLocked tells whether a session uses connections.
func (a *Agent) usedLocked(w *connections) bool {
	for _, s := range a.all() {
		if m := s.known.Load(); m.own == w || m.foreign == w {
			return true
		}
	}
	return false
}

// renew gives up all connections.
func (w *connections) renew() {
	w.calls.Renew()
	w.streams.Renew()
}

// renewConnections gives up all connections to servers: after a sleep, or in another network,
// they are dead without an error.
func (a *Agent) renewConnections() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.connections {
		w.renew()
	}
}

// readCA reads a file of certificates; "" is none.
func readCA(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	const most = 1 << 20 // bytes; the system's own bundle has a quarter of that
	return paths.ReadFile(path, most)
}

// followCA reads a session's CA file anew. While the file can't be used the old
// certificates stay in force, since files are not always replaced in one step.
func (a *Agent) followCA(s *session) {
	path := s.known.Load().profile.CAFile
	if path == "" {
		return
	}
	if ca, err := readCA(path); err == nil {
		a.takeCA(s, path, ca)
	}
}

// takeCA makes a session trust the certificates in ca, and tells whether they differ
// from those before.
func (a *Agent) takeCA(s *session, path string, ca []byte) bool {
	old := s.known.Load()
	if old.profile.CAFile != path || old.clientErr == nil && string(ca) == old.own.ca {
		return false
	}
	to := a.upstreamBy(old.profile, ca, nil, old.pass)
	to.token = old.token
	if to.own == nil {
		return false
	}
	a.log.Info("the ca file was replaced", "profile", s.name)
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := false
	a.updateLocked(s, func(m *machine, _ moment) {
		if taken = m.profile == old.profile; taken {
			m.upstream = to
		}
	})
	a.releaseLocked(old.upstream)
	a.releaseLocked(to) // if the session did not take it
	return taken
}

// lookAtCAsLocked reads the CA files in the background, since they may be on a network
// disk that does not answer. A session whose file was replaced tries again.
func (a *Agent) lookAtCAsLocked() {
	files := map[string][]byte{}
	for _, s := range a.all() {
		if path := s.known.Load().profile.CAFile; path != "" {
			files[path] = nil
		}
	}
	if len(files) == 0 || a.watchingCAs {
		return
	}
	a.watchingCAs = a.crew.begin(func() {
		for path := range files {
			files[path], _ = readCA(path)
		}
		for _, s := range a.all() {
			path := s.known.Load().profile.CAFile
			if ca := files[path]; ca != nil && a.takeCA(s, path, ca) {
				a.update(s, func(m *machine, now moment) {
					if m.refused.reason == "" {
						m.outage.count = 0
						m.hurry(time.Second, now)
					}
				})
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.watchingCAs = false
	})
}
