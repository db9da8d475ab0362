// Package agent keeps sessions with Langflow servers alive: it holds each
// profile's token pair, renews it in time, tells passing failures from final
// ones, and keeps what must outlive it in a store. It knows neither HTTP
// handlers nor the desktop: those are views of its snapshots.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"langkeep/agent/clock"
	"langkeep/agent/config"
	"langkeep/agent/keychain"
	"langkeep/agent/langflow"
)

// Config is what an Agent is made of.
type Config struct {
	Store keychain.Store
	Clock clock.Clock
	Log   *slog.Logger
	// ProfilesDir is where profiles are kept.
	ProfilesDir string
	// Transport makes the way to servers with the CA certificates, PEM, in
	// addition to the system's.
	Transport func(ca []byte) (http.RoundTripper, error)
	// Network describes the addresses of this computer: a change of it makes
	// every session due. Nil looks at the interfaces.
	Network func() string
	// UserAgent is sent to servers.
	UserAgent string
	// KeysFile is where it is written down which keys were made; "" forgets.
	KeysFile string
}

// Agent keeps the sessions.
type Agent struct {
	store       keychain.Store
	clock       clock.Clock
	log         *slog.Logger
	profilesDir string
	transport   func(ca []byte) (http.RoundTripper, error)
	network     func() string
	userAgent   string

	life    context.Context // of all work; ends with Run
	cancel  context.CancelFunc
	working sync.WaitGroup
	kick    chan struct{} // the head of the queue has changed
	saver   *saver
	journal *keyJournal
	keyKick chan struct{} // there is another key to be deleted one day

	// table is held while the set of profiles or their files change, so that a
	// reload never undoes a change it has not seen; never while the store or a
	// server is asked. Whoever needs a session's op as well takes that first.
	table sync.Mutex

	mu            sync.Mutex // protects the following, and every session's fields; after table
	stopping      bool
	sessions      map[string]*session
	queue         queue
	hands         map[string]chan struct{} // by origin: bounds the work at one server
	slots         map[string]time.Duration // by origin: clock.Elapsed when the next silent sign-in may run
	subscriptions map[*Subscription]struct{}
	ways          map[string]*ways // to servers, by CA
	watchingStore bool
	watchingCAs   bool
	counts        Counts
}

// New makes an agent without profiles: see Reload. Call Run to set it going.
func New(c Config) *Agent {
	a := &Agent{
		store: c.Store, clock: c.Clock, log: c.Log, profilesDir: c.ProfilesDir,
		transport: c.Transport, network: c.Network, userAgent: c.UserAgent,
		kick: make(chan struct{}, 1), saver: newSaver(c.Store, c.Log), hands: map[string]chan struct{}{},
		sessions: map[string]*session{}, slots: map[string]time.Duration{},
		subscriptions: map[*Subscription]struct{}{}, ways: map[string]*ways{},
		counts:  Counts{Failures: map[string]int64{}, Ended: map[string]int64{}},
		journal: &keyJournal{path: c.KeysFile}, keyKick: make(chan struct{}, 1),
	}
	a.life, a.cancel = context.WithCancel(context.Background())
	if a.transport == nil {
		a.transport = func(ca []byte) (http.RoundTripper, error) { return langflow.NewTransport(ca) }
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

// Run keeps the sessions until ctx ends, then stops all work and writes to the
// store what is still to be written.
func (a *Agent) Run(ctx context.Context) {
	var saving sync.WaitGroup
	saverCtx, stopSaver := context.WithCancel(context.WithoutCancel(ctx))
	saving.Go(func() { a.saver.run(saverCtx) })
	a.working.Go(func() { a.sweepKeys(a.life) })
	a.loop(ctx)
	a.mu.Lock()
	a.stopping = true
	a.mu.Unlock()
	a.cancel()
	a.working.Wait()
	stopSaver()
	saving.Wait()
}

// background runs work that ends with the agent. The caller holds a.mu.
func (a *Agent) background(work func(ctx context.Context)) {
	if a.stopping {
		return
	}
	a.working.Go(func() { work(a.life) })
}

// session finds a profile's session.
func (a *Agent) session(name string) (*session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[name]; s != nil {
		return s, nil
	}
	return nil, noProfile(name)
}

// Has tells whether there is a profile of that name.
func (a *Agent) Has(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[name] != nil
}

// names lists the profiles in order. The caller holds a.mu.
func (a *Agent) names() []string {
	names := make([]string, 0, len(a.sessions))
	for name := range a.sessions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Profiles describes every profile, by name.
func (a *Agent) Profiles() []Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Snapshot, 0, len(a.sessions))
	for _, name := range a.names() {
		all = append(all, a.snapshot(a.sessions[name]))
	}
	return all
}

// Profile describes one profile.
func (a *Agent) Profile(name string) (Snapshot, error) {
	s, err := a.session(name)
	if err != nil {
		return Snapshot{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.snapshot(s), nil
}

// Reload takes up the profiles as they are in their files, and returns what is
// wrong with those that can't be read, which stay as they are. A profile whose
// file is gone is dropped from memory; its secrets stay, since editors replace
// files in more than one step.
func (a *Agent) Reload(ctx context.Context) []error {
	a.table.Lock()
	profiles, errs := config.LoadProfiles(a.profilesDir)
	for name, p := range profiles {
		profiles[name] = normal(p)
	}
	var changed []string
	a.mu.Lock()
	for name, s := range a.sessions {
		if p, ok := profiles[name]; !ok || p != s.profile {
			changed = append(changed, name)
		}
	}
	for name, p := range profiles {
		if a.sessions[name] == nil {
			a.add(p)
		}
	}
	a.mu.Unlock()
	a.table.Unlock()
	for _, name := range changed {
		if err := a.takeUp(ctx, name); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// takeUp puts in force what one profile's file says by now.
func (a *Agent) takeUp(ctx context.Context, name string) error {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return nil // removed meanwhile
	}
	defer release()
	a.table.Lock()
	p, err := config.LoadProfile(a.profileFile(name))
	if errors.Is(err, os.ErrNotExist) {
		// A symbolic link to nothing is a file that can't be read, not one that is gone.
		if _, gone := os.Lstat(a.profileFile(name)); errors.Is(gone, os.ErrNotExist) {
			a.drop(s)
		}
	}
	a.table.Unlock()
	if err != nil {
		return nil // LoadProfiles has said so
	}
	a.mu.Lock()
	seen := normal(p) == s.profile // a sign-in writes its file before it is done
	a.mu.Unlock()
	if seen {
		return nil
	}
	if p, err = checked(p); err != nil {
		return err
	}
	return a.apply(ctx, s, p)
}

func (a *Agent) profileFile(name string) string {
	return filepath.Join(a.profilesDir, name+".toml")
}

// drop takes a session out of memory. Its secrets stay where they are.
func (a *Agent) drop(s *session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.stop()
	a.plan(s, time.Time{})
	s.removed = true
	if a.sessions[s.name] == s {
		delete(a.sessions, s.name)
	}
	for u := range a.subscriptions {
		u.put(Event{Snapshot: Snapshot{Name: s.name}, Removed: true})
	}
}

// add makes a session for a profile and looks at it at once. The caller holds
// a.mu.
func (a *Agent) add(p config.Profile) *session {
	s := newSession(p)
	a.renewContext(s)
	a.connect(s)
	a.sessions[p.Name] = s
	if !s.loaded {
		a.plan(s, a.clock.Now())
	}
	a.changed(s)
	return s
}

// connect makes the session's client from its profile. The caller holds a.mu.
func (a *Agent) connect(s *session) {
	ca, err := readCA(s.profile.CAFile)
	a.connectBy(s, ca, err)
}

// connectBy is connect with what the CA file holds, or why it can't be read. The
// caller holds a.mu.
func (a *Agent) connectBy(s *session, ca []byte, err error) {
	s.client, s.clientErr = nil, nil
	s.origin, _ = langflow.Origin(s.profile.ServerURL)
	if err == nil {
		s.ways, err = a.waysBy(ca)
	}
	if err != nil {
		s.clientErr = langflow.CAFileError(err)
		return
	}
	s.client, s.clientErr = langflow.New(s.profile.ServerURL, langflow.Options{
		Transport: s.ways.calls, AllowHTTP: s.profile.AllowHTTP, Clock: a.clock, UserAgent: a.userAgent,
	})
}

// keepProfile writes a profile's file. The caller holds a.table.
func (a *Agent) keepProfile(p config.Profile) error {
	if err := config.SaveProfile(a.profilesDir, p); err != nil {
		return &Error{Kind: Internal, Profile: p.Name, Message: fmt.Sprintf("can't write its file: %v", err), Err: err}
	}
	return nil
}

// editProfile changes a profile's file as it is by now, so that what a person
// has written there meanwhile stays, and returns what the file said before. With
// no file the settings in force are written. An error of with is returned as it is.
func (a *Agent) editProfile(inForce config.Profile, with func(config.Profile) (config.Profile, error)) (was config.Profile, err error) {
	a.table.Lock()
	defer a.table.Unlock()
	was, err = config.LoadProfile(a.profileFile(inForce.Name))
	if errors.Is(err, os.ErrNotExist) {
		was, err = inForce, nil
	}
	if err != nil {
		return was, &Error{Kind: Internal, Profile: inForce.Name, Message: fmt.Sprintf("can't change its file: %v", err), Err: err}
	}
	next, err := with(was)
	if err != nil {
		return was, err
	}
	return was, a.keepProfile(next)
}

// Add makes a new profile, signed out.
func (a *Agent) Add(p config.Profile) (Snapshot, error) {
	if err := config.ValidName(p.Name); err != nil {
		return Snapshot{}, &Error{Kind: BadRequest, Message: err.Error()}
	}
	p, err := checked(p)
	if err != nil {
		return Snapshot{}, err
	}
	a.table.Lock()
	defer a.table.Unlock()
	if s, _ := a.session(p.Name); s != nil {
		return Snapshot{}, &Error{Kind: Conflict, Profile: p.Name, Message: "it exists already: choose another name, or change it"}
	}
	if _, err := os.Stat(a.profileFile(p.Name)); err == nil {
		return Snapshot{}, &Error{Kind: Conflict, Profile: p.Name, Message: "its file exists but can't be read: mend or delete it"}
	}
	if err := a.keepProfile(p); err != nil {
		return Snapshot{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.snapshot(a.add(p)), nil
}

// normal writes a hand-edited profile's URL as Add would. One that can't be
// parsed stays as it is: the session's client says what is wrong with it.
func normal(p config.Profile) config.Profile {
	if url, err := langflow.ParseURL(p.ServerURL); err == nil {
		p.ServerURL = url
	}
	return p
}

// checked normalises a profile's settings.
func checked(p config.Profile) (config.Profile, error) {
	url, err := langflow.ParseURL(p.ServerURL)
	if err != nil {
		return p, &Error{Kind: BadRequest, Profile: p.Name, Message: err.Error()}
	}
	p.ServerURL = url
	if _, err := langflow.New(url, langflow.Options{Transport: http.DefaultTransport, AllowHTTP: p.AllowHTTP}); err != nil {
		e := errorOf(p.Name, err)
		e.Kind = BadRequest
		return p, e
	}
	if p.CAFile != "" {
		ca, err := readCA(p.CAFile)
		if !filepath.IsAbs(p.CAFile) {
			err = errors.New("write its path in full")
		}
		if err == nil {
			_, err = langflow.NewTransport(ca)
		}
		if err != nil {
			return p, &Error{Kind: BadRequest, Profile: p.Name, Message: fmt.Sprintf("can't use its ca file: %v", err)}
		}
	}
	return p, nil
}

// Change is a change of a profile's settings: nil leaves one as it is.
type Change struct {
	ServerURL *string
	CAFile    *string
	AllowHTTP *bool

	KeyLifetime  *time.Duration
	Proxy        *bool
	ProxyPort    *int
	ProxyOrigins *string // with spaces between them
}

// to is a profile with the change made.
func (c Change) to(p config.Profile) config.Profile {
	set(&p.ServerURL, c.ServerURL)
	set(&p.CAFile, c.CAFile)
	set(&p.AllowHTTP, c.AllowHTTP)
	set(&p.KeyLifetime, c.KeyLifetime)
	set(&p.Proxy, c.Proxy)
	set(&p.ProxyPort, c.ProxyPort)
	set(&p.ProxyOrigins, c.ProxyOrigins)
	return p
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// Change changes a profile, in its file as that is by now. A server of another
// origin signs it out first. Where a person's own edit can't be used, such as a
// CA file that is not there yet, that edit stays in the file, and only the change
// comes into force.
func (a *Agent) Change(ctx context.Context, name string, c Change) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	a.mu.Lock()
	old := s.profile
	a.mu.Unlock()
	var p, written config.Profile // what comes into force, and what the file says
	// The file first, since it can be taken back and a sign-out can't.
	was, err := a.editProfile(old, func(file config.Profile) (config.Profile, error) {
		next := c.to(file)
		if err := config.CheckProfile(next); err != nil {
			return next, &Error{Kind: BadRequest, Profile: name, Message: err.Error()}
		}
		var err error
		p, err = checked(next)
		switch {
		case err == nil && c.ServerURL != nil:
			next.ServerURL = p.ServerURL // as Add writes it
		case err != nil && (c.ServerURL != nil || c.CAFile != nil || c.AllowHTTP != nil):
			return next, err
		case err != nil:
			p = c.to(old)
		}
		written = next
		return next, nil
	})
	if err != nil {
		return Snapshot{}, err
	}
	if err := a.apply(ctx, s, p); err != nil {
		_, undone := a.editProfile(old, func(file config.Profile) (config.Profile, error) {
			if file != written {
				return file, nil // somebody has edited it since
			}
			return was, nil
		})
		return Snapshot{}, errors.Join(err, undone)
	}
	return a.Profile(name)
}

// apply puts changed settings of a seized session, which were checked, in
// force.
func (a *Agent) apply(ctx context.Context, s *session, p config.Profile) error {
	origin, err := langflow.Origin(p.ServerURL)
	if err != nil {
		return &Error{Kind: BadRequest, Profile: p.Name, Message: err.Error()}
	}
	a.mu.Lock()
	other := origin != s.origin || p.Username != s.profile.Username || p.Method != s.profile.Method
	a.mu.Unlock()
	if other {
		if err := a.signOut(ctx, s); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := s.profile
	s.profile = p
	if p.ServerURL == old.ServerURL && p.CAFile == old.CAFile && p.AllowHTTP == old.AllowHTTP && !other {
		a.changed(s) // nothing that the way to the server is made of
		return nil
	}
	if p.ServerURL != old.ServerURL {
		s.version = "" // of another server
	}
	a.connect(s)
	s.succeeded()
	if s.holds() || !s.loaded {
		a.plan(s, a.clock.Now())
	}
	return nil
}

// Remove deletes a profile and its secrets, and returns what it was last. If
// the secrets can't be deleted the profile stays.
func (a *Agent) Remove(ctx context.Context, name string) (Snapshot, error) {
	s, release, err := a.seize(ctx, name)
	if err != nil {
		return Snapshot{}, err
	}
	defer release()
	if err := a.signOut(ctx, s); err != nil {
		return Snapshot{}, err
	}
	a.table.Lock()
	defer a.table.Unlock()
	if err := config.RemoveProfile(a.profilesDir, name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Snapshot{}, &Error{Kind: Internal, Profile: name, Message: fmt.Sprintf("can't delete its file: %v", err), Err: err}
	}
	last, err := a.Profile(name)
	a.drop(s)
	return last, err
}
