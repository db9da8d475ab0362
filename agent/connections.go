package agent

import (
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"langkeep/agent/clock"
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

// upstreams makes the ways to servers. Those with one trust share their connections.
type upstreams struct {
	clock     clock.Clock
	log       *slog.Logger
	userAgent string
	transport func(ca []byte) (http.RoundTripper, error)

	mu          sync.Mutex // protects the following
	connections map[trust]*connections
}

// of makes the way to a profile's server.
func (u *upstreams) of(p config.Profile) upstream {
	ca, err := readCA(p.CAFile) // the file may be on a network disk that does not answer
	to := u.by(p, ca, err, u.newPass(p))
	if words := p.TokenCommand.Words(); words != nil {
		to.token = gateway.NewCommand(words, "", u.clock, u.log)
	}
	return to
}

// by makes the same from what the caller has read: the CA file's content, or the error of
// reading it.
func (u *upstreams) by(p config.Profile, ca []byte, err error, pass *gateway.Pass) upstream {
	to := upstream{pass: pass}
	to.origin, _ = langflow.Origin(p.ServerURL)
	if err == nil {
		to.own, err = u.connect(trust{string(ca), p.ClientCert, p.ClientKey})
	}
	if err == nil {
		to.foreign, err = u.connect(trust{ca: string(ca)})
	}
	if err != nil {
		to.clientErr = langflow.CAFileError(err)
		return to
	}
	return u.through(to, p, pass)
}

// newPass makes what a gateway in front of a profile's server wants, without kept headers
// and cookies.
func (u *upstreams) newPass(p config.Profile) *gateway.Pass {
	address := &url.URL{} // nothing goes there
	if normal, err := langflow.ParseURL(p.ServerURL); err == nil {
		address, _ = url.Parse(normal) // which ParseURL wrote
	}
	c := gateway.Config{Server: address, TokenHeader: p.TokenHeader}
	if words := p.HeaderCommand.Words(); words != nil {
		c.HeaderCommand = gateway.NewCommand(words, p.HeaderCommandFor, u.clock, u.log)
	}
	return gateway.NewPass(c)
}

// through returns an upstream that sends along what the pass has.
func (u *upstreams) through(to upstream, p config.Profile, pass *gateway.Pass) upstream {
	to.pass = pass
	if to.own == nil || to.foreign == nil {
		return to // there is no client, for clientErr
	}
	to.streams = pass.Through(to.own.streams, to.foreign.streams)
	to.client, to.clientErr = langflow.New(p.ServerURL, langflow.Options{
		Transport: pass.Through(to.own.calls, to.foreign.calls), AllowHTTP: p.AllowHTTP, Clock: u.clock, UserAgent: u.userAgent,
		TryAgain: pass.TryAgain,
	})
	return to
}

// connect returns the connections of a trust.
func (u *upstreams) connect(t trust) (*connections, error) {
	u.mu.Lock()
	w := u.connections[t]
	u.mu.Unlock()
	if w != nil {
		return w, nil
	}
	transport, err := u.transport([]byte(t.ca))
	if err != nil {
		return nil, err
	}
	if plain, ok := transport.(*http.Transport); ok && t.cert != "" {
		langflow.NewClientCert(t.cert, t.key).Use(plain)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if w := u.connections[t]; w != nil {
		return w, nil // another goroutine made it meanwhile
	}
	w = &connections{t, langflow.NewRenewable(transport), langflow.NewRenewable(langflow.Streaming(transport))}
	u.connections[t] = w
	return w, nil
}

// release gives up those connections of an upstream that no session uses any more.
func (u *upstreams) release(to upstream, used func(*connections) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, w := range []*connections{to.own, to.foreign} {
		if w == nil || used(w) {
			continue
		}
		if u.connections[w.trust] == w {
			delete(u.connections, w.trust)
		}
		w.renew()
	}
}

// renew gives up all connections to servers: after a sleep, or in another network, they
// are dead without an error.
func (u *upstreams) renew() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, w := range u.connections {
		w.renew()
	}
}

// renew gives up all connections.
func (w *connections) renew() {
	w.calls.Renew()
	w.streams.Renew()
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

// releaseLocked gives up the connections to a server that no session uses any more.
func (a *Agent) releaseLocked(to upstream) {
	a.upstreams.release(to, func(w *connections) bool {
		for _, s := range a.all() {
			if m := s.known.Load(); m.own == w || m.foreign == w {
				return true
			}
		}
		return false
	})
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
	to := a.upstreams.by(old.profile, ca, nil, old.pass)
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
