// Package agent keeps sessions with Langflow servers alive: it holds each
// profile's token pair, renews it in time, tells passing failures from final
// ones, and keeps what must outlive it in a store. It knows neither HTTP
// handlers nor the desktop: those are views of its snapshots.
package agent

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/keychain"
	"langkeep/agent/keys"
	"langkeep/agent/langflow"
)

// Config is what an Agent is made of.
type Config struct {
	Store keychain.Store
	Clock clock.Clock
	Log   *slog.Logger
	// ProfilesDir is the folder of the profiles' files.
	ProfilesDir string
	// Transport makes the RoundTripper to servers; it trusts the certificates in ca,
	// PEM, beside the system's.
	Transport func(ca []byte) (http.RoundTripper, error)
	// Network describes the addresses of this computer; a change of its answer makes
	// every session due. Nil asks the interfaces.
	Network func() string
	// UserAgent is sent to servers.
	UserAgent string
	// OpenWindow opens a browser's window on an address, in which a person signs in. Nil
	// means that there is no desktop.
	OpenWindow func(ctx context.Context, address string) (Window, error)
	// KeysFile is the journal of the managed keys; "" keeps the journal in memory.
	KeysFile string
	// LockFile is there while a person has locked the agent; "" keeps that in memory.
	LockFile string
}

// Agent keeps the sessions.
type Agent struct {
	store       keychain.Store
	clock       clock.Clock
	log         *slog.Logger
	profilesDir string
	network     func() string
	openWindow  func(ctx context.Context, address string) (Window, error)

	life   context.Context // of all work; ends with Run
	cancel context.CancelFunc
	crew   crew
	kick   chan struct{} // the head of the queue has changed
	saver  *saver

	upstreams upstreams
	windows   windows
	keys      *keys.Manager
	counts    counts
	lock      lock

	// The locks, in the order in which they are taken:
	//
	//  1. A session's turn: held by the goroutine that works on the session, for as long
	//     as a server, the store or a person takes. A flight also holds one of its
	//     server's limits meanwhile; and a sign-in or sign-out waits in saver.forget for
	//     a write that is under way.
	//  2. files: held by Reload, Add, Change, Login, Remove and SetLocked while the set of
	//     profiles, a profile's file or the lock's changes, for as long as a disk takes (a network's, where
	//     a CA file lies on one), so that a reload never undoes a change it has not
	//     seen.
	//  3. keys.Journal.mu: held while the journal's file is read or written.
	//  4. mu: held for what memory takes and for a line in the log; functions that want
	//     it held end in Locked.
	//  5. keys.Manager.mu, then turn.mu, then gateway.Pass.mu, then upstreams.mu, then the
	//     locks of a flight.Slot, crew, saver, counts, windows, a Subscription,
	//     gateway.Command, langflow.Renewable and langflow.ClientCert: held for what memory
	//     takes, by their own methods.
	//
	// Looking at a session takes none of them; a Snapshot takes those of keys.Manager and
	// the session's Pass.
	files sync.Mutex

	mu            sync.Mutex // protects the following, and changes of sessions
	queue         queue
	limits        map[string]chan struct{} // by origin: the semaphore of one server
	slots         map[string]time.Duration // by origin: clock.Elapsed when the next silent sign-in may run
	subscriptions map[*Subscription]struct{}
	watchingStore bool
	watchingCAs   bool
	unreadable    []error // of the profiles' files, at the last Reload

	// sessions are all sessions, by name. Only editSessionsLocked replaces the map;
	// readers need no lock.
	sessions atomic.Pointer[map[string]*session]
}

// New makes an agent without profiles: see Reload. Call Run to set it going.
func New(c Config) *Agent {
	a := &Agent{
		store: c.Store, clock: c.Clock, log: c.Log, profilesDir: c.ProfilesDir,
		network: c.Network, openWindow: c.OpenWindow,
		upstreams: upstreams{
			clock: c.Clock, log: c.Log, userAgent: c.UserAgent, transport: c.Transport, connections: map[trust]*connections{},
		},
		kick: make(chan struct{}, 1), saver: newSaver(c.Store, c.Log), limits: map[string]chan struct{}{},
		slots: map[string]time.Duration{}, subscriptions: map[*Subscription]struct{}{},
	}
	a.keys = keys.New(keys.Config{
		Sessions: keySource{a}, Store: keySource{a}, Journal: keys.OpenJournal(c.KeysFile), Clock: c.Clock, Log: c.Log, Begin: a.crew.begin,
	})
	a.sessions.Store(&map[string]*session{})
	a.lock.open(c.LockFile)
	a.life, a.cancel = context.WithCancel(context.Background())
	if c.Transport == nil {
		a.upstreams.transport = func(ca []byte) (http.RoundTripper, error) { return langflow.NewTransport(ca) }
	}
	if a.network == nil {
		a.network = addresses
	}
	return a
}

// addresses lists this computer's network addresses.
func addresses() string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, address := range list {
		b.WriteString(address.String())
		b.WriteByte(' ')
	}
	return b.String()
}

// Run keeps the sessions until ctx ends. Then it stops all work and writes the pending
// items to the store.
func (a *Agent) Run(ctx context.Context) {
	var saving sync.WaitGroup
	saverCtx, stopSaver := context.WithCancel(context.WithoutCancel(ctx))
	saving.Go(func() { a.saver.run(saverCtx) })
	a.crew.begin(func() { a.keys.Sweep(a.life) })
	a.loop(ctx)
	a.crew.stop()
	a.cancel()
	a.crew.running.Wait()
	for _, s := range a.all() {
		s.known.Load().close()
	}
	stopSaver()
	saving.Wait()
}

// Has tells whether there is a profile of that name.
func (a *Agent) Has(name string) bool { return a.all()[name] != nil }

// Profiles describes every profile, by name.
func (a *Agent) Profiles() []Snapshot {
	sessions := a.all()
	snaps := make([]Snapshot, 0, len(sessions))
	for _, name := range slices.Sorted(maps.Keys(sessions)) {
		snaps = append(snaps, a.snapshot(sessions[name]))
	}
	return snaps
}

// Profile describes one profile.
func (a *Agent) Profile(name string) (Snapshot, error) {
	s, err := a.session(name)
	if err != nil {
		return Snapshot{}, err
	}
	return a.snapshot(s), nil
}
