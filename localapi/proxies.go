package localapi

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"langkeep/agent"
	"langkeep/agent/clients"
	"langkeep/agent/config"
	"langkeep/agent/secret"
	"langkeep/agent/vocabulary"
	"langkeep/localapi/client"
	"langkeep/localapi/guard"
	"langkeep/localapi/proxy"
)

const (
	firstProxyPort = 17861
	proxyPorts     = 1000             // tried from that port on
	reopenEvery    = 10 * time.Second // while a proxy's port is taken
)

// proxies opens and closes the profiles' proxies, as their settings say.
type proxies struct {
	*Server
	reconciling sync.WaitGroup // the reconciliations that watch has begun

	mu    sync.Mutex // protects the following; never held over anything that waits
	open  map[string]*openProxy
	turns map[string]chan struct{} // by profile: full while its proxy is opened or closed; capacity 1
	soon  map[string]bool          // profiles that watch is about to reconcile
	over  bool                     // the server stops: no proxy is opened any more
}

func newProxies(s *Server) *proxies {
	return &proxies{Server: s, open: map[string]*openProxy{}, turns: map[string]chan struct{}{}, soon: map[string]bool{}}
}

// openProxy is an open proxy, or one that waits for its port.
type openProxy struct {
	port   int
	server *http.Server // nil: the port is taken
	end    context.CancelFunc
	// Only the goroutine that has the turn touches the following.
	socketSet bool         // the setting that socketAsSet last acted on
	socket    net.Listener // nil: none
}

// watch opens and closes the proxies as their profiles say, until ctx ends; then it
// closes all.
func (p *proxies) watch(ctx context.Context) {
	changes := p.Agent.Subscribe()
	defer p.Agent.Unsubscribe(changes)
	var again <-chan time.Time // nil while no proxy waits for its port, so that no timer wakes the agent
	for {
		if again == nil && len(p.waiting()) > 0 {
			again = time.After(reopenEvery)
		}
		select {
		case <-changes.Ready():
			for _, e := range changes.Take() {
				p.reconcileSoon(ctx, e.Name)
			}
		case <-again:
			again = nil
			for _, name := range p.waiting() {
				p.reconcileSoon(ctx, name)
			}
		case <-ctx.Done():
			p.closeAll()
			p.reconciling.Wait()
			return
		}
	}
}

// reconcileSoon reconciles a profile's proxy in the background: writing a port down
// waits for a sign-in of the profile that is under way.
func (p *proxies) reconcileSoon(ctx context.Context, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.soon[name] {
		return
	}
	p.soon[name] = true
	p.reconciling.Go(func() {
		release := p.turn(ctx, name)
		p.mu.Lock()
		delete(p.soon, name) // a later change needs another reconciliation
		p.mu.Unlock()
		if release != nil {
			defer release()
			p.reconcileInTurn(ctx, name)
		}
	})
}

// reconcile opens or closes one profile's proxy as its settings say.
func (p *proxies) reconcile(ctx context.Context, name string) {
	if release := p.turn(ctx, name); release != nil {
		defer release()
		p.reconcileInTurn(ctx, name)
	}
}

// turn waits for the turn to open or close a profile's proxy, and returns the function
// that ends it; nil if ctx ends first.
func (p *proxies) turn(ctx context.Context, name string) (release func()) {
	p.mu.Lock()
	turn := p.turns[name]
	if turn == nil {
		turn = make(chan struct{}, 1)
		p.turns[name] = turn
	}
	p.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }
	case <-ctx.Done():
		return nil
	}
}

// get returns a profile's openProxy; nil if there is none.
func (p *proxies) get(name string) *openProxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[name]
}

// put stores a profile's openProxy, unless the server stops.
func (p *proxies) put(name string, o *openProxy) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.open[name] = o
	}
	return !p.over
}

// reconcileInTurn is reconcile for a caller that has the turn.
func (p *proxies) reconcileInTurn(ctx context.Context, name string) {
	snapshot, err := p.Agent.Profile(name)
	wanted := err == nil && snapshot.Proxy
	now := p.get(name)
	if now != nil && (!wanted || now.port != snapshot.ProxyPort) {
		p.shut(name)
		now = nil
	}
	switch {
	case !wanted:
	case now != nil && now.server != nil:
		p.socketAsSet(now, snapshot)
	case snapshot.ProxyPort == 0:
		p.choose(ctx, snapshot)
	default:
		listeners, err := guard.ListenTCP(net.JoinHostPort("127.0.0.1", strconv.Itoa(snapshot.ProxyPort)))
		if err == nil {
			p.serve(snapshot, snapshot.ProxyPort, listeners)
		} else {
			p.refused(snapshot, err)
		}
	}
}

// refused notes that a proxy's port is taken. If another user holds the port, tools may
// have sent their tokens there, so refused revokes the tokens of all clients that could
// have. Another user may also take the port later, while the proxy waits for it. The
// caller has the turn.
func (p *proxies) refused(snapshot agent.Snapshot, err error) {
	name, port := snapshot.Name, snapshot.ProxyPort
	if !p.put(name, &openProxy{port: port}) {
		return
	}
	if snapshot.ProxyReason == vocabulary.PortOfAnotherUser {
		return // the tokens were revoked already
	}
	if !p.Guard.HeldByOther(uint16(port)) {
		if snapshot.ProxyReason == "" {
			p.Log.Warn("the proxy's port is taken", "profile", name, "error", err)
		}
		p.Agent.ProxyIs(name, agent.ProxyState{ProxyReason: vocabulary.PortTaken})
		return
	}
	revoked, err := p.Clients.RevokeAll(func(c clients.Client) bool { return slices.Contains(c.Profiles, name) })
	if err != nil {
		p.Log.Warn("the clients can't be written down", "error", err)
	}
	p.Log.Warn("another user holds the proxy's port: its clients are revoked", "profile", name, "port", port, "clients", revoked)
	p.Agent.ProxyIs(name, agent.ProxyState{ProxyReason: vocabulary.PortOfAnotherUser})
}

// choose takes the first free port that no other profile keeps, and writes it into the
// profile. The caller has the turn.
func (p *proxies) choose(ctx context.Context, snapshot agent.Snapshot) {
	name := snapshot.Name
	kept := map[int]bool{}
	for _, s := range p.Agent.Profiles() {
		kept[s.ProxyPort] = true
	}
	for port := p.FirstProxyPort; port < p.FirstProxyPort+proxyPorts; port++ {
		if kept[port] {
			continue
		}
		listeners, err := guard.ListenTCP(net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		// Write the port before the proxy is announced as open.
		if _, err := p.Agent.Change(ctx, name, func(p *config.Profile) { p.ProxyPort = port }); err != nil {
			p.Log.Warn("the proxy's port can't be written down", "profile", name, "error", err)
			closeUnused(listeners)
			return
		}
		p.serve(snapshot, port, listeners)
		return
	}
	p.Log.Warn("there is no free port for the proxy", "profile", name)
}

func closeUnused(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // nobody has used it
	}
}

// serve answers on a proxy's port. The caller has the turn.
func (p *proxies) serve(snapshot agent.Snapshot, port int, listeners []net.Listener) {
	name := snapshot.Name
	handler := proxy.New(proxy.Config{
		Profile: name, Source: credentials{p.Agent}, Lookup: p.Guard.Client, Log: p.Log,
		Note: func(r *http.Request, caller *guard.Caller, what string, problem *client.Problem) {
			p.note(p.useOf(r, caller, name, what), problem)
			p.metrics.proxy(problem)
		},
		Needs:   func() proxy.Needs { return p.needs(name) },
		Problem: func(err error) *client.Problem { return proxyProblem(name, err) },
	})
	proves := guard.Limited(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.prove(w, r, nil, ""); err != nil {
			p.fail(w, r, name, err)
		}
	}))
	server := guard.NewServer(guard.ServerConfig{Log: p.Log, Streams: true, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if problem := p.Guard.CheckProxy(r, p.allowed(name)); problem != nil {
				p.note(p.useOf(r, nil, name, "proxy"), problem)
				p.metrics.proxy(problem)
				guard.WriteProblem(w, problem)
				return
			}
			if r.Method == http.MethodPost && r.URL.Path == proofPath { // no Langflow has it
				proves.ServeHTTP(w, r)
				return
			}
			p.metrics.streams.Add(1)
			defer p.metrics.streams.Add(-1)
			handler.ServeHTTP(w, r)
		})})
	life, end := context.WithCancel(context.Background())
	server.BaseContext = func(net.Listener) context.Context { return life }
	now := &openProxy{port: port, server: server, end: end}
	if !p.put(name, now) {
		end()
		closeUnused(listeners)
		return
	}
	for _, l := range listeners {
		go func() { _ = server.Serve(l) }() // returns when the server is closed
	}
	p.Log.Info("the proxy is open", "profile", name, "port", port)
	p.Agent.ProxyIs(name, agent.ProxyState{ProxyOpen: true})
	p.socketAsSet(now, snapshot)
}

// socketAsSet opens or closes the Unix socket of an open proxy. The caller has the turn.
func (p *proxies) socketAsSet(now *openProxy, snapshot agent.Snapshot) {
	state := agent.ProxyState{ProxyOpen: true}
	if snapshot.ProxySocket == now.socketSet {
		return
	}
	now.socketSet = snapshot.ProxySocket
	if now.socket != nil {
		_ = now.socket.Close() // requests under way go on
		now.socket = nil
	}
	if now.socketSet {
		socket, err := p.ListenProxy(snapshot.Name)
		if err != nil {
			p.Log.Warn("the proxy's socket can't be opened", "profile", snapshot.Name, "error", err)
			return
		}
		now.socket, state.ProxySocketPath = socket, socket.Addr().String()
		go func() { _ = now.server.Serve(socket) }() // returns when either is closed
		p.Log.Info("the proxy's socket is open", "profile", snapshot.Name, "path", state.ProxySocketPath)
	}
	p.Agent.ProxyIs(snapshot.Name, state)
}

// shut closes a profile's proxy and ends its requests.
func (p *proxies) shut(name string) {
	p.mu.Lock()
	now := p.open[name]
	delete(p.open, name)
	p.mu.Unlock()
	if now == nil {
		return
	}
	if now.server != nil {
		now.end()
		_ = now.server.Close() // nothing is left to be saved
	}
	p.Agent.ProxyIs(name, agent.ProxyState{})
}

func (p *proxies) closeAll() {
	p.mu.Lock()
	p.over = true
	names := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	for _, name := range names {
		p.shut(name)
	}
}

// SetProxy opens or closes a profile's proxy.
func (s *Server) SetProxy(ctx context.Context, name string, on bool) error {
	if on {
		_, err := s.openProxy(ctx, name)
		return err
	}
	_, err := s.Agent.Change(ctx, name, func(p *config.Profile) { p.Proxy = false })
	s.proxies.reconcile(ctx, name)
	return err
}

// openProxy opens a profile's proxy if it is closed, on another port if its own is
// taken. The error means that there is no such profile, or no free port.
func (s *Server) openProxy(ctx context.Context, name string) (agent.Snapshot, error) {
	snapshot, err := s.Agent.Profile(name)
	if err != nil || snapshot.ProxyOpen {
		return snapshot, err
	}
	taken := s.proxies.taken(name)
	_, err = s.Agent.Change(ctx, name, func(p *config.Profile) {
		p.Proxy = true
		if taken {
			p.ProxyPort = 0
		}
	})
	if err != nil {
		return agent.Snapshot{}, err
	}
	s.proxies.reconcile(ctx, name)
	snapshot, err = s.Agent.Profile(name)
	if err == nil && !snapshot.ProxyOpen {
		err = client.NewProblem(client.TypeConflict, "the proxy of "+name+" has no port: see the agent's log")
	}
	return snapshot, err
}

// waiting are the profiles whose proxy has no port yet.
func (p *proxies) waiting() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name, o := range p.open {
		if o.server == nil {
			names = append(names, name)
		}
	}
	return names
}

// taken tells whether a proxy that should be open has no port.
func (p *proxies) taken(name string) bool { return slices.Contains(p.waiting(), name) }

// allowed are those who may ask a profile's proxy beside this computer's own programs.
func (p *proxies) allowed(name string) guard.Allowed {
	needs := p.Agent.ProxyNeeds(name)
	return guard.Allowed{Origins: strings.Fields(needs.Origins), Hosts: strings.Fields(needs.Hosts)}
}

func (p *proxies) needs(name string) proxy.Needs {
	needs := p.Agent.ProxyNeeds(name)
	return proxy.Needs{Locked: p.Agent.Locked(), Origins: strings.Fields(needs.Origins), Version: needs.Version, UnknownRoutes: needs.UnknownRoutes, Gateway: needs.Gateway, NoKeys: needs.NoKeys}
}

// proxyURL is the address of a profile's proxy, nil if it is not open.
func proxyURL(s agent.Snapshot) *string {
	u, err := url.Parse(s.ServerURL)
	if err != nil || !s.ProxyOpen || s.ProxyPort == 0 {
		return nil
	}
	return new((&url.URL{
		Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ProxyPort)), Path: strings.TrimSuffix(u.Path, "/"),
	}).String())
}

// credentials is the proxy's view of the agent.
type credentials struct{ *agent.Agent }

// Key implements proxy.Source.
func (c credentials) Key(ctx context.Context, profile string) (secret.Text, error) {
	grant, err := c.Agent.Key(ctx, profile, agent.AnyLifetime)
	return grant.Key, err
}

// Token implements proxy.Source.
func (c credentials) Token(ctx context.Context, profile string) (secret.Text, error) {
	return c.Agent.Access(ctx, profile)
}
